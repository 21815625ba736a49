//! What a finished run hands to whoever reports it.

use std::collections::BTreeMap;

use crate::clock::{MILLISECOND, Nanos, SECOND};
use crate::failure::FailureKind;
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::measures::run_measures::RunMeasures;
use crate::measures::series::Second;
use crate::ports::BrokerDescription;
use crate::run::states::RunState;
use crate::stage_id::StageId;
use crate::truth::findings::Finding;
use crate::truth::table::TruthTable;
use crate::workload::mode::Mode;
use crate::workload::spec::RunSpec;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The schedule was played to its end and audited.
    Completed,
    /// It was stopped on request; drained (and audited) or abandoned.
    Stopped {
        /// Whether everything sent was still aggregated and audited.
        drained: bool,
    },
    /// A stage failed.
    Failed {
        /// Which one, unless the run failed before there were stages.
        stage: Option<StageId>,
        /// What kind of failure it is.
        kind: FailureKind,
        /// Why.
        cause: String,
    },
}

impl Ending {
    /// The run itself failed, and none of its stages.
    pub fn failed(cause: impl Into<String>) -> Self {
        Self::Failed { stage: None, kind: FailureKind::Stage, cause: cause.into() }
    }

    /// The state that the run ends in.
    pub fn state(&self) -> RunState {
        match self {
            Self::Completed => RunState::Completed,
            Self::Stopped { .. } => RunState::Stopped,
            Self::Failed { .. } => RunState::Failed,
        }
    }
}

/// A change of the rate while the run was under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateChange {
    /// When it took effect.
    pub at_ns: Nanos,
    /// Events per second over all producers, from then on.
    pub events_per_second: f64,
}

/// Topics that were made for a run: nobody else has any business there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MadeTopics {
    /// The events topic.
    pub events: bool,
    /// The results topic.
    pub results: bool,
}

/// Everything measured in one run.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The resolved workload.
    pub spec: RunSpec,
    /// Which stages it had.
    pub mode: Mode,
    /// Topics that were made for it.
    pub made_topics: MadeTopics,
    /// The broker.
    pub broker: BrokerDescription,
    /// The pipeline's last generation.
    pub generation: u16,
    /// How it ended.
    pub ending: Ending,
    /// Wall time at the start of preparations.
    pub started_at_ns: Nanos,
    /// Start of window 0; `None`: it never began.
    pub base_ns: Option<Nanos>,
    /// End of the schedule: as planned, or when the producers were stopped.
    pub schedule_end_ns: Nanos,
    /// Events per second asked for: the mean over the measured part; `None`: nobody asks for a
    /// rate.
    pub target: Option<f64>,
    /// Changes of the rate, in order.
    pub rate_changes: Vec<RateChange>,
    /// When the last stage was done.
    pub finished_at_ns: Nanos,
    /// All stages' totals.
    pub counters: StageCounters,
    /// Whole-run histograms of the measured part.
    pub latencies: BTreeMap<LatencyKind, LatencyHistogram>,
    /// One row a second.
    pub series: Vec<Second>,
    /// Audit and windows; `None`: the run ended before it was audited.
    pub measures: Option<RunMeasures>,
    /// Producers alone: what was acknowledged.
    pub truth: TruthTable,
    /// What was found wrong (bounded; the totals count all).
    pub findings: Vec<Finding>,
    /// The longest time that the whole program stood still; 0: it never did.
    pub longest_stop_ns: Nanos,
    /// How far the wall clock moved against the monotonic one.
    pub wall_step_ns: Nanos,
}

/// A step of the wall clock beyond this spoils `result_latency`. (Slewing moves both clocks alike.)
pub const CLOCK_STEP_LIMIT_NS: Nanos = 2 * MILLISECOND;

/// Whether the wall clock moved so far against the monotonic one that it was stepped.
pub(crate) fn is_step(wall_step_ns: Nanos) -> bool {
    wall_step_ns.abs() > CLOCK_STEP_LIMIT_NS
}

impl RunOutcome {
    /// Whether the wall clock was stepped during the run.
    pub fn clock_stepped(&self) -> bool {
        is_step(self.wall_step_ns)
    }

    /// One latency of the measured part; `None` where nothing was measured, or where a step of the
    /// wall clock spoils it.
    pub fn latency(&self, kind: LatencyKind) -> Option<&LatencyHistogram> {
        let samples = self.latencies.get(&kind).filter(|samples| !samples.is_empty());
        samples.filter(|_| !kind.is_spoiled(self.clock_stepped()))
    }

    /// Length of the measured part as it was played, seconds.
    pub fn measured_seconds(&self) -> f64 {
        let Some(base) = self.base_ns else { return 0.0 };
        let from = base + self.spec.workload.warmup.as_nanos();
        (self.schedule_end_ns - from).max(0) as f64 / SECOND as f64
    }

    /// Measured events per second handed to the client, acknowledged, and consumed: over the
    /// measured part, or over the longer time that it really took.
    pub fn throughput(&self) -> MeasuredRates {
        let from = self.base_ns.unwrap_or(0) + self.spec.workload.warmup.as_nanos();
        let rate = |events: u64, last: Nanos| {
            let seconds = (last - from) as f64 / SECOND as f64;
            let span = seconds.max(self.measured_seconds());
            if span > 0.0 { events as f64 / span } else { 0.0 }
        };
        let counters = &self.counters;
        MeasuredRates {
            handed_over: rate(counters.produced_measured, counters.last_produced_ns),
            acknowledged: rate(counters.acknowledged_measured, counters.last_acknowledged_ns),
            consumed: rate(counters.consumed_measured, counters.last_consumed_ns),
        }
    }
}

/// Measured events per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredRates {
    /// Handed to the client.
    pub handed_over: f64,
    /// Acknowledged by the broker.
    pub acknowledged: f64,
    /// Taken by the aggregators.
    pub consumed: f64,
}
