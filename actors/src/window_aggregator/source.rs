//! Where an aggregator's events come from: a run's own producers, or other programs. It says which
//! events count, for whom, and when the reading is over.

use crate::clock::Nanos;
use crate::ports::{EventReader, Record};
use crate::stage::flow::PanesClosed;
use crate::stream::event::DecodedEvent;
use crate::stream::progress::ProgressRecord;
use crate::window_aggregator::counting::Counting;

/// What is asked of a source. The partition `at` is an index into [`Counting::partitions`].
pub trait Source: Send + Unpin + 'static {
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

    /// No more is asked for than is there.
    fn drain(&mut self);

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
