//! A Poisson process in continuous time, with or without states.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::exact::{Exact, SECOND_F64};
use super::mmpp::StatePath;
use super::random::exponential;

/// A Poisson process, with or without states.
#[derive(Clone, Debug)]
pub(super) struct ModulatedPoisson {
    rng: Xoshiro256PlusPlus,
    pub(super) path: Option<StatePath>,
    /// The mean, in events per second.
    pub(super) rate: f64,
    /// The mean gap in the present state; infinite at a rate of 0.
    gap_ns: f64,
    /// The last arrival or change of intensity.
    pub(super) anchor: Exact,
    /// The gap from the anchor to the arrival in units of the mean gap: exponential with mean 1.
    wait: f64,
    pub(super) arrival: Exact,
}

impl ModulatedPoisson {
    pub(super) fn new(rate: f64, seed: u64, mut path: Option<StatePath>) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        if let Some(path) = &mut path {
            path.stay();
        }
        let wait = exponential(&mut rng);
        let start = Exact::at(0);
        let mut new = Self { rng, path, rate, gap_ns: 1.0, anchor: start, wait, arrival: start };
        new.pace();
        new
    }

    #[inline]
    pub(super) fn draw(&mut self) -> i64 {
        self.anchor = self.arrival;
        self.wait = exponential(&mut self.rng);
        self.arrival = self.anchor.plus(self.wait * self.gap_ns);
        self.arrival.whole_ns
    }

    /// Moves the anchor to a time before the arrival.
    fn move_anchor(&mut self, to: Exact) {
        self.wait -= to.since(self.anchor).max(0.0) / self.gap_ns;
        self.anchor = to;
    }

    /// Applies the intensity from the anchor on.
    pub(super) fn pace(&mut self) {
        self.gap_ns =
            SECOND_F64 / self.path.as_ref().map_or(self.rate, |path| path.intensity(self.rate));
        // Above 0, so that it stays infinite when the gap is.
        self.wait = self.wait.max(f64::MIN_POSITIVE);
        self.arrival = self.anchor.plus(self.wait * self.gap_ns);
    }

    pub(super) fn switch(&mut self) {
        if let Some(path) = &mut self.path {
            let at = path.until;
            path.switch();
            self.move_anchor(at);
            self.pace();
        }
    }

    pub(super) fn set_rate(&mut self, from_ns: i64, rate: f64) {
        self.move_anchor(Exact::at(from_ns));
        self.rate = rate;
        self.pace();
    }
}
