//! streamgauge: the program around the pipeline (`streamgauge-actors`).
//!
//! ```text
//!  arguments --cli--> layers --config--> Settings --plan--> RunPlan
//!                                                              |
//!           +--------------------------------------------------+----------------------+
//!           v                           v                                             v
//!  one run, waited for      matrix: one cell's run after another      daemon <--requests-- http
//!           |                           |                    (by its schedule or on request)
//!           '---------------------------+---------------------------------------------'
//!                                       | StartRun
//!                                       v
//!                     Supervisor (streamgauge-actors) --ports--> broker, one of the list     
//!                          |                     |               (deletes own topics alone)
//!                  RunFact |                     | RunOutcome
//!                          v                     v
//!              live, metrics --> http         report, held against thresholds --> files, history
//! ```

pub mod broker;
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
pub mod process_usage;
pub mod report;
mod secrets;
