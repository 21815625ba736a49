//! What happens to runs, as the supervisor learns it and tells it.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;

use crate::clock::Nanos;
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::measures::run_measures::MeasuresComplete;
use crate::measures::series::Second;
use crate::run::outcome::RunOutcome;
use crate::run::states::RunState;
use crate::stage_id::{PipelineId, StageId};
use crate::truth::findings::WindowAudit;
use crate::workload::spec::RunSpec;

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

/// Supervisor -> whoever listens, after the facts that an order led to: answered once they are
/// heard. No order is answered before.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct FactsHeard;

/// What a stage's report adds to what is known of the run.
#[derive(Clone, Debug)]
pub struct StageMeasured {
    /// Who reported.
    pub stage: StageId,
    /// When, on the run's clock: the one of watermarks.
    pub at_ns: Nanos,
    /// Whether the wall clock was stepped so far: then result latencies mean nothing.
    pub clock_stepped: bool,
    /// All stages' totals, without watermarks.
    pub totals: StageCounters,
    /// The watermarks of the stage's own partitions.
    pub watermarks: BTreeMap<u32, Nanos>,
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

/// Latency -> Supervisor: the audit is over; what it found.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct RunMeasured {
    /// The latency actor's pipeline.
    pub pipeline: PipelineId,
    /// What it found.
    pub measured: MeasuresComplete,
}
