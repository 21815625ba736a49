//! Every message between actors. Messages are facts or orders; a data message carries a batch or a window, never one
//! event. The flow is drawn in `lib.rs`.

use std::sync::Arc;

use actix::prelude::*;

use crate::audit::{Finding, WindowAudit};
use crate::clock::Nanos;
use crate::histogram::{LatencyHistogram, LatencyKind};
use crate::latency::TruthTable;
use crate::measures::{RunMeasures, StageCounters};
use crate::outcome::RunOutcome;
use crate::pipeline::RunPlan;
use crate::supervisor::{Refusal, RunStatus};
use crate::window::ClosedPane;

// ---- orders from outside, to the supervisor ----

/// HTTP, ctl or the command line -> Supervisor: start this run. Answer: accepted, or refused with a reason.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct StartRun {
    /// What to run, on which broker.
    pub plan: Arc<RunPlan>,
}

/// How a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Producers stop; everything sent is still aggregated, audited and reported.
    Drain,
    /// Everything stops at once; what was measured so far is reported, unaudited.
    Abandon,
}

/// HTTP, ctl or a signal -> Supervisor: stop the present run.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "Result<(), Refusal>")]
pub struct StopRun {
    /// How.
    pub mode: StopMode,
}

/// HTTP or ctl -> Supervisor: stop what runs, then start this plan as a new run.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct RestartRun {
    /// How the present run is stopped.
    pub mode: StopMode,
    /// What runs next.
    pub plan: Arc<RunPlan>,
}

/// HTTP or ctl -> Supervisor -> every producer: the total rate from now on.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "Result<(), Refusal>")]
pub struct SetRate {
    /// Events per second over all producers.
    pub events_per_second: f64,
}

/// Anyone -> Supervisor: how is the run?
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "RunStatus")]
pub struct GetStatus;

/// Supervisor -> whoever listens: a run is over, its threads have ended and its topics are deleted.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct RunFinished {
    /// Everything measured.
    pub outcome: Arc<RunOutcome>,
}

// ---- supervisor to stages ----

/// Supervisor -> every stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    /// The run begins: window 0 starts at `base_ns`.
    Begin {
        /// Start of the schedule, a whole millisecond.
        base_ns: Nanos,
    },
    /// No events intended at `at_ns` or later; finish what was begun.
    Drain {
        /// When the order was given.
        at_ns: Nanos,
    },
    /// The total rate from `at_ns` on.
    SetRate {
        /// When it takes effect.
        at_ns: Nanos,
        /// Events per second over all producers.
        events_per_second: f64,
    },
}

// ---- stages to the supervisor ----

/// A stage's name: `producer-0`, `window-aggregator-1`, `result-writer`, `latency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageId {
    /// Producer i.
    Producer(u32),
    /// Aggregator i.
    WindowAggregator(u32),
    /// The result writer.
    ResultWriter,
    /// The latency actor.
    Latency,
}

impl std::fmt::Display for StageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Producer(i) => write!(f, "producer-{i}"),
            Self::WindowAggregator(i) => write!(f, "window-aggregator-{i}"),
            Self::ResultWriter => f.write_str("result-writer"),
            Self::Latency => f.write_str("latency"),
        }
    }
}

/// Every stage -> Supervisor, about once a second and when it finishes: what it did since its last report.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct StageReport {
    /// Who.
    pub stage: StageId,
    /// The pipeline's generation.
    pub generation: u16,
    /// The second of the run's clock that the samples belong to.
    pub at_ns: Nanos,
    /// Totals since the stage was made.
    pub counters: StageCounters,
    /// Samples since the last report.
    pub latencies: Vec<(LatencyKind, LatencyHistogram)>,
    /// What the stage found wrong since the last report.
    pub findings: Vec<Finding>,
    /// The window judged last, from the stage that judges.
    pub latest_window: Option<WindowAudit>,
    /// Whether the stage has done all its work.
    pub finished: bool,
}

/// Any stage -> Supervisor: it cannot go on. Ends the generation.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct StageFailed {
    /// Who.
    pub stage: StageId,
    /// The pipeline's generation.
    pub generation: u16,
    /// Why, naming topic and fix where known.
    pub cause: String,
}

/// Latency -> Supervisor: the audit is over; what it found.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct RunMeasured {
    /// The pipeline's generation.
    pub generation: u16,
    /// The audit's result and the per-window table; `None` where there was nothing to audit against.
    pub measures: Option<Box<RunMeasures>>,
    /// What the producers had acknowledged, where they ran alone.
    pub truth: TruthTable,
}

// ---- data, between stages ----

/// Producer -> Latency: what was acknowledged in windows that this producer is done with. Promises that no later
/// message of this producer adds to these windows.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct Acknowledged {
    /// Which producer.
    pub producer: u32,
    /// Every window of this producer before this id is complete (`i64::MAX`: it is done).
    pub complete_before: i64,
    /// The windows, with (campaign, acknowledged, unknown) counts.
    pub windows: Vec<(i64, Vec<AcknowledgedCount>)>,
}

/// What a producer knows of one campaign in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcknowledgedCount {
    /// The campaign.
    pub campaign_id: u32,
    /// Events acknowledged.
    pub acknowledged: u64,
    /// Events whose fate only the log knows.
    pub unknown: u64,
}

/// WindowAggregator -> ResultWriter: panes that a partition has closed. Sent again it is harmless: it sets, never adds.
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
}

/// ResultWriter -> every WindowAggregator: every window before this id is merged; who is far ahead waits.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct WindowsMerged {
    /// Windows before this id are merged.
    pub merged_before: i64,
}

/// ResultWriter -> Latency: a window's results are handed to the client, and who produced what is in them.
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

/// ResultWriter -> Latency: every result of the run is acknowledged.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct ResultsComplete {
    /// Results acknowledged.
    pub results: u64,
}
