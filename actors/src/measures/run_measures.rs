//! What the latency actor hands over once all is known.

use crate::measures::latency_kinds::LatencyKind;
use crate::truth::findings::{AuditTotals, WindowAudit};
use crate::truth::table::TruthTable;

/// What the latency actor found, once all is known.
#[derive(Clone, Debug, Default)]
pub struct MeasuresComplete {
    /// The audit's result and the per-window table; `None` where there was nothing to audit
    /// against.
    pub measures: Option<Box<RunMeasures>>,
    /// What the producers had acknowledged, where they ran alone.
    pub truth: TruthTable,
}

/// What the latency actor found: the audit, and the table of windows.
#[derive(Clone, Debug, Default)]
pub struct RunMeasures {
    /// The audit's sums.
    pub audit: AuditTotals,
    /// Every window judged, in order.
    pub windows: Vec<WindowAudit>,
}

impl WindowAudit {
    /// Leaves out what a step of the wall clock spoils.
    #[must_use]
    pub fn unspoiled(mut self, clock_stepped: bool) -> Self {
        if LatencyKind::ResultLatency.is_spoiled(clock_stepped) {
            (self.result_latency_ms_avg, self.result_latency_ms_max) = (None, None);
        }
        self
    }
}
