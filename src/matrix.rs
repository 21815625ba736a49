//! A matrix of runs: one workload over lists of settings, every combination a cell, every cell run
//! several times.
//!
//! ```text
//! lists --cells--> Grid --plan--> Plan (settings checked, runs in order)
//!      --cli/matrix.rs--> Run, Run ... --report--> MatrixReport
//! ```
//!
//! - [`cells`]: from lists to cells, and the floor below each; [`order`]: which run comes when
//! - [`request`]: what is asked for; [`plan`]: the cells' settings, resolved and checked
//! - [`figures`]: what is taken from each run's report, and summed up over a cell's runs
//! - [`report`]: the JSON document of `schemas/matrix.schema.json`; [`cell_report`]: one cell in
//!   it; [`significance`]: its comparisons
//! - [`terminal`], [`markdown`], [`csv`], [`html`]: the other forms;
//!   [`tables`]: what they share; [`format`]: which one a file gets

pub mod cell_report;
pub mod cells;
pub mod csv;
pub mod figures;
pub mod format;
pub mod html;
pub mod markdown;
pub mod order;
pub mod plan;
mod problems;
pub mod report;
pub mod request;
mod setting;
pub mod significance;
pub mod tables;
pub mod terminal;
