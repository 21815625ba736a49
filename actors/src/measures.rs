//! What is measured in a run: counters, latencies and their histograms, the series of seconds.

pub(crate) mod backlog;
pub(crate) mod collector;
pub(crate) mod counters;
pub(crate) mod histograms;
pub(crate) mod latency_kinds;
pub(crate) mod rows;
pub(crate) mod run_measures;
pub(crate) mod series;
