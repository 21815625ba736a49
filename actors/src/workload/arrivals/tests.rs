//! The processes against their distributions, with fixed seeds.

use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use statrs::distribution::{Beta, ContinuousCDF, Exp};

use super::exact::{Exact, SECOND_F64};
use super::points::heads;
use super::*;
use crate::clock::SECOND;

const SKEWED: Mmpp = Mmpp { rate_ratio: 20.0, q12: 0.4, q21: 1.6 };
const SCHEDULED: [ArrivalKind; 5] = [
    ArrivalKind::Uniform,
    ArrivalKind::Poisson,
    ArrivalKind::PoissonNormalized,
    ArrivalKind::Mmpp,
    ArrivalKind::MmppWindowed,
];

/// The only producer's arrivals, with other bursts than the default.
fn one_with(kind: ArrivalKind, states: Mmpp, rate: f64, seed: u64) -> Arrivals {
    let bursts = Bursts { states, ..Bursts::default() };
    Arrivals::new(kind, rate, seed, 0, 1, bursts)
}

fn shared() -> Bursts {
    Bursts { correlation: BurstCorrelation::Shared, ..Bursts::default() }
}

fn one(kind: ArrivalKind, rate: f64, seed: u64) -> Arrivals {
    one_with(kind, Mmpp::default(), rate, seed)
}

fn take(arrivals: &mut Arrivals, count: usize) -> Vec<i64> {
    (0..count).map(|_| arrivals.next()).collect()
}

fn take_until(arrivals: &mut Arrivals, end_ns: i64) -> Vec<i64> {
    let mut taken = Vec::new();
    while arrivals.peek() < end_ns {
        taken.push(arrivals.next());
    }
    taken
}

fn per_second(arrivals: &mut Arrivals, seconds: usize) -> Vec<f64> {
    let mut counts = vec![0.0; seconds];
    while arrivals.peek() < seconds as i64 * SECOND {
        counts[(arrivals.next() / SECOND) as usize] += 1.0;
    }
    counts
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Variance over mean.
fn dispersion(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64 / mean
}

fn correlation(xs: &[f64], ys: &[f64]) -> f64 {
    let (mx, my) = (mean(xs), mean(ys));
    let covariance: f64 = xs.iter().zip(ys).map(|(x, y)| (x - mx) * (y - my)).sum();
    let spread = |values: &[f64], mean: f64| {
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt()
    };
    covariance / (spread(xs, mx) * spread(ys, my))
}

/// The Kolmogorov-Smirnov distance times the root of the sample's size: above 1.63 by chance once
/// in 100 times.
fn kolmogorov_smirnov(mut sample: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let distance = sample.iter().enumerate().fold(0.0_f64, |distance, (i, &x)| {
        let expected = cdf(x);
        distance.max((expected - i as f64 / n).abs()).max(((i + 1) as f64 / n - expected).abs())
    });
    distance * n.sqrt()
}

fn gaps_s(times: &[i64]) -> Vec<f64> {
    times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / SECOND_F64).collect()
}

#[test]
fn names_cover_every_kind_in_order_and_match_serde() {
    let kinds = SCHEDULED.into_iter().chain([ArrivalKind::Max]);
    for (kind, name) in kinds.zip(ArrivalKind::NAMES) {
        assert_eq!(kind.name(), name);
        let json = serde_json::to_value(kind).unwrap();
        assert_eq!(json, name);
        assert_eq!(serde_json::from_value::<ArrivalKind>(json).unwrap(), kind);
    }
    assert_eq!(serde_json::to_value(BurstCorrelation::Shared).unwrap(), "shared");
}

#[test]
fn every_kind_keeps_its_mean_rate() {
    // 20000 s: the share of bursts then has a standard deviation of 0.5 %, the mean rate one of 0.7
    // %.
    let seconds = 20_000;
    for kind in SCHEDULED {
        for rate in [0.3, 40.0] {
            let count = take_until(&mut one(kind, rate, 7), seconds * SECOND).len() as f64;
            let off = count / (rate * seconds as f64) - 1.0;
            assert!(off.abs() < 0.025, "{} at {rate}: off by {off}", kind.name());
        }
    }
    let skewed = per_second(&mut one_with(ArrivalKind::Mmpp, SKEWED, 40.0, 7), seconds as usize);
    assert!((mean(&skewed) / 40.0 - 1.0).abs() < 0.04, "{}", mean(&skewed));
}

#[test]
fn seeds_and_producers_give_streams_of_their_own() {
    for kind in SCHEDULED.into_iter().skip(1) {
        let stream =
            |seed, producer| take(&mut Arrivals::new(kind, 100.0, seed, producer, 2, shared()), 50);
        assert_eq!(stream(1, 0), stream(1, 0));
        assert_ne!(stream(1, 0), stream(2, 0));
        assert_ne!(stream(1, 0), stream(1, 1));
    }
}

#[test]
fn golden_values_are_the_same_on_every_machine() {
    let golden: [(&str, [i64; 6]); 5] = [
        ("uniform", [333_333, 1_333_333, 2_333_333, 3_333_333, 999_333_333, 9_999_333_333]),
        ("poisson", [144_285, 1_122_383, 1_595_796, 2_610_275, 997_321_723, 10_071_248_656]),
        (
            "poisson_normalized",
            [832_533, 2_273_948, 3_211_364, 4_755_955, 998_513_088, 9_999_495_460],
        ),
        ("mmpp", [86_571, 673_430, 957_477, 1_566_165, 598_393_034, 8_917_880_262]),
        ("mmpp_windowed", [151_005, 432_378, 1_105_542, 2_304_338, 627_445_476, 8_447_962_399]),
    ];
    let got = SCHEDULED.map(|kind| {
        let mut arrivals = Arrivals::new(kind, 1000.0, 42, 1, 3, Bursts::default());
        let mut picked = [0; 6];
        picked[..4].fill_with(|| arrivals.next());
        picked[4] = take(&mut arrivals, 996)[995];
        picked[5] = take(&mut arrivals, 9000)[8999];
        (kind.name(), picked)
    });
    assert_eq!(got, golden);
}

#[test]
fn uniform_arrivals_are_even_and_do_not_drift() {
    let mut arrivals = one(ArrivalKind::Uniform, 3.0, 0);
    assert_eq!(take(&mut arrivals, 4), [0, 333_333_333, 666_666_667, SECOND]);
    // 30 days at 100000/s, without drawing them all.
    let mut uniform = Uniform::new(100_000.0, Share { producer: 0, producers: 1 });
    uniform.count = 100_000 * 86_400 * 30;
    assert_eq!(uniform.arrival(), 86_400 * 30 * SECOND);
    assert_eq!(uniform.draw(), 86_400 * 30 * SECOND + 10_000);
    // A gap that no float holds: 7 events take a second, after 30 days to the nanosecond.
    let mut thirds = Uniform::new(7.0, Share { producer: 0, producers: 1 });
    thirds.count = 7 * 86_400 * 30;
    assert_eq!(thirds.arrival(), 86_400 * 30 * SECOND);
}

#[test]
fn uniform_producers_interleave_evenly() {
    let mut all: Vec<i64> = (0..4)
        .flat_map(|producer| {
            let kind = ArrivalKind::Uniform;
            take(&mut Arrivals::new(kind, 250.0, 9, producer, 4, Bursts::default()), 500)
        })
        .collect();
    all.sort_unstable();
    assert!(all.iter().enumerate().all(|(i, &at)| at == i as i64 * 1_000_000));
}

#[test]
fn poisson_gaps_are_exponential() {
    let times = take(&mut one(ArrivalKind::Poisson, 1000.0, 3), 200_001);
    let exponential = Exp::new(1000.0).unwrap();
    let distance = kolmogorov_smirnov(gaps_s(&times), |x| exponential.cdf(x));
    assert!(distance < 1.63, "{distance}");
    let gaps = gaps_s(&times);
    let neighbours = correlation(&gaps[1..], &gaps[..gaps.len() - 1]);
    assert!(neighbours.abs() < 0.01, "{neighbours}");
}

#[test]
fn poisson_counts_have_a_variance_of_their_mean() {
    let steady = Mmpp { rate_ratio: 1.0, ..Mmpp::default() };
    for kind in [ArrivalKind::Poisson, ArrivalKind::Mmpp] {
        let dispersion = dispersion(&per_second(&mut one_with(kind, steady, 100.0, 5), 5000));
        assert!((dispersion - 1.0).abs() < 0.06, "{}: {dispersion}", kind.name());
    }
    for rate in [5.0, 100.0] {
        let dispersion = dispersion(&per_second(
            &mut one_with(ArrivalKind::MmppWindowed, steady, rate, 5),
            5000,
        ));
        assert!((dispersion - 1.0).abs() < 0.06, "windowed at {rate}: {dispersion}");
    }
}

#[test]
fn sums_of_gaps_stay_exact_after_years() {
    // 10 years on, a float of nanoseconds would round to 64 ns; the gaps must still be exponential.
    let mut arrivals = one(ArrivalKind::Poisson, 1e8, 3);
    let Process::Modulated(modulated) = &mut arrivals.process else {
        panic!("not a Poisson process")
    };
    let start = 10 * 365 * 86_400 * SECOND;
    modulated.anchor = Exact::at(start);
    modulated.pace();
    arrivals.look_ahead();
    let count = 1_000_000;
    let took_ns = take(&mut arrivals, count)[count - 1] - start;
    let off = took_ns as f64 / (count as f64 * 10.0) - 1.0;
    assert!(off.abs() < 0.004, "{off}");
}

#[test]
fn normalized_seconds_hold_exactly_the_rate() {
    for rate in [1, 32, 33, 1000, 4096, 70_001] {
        let mut arrivals = one(ArrivalKind::PoissonNormalized, f64::from(rate), 11);
        for second in 0..5 {
            let times = take(&mut arrivals, rate as usize);
            assert!(times.is_sorted());
            assert!(times[0] >= second * SECOND, "{rate}/s: {} before second {second}", times[0]);
            assert!(
                times[times.len() - 1] < (second + 1) * SECOND,
                "{rate}/s: past second {second}"
            );
        }
    }
}

#[test]
fn normalized_seconds_of_a_fractional_rate_add_up() {
    let mut arrivals = one(ArrivalKind::PoissonNormalized, 2.3, 11);
    let counts = per_second(&mut arrivals, 1000);
    assert!(counts.iter().all(|&count| [2, 3].contains(&(count as u32))));
    assert!((counts.iter().sum::<f64>() - 2300.0).abs() < 0.5);
    // Three producers share 10 events: in every second 10, whoever sends them.
    let shares = [0, 1, 2].map(|producer| {
        let kind = ArrivalKind::PoissonNormalized;
        per_second(&mut Arrivals::new(kind, 10.0 / 3.0, 1, producer, 3, Bursts::default()), 1000)
    });
    assert!(
        (0..1000)
            .all(|second| shares.iter().map(|counts| counts[second] as u32).sum::<u32>() == 10)
    );
}

#[test]
fn normalized_gaps_are_those_of_points_placed_at_random() {
    // n points at random in a second: a gap is Beta(1, n), each order statistic k is Beta(k, n + 1
    // - k).
    let n = 100;
    let mut arrivals = one(ArrivalKind::PoissonNormalized, 100.0, 13);
    let seconds: Vec<Vec<i64>> = (0..3000).map(|_| take(&mut arrivals, n)).collect();
    let gap = Beta::new(1.0, n as f64).unwrap();
    for pair in [0, 15, 31, 32, 50, 98] {
        let gaps = seconds
            .iter()
            .map(|times| (times[pair + 1] - times[pair]) as f64 / SECOND_F64)
            .collect();
        let distance = kolmogorov_smirnov(gaps, |x| gap.cdf(x));
        assert!(distance < 1.63, "gap {pair}: {distance}");
    }
    for k in [1, 20, 50, 100] {
        let order = Beta::new(k as f64, (n + 1 - k) as f64).unwrap();
        let offsets =
            seconds.iter().map(|times| (times[k - 1] % SECOND) as f64 / SECOND_F64).collect();
        let distance = kolmogorov_smirnov(offsets, |x| order.cdf(x));
        assert!(distance < 1.63, "point {k}: {distance}");
    }
    // Gaps between such uniform points are nearly exponential, with the rate of the second.
    let times: Vec<i64> = seconds.concat();
    let exponential = Exp::new(100.0).unwrap();
    let distance =
        kolmogorov_smirnov(gaps_s(&times), |x| exponential.cdf(x)) / (times.len() as f64).sqrt();
    assert!(distance < 0.01, "{distance}");
}

#[test]
fn coins_are_fair() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for count in [0, 1, 63, 64, 65, 1000] {
        let rounds = 20_000;
        let sum: u64 = (0..rounds).map(|_| heads(&mut rng, count)).sum();
        let off = sum as f64 - (count * rounds) as f64 / 2.0;
        assert!(off.abs() <= 4.0 * ((count * rounds) as f64 / 4.0).sqrt(), "{count}: {off}");
    }
}

#[test]
fn states_last_exponential_times_and_start_stationary() {
    let mut path = StatePath::new(SKEWED, 17);
    path.stay();
    let mut sojourns = [Vec::new(), Vec::new()];
    for _ in 0..20_000 {
        let (burst, from) = (path.burst, path.until);
        path.switch();
        assert_ne!(path.burst, burst);
        sojourns[usize::from(path.burst)].push(path.until.since(from) / SECOND_F64);
    }
    for (sample, leave) in sojourns.into_iter().zip([SKEWED.q12, SKEWED.q21]) {
        let exponential = Exp::new(leave).unwrap();
        let distance = kolmogorov_smirnov(sample, |x| exponential.cdf(x));
        assert!(distance < 1.63, "{distance}");
    }
    let bursts = (0..10_000).filter(|&seed| StatePath::new(SKEWED, seed).burst).count() as f64;
    assert!((bursts / 10_000.0 - 0.2).abs() < 0.015, "{bursts}");
}

#[test]
fn windowed_states_switch_as_the_continuous_chain_does() {
    let mut path = StatePath::new(SKEWED, 19);
    let (mut seconds, mut switches) = ([0.0, 0.0], [0.0, 0.0]);
    for _ in 0..100_000 {
        let burst = path.burst;
        path.next_second();
        seconds[usize::from(burst)] += 1.0;
        switches[usize::from(burst)] += f64::from(u8::from(path.burst != burst));
    }
    // 1 - exp(-2) = 0.8647 times the stationary probability of the other state.
    assert!((switches[0] / seconds[0] - 0.2 * 0.864_664_7).abs() < 0.005);
    assert!((switches[1] / seconds[1] - 0.8 * 0.864_664_7).abs() < 0.012);
    assert!((seconds[1] / 100_000.0 - 0.2).abs() < 0.006);
}

#[test]
fn bursts_are_as_much_denser_as_asked_and_poisson_inside() {
    let rate = 200.0;
    let mut arrivals = one_with(ArrivalKind::Mmpp, SKEWED, rate, 23);
    let Process::Modulated(ModulatedPoisson { path: Some(mut path), .. }) =
        arrivals.process.clone()
    else {
        panic!("not an MMPP")
    };
    let (mut events, mut seconds) = ([0.0, 0.0], [0.0, 0.0]);
    // Gaps in units of the mean gap of the one state that they lie in.
    let mut gaps = Vec::new();
    let mut from_ns = 0;
    for _ in 0..4000 {
        let (state, until_ns) = (usize::from(path.burst), path.until.whole_ns);
        let times = take_until(&mut arrivals, until_ns);
        events[state] += times.len() as f64;
        seconds[state] += (until_ns - from_ns) as f64 / SECOND_F64;
        gaps.extend(
            times.first().map(|first| (first - from_ns) as f64 / SECOND_F64 * path.intensity(rate)),
        );
        from_ns = until_ns;
        path.switch();
    }
    let [calm, burst] = [0, 1].map(|state| events[state] / seconds[state]);
    // l1 = 200 / (0.8 + 0.2 * 20), l2 = 20 * l1.
    assert!((calm / (200.0 / 4.8) - 1.0).abs() < 0.01, "{calm}");
    assert!((burst / calm / 20.0 - 1.0).abs() < 0.01, "{burst}");
    // The wait after a switch is exponential at the new intensity (but for states that end before).
    let waits = gaps.len() as f64;
    assert!((gaps.iter().sum::<f64>() / waits - 1.0).abs() < 0.07, "{}", mean(&gaps));
    assert!(
        (gaps.iter().filter(|&&gap| gap < std::f64::consts::LN_2).count() as f64 / waits - 0.5)
            .abs()
            < 0.03
    );
}

#[test]
fn producers_are_independent_unless_they_share_their_bursts() {
    for kind in [ArrivalKind::Mmpp, ArrivalKind::MmppWindowed] {
        let counts = |producer, bursts| {
            per_second(&mut Arrivals::new(kind, 500.0, 29, producer, 3, bursts), 3000)
        };
        // The state outlives a second: of 3000 seconds about 1000 count as independent.
        let alone = [0, 1, 2].map(|producer| counts(producer, Bursts::default()));
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            let correlation = correlation(&alone[a], &alone[b]);
            assert!(correlation.abs() < 0.1, "{}: {correlation}", kind.name());
        }
        let together = [0, 2].map(|producer| counts(producer, shared()));
        let shared = correlation(&together[0], &together[1]);
        assert!(shared > 0.97, "{}: {shared}", kind.name());
        assert_ne!(together[0], together[1]);
    }
    let poisson = [0, 1].map(|producer| {
        let kind = ArrivalKind::Poisson;
        per_second(&mut Arrivals::new(kind, 100.0, 29, producer, 2, shared()), 5000)
    });
    let correlation = correlation(&poisson[0], &poisson[1]);
    assert!(correlation.abs() < 0.05, "{correlation}");
}

#[test]
fn a_new_rate_holds_from_its_offset_on() {
    for kind in SCHEDULED {
        let from_ns = 2000 * SECOND + SECOND / 4;
        let unchanged = take_until(&mut one(kind, 50.0, 31), from_ns);
        let mut arrivals = one(kind, 50.0, 31);
        arrivals.set_rate(from_ns, 500.0);
        assert_eq!(take_until(&mut arrivals, from_ns), unchanged, "{}", kind.name());
        let after = take_until(&mut arrivals, from_ns + 2000 * SECOND).len() as f64;
        assert!((after / 1e6 - 1.0).abs() < 0.07, "{}: {after}", kind.name());
    }
}

#[test]
fn uniform_arrivals_keep_their_phase_when_the_rate_changes() {
    let mut arrivals = one(ArrivalKind::Uniform, 10.0, 0);
    arrivals.set_rate(SECOND, 20.0);
    arrivals.set_rate(SECOND + SECOND / 40, 10.0);
    let times = take_until(&mut arrivals, 2 * SECOND);
    assert_eq!(times[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|tenth| tenth * SECOND / 10));
    // Half of a gap at 20/s, then half of one at 10/s.
    assert_eq!(times[10..13], [1_000_000_000, 1_075_000_000, 1_175_000_000]);
}

#[test]
fn normalized_seconds_are_exact_again_after_a_new_rate() {
    let mut arrivals = one(ArrivalKind::PoissonNormalized, 100.0, 37);
    arrivals.set_rate(3 * SECOND + SECOND / 2, 40.0);
    let counts = per_second(&mut arrivals, 8);
    assert_eq!(counts[..3], [100.0; 3]);
    assert_eq!(counts[4..], [40.0; 4]);
    let mut arrivals = one(ArrivalKind::PoissonNormalized, 100.0, 37);
    arrivals.set_rate(3 * SECOND, 40.0);
    assert_eq!(per_second(&mut arrivals, 6), [100.0, 100.0, 100.0, 40.0, 40.0, 40.0]);
}

#[test]
fn a_rate_of_zero_is_a_pause() {
    for kind in SCHEDULED {
        let mut arrivals = one(kind, 100.0, 41);
        arrivals.set_rate(5 * SECOND, 0.0);
        take_until(&mut arrivals, 5 * SECOND);
        assert_eq!(arrivals.next(), NEVER, "{}", kind.name());
        arrivals.set_rate(100 * SECOND, 100.0);
        assert!(arrivals.peek() >= 100 * SECOND, "{}", kind.name());
        assert!(take_until(&mut arrivals, 110 * SECOND).len() > 300, "{}", kind.name());
        assert_eq!(one(kind, 0.0, 1).next(), NEVER);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whether a change is known long before or just in time makes no difference, and neither do
    /// others before it.
    #[test]
    fn the_stream_is_a_function_of_its_rate_changes(
        kind in prop::sample::select(SCHEDULED.to_vec()),
        seed in any::<u64>(),
        start in 0.5..200.0_f64,
        mut changes in prop::collection::vec(
            (0..20 * SECOND, prop_oneof![Just(0.0), 0.5..300.0_f64]),
            0..5,
        ),
    ) {
        changes.sort_by_key(|change| change.0);
        let mut early = one(kind, start, seed);
        for &(from_ns, rate) in &changes {
            early.set_rate(from_ns, rate);
        }
        let mut late = one(kind, start, seed);
        let mut times = Vec::new();
        for &(from_ns, rate) in &changes {
            times.extend(take_until(&mut late, from_ns));
            late.set_rate(from_ns, rate);
        }
        times.extend(take_until(&mut late, 30 * SECOND));
        prop_assert!(times.is_sorted());
        prop_assert_eq!(take_until(&mut early, 30 * SECOND), times);
    }

    /// A change that comes late leaves what was given, and nothing runs backwards.
    #[test]
    fn a_late_change_never_runs_backwards(
        kind in prop::sample::select(SCHEDULED.to_vec()),
        seed in any::<u64>(),
        changes in prop::collection::vec((0..200_usize, 0..5 * SECOND, 0.5..300.0_f64), 0..6),
    ) {
        let mut arrivals = one(kind, 50.0, seed);
        let mut times = Vec::new();
        for (count, from_ns, rate) in changes {
            times.extend(take(&mut arrivals, count));
            arrivals.set_rate(from_ns, rate);
        }
        times.extend(take(&mut arrivals, 50));
        prop_assert!(times.is_sorted());
    }
}
