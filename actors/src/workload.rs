//! What is asked for: the workload of a run, when its events are due, and how its windows lie.

pub(crate) mod arrivals;
pub(crate) mod campaigns;
pub(crate) mod frame;
pub(crate) mod mode;
pub(crate) mod pacing;
pub(crate) mod sections;
pub(crate) mod spec;
