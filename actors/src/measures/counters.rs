//! What a stage counts.

use std::collections::BTreeMap;

use crate::clock::Nanos;

/// Totals of one stage since it was made, or of all stages together. What a stage does not do stays
/// 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageCounters {
    /// Events handed to the client.
    pub produced: u64,
    /// Bytes of their values.
    pub produced_bytes: u64,
    /// Of `produced`: those intended inside the measured part.
    pub produced_measured: u64,
    /// Events acknowledged.
    pub acknowledged: u64,
    /// Events surely not stored.
    pub rejected: u64,
    /// Events perhaps stored.
    pub unknown: u64,
    /// Measured events handed over later than the limit while the client was taking records.
    pub sent_late_generator: u64,
    /// Measured events handed over later than the limit because the client was full.
    pub sent_late_backpressure: u64,
    /// Nanoseconds that the client was full.
    pub backpressure_ns: u64,
    /// When the last measured event was handed over; 0: none was.
    pub last_produced_ns: Nanos,
    /// Events taken by the aggregators: counted, late and duplicated ones.
    pub consumed: u64,
    /// Bytes of all values read.
    pub consumed_bytes: u64,
    /// Of `consumed`: those intended inside the measured part.
    pub consumed_measured: u64,
    /// When the last measured event was consumed; 0: none was.
    pub last_consumed_ns: Nanos,
    /// Events whose window was closed.
    pub late: u64,
    /// The allowed lateness that would have sufficed for every late event, nanoseconds.
    pub late_needed_ns: Nanos,
    /// Records that are no readable events, by reason.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Events of other programs (not added by a run).
    pub strangers: u64,
    /// Records of older generations, ignored.
    pub stale: u64,
    /// Events lost, by their serials.
    pub events_lost: u64,
    /// Events seen again (not added).
    pub events_duplicated: u64,
    /// Events that came behind later ones.
    pub events_reordered: u64,
    /// Windows closed by processing time because a partition was idle.
    pub idle_closed: u64,
    /// Windows merged and handed to the client.
    pub windows_closed: u64,
    /// Results acknowledged.
    pub results_written: u64,
    /// When the last result of a window that the log itself closed was acknowledged; 0: none was.
    pub last_result_ns: Nanos,
    /// Events in those windows.
    pub results_events: u64,
    /// Windows judged by the audit.
    pub windows_judged: u64,
    /// Of `windows_judged`: those with a wrong count.
    pub windows_incorrect: u64,
    /// Results read back.
    pub results_read: u64,
    /// Results of another processor that a later update replaced.
    pub result_updates: u64,
    /// Gauge: events in flight.
    pub in_flight: u64,
    /// Gauge: records in the partitions not consumed yet.
    pub lag: u64,
    /// Gauge: watermark per partition.
    pub watermarks: BTreeMap<u32, Nanos>,
}

impl StageCounters {
    /// Adds another stage's totals (the greater one where a sum makes no sense).
    pub fn add(&mut self, other: &StageCounters) {
        let sums = [
            (&mut self.produced, other.produced),
            (&mut self.produced_bytes, other.produced_bytes),
            (&mut self.produced_measured, other.produced_measured),
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.rejected, other.rejected),
            (&mut self.unknown, other.unknown),
            (&mut self.sent_late_generator, other.sent_late_generator),
            (&mut self.sent_late_backpressure, other.sent_late_backpressure),
            (&mut self.backpressure_ns, other.backpressure_ns),
            (&mut self.consumed, other.consumed),
            (&mut self.consumed_bytes, other.consumed_bytes),
            (&mut self.consumed_measured, other.consumed_measured),
            (&mut self.late, other.late),
            (&mut self.strangers, other.strangers),
            (&mut self.stale, other.stale),
            (&mut self.events_lost, other.events_lost),
            (&mut self.events_duplicated, other.events_duplicated),
            (&mut self.events_reordered, other.events_reordered),
            (&mut self.idle_closed, other.idle_closed),
            (&mut self.windows_closed, other.windows_closed),
            (&mut self.results_written, other.results_written),
            (&mut self.results_events, other.results_events),
            (&mut self.windows_judged, other.windows_judged),
            (&mut self.windows_incorrect, other.windows_incorrect),
            (&mut self.results_read, other.results_read),
            (&mut self.result_updates, other.result_updates),
            (&mut self.in_flight, other.in_flight),
            (&mut self.lag, other.lag),
        ];
        for (sum, n) in sums {
            *sum += n;
        }
        let greatest = [
            (&mut self.last_produced_ns, other.last_produced_ns),
            (&mut self.last_consumed_ns, other.last_consumed_ns),
            (&mut self.late_needed_ns, other.late_needed_ns),
            (&mut self.last_result_ns, other.last_result_ns),
        ];
        for (most, n) in greatest {
            *most = n.max(*most);
        }
        for (reason, n) in &other.malformed {
            *self.malformed.entry(reason).or_default() += n;
        }
        self.watermarks.extend(&other.watermarks);
    }

    /// Records that are no readable events, for any reason.
    pub fn malformed_total(&self) -> u64 {
        self.malformed.values().sum()
    }
}
