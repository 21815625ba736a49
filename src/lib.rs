//! streamgauge: the program around the pipeline (`streamgauge-actors`).

pub mod broker;
pub mod dead_letters;
pub mod foreground;
pub mod report;
