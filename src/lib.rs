//! streamgauge: the program around the pipeline (`streamgauge-actors`).
//!
//! ```text
//! arguments --cli--> Settings --config--> RunPlan --foreground--> pipeline --RunOutcome--> report
//!                                            ^
//!                     broker (embedded, kafka), guarded by topics; dead_letters; truth
//! ```

pub mod broker;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod foreground;
pub mod history;
pub mod host;
pub mod http;
pub mod live;
pub mod matrix;
pub mod metrics;
pub mod nearest;
pub mod plan;
pub mod report;
mod secrets;
pub mod service;
pub mod signals;
pub mod thresholds;
pub mod truth;
