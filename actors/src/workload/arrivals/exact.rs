//! Sums of gaps that keep their precision.

use crate::clock::SECOND;

/// No arrival, no boundary.
pub(super) const NEVER: i64 = i64::MAX;
/// A second, in nanoseconds.
pub(super) const SECOND_F64: f64 = SECOND as f64;

/// A time in nanoseconds and a fraction of one, so that sums of gaps keep their precision however
/// large they grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exact {
    pub(super) whole_ns: i64,
    fraction_ns: f64,
}

impl Exact {
    pub(super) fn at(whole_ns: i64) -> Self {
        Self { whole_ns, fraction_ns: 0.0 }
    }

    #[inline]
    pub(super) fn plus(self, gap_ns: f64) -> Self {
        let sum_ns = self.fraction_ns + gap_ns;
        let whole_ns = sum_ns as i64;
        Self {
            whole_ns: self.whole_ns.saturating_add(whole_ns),
            fraction_ns: sum_ns - whole_ns as f64,
        }
    }

    pub(super) fn since(self, earlier: Self) -> f64 {
        (self.whole_ns - earlier.whole_ns) as f64 + (self.fraction_ns - earlier.fraction_ns)
    }
}
