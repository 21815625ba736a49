//! Evenly spaced arrivals.

use super::exact::{NEVER, SECOND_F64};
use super::share::Share;

/// Event number n is due (first + n)/rate seconds after the last rate change.
#[derive(Clone, Debug)]
pub(super) struct Uniform {
    from_ns: i64,
    pub(super) rate: f64,
    /// The part of a gap from `from_ns` to the first event.
    first: f64,
    pub(super) count: i64,
}

impl Uniform {
    pub(super) fn new(rate: f64, share: Share) -> Self {
        Self {
            from_ns: 0,
            rate,
            first: f64::from(share.producer) / f64::from(share.producers),
            count: 0,
        }
    }

    #[inline]
    pub(super) fn arrival(&self) -> i64 {
        if self.rate == 0.0 {
            return NEVER;
        }
        self.nth(self.count)
    }

    /// When an event is due, at a rate that is not 0.
    #[inline]
    fn nth(&self, count: i64) -> i64 {
        let after_ns = (self.first + count as f64) * SECOND_F64 / self.rate;
        self.from_ns.saturating_add((after_ns + 0.5) as i64)
    }

    #[inline]
    pub(super) fn draw(&mut self) -> i64 {
        self.count += 1;
        self.arrival()
    }

    /// Takes the events before an offset; gives how many.
    pub(super) fn skip_before(&mut self, offset_ns: i64) -> u64 {
        let before = self.count;
        let passed = (offset_ns - self.from_ns) as f64 * self.rate / SECOND_F64;
        // Near its place: rounding may leave it a step off.
        self.count = self.count.max((passed - self.first) as i64 - 2);
        while self.arrival() < offset_ns {
            self.count += 1;
        }
        while self.count > before && self.nth(self.count - 1) >= offset_ns {
            self.count -= 1;
        }
        (self.count - before) as u64
    }

    /// The event before the next.
    pub(super) fn before(&self) -> i64 {
        if self.count == 0 { self.from_ns } else { self.nth(self.count - 1) }
    }

    pub(super) fn set_rate(&mut self, from_ns: i64, rate: f64) {
        let passed = (from_ns - self.from_ns) as f64 * self.rate / SECOND_F64;
        let first = (self.first + self.count as f64 - passed).max(0.0);
        *self = Self { from_ns, rate, first, count: 0 };
    }
}
