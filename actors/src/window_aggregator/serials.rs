//! Serial numbers of one producer in one partition: tells lost, duplicated and reordered events
//! apart, exactly.
//!
//! Every event carries n, counted from 0 per (producer, partition). In order costs one
//! comparison; skipped serials wait in a bounded list until they arrive after all (reordered) or
//! the stream ends (lost).

use std::collections::VecDeque;
use std::ops::Range;

/// Ranges of skipped serials that are remembered; past that the oldest are given up as lost.
const MAX_RANGES: usize = 4096;

/// What a serial says about its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one.
    InOrder,
    /// Later serials came first; this one was missing and is here now.
    Reordered,
    /// Seen before: not to be counted again.
    Duplicate,
}

/// Which serials of one (producer, partition) were seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct SerialTracker {
    next: u64,
    /// Every serial below is in the log.
    promised: u64,
    missing: VecDeque<Range<u64>>,
    given_up: u64,
}

impl SerialTracker {
    /// Notes serial `n`.
    #[inline]
    pub(crate) fn observe(&mut self, n: u64) -> Arrival {
        if n == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        self.out_of_order(n)
    }

    #[cold]
    fn out_of_order(&mut self, n: u64) -> Arrival {
        if n > self.next {
            self.missing.push_back(self.next..n);
            self.next = n + 1;
            if self.missing.len() > MAX_RANGES {
                let oldest = self.missing.pop_front().expect("more than MAX_RANGES ranges");
                self.given_up += oldest.end - oldest.start;
            }
            return Arrival::InOrder;
        }
        let at = self.missing.partition_point(|range| range.end <= n);
        let Some(range) = self.missing.get(at).filter(|range| range.contains(&n)).cloned() else {
            return Arrival::Duplicate;
        };
        match (range.start == n, range.end == n + 1) {
            (true, true) => drop(self.missing.remove(at)),
            (true, false) => self.missing[at].start = n + 1,
            (false, true) => self.missing[at].end = n,
            (false, false) => {
                self.missing[at].end = n;
                self.missing.insert(at + 1, n + 1..range.end);
            }
        }
        Arrival::Reordered
    }

    /// Notes that every serial below `n` is in the log before this place.
    pub(crate) fn promise(&mut self, n: u64) {
        self.promised = self.promised.max(n);
    }

    /// Serials skipped, or promised, and not arrived until now.
    pub(crate) fn lost(&self) -> u64 {
        let skipped: u64 = self.missing.iter().map(|range| range.end - range.start).sum();
        self.given_up + skipped + self.promised.saturating_sub(self.next)
    }

    /// One past the greatest serial seen.
    #[cfg(test)]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn agrees_with_a_set(serials in prop::collection::vec(0u64..60, 0..200)) {
            let mut tracker = SerialTracker::default();
            let mut seen = HashSet::new();
            let mut greatest = None;
            for n in serials {
                let expected = if !seen.insert(n) {
                    Arrival::Duplicate
                } else if greatest.is_some_and(|g| n < g) {
                    Arrival::Reordered
                } else {
                    Arrival::InOrder
                };
                prop_assert_eq!(tracker.observe(n), expected);
                greatest = greatest.max(Some(n));
            }
            let sent = greatest.map_or(0, |g| g + 1);
            prop_assert_eq!(tracker.lost(), sent - seen.len() as u64);
            prop_assert_eq!(tracker.next(), sent);
        }
    }

    #[test]
    fn what_was_promised_and_never_came_is_lost_though_nothing_comes_behind_it() {
        let mut tracker = SerialTracker::default();
        tracker.observe(0);
        tracker.promise(3);
        assert_eq!(tracker.lost(), 2);
        assert_eq!(tracker.observe(1), Arrival::InOrder);
        assert_eq!((tracker.observe(2), tracker.lost()), (Arrival::InOrder, 0));
        tracker.promise(1);
        assert_eq!(tracker.lost(), 0);
    }

    #[test]
    fn the_list_of_gaps_is_bounded_and_nothing_is_forgotten_silently() {
        let mut tracker = SerialTracker::default();
        let gaps = MAX_RANGES as u64 + 10;
        for n in 0..gaps {
            tracker.observe(2 * n + 1);
        }
        assert_eq!(tracker.missing.len(), MAX_RANGES);
        assert_eq!(tracker.lost(), gaps);
    }
}
