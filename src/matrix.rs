//! A matrix of runs: one workload over lists of settings, every combination a cell, every cell run several times.
//!
//! - [`cells`]: from lists to cells, and the floor below each
//! - [`order`]: which run comes when
//! - [`plan`]: the cells' settings, resolved
//! - [`figures`]: what is taken from each run's report, and summed up over a cell's runs
//! - [`report`]: the JSON document of `schemas/matrix.schema.json`; [`significance`]: its comparisons
//! - [`tables`], [`terminal`], [`markdown`], [`csv`]: the other forms (HTML: `report/html/matrix.rs`)

pub mod cells;
pub mod order;
