//! Whether two series differ in their means: Welch's test, for series whose neighbours are alike.
//!
//! Seconds of a run are no independent samples: a slow second is followed by a slow one. Taken for
//! independent, two runs of the very same system differ "significantly" in every third comparison.
//! So the number of samples is replaced by the *effective* one, `n / tau`: that of independent
//! samples whose mean would be known as well (B. V. Bayley and J. M. Hammersley, "The effective
//! number of independent observations in an autocorrelated time series", J. R. Stat. Soc. Suppl. 8,
//! 1946). `tau` is the sum of all autocorrelations; see [`Sample::of`] for how it is estimated.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Values of a series below which a side cannot be tested: how alike neighbours are must be
/// estimated too.
pub const MIN_SAMPLES: usize = 4;

/// Values of a series at most whose autocorrelation is looked at one by one: a longer series is
/// looked at in blocks of neighbouring values.
pub const MAX_BLOCKS: usize = 2048;

/// Independent values below which a side cannot be tested.
pub const MIN_INDEPENDENT: usize = 2;

/// Two means whose difference is beyond this chance (after [`holm`]) differ significantly.
pub const ALPHA: f64 = 0.05;

/// What a series says of its mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sample {
    /// Values.
    pub n: usize,
    /// Independent values that would tell as much.
    pub effective_n: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of a value; `null` with fewer than two.
    pub standard_deviation: Option<f64>,
    /// Variance of the mean.
    #[serde(skip)]
    variance_of_mean: f64,
    /// Values that a test needs.
    #[serde(skip)]
    needed: usize,
}

/// Welch's test of two samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Test {
    /// The difference of the means (second less first) in its standard errors.
    pub t: f64,
    /// Degrees of freedom, by Welch and Satterthwaite, of the effective numbers of values.
    pub degrees_of_freedom: f64,
    /// Chance of a difference at least as great where there is none (two-sided).
    pub p_value: f64,
    /// The difference, 95 % confidence interval: its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Why there is no [`Test`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untestable {
    /// A side has fewer than [`MIN_SAMPLES`] values, or [`MIN_INDEPENDENT`].
    TooFew,
    /// Both sides are constant, and equal.
    SameConstant,
    /// Both sides are constant, and differ: there is no noise to compare the difference with.
    DifferentConstants,
}

impl Sample {
    /// Sums a series up; `None` where it is empty.
    ///
    /// `tau` is the greater of two estimates, each of which is too small on its own where the other
    /// is better:
    ///
    /// - the initial monotone positive sequence: autocorrelations summed in pairs as long as the
    ///   pairs are positive, no pair counted for more than the one before (C. J. Geyer, "Practical
    ///   Markov Chain Monte Carlo", Stat. Science 7, 1992, section 3.3); for long series of any
    ///   kind;
    /// - `(1 + r) / (1 - r)` of the autocorrelation at lag 1 (M. S. Bartlett, "Some aspects of the
    ///   time-correlation problem", J. R. Stat. Soc. 98, 1935), `r` corrected for its bias in short
    ///   series, `r + (1 + 4 r) / n` (M. G. Kendall, "Note on bias in the estimation of
    ///   autocorrelation", Biometrika 41, 1954); for short ones.
    ///
    /// It is at least 1 (neighbours that alternate are given no credit) and at most `n / 2`.
    ///
    /// Of long series it is estimated from the means of neighbouring values, [`MAX_BLOCKS`] of them
    /// at most, whose mean is the same: else a trend over `n` seconds would take `n * n` products.
    pub fn of(series: &[f64]) -> Option<Self> {
        if series.is_empty() {
            return None;
        }
        let n = series.len() as f64;
        let mean = series.iter().sum::<f64>() / n;
        let deviations: Vec<f64> = series.iter().map(|value| value - mean).collect();
        let squares = sum_of_squares(&deviations);
        let constant = series.iter().all(|value| value.total_cmp(&series[0]).is_eq());
        if series.len() < 2 || constant {
            let standard_deviation = (series.len() > 1).then_some(0.0);
            // The rounded mean of equal values need not be that value.
            let mean = if constant { series[0] } else { mean };
            return Some(Self {
                n: series.len(),
                effective_n: n,
                mean,
                standard_deviation,
                variance_of_mean: 0.0,
                needed: MIN_SAMPLES,
            });
        }
        let tau = tau(&deviations, squares);
        // Values that resemble their neighbours scatter less than the series as a whole would.
        let variance = squares / (n - tau);
        Some(Self {
            n: series.len(),
            effective_n: n / tau,
            mean,
            standard_deviation: Some(variance.sqrt()),
            variance_of_mean: variance * tau / n,
            needed: MIN_SAMPLES,
        })
    }

    /// Sums up values that are independent of each other, as whole runs in a drawn order are;
    /// `None` where there are none. They were measured in steps of `resolution`, whose rounding
    /// alone has a variance of a twelfth of its square.
    pub fn independent(values: &[f64], resolution: f64) -> Option<Self> {
        let series = Self::of(values)?;
        let n = values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - series.mean).powi(2)).sum();
        let variance = if series.variance_of_mean > 0.0 { squares / (n - 1.0) } else { 0.0 };
        let variance = variance.max(resolution.powi(2) / 12.0);
        Some(Self {
            effective_n: n,
            standard_deviation: (values.len() > 1).then_some(variance.sqrt()),
            variance_of_mean: variance / n,
            needed: MIN_INDEPENDENT,
            ..series
        })
    }
}

fn sum_of_squares(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

/// The sum of all autocorrelations of a series of these deviations from its mean.
fn tau(deviations: &[f64], squares: f64) -> f64 {
    let blocks = blocks(deviations);
    let (n, m) = (deviations.len() as f64, blocks.len() as f64);
    let squares_of_blocks = sum_of_squares(&blocks);
    if squares_of_blocks <= 0.0 {
        // What differs within each block alone tells nothing of the mean.
        return 1.0;
    }
    let autocorrelation = |lag| products(&blocks, lag) / squares_of_blocks;
    let of_blocks = initial_sequence(blocks.len(), autocorrelation)
        .max(lag_one(m, autocorrelation(1)))
        .clamp(1.0, m / 2.0);
    if blocks.len() == deviations.len() {
        return of_blocks;
    }
    let variance_of_mean = squares_of_blocks * of_blocks / (m * (m - of_blocks));
    // That tau with which the values themselves give the same variance of the mean.
    (variance_of_mean * n * n / (squares + variance_of_mean * n)).clamp(1.0, n / 2.0)
}

/// The means of as few neighbouring values each that they are [`MAX_BLOCKS`] at most; what is left
/// at the end, less than one block, is left out.
fn blocks(values: &[f64]) -> Vec<f64> {
    let size = values.len().div_ceil(MAX_BLOCKS);
    values.chunks_exact(size).map(|block| block.iter().sum::<f64>() / size as f64).collect()
}

/// The sum of the products of all values with those `lag` places behind them.
fn products(values: &[f64], lag: usize) -> f64 {
    values.iter().zip(&values[lag..]).map(|(a, b)| a * b).sum()
}

/// The sum of all autocorrelations by Geyer's initial monotone positive sequence.
fn initial_sequence(n: usize, autocorrelation: impl Fn(usize) -> f64) -> f64 {
    let (mut sum, mut last) = (-1.0, f64::INFINITY);
    for pair in 0..n / 2 {
        let both = (autocorrelation(2 * pair) + autocorrelation(2 * pair + 1)).min(last);
        if both <= 0.0 {
            break;
        }
        sum += 2.0 * both;
        last = both;
    }
    sum
}

/// The sum of all autocorrelations where each is that at lag 1 to the power of its lag.
fn lag_one(n: f64, first: f64) -> f64 {
    let unbiased = (first + (1.0 + 4.0 * first) / n).clamp(0.0, 0.99);
    (1.0 + unbiased) / (1.0 - unbiased)
}

/// Tests whether the means differ (B. L. Welch, "The generalization of Student's problem when
/// several different population variances are involved", Biometrika 34, 1947).
///
/// # Errors
/// [`Untestable`] where the series cannot tell.
pub fn welch(base: &Sample, candidate: &Sample) -> Result<Test, Untestable> {
    let constant = |sample: &Sample| sample.n > 1 && sample.variance_of_mean <= 0.0;
    if base.n < base.needed || candidate.n < candidate.needed {
        return Err(Untestable::TooFew);
    }
    if constant(base) && constant(candidate) {
        let same = base.mean.total_cmp(&candidate.mean).is_eq();
        return Err(if same { Untestable::SameConstant } else { Untestable::DifferentConstants });
    }
    let share =
        |sample: &Sample| sample.variance_of_mean.powi(2) / (sample.effective_n - 1.0).max(1.0);
    let variance = base.variance_of_mean + candidate.variance_of_mean;
    let degrees_of_freedom = variance.powi(2) / (share(base) + share(candidate));
    let error = variance.sqrt();
    let difference = candidate.mean - base.mean;
    let t = difference / error;
    // Values near the limits of floating point leave no number to test with.
    let student = StudentsT::new(0.0, 1.0, degrees_of_freedom).map_err(|_| Untestable::TooFew)?;
    if !t.is_finite() {
        return Err(Untestable::DifferentConstants);
    }
    let reach = student.inverse_cdf(1.0 - ALPHA / 2.0) * error;
    Ok(Test {
        t,
        degrees_of_freedom,
        p_value: (2.0 * student.cdf(-t.abs())).min(1.0),
        low: difference - reach,
        high: difference + reach,
    })
}

/// P-values adjusted for how many there are, so that the chance of *any* false alarm stays at
/// [`ALPHA`] (S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat.
/// 6, 1979). In the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        least = least.max((p_values[at] * (p_values.len() - rank) as f64).min(1.0));
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Noise of a seed: SplitMix64 (S. Vigna), made normal by Box and Muller's transform.
    struct Noise(u64);

    impl Noise {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ z >> 31) >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn normal(&mut self) -> f64 {
            (-2.0 * (1.0 - self.uniform()).ln()).sqrt()
                * (std::f64::consts::TAU * self.uniform()).cos()
        }

        /// An autoregressive series of order 1, long after its start, of mean `mean`.
        fn autoregressive(&mut self, phi: f64, n: usize, mean: f64) -> Vec<f64> {
            let mut at = 0.0;
            let mut step = || {
                at = phi * at + self.normal();
                mean + at
            };
            (0..50).for_each(|_| _ = step());
            (0..n).map(|_| step()).collect()
        }
    }

    fn test(base: &[f64], candidate: &[f64]) -> Result<Test, Untestable> {
        welch(&Sample::of(base).unwrap(), &Sample::of(candidate).unwrap())
    }

    /// The same sample, its values taken for independent.
    fn uncorrected(series: &[f64]) -> Sample {
        Sample::independent(series, 0.0).unwrap()
    }

    /// Shares of 600 pairs found different, by the corrected and by the uncorrected test.
    fn alarms(phi: f64, n: usize, shift: f64) -> (f64, f64) {
        const PAIRS: usize = 600;
        let mut noise = Noise(phi.to_bits() ^ n as u64);
        let (mut corrected, mut plain) = (0, 0);
        for _ in 0..PAIRS {
            let (base, candidate) =
                (noise.autoregressive(phi, n, 10.0), noise.autoregressive(phi, n, 10.0 + shift));
            corrected += usize::from(test(&base, &candidate).unwrap().p_value < ALPHA);
            plain += usize::from(
                welch(&uncorrected(&base), &uncorrected(&candidate)).unwrap().p_value < ALPHA,
            );
        }
        (corrected as f64 / PAIRS as f64, plain as f64 / PAIRS as f64)
    }

    #[test]
    fn autocorrelated_noise_raises_no_more_alarms_than_alpha_where_the_plain_test_does() {
        // Three standard errors of a share of 600 at alpha are 0.027.
        let limit = ALPHA + 0.03;
        for (phi, n, plain_at_least) in
            [(0.0, 60, 0.0), (0.3, 60, 0.08), (0.6, 60, 0.2), (0.6, 20, 0.2), (0.8, 120, 0.3)]
        {
            let (corrected, plain) = alarms(phi, n, 0.0);
            assert!(corrected <= limit, "phi {phi}, n {n}: {corrected}");
            assert!(plain >= plain_at_least, "phi {phi}, n {n}: {plain} without the correction");
        }
    }

    #[test]
    fn four_values_are_enough_to_stay_honest() {
        let (corrected, plain) = alarms(0.3, MIN_SAMPLES, 0.0);
        assert!(corrected <= ALPHA + 0.03, "{corrected}");
        assert!(plain > corrected);
    }

    #[test]
    fn long_series_are_looked_at_in_blocks_and_stay_honest() {
        for (phi, n) in [(0.6, 3000), (0.9, 2 * MAX_BLOCKS + 1)] {
            let (corrected, _) = alarms(phi, n, 0.0);
            assert!(corrected <= ALPHA + 0.03, "phi {phi}, n {n}: {corrected}");
        }
        // What is independent still counts nearly in full, however long.
        let sample = Sample::of(&Noise(7).autoregressive(0.0, 100_000, 10.0)).unwrap();
        assert!(sample.effective_n > 70_000.0 && sample.effective_n <= 100_000.0, "{sample:?}");
        // Blocks that all have the same mean.
        let alternating: Vec<f64> = (0..2 * MAX_BLOCKS).map(|i| (i % 2) as f64).collect();
        let sample = Sample::of(&alternating).unwrap();
        assert!((sample.mean - 0.5).abs() < 1e-9 && sample.effective_n > 4000.0, "{sample:?}");
    }

    #[test]
    fn the_seconds_of_a_month_take_no_more_products_than_those_of_an_hour() {
        let products_of = |seconds: usize| {
            // A trend: every pair of autocorrelations is positive, up to a third of the lags.
            let trend: Vec<f64> = (0..seconds).map(|i| i as f64 - seconds as f64 / 2.0).collect();
            let blocks = blocks(&trend);
            let squares = sum_of_squares(&blocks);
            let taken = std::cell::Cell::new(0);
            initial_sequence(blocks.len(), |lag| {
                taken.set(taken.get() + blocks.len() - lag);
                products(&blocks, lag) / squares
            });
            assert!(Sample::of(&trend).is_some());
            taken.get()
        };
        let most = MAX_BLOCKS * MAX_BLOCKS;
        for seconds in [3600, 86_400, 30 * 86_400] {
            let products = products_of(seconds);
            assert!((most / 16..most).contains(&products), "{seconds} s: {products}");
        }
    }

    #[test]
    fn a_shifted_series_is_found() {
        for (phi, shift) in [(0.0, 1.0), (0.3, 1.5), (0.6, 2.5)] {
            let (found, _) = alarms(phi, 60, shift);
            assert!(found > 0.9, "phi {phi}: {found}");
        }
    }

    #[test]
    fn independent_values_are_tested_as_in_the_textbook() {
        // Alternating series have no positive autocorrelation, so that every value counts.
        let (base, candidate) =
            ([9.0, 11.0, 9.0, 11.0, 9.0, 11.0], [10.0, 14.0, 10.0, 14.0, 10.0, 14.0]);
        let found = test(&base, &candidate).unwrap();
        // Variances 1.2 and 4.8: t = 2 / sqrt(1), degrees of freedom 1 / (0.2^2 / 5 + 0.8^2 / 5).
        assert!(
            (found.t - 2.0).abs() < 1e-12 && (found.degrees_of_freedom - 1.0 / 0.136).abs() < 1e-9,
            "{found:?}"
        );
        // Student's t with 7.353 degrees of freedom: two-sided chance of 2, and the 97.5 %
        // quantile.
        assert!((found.p_value - 0.0837).abs() < 5e-4, "{found:?}");
        assert!(
            (found.high - 2.0 - 2.3416).abs() < 2e-3 && (found.low + found.high - 4.0).abs() < 1e-9,
            "{found:?}"
        );
    }

    #[test]
    fn two_independent_values_a_side_can_be_tested_and_stay_honest() {
        let independent = |values: &[f64]| Sample::independent(values, 0.0).unwrap();
        let of =
            |base: &[f64], candidate: &[f64]| welch(&independent(base), &independent(candidate));
        assert_eq!(of(&[1.0], &[2.0, 3.0]), Err(Untestable::TooFew));
        assert_eq!(of(&[1.0, 1.0], &[1.0, 1.0]), Err(Untestable::SameConstant));
        assert!(of(&[1.0, 1.1], &[9.0, 9.1]).unwrap().p_value < 0.05);
        let stepped = |values: &[f64]| Sample::independent(values, 1.0).unwrap();
        assert!(welch(&stepped(&[2.0; 3]), &stepped(&[40.0; 3])).unwrap().p_value < 0.001);
        assert!(welch(&stepped(&[2.0; 3]), &stepped(&[2.0; 3])).unwrap().p_value > 0.99);
        for n in 2..5 {
            const PAIRS: usize = 600;
            let mut noise = Noise(n as u64);
            let mut pair =
                || (noise.autoregressive(0.0, n, 10.0), noise.autoregressive(0.0, n, 10.0));
            let alarms = (0..PAIRS)
                .map(|_| pair())
                .filter(|(a, b)| of(a, b).unwrap().p_value < ALPHA)
                .count();
            assert!(alarms as f64 / (PAIRS as f64) <= ALPHA + 0.03, "{n}: {alarms}");
        }
    }

    #[test]
    fn what_cannot_be_tested_says_why() {
        let found = |base: &[f64], candidate: &[f64]| test(base, candidate).unwrap_err();
        assert_eq!(found(&[1.0; 3], &[1.0; 60]), Untestable::TooFew);
        assert_eq!(found(&[0.1; 60], &[0.1; 7]), Untestable::SameConstant);
        assert_eq!(found(&[1.0; 60], &[2.0; 60]), Untestable::DifferentConstants);
        // One constant side is no hindrance: the other's noise is there to compare with.
        let noisy: Vec<f64> = (0..60).map(|i| f64::from(i % 7)).collect();
        assert!(test(&[9.0; 60], &noisy).unwrap().p_value < 1e-6);
        assert_eq!(Sample::of(&[]), None);
    }

    #[test]
    fn holm_adjusts_by_rank() {
        assert_eq!(holm(&[]), Vec::<f64>::new());
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }

    proptest! {
        #[test]
        fn a_test_is_the_same_from_both_sides(
            a in prop::collection::vec(0.0..1e6_f64, 5..40),
            b in prop::collection::vec(0.0..1e6_f64, 5..40),
        ) {
            let (there, back) = (test(&a, &b).unwrap(), test(&b, &a).unwrap());
            prop_assert!((there.t + back.t).abs() <= 1e-9 * there.t.abs().max(1.0));
            prop_assert!((there.p_value - back.p_value).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&there.p_value) && there.low <= there.high);
            // The interval leaves zero out exactly where the difference is significant on its own.
            if (there.p_value - ALPHA).abs() > 1e-6 {
                prop_assert_eq!(there.p_value < ALPHA, there.low > 0.0 || there.high < 0.0);
            }
        }

        #[test]
        fn no_series_counts_for_more_than_its_values(
            series in prop::collection::vec(-1e3..1e3_f64, 2..60),
        ) {
            let sample = Sample::of(&series).unwrap();
            prop_assert!(sample.effective_n <= sample.n as f64 && sample.effective_n >= 1.0);
            prop_assert!(sample.standard_deviation.unwrap() >= 0.0);
        }
    }
}
