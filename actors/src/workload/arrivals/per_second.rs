//! Arrivals whose count is decided once a second.

use rand_distr::{Distribution, Poisson};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::exact::{NEVER, SECOND_F64};
use super::mmpp::StatePath;
use super::points::Points;
use super::random::derive_seed;
use super::share::Share;
use crate::clock::SECOND;

/// Arrivals whose count is decided for each second of the schedule, or for what a rate change left
/// of one.
#[derive(Clone, Debug)]
pub(super) struct PerSecond {
    seed: u64,
    pub(super) rate: f64,
    counts: Counts,
    start_ns: i64,
    pub(super) end_ns: i64,
    points: Points,
    pub(super) arrival: i64,
}

/// How many events a second holds.
#[derive(Clone, Debug)]
pub(super) enum Counts {
    /// What the rate says, counted since its last change, so that fractions are not lost.
    Exact { origin_ns: i64, share: Share },
    /// A Poisson count at the intensity of the second's state.
    Random(StatePath),
}

impl PerSecond {
    pub(super) fn new(rate: f64, seed: u64, counts: Counts) -> Self {
        let points = Points::new(Xoshiro256PlusPlus::seed_from_u64(seed), 0);
        let mut new =
            Self { seed, rate, counts, start_ns: 0, end_ns: SECOND, points, arrival: NEVER };
        new.begin();
        new
    }

    /// Decides the piece from `start_ns` to `end_ns`. Its generator comes from its start, so that a
    /// piece is the same whatever was drawn before.
    fn begin(&mut self) {
        let mut rng =
            Xoshiro256PlusPlus::seed_from_u64(self.seed ^ derive_seed(0, 0, self.start_ns as u64));
        let count = match &self.counts {
            Counts::Exact { origin_ns, share } => {
                share.events(self.rate, self.end_ns - origin_ns)
                    - share.events(self.rate, self.start_ns - origin_ns)
            }
            Counts::Random(path) => {
                let mean =
                    path.intensity(self.rate) * (self.end_ns - self.start_ns) as f64 / SECOND_F64;
                Poisson::new(mean).map_or(0, |poisson| poisson.sample(&mut rng) as u64)
            }
        };
        self.points = Points::new(rng, count);
        self.draw();
    }

    #[inline]
    pub(super) fn draw(&mut self) -> i64 {
        self.arrival = self.points.next().map_or(NEVER, |point| {
            let after_ns = (point * (self.end_ns - self.start_ns) as f64) as i64;
            (self.start_ns + after_ns).min(self.end_ns - 1)
        });
        self.arrival
    }

    pub(super) fn next_second(&mut self) {
        if let Counts::Random(path) = &mut self.counts {
            path.next_second();
        }
        self.start_ns = self.end_ns;
        self.end_ns += SECOND;
        self.begin();
    }

    pub(super) fn set_rate(&mut self, from_ns: i64, new_rate: f64) {
        self.rate = new_rate;
        self.start_ns = from_ns;
        if let Counts::Exact { origin_ns, .. } = &mut self.counts {
            *origin_ns = from_ns;
        }
        self.begin();
    }
}
