//! streamgauge: the program around the pipeline.

pub mod broker;
pub mod foreground;
