//! The pipeline of streamgauge.

pub mod campaigns;
pub mod clock;
pub mod event;
pub mod ports;
