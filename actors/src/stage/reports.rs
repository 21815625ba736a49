//! What every stage tells the supervisor.

use actix::prelude::*;

use crate::clock::Nanos;
use crate::failure::FailureKind;
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::stage_id::{PipelineId, StageId};
use crate::truth::findings::{Finding, WindowAudit};

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
