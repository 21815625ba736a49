//! The pipeline of streamgauge.

pub mod arrivals;
pub mod clock;
pub mod pacing;
pub mod ports;
pub mod producer;
pub mod progress;
pub mod result;
pub mod result_writer;
pub mod run_state;
pub mod serials;
pub mod spec;
pub mod stage;
pub mod supervisor;
pub mod window;
pub mod window_aggregator;
