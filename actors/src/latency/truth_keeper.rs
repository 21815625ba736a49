//! Keeps the truth of producers that run alone: what they had acknowledged, held against their
//! schedule.

use std::sync::Arc;

use crate::clock::Nanos;
use crate::failure::StageError;
use crate::latency::comparison::ScheduleComparison;
use crate::measures::run_measures::{MeasuresComplete, RunMeasures};
use crate::stage::flow::EventsAcknowledged;
use crate::stage::{Receive, Role, Stage, StageOrder, StageState, Turn};
use crate::stage_id::StageId;
use crate::truth::findings::AuditTotals;
use crate::truth::ledger::Ledger;
use crate::workload::spec::RunSpec;

/// A keeper of the truth, before its run has begun.
pub struct TruthKeeperRole {
    /// The workload.
    pub spec: Arc<RunSpec>,
}

/// Keeps the truth until every producer is done, then hands it over.
pub struct TruthKeeper {
    ledger: Ledger,
    comparison: ScheduleComparison,
}

impl Role for TruthKeeperRole {
    type Stage = TruthKeeper;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn begin(self, base_ns: Nanos) -> TruthKeeper {
        TruthKeeper {
            ledger: Ledger::new(self.spec.workload.producers),
            comparison: ScheduleComparison::of(&self.spec, base_ns),
        }
    }
}

impl TruthKeeper {
    /// What came of the comparison with the schedule; `None`: there was none.
    fn compared(&self) -> Option<Box<RunMeasures>> {
        let mut audit = AuditTotals::default();
        if !self.comparison.write_to(&mut audit) {
            return None;
        }
        Some(Box::new(RunMeasures { audit, ..RunMeasures::default() }))
    }
}

impl Stage for TruthKeeper {
    type Out = MeasuresComplete;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn order(&mut self, order: StageOrder) {
        self.comparison.order(order);
    }

    fn turn(&mut self, now: Nanos, outbox: &mut Vec<MeasuresComplete>) -> Result<Turn, StageError> {
        let compares = self.comparison.step();
        if self.ledger.complete_before() < i64::MAX {
            return Ok(if compares { Turn::Again } else { Turn::Park });
        }
        if self.comparison.has_time(now) && compares {
            return Ok(Turn::Again);
        }
        let windows: Vec<i64> = self.ledger.windows().collect();
        let truth = windows.into_iter().map(|id| (id, self.ledger.take(id))).collect();
        outbox.push(MeasuresComplete { measures: self.compared(), truth });
        Ok(Turn::Finished)
    }

    fn state(&mut self) -> StageState {
        StageState::default()
    }
}

impl Receive<EventsAcknowledged> for TruthKeeper {
    fn receive(&mut self, message: EventsAcknowledged) {
        self.ledger.record(message.producer, message.complete_before, &message.windows);
        self.comparison.claim(&message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::testing::small_spec;
    use crate::truth::ledger::AcknowledgedCount;
    use crate::truth::schedule_audit::ProducerEnd;
    use crate::units::{Rate, Span};

    const BASE: Nanos = 1_700_000_000 * SECOND;

    /// What a keeper finds of a producer of 1,000 events a second that sent so many in its first
    /// second, and after a change of the rate twice as many as before in its other one.
    fn found(sent: u64) -> AuditTotals {
        let spec = small_spec("kept").with(|spec| {
            spec.workload.producers = 1;
            spec.workload.rate = Rate(1000.0);
            spec.workload.window = Span::from_nanos(SECOND);
            spec.workload.duration = Span::from_nanos(2 * SECOND);
        });
        let mut keeper = TruthKeeperRole { spec: Arc::new(spec) }.begin(BASE);
        keeper.order(StageOrder::SetRate { at_ns: BASE + SECOND, events_per_second: 2000.0 });
        let count = |acknowledged| AcknowledgedCount {
            campaign_id: 1,
            acknowledged,
            unknown: 0,
            max_produce_ms: 1,
            max_unknown_produce_ms: 0,
        };
        keeper.receive(EventsAcknowledged {
            producer: 0,
            complete_before: i64::MAX,
            windows: vec![(0, vec![count(sent)]), (1, vec![count(2000)])],
            end: Some(ProducerEnd {
                end_ns: BASE + 2 * SECOND,
                never_sent: 0,
                is_estimated: false,
            }),
        });
        let mut outbox = Vec::new();
        while keeper.turn(BASE + 3 * SECOND, &mut outbox).unwrap() != Turn::Finished {}
        let complete = outbox.pop().unwrap();
        assert_eq!(complete.truth.len(), 2);
        complete.measures.unwrap().audit
    }

    #[test]
    fn what_was_sent_is_held_against_the_schedule() {
        let exact = AuditTotals { events_compared: 3000, ..AuditTotals::default() };
        assert_eq!(found(1000), exact);
        let skipped = AuditTotals { events_compared: 2999, events_skipped: 1, ..exact.clone() };
        assert_eq!(found(999), skipped);
        let more = AuditTotals { events_compared: 3001, events_unscheduled: 1, ..exact };
        assert_eq!(found(1001), more);
    }
}
