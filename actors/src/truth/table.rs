//! The truth as a table: what the producers had acknowledged, window by window.

use crate::clock::Nanos;

/// One (campaign, producer) of one window.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Truth {
    /// The campaign.
    pub campaign_id: u64,
    /// The producer.
    pub producer: u32,
    /// Events acknowledged.
    pub acknowledged: u64,
    /// Events that are perhaps in the log.
    pub unknown: u64,
    /// The greatest `produce_time` of the acknowledged events, milliseconds since the Unix epoch;
    /// 0: not known.
    #[serde(default)]
    pub max_produce_ms: i64,
    /// The same of the events that are perhaps in the log.
    #[serde(default)]
    pub max_unknown_produce_ms: i64,
}

/// What was acknowledged, window by window.
pub type TruthTable = Vec<(i64, Vec<Truth>)>;

/// The truth of an earlier run, which others' results are audited against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTruth {
    /// The run that produced the events.
    pub run_id: String,
    /// Start of window 0, nanoseconds since the Unix epoch.
    pub base_ns: Nanos,
    /// Length of a window.
    pub window_ns: Nanos,
    /// What was acknowledged.
    pub windows: TruthTable,
}

impl KnownTruth {
    /// The start of a window, nanoseconds since the Unix epoch.
    pub(crate) fn start_ns(&self, window_id: i64) -> Nanos {
        window_id.saturating_mul(self.window_ns).saturating_add(self.base_ns)
    }
}
