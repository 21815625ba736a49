//! The stages as the simulation and the tests of the whole see them.

#![allow(clippy::print_stdout, reason = "the simulation says what it played")]

mod any_writer;
mod long_runs;
mod producer_progress;
mod simulated_run;
mod simulation;
