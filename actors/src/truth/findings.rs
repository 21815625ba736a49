//! What an audit finds: its sums, its windows, and every defect by name and place.

use serde::{Deserialize, Serialize};

use crate::ports::KnownLoss;

/// What is wrong with an event or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Acknowledged events that the result does not hold.
    EventsMissing,
    /// Events in the result that nobody had acknowledged.
    EventsExtra,
    /// A serial number never came.
    EventLost,
    /// A progress record never came.
    ProgressLost,
    /// A serial number came twice.
    EventDuplicated,
    /// A serial number came behind later ones.
    EventReordered,
    /// An event came after its window had closed.
    EventLate,
    /// The log has lost records, as its reader knows.
    RecordsLost,
    /// Events were acknowledged, and there is no result.
    ResultMissing,
    /// A result came more than once.
    ResultDuplicated,
    /// A result of a window and campaign that nobody produced for.
    ResultExtra,
    /// A result whose greatest `produce_time` is not that of its events, or whose window has other
    /// bounds.
    ResultWrong,
}

/// One defect, located.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// In which window, where known.
    pub window_id: Option<i64>,
    /// For which campaign, where known.
    pub campaign_id: Option<u64>,
    /// By which producer, where known.
    pub producer: Option<u32>,
    /// In which partition, where known.
    pub partition: Option<u32>,
    /// How many events (or results).
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub count: u64,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            FindingKind::EventsMissing => "event(s) missing from the result",
            FindingKind::EventsExtra => "event(s) too many in the result",
            FindingKind::EventLost => "event(s) lost (serial numbers skipped)",
            FindingKind::ProgressLost => "progress record(s) lost (numbers skipped)",
            FindingKind::EventDuplicated => "event(s) duplicated",
            FindingKind::EventReordered => "event(s) reordered",
            FindingKind::EventLate => "event(s) late",
            FindingKind::RecordsLost => "record(s) lost by the log",
            FindingKind::ResultMissing => "result(s) missing",
            FindingKind::ResultDuplicated => "result(s) duplicated",
            FindingKind::ResultExtra => "result(s) that nobody produced for",
            FindingKind::ResultWrong => "result(s) with a wrong max_produce_time or wrong bounds",
        };
        write!(f, "{} {what}", self.count)?;
        let mut place = |name: &str, value: Option<i128>| match value {
            Some(value) => write!(f, ", {name} {value}"),
            None => Ok(()),
        };
        place("window", self.window_id.map(i128::from))?;
        place("campaign", self.campaign_id.map(i128::from))?;
        place("producer", self.producer.map(i128::from))?;
        place("partition", self.partition.map(i128::from))
    }
}

impl Finding {
    /// A loss that a reader knows of.
    pub(crate) fn of_loss(loss: &KnownLoss) -> Self {
        Self {
            kind: FindingKind::RecordsLost,
            window_id: None,
            campaign_id: None,
            producer: None,
            partition: Some(loss.partition),
            count: loss.records,
        }
    }
}

/// Findings kept for the report; the totals count all.
pub(crate) const MAX_FINDINGS: usize = 200;

/// The audit's sums over all windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditTotals {
    /// Windows judged.
    pub windows: u64,
    /// Windows judged whose counts are all exact.
    pub windows_exact: u64,
    /// Different (window, campaign) results read back.
    pub results: u64,
    /// Results that came again.
    pub results_duplicated: u64,
    /// Results that never came.
    pub results_missing: u64,
    /// Results whose greatest `produce_time` is not that of their events, or whose window has
    /// other bounds.
    #[serde(default)]
    pub results_wrong: u64,
    /// Acknowledged events that no result holds.
    pub events_missing: u64,
    /// Events in results beyond what was acknowledged (or perhaps stored).
    pub events_extra: u64,
    /// Events lost, by their serial numbers; as the two that follow, the aggregators count them,
    /// and they are put in when the run is over.
    pub events_lost: u64,
    /// Events seen again (not added).
    pub events_duplicated: u64,
    /// Events that came behind later ones.
    pub events_reordered: u64,
    /// Records that a log has lost, as its reader knows: events, results, and what lies beside
    /// them.
    #[serde(default)]
    pub records_lost: u64,
    /// Deliveries whose fate only the log knew, resolved by it.
    pub unknown: u64,
    /// Events sent that were compared with the schedule, drawn again from the seed.
    #[serde(default)]
    pub events_compared: u64,
    /// Events sent that were not, for want of time.
    #[serde(default)]
    pub events_not_compared: u64,
    /// Events of the schedule that were neither sent nor given up.
    #[serde(default)]
    pub events_skipped: u64,
    /// Events that were sent, or given up, and that the schedule does not have.
    #[serde(default)]
    pub events_unscheduled: u64,
}

impl AuditTotals {
    /// Whether every count of every window is exact.
    pub fn exact(&self) -> bool {
        self.windows == self.windows_exact
            && self.results_duplicated == 0
            && self.results_missing == 0
            && self.results_wrong == 0
            && self.events_skipped == 0
            && self.events_unscheduled == 0
            && self.events_missing == 0
            && self.events_extra == 0
    }
}

fn one() -> u64 {
    1
}

/// A row of judged windows: one, or several neighbours that are alike where there are very many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WindowAudit {
    /// The window, or the first one.
    pub window_id: i64,
    /// Windows that the row stands for; counts are sums over them.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default = "one")]
    pub windows: u64,
    /// First millisecond, since the Unix epoch.
    #[serde(rename = "window_start")]
    pub window_start_ms: i64,
    /// First millisecond after it.
    #[serde(rename = "window_end")]
    pub window_end_ms: i64,
    /// Cut short by the run's start or end: audited, outside the latency figures.
    pub partial: bool,
    /// Whether it lies in the warm-up: audited, outside the figures.
    pub warmup: bool,
    /// Campaigns with a result.
    pub campaigns: u64,
    /// Events in its results.
    pub count: u64,
    /// Events acknowledged.
    pub expected: u64,
    /// Whether every campaign's count is exact.
    pub exact: bool,
    /// Mean result latency over its results, milliseconds; `null` where none was measured.
    pub result_latency_ms_avg: Option<f64>,
    /// Greatest result latency, milliseconds.
    pub result_latency_ms_max: Option<f64>,
}
