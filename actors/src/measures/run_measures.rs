//! What the latency actor hands over once all is known.

use crate::clock::{MILLISECOND, Nanos};
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

/// The offset of the broker's clock from ours, bracketed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockBracket {
    /// It is at least this, nanoseconds.
    pub low_ns: Nanos,
    /// It is at most this, nanoseconds.
    pub high_ns: Nanos,
    /// Within some minute no offset fits all results: a clock was stepped.
    pub is_torn: bool,
}

impl ClockBracket {
    /// By one record, handed over and acknowledged on our clock, whose log stamps whole
    /// milliseconds: with T the one that it stamped, T - acknowledged <= offset <= T + 1 ms -
    /// handed over.
    pub fn of(insertion_ns: Nanos, handed_ns: Nanos, acknowledged_ns: Nanos) -> Self {
        let stamped_ns = insertion_ns.div_euclid(MILLISECOND) * MILLISECOND;
        Self {
            low_ns: stamped_ns - acknowledged_ns,
            high_ns: stamped_ns + MILLISECOND - handed_ns,
            is_torn: false,
        }
    }

    /// The offset lies in this bracket, and in another of the same minute.
    #[must_use]
    pub fn narrowed_by(self, other: Self) -> Self {
        let (low_ns, high_ns) = (self.low_ns.max(other.low_ns), self.high_ns.min(other.high_ns));
        if low_ns <= high_ns && !self.is_torn {
            return Self { low_ns, high_ns, is_torn: false };
        }
        Self { is_torn: true, ..self.hull_with(other) }
    }

    /// The offset was in this bracket once, and in another at another time.
    pub(crate) fn hull_with(self, other: Self) -> Self {
        Self {
            low_ns: self.low_ns.min(other.low_ns),
            high_ns: self.high_ns.max(other.high_ns),
            is_torn: self.is_torn || other.is_torn,
        }
    }

    /// Whether the two clocks surely differ by more than a millisecond.
    pub fn excludes_zero(&self) -> bool {
        self.low_ns > MILLISECOND || self.high_ns < -MILLISECOND
    }
}

/// What the latency actor found: the audit, and the table of windows.
#[derive(Clone, Debug, Default)]
pub struct RunMeasures {
    /// The audit's sums.
    pub audit: AuditTotals,
    /// Every window judged, in order.
    pub windows: Vec<WindowAudit>,
    /// The broker's clock; `None`: its log stamps no insertion time, or nobody looked.
    pub broker_clock: Option<ClockBracket>,
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
