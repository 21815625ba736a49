//! The two states of a Markov-modulated Poisson process, and their path in time.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::exact::{Exact, NEVER, SECOND_F64};
use super::random::{chance, exponential};

/// A two-state Markov-modulated Poisson process with a calm and a burst state (Fischer and
/// Meier-Hellstern, *The Markov-modulated Poisson process cookbook*, 1993). The mean rate is the
/// stream's own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Mmpp {
    /// Intensity of the burst state over that of the calm state; above 0.
    pub rate_ratio: f64,
    /// Switches per second from calm to burst: a calm time lasts 1/`q12` seconds on average.
    pub q12: f64,
    /// Switches per second from burst to calm: a burst lasts 1/`q21` seconds on average.
    pub q21: f64,
}

impl Default for Mmpp {
    fn default() -> Self {
        Self { rate_ratio: 5.0, q12: 0.5, q21: 0.5 }
    }
}

impl Mmpp {
    /// The stationary probability of the calm state, `pi1 = q21/(q12+q21)`.
    fn calm_share(&self) -> f64 {
        self.q21 / (self.q12 + self.q21)
    }

    /// Intensity (events per second) in a state, such that the stationary mean is `rate`:
    /// `l1 = rate/(pi1+pi2*rate_ratio)`, `l2 = rate_ratio*l1`.
    fn intensity(&self, rate: f64, burst: bool) -> f64 {
        let calm = self.calm_share();
        let l1 = rate / (calm + (1.0 - calm) * self.rate_ratio);
        if burst { self.rate_ratio * l1 } else { l1 }
    }

    /// The probability that the continuous chain, now in the state, is in the other one a second
    /// later: `p12 = pi2*(1-exp(-(q12+q21)))`, `p21 = pi1*(1-exp(-(q12+q21)))`.
    fn switch_within_second(&self, burst: bool) -> f64 {
        let other = if burst { self.calm_share() } else { 1.0 - self.calm_share() };
        other * -(-(self.q12 + self.q21)).exp_m1()
    }

    pub(super) fn assert_valid(&self) {
        let Self { rate_ratio, q12, q21 } = *self;
        assert!(
            rate_ratio.is_finite() && rate_ratio > 0.0,
            "rate_ratio must be above 0, but is {rate_ratio}"
        );
        assert!(q12.is_finite() && q12 >= 0.0, "q12 must not be negative, but is {q12}");
        assert!(q21.is_finite() && q21 >= 0.0, "q21 must not be negative, but is {q21}");
        assert!(q12 + q21 > 0.0, "q12 and q21 must not both be 0");
    }
}

/// The states of an MMPP in time.
#[derive(Clone, Debug)]
pub(super) struct StatePath {
    mmpp: Mmpp,
    rng: Xoshiro256PlusPlus,
    pub(super) burst: bool,
    /// When the state is left, in continuous time.
    pub(super) until: Exact,
}

impl StatePath {
    /// Starts in a state drawn from the stationary distribution.
    pub(super) fn new(mmpp: Mmpp, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let burst = !chance(&mut rng, mmpp.calm_share());
        Self { mmpp, rng, burst, until: Exact::at(0) }
    }

    /// Draws how long the present state lasts: exponential, and so no matter how long it lasted
    /// already.
    pub(super) fn stay(&mut self) {
        let leave_per_second = if self.burst { self.mmpp.q21 } else { self.mmpp.q12 };
        let sojourn_ns =
            exponential(&mut self.rng).max(f64::MIN_POSITIVE) * SECOND_F64 / leave_per_second;
        self.until =
            if sojourn_ns < NEVER as f64 { self.until.plus(sojourn_ns) } else { Exact::at(NEVER) };
    }

    pub(super) fn switch(&mut self) {
        self.burst = !self.burst;
        self.stay();
    }

    /// The state a second later.
    pub(super) fn next_second(&mut self) {
        let probability = self.mmpp.switch_within_second(self.burst);
        self.burst ^= chance(&mut self.rng, probability);
    }

    pub(super) fn intensity(&self, rate: f64) -> f64 {
        self.mmpp.intensity(rate, self.burst)
    }
}
