//! The program around the pipeline: settings, command line, broker adapters, reports.
//!
//! ```text
//! arguments --cli--> Settings --config--> RunPlan --foreground--> pipeline (crate streamgauge-actors) --> report
//! ```

pub mod broker;
pub mod cli;
pub mod config;
pub mod dead_letters;
pub mod foreground;
pub mod report;
pub mod topics;
pub mod truth;
