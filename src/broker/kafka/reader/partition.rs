//! One assigned partition: where its reading is, and what to do where it cannot go on.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::topic_partition_list::Offset;
use streamgauge_actors::{KnownLoss, LossKind, OffsetRange, PortError, Retry};

use super::super::client::offsets;
use super::super::logs::Logs;
use super::super::question::Question;
use crate::broker::deadline::Deadline;

/// Batches that came damaged so often are damaged; before that they may be whole in the log.
const MOST_DAMAGED: u32 = 3;

/// One assigned partition.
pub(super) struct KafkaPartition {
    pub(super) id: u32,
    /// The least offset that was not visited yet.
    pub(super) next: u64,
    /// An end that it had for certain: when the reader was made, was cut, or its leader was asked.
    pub(super) known_end: u64,
    /// Records that lay behind an open transaction when its leader was asked last, and from which
    /// offset on.
    pub(super) held_back: u64,
    held_from: u64,
    pub(super) paused: bool,
    /// Why it cannot be read on; nothing of it is visited until it is begun anew.
    pub(super) trouble: Option<Trouble>,
    /// A place at which something damaged came, and how often.
    damaged: (u64, u32),
}

/// Why a partition cannot be read on.
pub(super) enum Trouble {
    /// What came was damaged: it is asked for once more.
    Damaged,
    /// The log does not hold the place: its leader is asked what it does.
    OutOfRange(Option<Question<Result<OffsetRange, PortError>>>),
}

impl KafkaPartition {
    pub(super) fn new(id: u32, next: u64, known_end: u64) -> Self {
        Self {
            id,
            next,
            known_end,
            held_back: 0,
            held_from: 0,
            paused: false,
            trouble: None,
            damaged: (0, 0),
        }
    }

    /// How far it is read: where the client's position is known, past transaction markers, which
    /// `next` does not see.
    pub(super) fn position(&self, of_client: Option<Offset>) -> u64 {
        match of_client {
            Some(Offset::Offset(offset)) => (offset.max(0) as u64).max(self.next),
            _ => self.next,
        }
    }

    /// Its leader says that it can be read to `stable`, and a fetch that it has records to `high`:
    /// what lies between is behind an open transaction.
    pub(super) fn hold_back(&mut self, topic: &str, stable: u64, high: u64) {
        self.held_back = high.saturating_sub(stable);
        if self.held_back > 0 && self.held_from != stable {
            self.held_from = stable;
            let Self { id, held_back, .. } = self;
            tracing::warn!(
                "topic `{topic}`: {held_back} record(s) behind an open transaction in partition \
                 {id}, from offset {stable}"
            );
        }
    }

    /// A batch came that does not fit its checksum. What the log has lost, if it is not asked for
    /// once more.
    pub(super) fn damage(&mut self, offset: u64) -> Option<KnownLoss> {
        let first = offset.max(self.next);
        let (at, times) = &mut self.damaged;
        *times = if *at == first { *times + 1 } else { 1 };
        *at = first;
        if *times < MOST_DAMAGED {
            self.trouble = Some(Trouble::Damaged);
            return None;
        }
        Some(KnownLoss { partition: self.id, first, records: 1, kind: LossKind::Damaged })
    }

    /// The log does not hold the place where reading is.
    pub(super) fn is_out_of_range(&mut self) {
        self.trouble = Some(Trouble::OutOfRange(None));
    }

    /// Ready once it can be begun anew at its place; with what is lost before that.
    pub(super) fn mend(
        &mut self,
        client: &Arc<Client<Logs>>,
        topic: &str,
        patience: Duration,
    ) -> Poll<Result<Option<KnownLoss>, PortError>> {
        let Some(Trouble::OutOfRange(asking)) = &mut self.trouble else {
            return Poll::Ready(Ok(None));
        };
        let question = asking.get_or_insert_with(|| {
            let (client, topic, id) = (Arc::clone(client), topic.to_owned(), self.id);
            Question::ask(move || offsets(&client, &topic, id, &Deadline::after(patience)))
        });
        let Poll::Ready(answer) = question.answer() else { return Poll::Pending };
        *asking = None;
        match answer {
            Some(Ok(range)) => Poll::Ready(Ok(self.settle(range))),
            // A leader that is away is asked again.
            None => Poll::Pending,
            Some(Err(error)) if error.retry == Retry::Again => Poll::Pending,
            Some(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    /// Moves to the nearest place that the log holds; what lies between is lost.
    fn settle(&mut self, range: OffsetRange) -> Option<KnownLoss> {
        let OffsetRange { first, end } = range;
        let partition = self.id;
        let place = self.next;
        self.next = place.clamp(first.min(end), end);
        self.known_end = end;
        if place < self.next {
            let records = self.next - place;
            return Some(KnownLoss { partition, first: place, records, kind: LossKind::Removed });
        }
        let records = place - self.next;
        (records > 0).then_some(KnownLoss {
            partition,
            first: self.next,
            records,
            kind: LossKind::Cut,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_the_place_and_the_log_is_lost() {
        let mut partition = KafkaPartition::new(3, 100, 100);
        let loss = |first, records, kind| Some(KnownLoss { partition: 3, first, records, kind });
        let removed = loss(100, 50, LossKind::Removed);
        assert_eq!(partition.settle(OffsetRange { first: 150, end: 200 }), removed);
        assert_eq!(partition.next, 150);
        assert_eq!(
            partition.settle(OffsetRange { first: 0, end: 120 }),
            loss(120, 30, LossKind::Cut)
        );
        assert_eq!((partition.next, partition.known_end), (120, 120));
        assert_eq!(partition.settle(OffsetRange { first: 0, end: 130 }), None);
        assert_eq!(partition.next, 120);
    }

    #[test]
    fn damage_is_asked_for_again_and_then_told() {
        let mut partition = KafkaPartition::new(0, 7, 7);
        for _ in 1..MOST_DAMAGED {
            assert_eq!(partition.damage(5), None);
            assert!(partition.trouble.take().is_some());
        }
        let loss = KnownLoss { partition: 0, first: 7, records: 1, kind: LossKind::Damaged };
        assert_eq!(partition.damage(5), Some(loss));
        assert!(partition.trouble.is_none(), "reading goes on behind it");
    }
}
