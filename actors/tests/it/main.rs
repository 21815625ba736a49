//! The stages as the simulation and the tests of the whole see them.

mod producer_progress;
mod simulated_run;
mod simulation;
