//! Points at random in a second, in order, without holding them all.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::Rng;

use super::random::exponential;

/// Points uniformly at random in [0, 1), ascending, without holding or sorting them all.
///
/// A span with many points is halved, and each point falls into either half with a fair coin (so
/// their number is a binomial one, counted in random bits); a span with few gets exponential gaps,
/// scaled to fit. Work and memory before the first point are small, however many there are.
#[derive(Clone, Debug)]
pub(super) struct Points {
    rng: Xoshiro256PlusPlus,
    /// Spans yet to come, the nearest last.
    spans: [Segment; MOST_SPANS],
    depth: usize,
    few: [f64; FEW],
    given: usize,
    held: usize,
}

/// Points that are laid out at once.
const FEW: usize = 32;
/// Halving is as deep as a span is narrow, and 2^-60 of a second holds no point.
const MOST_SPANS: usize = 60;

#[derive(Clone, Copy, Debug)]
struct Segment {
    low: f64,
    width: f64,
    count: u64,
}

impl Points {
    pub(super) fn new(rng: Xoshiro256PlusPlus, count: u64) -> Self {
        let all = Segment { low: 0.0, width: 1.0, count };
        Self { rng, spans: [all; MOST_SPANS], depth: 1, few: [0.0; FEW], given: 0, held: 0 }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<f64> {
        while self.given == self.held {
            if self.depth == 0 {
                return None;
            }
            self.descend();
        }
        self.given += 1;
        Some(self.few[self.given - 1])
    }

    /// Lays out the points of the first part of the nearest span.
    fn descend(&mut self) {
        self.depth -= 1;
        let mut span = self.spans[self.depth];
        while span.count > FEW as u64 {
            let width = span.width / 2.0;
            let left = heads(&mut self.rng, span.count);
            self.spans[self.depth] =
                Segment { low: span.low + width, width, count: span.count - left };
            self.depth += 1;
            span = Segment { low: span.low, width, count: left };
        }
        self.held = span.count as usize;
        self.given = 0;
        let mut sum = 0.0;
        for point in &mut self.few[..self.held] {
            sum += exponential(&mut self.rng);
            *point = sum;
        }
        let scale = span.width / (sum + exponential(&mut self.rng)).max(f64::MIN_POSITIVE);
        for point in &mut self.few[..self.held] {
            *point = span.low + *point * scale;
        }
    }
}

/// How many of `count` fair coins show heads.
pub(super) fn heads(rng: &mut Xoshiro256PlusPlus, count: u64) -> u64 {
    let whole: u64 = (0..count / 64).map(|_| u64::from(rng.next_u64().count_ones())).sum();
    let rest = rng.next_u64() & ((1 << (count % 64)) - 1);
    whole + u64::from(rest.count_ones())
}
