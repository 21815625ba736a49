//! The pipeline of streamgauge.

pub mod clock;
pub mod ports;
