//! What lies in the topics: events, progress records and results.

pub(crate) mod event;
pub(crate) mod progress;
pub(crate) mod result;
pub(crate) mod suspected_unit;
pub(crate) mod value;
