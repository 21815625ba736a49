//! The truth that every count is checked against, and what is found wrong. Shares nothing with the
//! window aggregator.

pub(crate) mod findings;
pub(crate) mod ledger;
pub(crate) mod schedule;
pub(crate) mod schedule_audit;
pub(crate) mod table;
pub(crate) mod windows;
