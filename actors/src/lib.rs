//! The pipeline of streamgauge.

pub mod arrivals;
pub mod clock;
pub mod pacing;
pub mod ports;
