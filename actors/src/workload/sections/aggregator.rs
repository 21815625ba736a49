//! `[aggregator]`: how events are aggregated.

use serde::{Deserialize, Serialize};

use crate::checks::Checks;
use crate::clock::Nanos;
use crate::units::{AutoSpan, Span};

/// An aggregator is a thread with a client, and a core's work.
const MOST_AGGREGATORS: u32 = 256;

/// `[aggregator]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AggregatorSection {
    /// Aggregators; 0: one per partition, at most one per core.
    pub count: u32,
    /// How far events may run behind a partition's watermark.
    pub allowed_lateness: AutoSpan,
    /// Windows that a partition may be ahead of the slowest one before its reader pauses.
    pub max_open_windows: u32,
    /// A partition silent for so long closes its windows by processing time; 0: never.
    pub idle_timeout: Span,
    /// A consumer group whose offsets are committed for lag tools; empty: none.
    pub group: String,
}

impl AggregatorSection {
    /// How far events may run behind a partition's watermark.
    pub fn lateness_ns(&self) -> Nanos {
        self.allowed_lateness.or(Span::default()).as_nanos()
    }

    /// Checks what types alone cannot.
    pub fn check(&self, checks: &mut Checks) {
        checks.must(
            self.count <= MOST_AGGREGATORS,
            "aggregator.count",
            format!("must be at most {MOST_AGGREGATORS}, each a thread, but is {}", self.count),
        );
        checks.must(self.max_open_windows > 0, "aggregator.max_open_windows", "must be at least 1");
    }
}
