//! Where an aggregator's events come from: a run's own producers, or other programs. It says which
//! events count, for whom, and when the reading is over.

use crate::clock::Nanos;
use crate::ports::{EventReader, PROGRESS_KEY, Record};
use crate::stage::flow::{Follower, PanesClosed};
use crate::stream::event::DecodedEvent;
use crate::stream::progress::ProgressRecord;
use crate::window_aggregator::counting::Counting;

/// What is asked of a source. The partition `at` is an index into [`Counting::partitions`].
pub trait Source: Send + Unpin + 'static {
    /// Takes a record of any kind.
    #[inline]
    fn visit(&mut self, counting: &mut Counting, record: Record<'_>) {
        self.note_record(record.partition);
        let at = counting.note(&record);
        if !record.key.is_empty() && record.key == PROGRESS_KEY {
            self.take_progress(counting, at, record);
            return;
        }
        if let Some(event) = counting.decode(record) {
            self.count(counting, at, record, &event);
        }
    }

    /// Reads a progress record.
    #[cold]
    fn take_progress(&mut self, counting: &mut Counting, at: usize, record: Record<'_>) {
        match ProgressRecord::from_json(record.payload) {
            Some(progress) => self.progress(counting, at, &progress),
            None => counting.set_aside(record, "bad_progress"),
        }
    }

    /// A record of a partition (its id) was read, whatever it is.
    fn note_record(&mut self, partition: u32);

    /// Counts a readable event, if it is one that counts.
    fn count(
        &mut self,
        counting: &mut Counting,
        at: usize,
        record: Record<'_>,
        event: &DecodedEvent,
    );

    /// Takes a progress record.
    fn progress(&mut self, counting: &mut Counting, at: usize, progress: &ProgressRecord);

    /// How far idle partitions follow.
    fn follow(&mut self, follow: Follower);

    /// No more is asked for than is there.
    fn drain(&mut self);

    /// Whether event times are those of a schedule that is played now, which the reading may be
    /// behind.
    fn has_schedule(&self) -> bool;

    /// Whether a partition may be any number of windows ahead of the merge.
    fn runs_ahead(&self) -> bool;

    /// Whether all is read and closed, after a turn that visited so many records.
    fn is_over(
        &mut self,
        now: Nanos,
        visited: usize,
        reader: &mut dyn EventReader,
        counting: &mut Counting,
        outbox: &mut Vec<PanesClosed>,
    ) -> bool;

    /// Looks at what shows over time only, before the stage reports.
    fn look_back(&mut self, counting: &mut Counting);
}
