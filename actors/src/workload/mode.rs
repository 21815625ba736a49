//! Which part of the pipeline a run is, and how far a topic that others fill is read.

use crate::clock::Nanos;
use crate::ports::StartAt;

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

impl Mode {
    /// The name of the command that makes such runs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Produce => "produce",
            Self::Aggregate(_) => "aggregate",
            Self::Latency(_) => "latency",
        }
    }

    /// Whether it has producers.
    pub fn produces(self) -> bool {
        matches!(self, Self::Run | Self::Produce)
    }

    /// Whether it has aggregators and a result writer.
    pub fn writes_results(self) -> bool {
        matches!(self, Self::Run | Self::Aggregate(_))
    }

    /// Whether it has a latency actor, whose measures end the run.
    pub fn measures(self) -> bool {
        !matches!(self, Self::Aggregate(_))
    }
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
