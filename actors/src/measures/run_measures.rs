//! What the latency actor hands over once all is known.

use crate::truth::findings::{AuditTotals, WindowAudit};
use crate::truth::table::TruthTable;

/// What the latency actor found, once all is known.
#[derive(Clone, Debug, Default)]
pub struct Measured {
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
