//! streamgauge: the program around the pipeline (`streamgauge-actors`).
//!
//! ```text
//! arguments --cli--> Settings --config--> RunPlan --foreground--> pipeline --RunOutcome--> report
//!                                            ^
//!                     broker (embedded, kafka), guarded by topics; dead_letters; truth
//! ```

pub mod broker;
pub mod checks;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod history;
pub mod http;
pub mod live;
pub mod matrix;
pub mod metrics;
pub mod nearest;
pub mod plan;
pub mod report;
mod secrets;
pub mod units;
