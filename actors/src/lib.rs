//! The pipeline of streamgauge.

pub mod clock;
pub mod histogram;
pub mod ports;
pub mod progress;
pub mod serials;
pub mod window;
