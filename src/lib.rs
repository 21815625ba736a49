//! The program around the pipeline of `streamgauge-actors`.

pub mod report;
