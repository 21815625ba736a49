//! The pipeline of streamgauge.

pub mod arrivals;
pub mod audit;
pub mod campaigns;
pub mod clock;
pub mod event;
pub mod histogram;
pub mod latency;
pub mod ledger;
pub mod measures;
pub mod merge;
pub mod messages;
pub mod outcome;
pub mod pacing;
pub mod pipeline;
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
