//! The faults that strike records, and what a right audit finds of them.

use crate::clock::Nanos;
use crate::truth::findings::{Finding, FindingKind};

/// What happens to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// An event vanishes.
    DropEvent,
    /// An event comes twice.
    DoubleEvent,
    /// An event's time is another one, in a later window.
    MoveEvent,
    /// Two neighbours of the same producer change places.
    ReorderEvents,
    /// An event comes after its window has closed in its partition.
    DelayEvent,
    /// A result vanishes.
    DropResult,
    /// A result comes twice.
    DoubleResult,
    /// A progress record vanishes.
    DropProgress,
    /// A result says a later `produce_time` than its events have.
    FalseProduceTime,
    /// A result's window ends a millisecond later.
    FalseBounds,
    /// An event of another program lies among the run's own.
    StrangeEvent,
    /// A record that nobody can read lies among the run's events.
    UnreadableEvent,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [FaultKind; 12] = [
        Self::DropEvent,
        Self::DoubleEvent,
        Self::MoveEvent,
        Self::ReorderEvents,
        Self::DelayEvent,
        Self::DropResult,
        Self::DoubleResult,
        Self::DropProgress,
        Self::FalseProduceTime,
        Self::FalseBounds,
        Self::StrangeEvent,
        Self::UnreadableEvent,
    ];

    /// Whether it strikes results, and not what is in the events topic.
    pub fn strikes_results(self) -> bool {
        matches!(
            self,
            Self::DropResult | Self::DoubleResult | Self::FalseProduceTime | Self::FalseBounds
        )
    }

    pub(super) fn strikes_events(self) -> bool {
        !self.strikes_results() && self != Self::DropProgress
    }
}

/// A fault to be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// It strikes the first suitable record after so many events (or results) over all partitions.
    pub after_records: u64,
}

/// A fault that struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// What.
    pub kind: FaultKind,
    /// The window of the event or result.
    pub window_id: i64,
    /// Where a moved event went.
    pub to_window: Option<i64>,
    /// Its campaign.
    pub campaign_id: u64,
    /// The event's producer; `None`: a result.
    pub producer: Option<u32>,
    /// The partition.
    pub partition: u32,
    /// The event's serial number.
    pub(super) n: u64,
    /// Whether a late event came behind later serials.
    pub(super) overtaken: bool,
}

/// A record on its way to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub payload: Vec<u8>,
    /// Insertion time.
    pub timestamp_ns: Nanos,
}

/// What a right audit finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Every finding, sorted.
    pub findings: Vec<Finding>,
    /// Windows with events or results.
    pub windows: u64,
    /// Windows with events or results in which no count is wrong.
    pub windows_exact: u64,
}

impl Expectation {
    /// The sum over the findings of one kind.
    pub fn count(&self, kind: FindingKind) -> u64 {
        self.findings
            .iter()
            .filter(|finding| finding.kind == kind)
            .map(|finding| finding.count)
            .sum()
    }

    /// Puts findings into the order in which [`Self::findings`] are.
    pub fn sort(findings: &mut [Finding]) {
        findings.sort_by_key(|f| {
            (f.kind, f.window_id, f.campaign_id, f.producer, f.partition, f.count)
        });
    }
}

/// What was acknowledged for one window and campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrueCount {
    /// Events per producer.
    pub by_producer: Vec<u64>,
    /// Greatest produce time, milliseconds.
    pub max_produce_ms: i64,
}

impl TrueCount {
    /// Events of all producers.
    pub fn count(&self) -> u64 {
        self.by_producer.iter().sum()
    }

    /// The producer of all events; `None`: there are several, or none.
    pub(super) fn sole_producer(&self) -> Option<u32> {
        let mut with_events = (0_u32..).zip(&self.by_producer).filter(|&(_, &n)| n > 0);
        with_events.next().filter(|_| with_events.next().is_none()).map(|(producer, _)| producer)
    }
}
