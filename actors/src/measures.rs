//! What is measured in a run: counters, histograms of latencies, the series of seconds.

pub(crate) mod counters;
pub(crate) mod histograms;
pub(crate) mod run_measures;
pub(crate) mod series;
