//! A producer's share of what all producers send.

use crate::clock::SECOND;

/// A producer's place among all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) producer: u32,
    pub(super) producers: u32,
}

impl Share {
    /// Events of this producer in the first `time_ns` at a rate per producer. Over all producers
    /// that makes exactly the total rate times the time, rounded down (Hermite's identity). Counted
    /// in billionths of an event per second.
    pub(super) fn events(self, rate: f64, time_ns: i64) -> u64 {
        const ONE: u128 = 1_000_000_000 * SECOND as u128;
        let total = (rate * f64::from(self.producers) * 1e9).round() as u128;
        let all = total * time_ns.max(0) as u128 + u128::from(self.producer) * ONE;
        (all / (u128::from(self.producers) * ONE)) as u64
    }
}
