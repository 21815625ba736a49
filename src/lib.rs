//! streamgauge: the program around the pipeline.

pub mod broker;
pub mod dead_letters;
pub mod foreground;
