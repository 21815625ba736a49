//! Every message between actors. Messages are facts or orders; a data message carries a batch or a
//! window, never one event. The flow is drawn in `lib.rs`.

use std::sync::Arc;

use actix::prelude::*;

use crate::audit::{Finding, WindowAudit};
use crate::clock::Nanos;
use crate::histogram::{LatencyHistogram, LatencyKind};
use crate::latency::Measured;
use crate::measures::{Second, StageCounters};
use crate::outcome::RunOutcome;
use crate::pipeline::RunPlan;
use crate::run_state::RunState;
use crate::spec::RunSpec;
use crate::stage::FailureKind;
use crate::supervisor::{Refusal, RunStatus};
use crate::window::ClosedPane;

// ---- orders from outside, to the supervisor ----

/// HTTP, ctl or the command line -> Supervisor: start this run. Answer: accepted, or refused with a
/// reason.
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
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<(), Refusal>")]
pub struct StopRun {
    /// Only this run, which may have ended by now, or one that waits for the present one's end;
    /// `None`: whatever runs.
    pub run_id: Option<String>,
    /// How.
    pub mode: StopMode,
}

/// HTTP or ctl -> Supervisor: stop what runs, then start this plan as a new run.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct RestartRun {
    /// Only this run is stopped, where one is under way; `None`: whatever runs.
    pub run_id: Option<String>,
    /// How the present run is stopped.
    pub mode: StopMode,
    /// What runs next.
    pub plan: Arc<RunPlan>,
}

/// HTTP or ctl -> Supervisor -> every producer: the total rate from now on.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<(), Refusal>")]
pub struct SetRate {
    /// Only in this run; `None`: in whatever runs.
    pub run_id: Option<String>,
    /// Events per second over all producers.
    pub events_per_second: f64,
}

/// Anyone -> Supervisor: how is the run?
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "RunStatus")]
pub struct GetStatus;

/// Supervisor -> whoever listens: what happens to runs, each fact once and in order.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub enum RunFact {
    /// A run waits for the end of the present one.
    Queued(Arc<RunSpec>),
    /// A run that waited will never begin: it was stopped, or another one took its place.
    Dropped(Arc<RunSpec>),
    /// A run is being prepared; all that follows is of this run until it has finished.
    Accepted {
        /// The workload.
        spec: Arc<RunSpec>,
        /// Wall time.
        started_at_ns: Nanos,
    },
    /// Events flow from `base_ns` on.
    Began {
        /// The workload, with the topics' real partition count.
        spec: Arc<RunSpec>,
        /// Start of window 0, on the run's clock.
        base_ns: Nanos,
        /// How long after this fact that is.
        lead_ns: Nanos,
    },
    /// The run is in another state.
    StateChanged(RunState),
    /// The producers have another rate: events per second over all of them.
    RateChanged(f64),
    /// A stage has reported.
    Measured(Arc<StageMeasured>),
    /// The run is over, its threads have ended and its topics are deleted.
    Finished(Arc<RunOutcome>),
}

/// What a stage's report adds to what is known of the run.
#[derive(Clone, Debug)]
pub struct StageMeasured {
    /// Who reported.
    pub stage: StageId,
    /// When, on the run's clock: the one of watermarks.
    pub at_ns: Nanos,
    /// Whether the wall clock was stepped so far: then result latencies mean nothing.
    pub clock_stepped: bool,
    /// All stages' totals.
    pub totals: StageCounters,
    /// The stage's samples since its last report.
    pub latencies: Vec<(LatencyKind, LatencyHistogram)>,
    /// Seconds of the run that this report completes.
    pub seconds: Vec<Second>,
    /// Windows judged since the last report.
    pub windows: Vec<WindowAudit>,
    /// Messages that waited in the stage's mailbox.
    pub mailbox: u64,
    /// Messages that waited in the supervisor's.
    pub supervisor_mailbox: u64,
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

impl StageId {
    /// The kinds of actors, as metrics name them; the supervisor aside.
    pub const ACTORS: [&'static str; 4] =
        ["producer", "window_aggregator", "result_writer", "latency"];

    /// The kind of actor: one of [`Self::ACTORS`].
    pub fn actor(self) -> &'static str {
        match self {
            Self::Producer(_) => Self::ACTORS[0],
            Self::WindowAggregator(_) => Self::ACTORS[1],
            Self::ResultWriter => Self::ACTORS[2],
            Self::Latency => Self::ACTORS[3],
        }
    }
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

/// Which pipeline a message comes from. A stage that was left behind frozen may wake up in a later
/// run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineId {
    /// Counts the runs of a supervisor, from 1.
    pub run: u64,
    /// The pipeline's generation.
    pub generation: u16,
}

/// Every stage -> Supervisor, about once a second and when it finishes: what it did since its last
/// report.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct StageReport {
    /// Who.
    pub stage: StageId,
    /// The stage's pipeline.
    pub pipeline: PipelineId,
    /// The second of the run's clock that the samples belong to.
    pub at_ns: Nanos,
    /// Totals since the stage was made.
    pub counters: StageCounters,
    /// Samples since the last report.
    pub latencies: Vec<(LatencyKind, LatencyHistogram)>,
    /// What the stage found wrong since the last report.
    pub findings: Vec<Finding>,
    /// Windows judged since the last report, from the stage that judges.
    pub windows: Vec<WindowAudit>,
    /// Messages in the stage's mailbox.
    pub mailbox: u64,
    /// Whether the stage has done all its work.
    pub finished: bool,
}

/// Any stage -> Supervisor: it cannot go on. Ends the generation.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct StageFailed {
    /// Who.
    pub stage: StageId,
    /// The stage's pipeline.
    pub pipeline: PipelineId,
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// Why, naming topic and fix where known.
    pub cause: String,
}

/// Latency -> Supervisor: the audit is over; what it found.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct RunMeasured {
    /// The latency actor's pipeline.
    pub pipeline: PipelineId,
    /// What it found.
    pub measured: Measured,
}

// ---- data, between stages ----

/// Producer -> Latency: what was acknowledged in windows that this producer is done with. Promises
/// that no later message of this producer adds to these windows.
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
}

/// ResultWriter -> every WindowAggregator: every window before this id is merged; who is far ahead
/// waits.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct WindowsMerged {
    /// Windows before this id are merged.
    pub merged_before: i64,
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

/// ResultWriter -> Latency, where the log stamps no insertion time: a window's results are
/// acknowledged.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct WindowAcknowledged {
    /// The window.
    pub window_id: i64,
    /// Of each of its results: from its greatest `produce_time` to the receipt of its
    /// acknowledgement, nanoseconds (in whole milliseconds).
    pub latencies_ns: Vec<Nanos>,
}

/// ResultWriter -> Latency: every result of the run is acknowledged.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct ResultsComplete {
    /// Results acknowledged.
    pub results: u64,
}
