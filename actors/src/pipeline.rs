//! The one list of stages: what runs, how it is built, started and stopped (downstream first).

use std::sync::Arc;

use crate::clock::{Nanos, SharedClock};
use crate::ports::{Broker, Record, StartAt};
use crate::spec::RunSpec;

/// Which stages a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All five.
    Run,
    /// The producers alone, and the ledger.
    Produce,
    /// Aggregators and result writer alone, on a topic that others fill.
    Aggregate(Aggregate),
    /// The latency actor alone, on a results topic that others fill.
    Latency(Follow),
}

/// How far a topic that others fill is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Where every partition is read from.
    pub from: StartAt,
    /// Ends the run once nothing came for so long (nanoseconds); `None`: until it is stopped.
    pub until_idle_ns: Option<Nanos>,
}

/// Aggregation of a topic that others fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// What is read.
    pub follow: Follow,
    /// Windows are aligned on this time (nanoseconds since the Unix epoch).
    pub base_event_time_ns: Nanos,
    /// Campaigns are `1..=n`; `None`: any id.
    pub campaigns: Option<u32>,
    /// A partition idle for so long closes its windows by processing time (nanoseconds).
    pub idle_timeout_ns: Option<Nanos>,
}

/// Keeps records that are no readable events. Never blocks; what it cannot take it counts.
pub trait DeadLetters: Send {
    /// Keeps a copy of a record, with the reason.
    fn keep(&mut self, record: Record<'_>, reason: &'static str);
}

/// Makes the keeper of an events topic's malformed records.
pub type DeadLettersFactory = Arc<dyn Fn(&str) -> Box<dyn DeadLetters> + Send + Sync>;

/// A run to be made: the workload, the stages, and what they stand on.
#[derive(Clone)]
pub struct RunPlan {
    /// The workload.
    pub spec: RunSpec,
    /// Which stages.
    pub mode: Mode,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The run's clock.
    pub clock: SharedClock,
    /// Whether the events topic is made for this run; otherwise it must be there.
    pub create_events_topic: bool,
    /// Whether the results topic is made for this run; otherwise it must be there.
    pub create_results_topic: bool,
    /// Whether topics made for this run outlive it.
    pub keep_topics: bool,
    /// Where malformed records go.
    pub dead_letters: DeadLettersFactory,
}
