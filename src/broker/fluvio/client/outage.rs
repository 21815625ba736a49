//! A partition that cannot be read or written at present: when to say so, and when it is no passing
//! trouble.

use streamgauge_actors::{MILLISECOND, Nanos, SECOND};

/// The pause before a leader is tried again.
pub(super) const RETRY_NS: Nanos = 200 * MILLISECOND;

/// A leader that refuses for so long has no passing trouble. (One that is away refuses nothing.)
const REFUSED_NS: Nanos = 60 * SECOND;

/// From one warning to the next.
const WARN_NS: Nanos = 10 * SECOND;

/// What has kept a partition from being read or written.
#[derive(Default)]
pub(super) struct Outage {
    since_ns: Option<Nanos>,
    refused_ns: Option<Nanos>,
    warned_ns: Option<Nanos>,
}

impl Outage {
    pub(super) fn is_on(&self) -> bool {
        self.since_ns.is_some()
    }

    /// A try failed; whether a warning is due. A leader that is away, not refusing, ends a series
    /// of refusals.
    pub(super) fn failed(&mut self, now: Nanos, is_refused: bool) -> bool {
        self.since_ns.get_or_insert(now);
        if is_refused {
            self.refused_ns.get_or_insert(now);
        } else {
            self.refused_ns = None;
        }
        let warns = self.warned_ns.is_none_or(|warned| now - warned >= WARN_NS);
        if warns {
            self.warned_ns = Some(now);
        }
        warns
    }

    /// Whether the leader has refused for too long.
    pub(super) fn is_final(&self, now: Nanos) -> bool {
        self.refused_ns.is_some_and(|since| now - since >= REFUSED_NS)
    }

    /// The leader does what it is asked.
    pub(super) fn accepted(&mut self) {
        self.refused_ns = None;
    }

    /// It is over; how many seconds it lasted, if it was on.
    pub(super) fn over(&mut self, now: Nanos) -> Option<f64> {
        self.since_ns.take().map(|since| (now - since) as f64 / SECOND as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_in_a_row_are_final() {
        let mut outage = Outage::default();
        outage.failed(0, true);
        outage.failed(REFUSED_NS - 1, true);
        assert!(!outage.is_final(REFUSED_NS - 1) && outage.is_final(REFUSED_NS));
        outage.failed(REFUSED_NS, false);
        assert!(!outage.is_final(2 * REFUSED_NS) && outage.is_on());
        assert_eq!((outage.over(2 * REFUSED_NS), outage.over(3 * REFUSED_NS)), (Some(120.0), None));
    }

    #[test]
    fn it_is_told_at_once_and_then_now_and_then() {
        let mut outage = Outage::default();
        let told: Vec<bool> =
            [0, 1, WARN_NS - 1, WARN_NS, WARN_NS + 1].map(|now| outage.failed(now, false)).into();
        assert_eq!(told, [true, false, false, true, false]);
    }
}
