//! Keeps the truth of producers that run alone: what they had acknowledged.

use crate::clock::Nanos;
use crate::failure::StageError;
use crate::measures::run_measures::MeasuresComplete;
use crate::stage::flow::EventsAcknowledged;
use crate::stage::{Receive, Role, Stage, StageOrder, StageState, Turn};
use crate::stage_id::StageId;
use crate::truth::ledger::Ledger;

/// A keeper of the truth, before its run has begun.
pub struct TruthKeeperRole {
    /// How many producers it hears of.
    pub producers: u32,
}

/// Keeps the truth until every producer is done, then hands it over.
pub struct TruthKeeper {
    ledger: Ledger,
}

impl Role for TruthKeeperRole {
    type Stage = TruthKeeper;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn begin(self, _base_ns: Nanos) -> TruthKeeper {
        TruthKeeper { ledger: Ledger::new(self.producers) }
    }
}

impl Stage for TruthKeeper {
    type Out = MeasuresComplete;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn order(&mut self, _order: StageOrder) {}

    fn turn(
        &mut self,
        _now: Nanos,
        outbox: &mut Vec<MeasuresComplete>,
    ) -> Result<Turn, StageError> {
        if self.ledger.complete_before() < i64::MAX {
            return Ok(Turn::Park);
        }
        let windows: Vec<i64> = self.ledger.windows().collect();
        let truth = windows.into_iter().map(|id| (id, self.ledger.take(id))).collect();
        outbox.push(MeasuresComplete { measures: None, truth });
        Ok(Turn::Finished)
    }

    fn state(&mut self) -> StageState {
        StageState::default()
    }
}

impl Receive<EventsAcknowledged> for TruthKeeper {
    fn receive(&mut self, message: EventsAcknowledged) {
        self.ledger.record(message.producer, message.complete_before, &message.windows);
    }
}
