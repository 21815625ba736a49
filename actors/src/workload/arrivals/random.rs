//! Seeds derived from the run's, and what is drawn with them.

use rand_distr::{Distribution, Exp1};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::Rng;

/// What a seed derived from the run's is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Arrivals = 1,
    States = 2,
}

/// Mixes two words into a seed by rounds of `SplitMix64` (Steele, Lea and Flood, *Fast splittable
/// pseudorandom number generators*, 2014).
pub(super) fn derive_seed(seed: u64, purpose: u64, number: u64) -> u64 {
    [purpose, number].into_iter().fold(seed, |mixed, word| {
        let mut z =
            (mixed ^ word.wrapping_mul(0xD134_2543_DE82_EF95)).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

#[inline]
pub(super) fn exponential(rng: &mut Xoshiro256PlusPlus) -> f64 {
    Exp1.sample(rng)
}

/// True with the given probability.
pub(super) fn chance(rng: &mut Xoshiro256PlusPlus, probability: f64) -> bool {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    ((rng.next_u64() >> 11) as f64 * STEP) < probability
}
