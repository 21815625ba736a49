//! What producers say they sent, held against the schedule: in spare time while the run goes on,
//! and for a part of its length when all else is done.

use crate::clock::{Nanos, SECOND};
use crate::stage::StageOrder;
use crate::stage::flow::EventsAcknowledged;
use crate::truth::findings::AuditTotals;
use crate::truth::schedule_audit::{ScheduleAudit, ScheduleTotals};
use crate::workload::spec::RunSpec;

/// Events that one turn draws again at most: a fraction of a millisecond.
const DRAWS: u64 = 1 << 15;

/// The part of a run's time that is spent on drawing its schedule when all else is done, at most
/// (but a second).
const COMPARING_PART: Nanos = 10;

/// The comparison, where there is a schedule, and somebody asks.
pub(super) struct ScheduleComparison {
    audit: Option<ScheduleAudit>,
    /// How long it may go on when all else is done, and since when all is. (A drain that comes no
    /// further ends sooner or later.)
    limit_ns: Nanos,
    done_ns: Option<Nanos>,
}

impl ScheduleComparison {
    /// Of a run that begins at `base_ns`.
    pub(super) fn of(spec: &RunSpec, base_ns: Nanos) -> Self {
        let part_ns = (spec.schedule_ns() / COMPARING_PART).max(SECOND);
        Self {
            audit: ScheduleAudit::if_wanted(spec, base_ns),
            limit_ns: part_ns.min(spec.supervisor.drain_timeout.as_nanos() / 2),
            done_ns: None,
        }
    }

    /// A change of the rate is part of the schedule.
    pub(super) fn order(&mut self, order: StageOrder) {
        if let (StageOrder::SetRate { at_ns, events_per_second }, Some(audit)) =
            (order, &mut self.audit)
        {
            audit.set_rate(at_ns, events_per_second);
        }
    }

    /// Takes what a producer says.
    pub(super) fn claim(&mut self, message: &EventsAcknowledged) {
        let EventsAcknowledged { producer, complete_before, windows, end } = message;
        if let Some(audit) = &mut self.audit {
            audit.claim(*producer, *complete_before, windows, *end);
        }
    }

    /// Compares on for a moment; false: there is nothing to compare.
    pub(super) fn step(&mut self) -> bool {
        self.audit.as_mut().is_some_and(|audit| audit.step(DRAWS))
    }

    /// All else is done: whether there is still time for it.
    pub(super) fn has_time(&mut self, now: Nanos) -> bool {
        now - *self.done_ns.get_or_insert(now) < self.limit_ns
    }

    /// Writes what came of it; false: there was none.
    pub(super) fn write_to(&self, totals: &mut AuditTotals) -> bool {
        let Some(audit) = &self.audit else { return false };
        let ScheduleTotals { checked, skipped, unscheduled } = audit.totals();
        totals.events_compared = checked;
        totals.events_not_compared = audit.unchecked();
        totals.events_skipped = skipped;
        totals.events_unscheduled = unscheduled;
        true
    }
}
