//! The truth as a table: what the producers had acknowledged, window by window.

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
