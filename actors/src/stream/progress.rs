//! Progress records: how far each producer is, told through the log itself.
//!
//! Several producers write to one partition, and their batches interleave there, so the greatest
//! event time seen says nothing about the slower producer. A producer is in order within a
//! partition; its progress there is its greatest event time or its last progress record. The
//! partition's watermark is the least progress over all producers (`window_aggregator/panes.rs`).

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// The progress of a producer that will send nothing more.
pub(crate) const FINISHED: Nanos = Nanos::MAX;

/// The value of a record whose key is [`crate::ports::PROGRESS_KEY`]: JSON, never counted as an
/// event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressRecord {
    /// The run's tag.
    pub run: u64,
    /// This producer, from 0.
    pub producer: u32,
    /// How many producers the run has.
    pub producers: u32,
    /// The generation that wrote it; its first record on a partition says that older generations
    /// are done there.
    pub generation: u16,
    /// Which progress record of its producer's generation it is on this partition, from 0.
    pub number: u64,
    /// Serial number of the producer's next event on this partition: every event below is in the
    /// log before this record.
    pub n: u64,
    /// Every event of this producer before this time (nanoseconds since the Unix epoch) is in the
    /// log.
    pub event_time_ns: Nanos,
    /// Whether the producer will send nothing more.
    pub last: bool,
}

impl ProgressRecord {
    /// The record's value.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain numbers always serialize")
    }

    /// Reads a record's value; `None`: it is not a progress record.
    pub fn from_json(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// The progress that it stands for.
    pub fn progress(&self) -> Nanos {
        if self.last { FINISHED } else { self.event_time_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_round_trip() {
        let record = ProgressRecord {
            run: (1 << 48) - 1,
            producer: 3,
            producers: 8,
            generation: 2,
            number: 5,
            n: 70,
            event_time_ns: 1_790_000_000_123_456_789,
            last: false,
        };
        assert_eq!(ProgressRecord::from_json(&record.to_json()), Some(record.clone()));
        assert_eq!(record.progress(), 1_790_000_000_123_456_789);
        assert_eq!(ProgressRecord { last: true, ..record }.progress(), FINISHED);
        assert_eq!(ProgressRecord::from_json(b"{}"), None);
    }
}
