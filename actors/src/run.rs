//! A run from its acceptance to its outcome, as the supervisor keeps it.

pub(crate) mod facts;
pub(crate) mod orders;
pub(crate) mod outcome;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod prepare;
pub(crate) mod states;
pub(crate) mod supervisor;
pub(crate) mod topics;
pub(crate) mod verdict;
pub(crate) mod wiring;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock::Nanos;
use crate::measures::run_measures::Measured;
use crate::measures::series::Collector;
use crate::ports::BrokerDescription;
use crate::run::outcome::{Ending, RunOutcome};
use crate::run::pipeline::Pipeline;
use crate::run::plan::RunPlan;
use crate::run::prepare::Prepared;
use crate::stage_id::{PipelineId, StageId};
use crate::truth::findings::{Finding, WindowAudit};
use crate::workload::spec::RunSpec;

/// A run from its acceptance to its outcome.
pub(crate) struct Run {
    pub(crate) plan: Arc<RunPlan>,
    /// As the topics' real shape completed it.
    pub(crate) spec: Arc<RunSpec>,
    pub(crate) started_at_ns: Nanos,
    pub(crate) preparing: bool,
    pub(crate) broker: Option<BrokerDescription>,
    pub(crate) pipeline: Option<Pipeline>,
    /// Ports of a run that was stopped before they were of use: closing them may block.
    pub(crate) unused: Option<Prepared>,
    pub(crate) base_ns: Option<Nanos>,
    pub(crate) end_ns: Nanos,
    pub(crate) drained_since_ns: Option<Nanos>,
    pub(crate) collector: Collector,
    pub(crate) finished: BTreeSet<StageId>,
    pub(crate) findings: Vec<Finding>,
    /// Set once the latency actor is done.
    pub(crate) measured: Option<Measured>,
    pub(crate) id: PipelineId,
    pub(crate) latest_window: Option<WindowAudit>,
    pub(crate) target: f64,
    /// The greatest step of the wall clock so far: one that is taken back spoils what it came
    /// across all the same.
    pub(crate) wall_step_ns: Nanos,
    /// Set once a drain was asked for.
    pub(crate) stop_asked: bool,
    /// Set once the run is over and being torn down.
    pub(crate) ending: Option<Ending>,
}

/// Whether a run that was asked to stop really ended before its schedule. One that others feed has
/// no schedule, and would have gone on.
pub(crate) fn now_is_early(run: &Run) -> bool {
    !run.plan.mode.produces()
        || run.base_ns.is_some_and(|base| run.end_ns < base.saturating_add(run.spec.schedule_ns()))
}

/// The one of two steps that is further from none.
pub(crate) fn greater_step(a: Nanos, b: Nanos) -> Nanos {
    if b.abs() > a.abs() { b } else { a }
}

impl Run {
    pub(crate) fn into_outcome(self, ending: Ending) -> RunOutcome {
        let counters = self.collector.totals();
        let (series, latencies) = self.collector.finish();
        let Measured { measures, truth } = self.measured.unwrap_or_default();
        RunOutcome {
            spec: (*self.spec).clone(),
            broker: self.broker.unwrap_or_default(),
            generation: self.id.generation,
            ending,
            started_at_ns: self.started_at_ns,
            base_ns: self.base_ns,
            schedule_end_ns: self.end_ns,
            finished_at_ns: self.plan.clock.now(),
            counters,
            latencies,
            series,
            measures: measures.map(|measures| *measures),
            truth,
            findings: self.findings,
            wall_step_ns: greater_step(self.wall_step_ns, self.plan.clock.wall_step_ns()),
        }
    }
}
