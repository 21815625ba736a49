//! What stages tell each other. A message carries a batch or a window, never one event. The flow is
//! drawn in `lib.rs`.

use actix::prelude::*;

use crate::clock::Nanos;
use crate::truth::ledger::AcknowledgedCount;
use crate::truth::schedule_audit::ProducerEnd;

/// Producer -> Latency: what was acknowledged in windows that this producer is done with. Promises
/// that no later message of this producer adds to these windows.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct EventsAcknowledged {
    /// Which producer.
    pub producer: u32,
    /// Every window of this producer before this id is complete (`i64::MAX`: it is done).
    pub complete_before: i64,
    /// The windows, with (campaign, acknowledged, unknown) counts.
    pub windows: Vec<(i64, Vec<AcknowledgedCount>)>,
    /// How the producer's schedule ended, where it has.
    pub end: Option<ProducerEnd>,
}

/// WindowAggregator -> ResultWriter: panes that a partition has closed. Sent again it is harmless:
/// it sets, never adds.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct PanesClosed {
    /// The partition.
    pub partition: u32,
    /// Every window before this id is closed in this partition (`i64::MAX`: all).
    pub closed_before: i64,
    /// The panes with events that closed.
    pub panes: Vec<ClosedPane>,
    /// Whether the log itself closed them (and not an idle time, or the end of reading).
    pub by_log: bool,
    /// Whether the partition has been silent for so long that nobody waits for it: its watermark
    /// follows the others'.
    pub is_idle: bool,
}

/// One campaign's part of a closed pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaneEntry {
    /// The campaign.
    pub campaign_id: u64,
    /// Events counted.
    pub count: u64,
    /// Greatest `produce_time`, milliseconds since the Unix epoch.
    pub max_produce_ms: i64,
    /// Greatest event time: when the last of them was intended.
    pub max_event_ns: Nanos,
}

/// The pane of one window in one partition, closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedPane {
    /// The window.
    pub window_id: i64,
    /// Campaigns with events, in slot order.
    pub entries: Vec<PaneEntry>,
    /// Events per producer: `entries.len()` rows of `producers` counts.
    pub by_producer: Vec<u64>,
}

/// ResultWriter -> every WindowAggregator: every window before this id is merged; who is far ahead
/// waits.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct WindowsMerged {
    /// Windows before this id are merged.
    pub merged_before: i64,
    /// How far partitions follow that are idle.
    pub follow: Follower,
}

/// How far the windows of an idle partition close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Every window before this id: those that all partitions have closed that are not idle.
    pub closed_before: i64,
    /// Whether all are idle: then each closes, too, what it has.
    pub are_all_idle: bool,
}

impl Follower {
    /// Nothing is closed yet.
    pub(crate) const NOTHING: Self = Self { closed_before: i64::MIN, are_all_idle: false };
}

/// ResultWriter -> Latency: a window's results are handed to the client, and who produced what is
/// in them.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct WindowWritten {
    /// The window.
    pub window_id: i64,
    /// Campaigns, one result each.
    pub results: u64,
    /// (campaign, events per producer), so that an audit's finding can name the producer.
    pub by_producer: Vec<(u64, Vec<u64>)>,
}

/// When a result was handed to the client, and acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultTiming {
    /// Its campaign.
    pub campaign_id: u64,
    /// Right before it was handed over.
    pub handed_ns: Nanos,
    /// When its acknowledgement was received.
    pub acknowledged_ns: Nanos,
    /// The greatest event time of its events.
    pub max_event_ns: Nanos,
}

/// ResultWriter -> Latency: a window's results are acknowledged.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct WindowAcknowledged {
    /// The window.
    pub window_id: i64,
    /// Where the log stamps no insertion time, of each of its results: from its greatest
    /// `produce_time` to the receipt of its acknowledgement, nanoseconds (in whole milliseconds).
    pub latencies_ns: Vec<Nanos>,
    /// When each of its results was on its way.
    pub timings: Vec<ResultTiming>,
}

/// ResultWriter -> Latency: every result of the run is acknowledged.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct ResultsComplete {
    /// Results acknowledged.
    pub results: u64,
}
