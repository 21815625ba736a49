//! Arrival processes: when each event of a producer is due, decided by the seed alone.
//!
//! An [`Arrivals`] is an endless, non-decreasing stream of offsets in nanoseconds from the start of the schedule. It is
//! a pure function of its arguments and of the rate changes: never of how far somebody looked ahead. Nothing drifts,
//! however long it runs, and nothing is allocated while it does.
//!
//! - `uniform` counts events and multiplies, so that no rounded gap adds up.
//! - `poisson` and `mmpp` are one Poisson process of rate 1, run through a clock as fast as the intensity of the moment
//!   (the random time change theorem: Brown and Nair, *A simple proof of the multivariate random time change theorem for
//!   point processes*, 1988). What is left of a gap when the intensity changes stays exponential, so that switches are
//!   exact, and so are rate changes.
//! - `poisson_normalized` and `mmpp_windowed` decide a count once a second and spread it uniformly at random. That many
//!   exponential gaps and one more, scaled to the second, are the same thing in law.

use std::cmp::min;

use rand_distr::{Distribution, Exp1, Poisson};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::clock::SECOND;

/// No arrival, no boundary.
const NEVER: i64 = i64::MAX;
/// The lowest rate that yields events (events per second): one in twelve days.
const LEAST_RATE: f64 = 1e-6;
const SECOND_F64: f64 = SECOND as f64;

/// How the events of a producer are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrivalKind {
    /// Evenly spaced; the producers are staggered, so that the total is even too.
    Uniform,
    /// Exponential gaps.
    Poisson,
    /// Exponential gaps scaled so that each second holds exactly `rate` events, all inside [0, 1). A rate that is not a
    /// whole number alternates between its neighbours; all producers together hold the total rate in every second.
    PoissonNormalized,
    /// A Poisson process whose intensity switches between two states in continuous time.
    Mmpp(Mmpp),
    /// The same two states, but state and count are drawn once a second.
    MmppWindowed(Mmpp),
    /// As fast as the broker takes events: there is no schedule (see [`Pacer`](crate::pacing::Pacer)).
    Max,
}

impl ArrivalKind {
    /// The names of all kinds, as in the settings.
    pub const NAMES: [&'static str; 6] = ["uniform", "poisson", "poisson_normalized", "mmpp", "mmpp_windowed", "max"];

    /// The name of this kind, as in the settings.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Poisson => "poisson",
            Self::PoissonNormalized => "poisson_normalized",
            Self::Mmpp(_) => "mmpp",
            Self::MmppWindowed(_) => "mmpp_windowed",
            Self::Max => "max",
        }
    }
}

/// A two-state Markov-modulated Poisson process with a calm and a burst state (Fischer and Meier-Hellstern, *The
/// Markov-modulated Poisson process cookbook*, 1993). The mean rate is the stream's own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

    /// The probability that the continuous chain, now in the state, is in the other one a second later:
    /// `p12 = pi2*(1-exp(-(q12+q21)))`, `p21 = pi1*(1-exp(-(q12+q21)))`.
    fn switch_within_second(&self, burst: bool) -> f64 {
        let other = if burst { self.calm_share() } else { 1.0 - self.calm_share() };
        other * -(-(self.q12 + self.q21)).exp_m1()
    }

    fn assert_valid(&self) {
        let Self { rate_ratio, q12, q21 } = *self;
        assert!(rate_ratio.is_finite() && rate_ratio > 0.0, "rate_ratio must be above 0, but is {rate_ratio}");
        assert!(q12.is_finite() && q12 >= 0.0, "q12 must not be negative, but is {q12}");
        assert!(q21.is_finite() && q21 >= 0.0, "q21 must not be negative, but is {q21}");
        assert!(q12 + q21 > 0.0, "q12 and q21 must not both be 0");
    }
}

/// Whether the producers of a run burst together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BurstCorrelation {
    /// Each producer has its own state.
    #[default]
    Independent,
    /// All producers share the path of the states, not the arrivals.
    Shared,
}

/// The arrivals of one producer: an endless stream of offsets from the start of the schedule, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Arrivals {
    kind: ArrivalKind,
    /// As of the last arrival given, with the next one drawn, as if no boundary came in between.
    process: Process,
    /// The process behind the boundaries (switches, seconds, rate changes) that lie before the upcoming arrival, and how
    /// many rate changes that took. Kept apart, because a rate change may still come before them.
    beyond: Option<(Process, usize)>,
    /// Rate changes to come (offset, events per second), ascending.
    changes: Vec<(i64, f64)>,
    /// The first boundary of `process`.
    limit: i64,
    upcoming: i64,
    last: i64,
}

impl Arrivals {
    /// The stream of producer `producer` (from 0) of `producers`, at a mean rate in events per second. Rates below 1e-6
    /// yield no events at all.
    ///
    /// # Panics
    /// When the rate is negative or not finite, when `producer` is not below `producers`, or when the MMPP has a
    /// negative or no rate of switching, or a ratio that is not positive.
    pub fn new(
        kind: ArrivalKind,
        rate_per_producer: f64,
        seed: u64,
        producer: u32,
        producers: u32,
        burst: BurstCorrelation,
    ) -> Self {
        assert!(producer < producers, "there is no producer {producer} among {producers}");
        if let ArrivalKind::Mmpp(mmpp) | ArrivalKind::MmppWindowed(mmpp) = kind {
            mmpp.assert_valid();
        }
        let rate = checked(rate_per_producer);
        let own = derive_seed(seed, Purpose::Arrivals as u64, u64::from(producer));
        let path = |mmpp: Mmpp| {
            let of = match burst {
                BurstCorrelation::Independent => u64::from(producer),
                BurstCorrelation::Shared => u64::MAX,
            };
            StatePath::new(mmpp, derive_seed(seed, Purpose::States as u64, of))
        };
        let share = Share { producer, producers };
        let process = match kind {
            ArrivalKind::Uniform => Process::Uniform(Uniform::new(rate, share)),
            ArrivalKind::Poisson => Process::Modulated(Modulated::new(rate, own, None)),
            ArrivalKind::Mmpp(mmpp) => Process::Modulated(Modulated::new(rate, own, Some(path(mmpp)))),
            ArrivalKind::PoissonNormalized => {
                Process::PerSecond(PerSecond::new(rate, own, Counts::Exact { origin_ns: 0, share }))
            }
            ArrivalKind::MmppWindowed(mmpp) => {
                Process::PerSecond(PerSecond::new(rate, own, Counts::Random(path(mmpp))))
            }
            ArrivalKind::Max => Process::Max,
        };
        let mut arrivals =
            Self { kind, process, beyond: None, changes: Vec::new(), limit: NEVER, upcoming: 0, last: 0 };
        arrivals.look_ahead();
        arrivals
    }

    /// The kind of the process.
    pub fn kind(&self) -> ArrivalKind {
        self.kind
    }

    /// What [`next`](Self::next) will give, unless the rate changes before; `i64::MAX`: nothing, at a rate of 0.
    pub fn peek(&self) -> i64 {
        self.upcoming
    }

    /// The next arrival, never before one already given. Means nothing for [`ArrivalKind::Max`].
    #[allow(clippy::should_implement_trait, reason = "the stream has no end, so an Option would only mislead")]
    #[inline]
    pub fn next(&mut self) -> i64 {
        let given = self.upcoming;
        if given == NEVER {
            return NEVER;
        }
        if let Some((process, changes)) = self.beyond.take() {
            self.process = process;
            self.changes.drain(..changes);
            self.limit = self.first_boundary();
        }
        self.last = given;
        let drawn = self.process.draw();
        if drawn < self.limit {
            self.upcoming = drawn;
        } else {
            self.look_ahead();
        }
        given
    }

    /// From this offset on arrivals come at the new rate (events per second); those before stay as they were, and so do
    /// those already given. Replaces earlier changes from the same offset or later. Nothing changes for
    /// [`ArrivalKind::Max`].
    ///
    /// The state of an MMPP goes on undisturbed, and uniform arrivals keep their phase.
    ///
    /// # Panics
    /// When the rate is negative or not finite.
    pub fn set_rate(&mut self, from_ns: i64, rate: f64) {
        let from_ns = from_ns.max(self.last);
        self.changes.retain(|&(earlier_ns, _)| earlier_ns < from_ns);
        self.changes.push((from_ns, checked(rate)));
        self.look_ahead();
    }

    fn first_boundary(&self) -> i64 {
        min(self.process.boundary(), self.changes.first().map_or(NEVER, |change| change.0))
    }

    /// Finds the upcoming arrival, across the boundaries before it.
    #[cold]
    #[inline(never)]
    fn look_ahead(&mut self) {
        self.beyond = None;
        self.limit = self.first_boundary();
        self.upcoming = self.process.arrival();
        if self.upcoming < self.limit || self.limit == NEVER {
            return;
        }
        let mut process = self.process.clone();
        let mut taken = 0;
        loop {
            let change = self.changes.get(taken).copied();
            let (boundary_ns, change_ns) = (process.boundary(), change.map_or(NEVER, |change| change.0));
            let arrival = process.arrival();
            if arrival < min(boundary_ns, change_ns) || (boundary_ns == NEVER && change.is_none()) {
                self.upcoming = arrival;
                break;
            }
            match change {
                Some((from_ns, rate)) if from_ns < boundary_ns => {
                    process.set_rate(from_ns, rate);
                    taken += 1;
                }
                None if process.is_silent() => {
                    self.upcoming = NEVER;
                    break;
                }
                _ => process.cross(),
            }
        }
        self.beyond = Some((process, taken));
    }
}

fn checked(rate: f64) -> f64 {
    assert!(rate.is_finite() && rate >= 0.0, "a rate must not be negative, but is {rate}");
    if rate < LEAST_RATE { 0.0 } else { rate }
}

/// What a seed derived from the run's is for.
#[derive(Clone, Copy)]
enum Purpose {
    Arrivals = 1,
    States = 2,
}

/// Mixes two words into a seed by rounds of `SplitMix64` (Steele, Lea and Flood, *Fast splittable pseudorandom number
/// generators*, 2014).
fn derive_seed(seed: u64, purpose: u64, number: u64) -> u64 {
    [purpose, number].into_iter().fold(seed, |mixed, word| {
        let mut z = (mixed ^ word.wrapping_mul(0xD134_2543_DE82_EF95)).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

fn exponential(rng: &mut Xoshiro256PlusPlus) -> f64 {
    Exp1.sample(rng)
}

/// True with the given probability.
fn chance(rng: &mut Xoshiro256PlusPlus, probability: f64) -> bool {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    ((rng.next_u64() >> 11) as f64 * STEP) < probability
}

/// One process of a kind: the arrival drawn last, and how to go on from it.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per producer, and a box would allocate every second")]
enum Process {
    Uniform(Uniform),
    Modulated(Modulated),
    PerSecond(PerSecond),
    Max,
}

impl Process {
    /// The arrival drawn, valid only if it lies before the boundary and the next rate change.
    fn arrival(&self) -> i64 {
        match self {
            Self::Uniform(uniform) => uniform.arrival(),
            Self::Modulated(modulated) => modulated.arrival.whole_ns,
            Self::PerSecond(per_second) => per_second.arrival,
            Self::Max => 0,
        }
    }

    /// The next time at which the process itself changes.
    fn boundary(&self) -> i64 {
        match self {
            Self::Modulated(Modulated { path: Some(path), .. }) => path.until.whole_ns,
            Self::PerSecond(per_second) => per_second.end_ns,
            Self::Uniform(_) | Self::Modulated(_) | Self::Max => NEVER,
        }
    }

    /// Whether nothing arrives before a rate change.
    fn is_silent(&self) -> bool {
        match self {
            Self::Uniform(uniform) => uniform.rate == 0.0,
            Self::Modulated(modulated) => modulated.rate == 0.0,
            Self::PerSecond(per_second) => per_second.rate == 0.0,
            Self::Max => false,
        }
    }

    /// Goes past the boundary.
    fn cross(&mut self) {
        match self {
            Self::Modulated(modulated) => modulated.switch(),
            Self::PerSecond(per_second) => per_second.next_second(),
            Self::Uniform(_) | Self::Max => {}
        }
    }

    /// Goes to an offset between the last arrival and the boundary, and on from there at another rate.
    fn set_rate(&mut self, from_ns: i64, rate: f64) {
        match self {
            Self::Uniform(uniform) => uniform.set_rate(from_ns, rate),
            Self::Modulated(modulated) => modulated.set_rate(from_ns, rate),
            Self::PerSecond(per_second) => per_second.set_rate(from_ns, rate),
            Self::Max => {}
        }
    }

    /// Takes the arrival as given, and draws the next.
    #[inline]
    fn draw(&mut self) -> i64 {
        match self {
            Self::Uniform(uniform) => uniform.draw(),
            Self::Modulated(modulated) => modulated.draw(),
            Self::PerSecond(per_second) => per_second.draw(),
            Self::Max => 0,
        }
    }
}

/// A producer's place among all.
#[derive(Clone, Copy, Debug)]
struct Share {
    producer: u32,
    producers: u32,
}

/// Event number n is due (first + n)/rate seconds after the last rate change.
#[derive(Clone, Debug)]
struct Uniform {
    from_ns: i64,
    rate: f64,
    /// The part of a gap from `from_ns` to the first event.
    first: f64,
    count: i64,
}

impl Uniform {
    fn new(rate: f64, share: Share) -> Self {
        Self { from_ns: 0, rate, first: f64::from(share.producer) / f64::from(share.producers), count: 0 }
    }

    fn arrival(&self) -> i64 {
        if self.rate == 0.0 {
            return NEVER;
        }
        let after_ns = (self.first + self.count as f64) * SECOND_F64 / self.rate;
        self.from_ns.saturating_add((after_ns + 0.5) as i64)
    }

    fn draw(&mut self) -> i64 {
        self.count += 1;
        self.arrival()
    }

    fn set_rate(&mut self, from_ns: i64, rate: f64) {
        let passed = (from_ns - self.from_ns) as f64 * self.rate / SECOND_F64;
        let first = (self.first + self.count as f64 - passed).max(0.0);
        *self = Self { from_ns, rate, first, count: 0 };
    }
}

/// A time in nanoseconds and a fraction of one, so that sums of gaps keep their precision however large they grow.
#[derive(Clone, Copy, Debug)]
struct Exact {
    whole_ns: i64,
    fraction_ns: f64,
}

impl Exact {
    fn at(whole_ns: i64) -> Self {
        Self { whole_ns, fraction_ns: 0.0 }
    }

    #[inline]
    fn plus(self, gap_ns: f64) -> Self {
        let sum_ns = self.fraction_ns + gap_ns;
        let whole_ns = sum_ns as i64;
        Self { whole_ns: self.whole_ns.saturating_add(whole_ns), fraction_ns: sum_ns - whole_ns as f64 }
    }

    fn since(self, earlier: Self) -> f64 {
        (self.whole_ns - earlier.whole_ns) as f64 + (self.fraction_ns - earlier.fraction_ns)
    }
}

/// The states of an MMPP in time.
#[derive(Clone, Debug)]
struct StatePath {
    mmpp: Mmpp,
    rng: Xoshiro256PlusPlus,
    burst: bool,
    /// When the state is left, in continuous time.
    until: Exact,
}

impl StatePath {
    /// Starts in a state drawn from the stationary distribution.
    fn new(mmpp: Mmpp, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let burst = !chance(&mut rng, mmpp.calm_share());
        Self { mmpp, rng, burst, until: Exact::at(0) }
    }

    /// Draws how long the present state lasts: exponential, and so no matter how long it lasted already.
    fn stay(&mut self) {
        let leave_per_second = if self.burst { self.mmpp.q21 } else { self.mmpp.q12 };
        let sojourn_ns = exponential(&mut self.rng).max(f64::MIN_POSITIVE) * SECOND_F64 / leave_per_second;
        self.until = if sojourn_ns < NEVER as f64 { self.until.plus(sojourn_ns) } else { Exact::at(NEVER) };
    }

    fn switch(&mut self) {
        self.burst = !self.burst;
        self.stay();
    }

    /// The state a second later.
    fn next_second(&mut self) {
        let probability = self.mmpp.switch_within_second(self.burst);
        self.burst ^= chance(&mut self.rng, probability);
    }

    fn intensity(&self, rate: f64) -> f64 {
        self.mmpp.intensity(rate, self.burst)
    }
}

/// A Poisson process, with or without states.
#[derive(Clone, Debug)]
struct Modulated {
    rng: Xoshiro256PlusPlus,
    path: Option<StatePath>,
    /// The mean, in events per second.
    rate: f64,
    /// The mean gap in the present state; infinite at a rate of 0.
    gap_ns: f64,
    /// The last arrival or change of intensity.
    anchor: Exact,
    /// The gap from the anchor to the arrival in units of the mean gap: exponential with mean 1.
    wait: f64,
    arrival: Exact,
}

impl Modulated {
    fn new(rate: f64, seed: u64, mut path: Option<StatePath>) -> Self {
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

    fn draw(&mut self) -> i64 {
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
    fn pace(&mut self) {
        self.gap_ns = SECOND_F64 / self.path.as_ref().map_or(self.rate, |path| path.intensity(self.rate));
        // Above 0, so that it stays infinite when the gap is.
        self.wait = self.wait.max(f64::MIN_POSITIVE);
        self.arrival = self.anchor.plus(self.wait * self.gap_ns);
    }

    fn switch(&mut self) {
        if let Some(path) = &mut self.path {
            let at = path.until;
            path.switch();
            self.move_anchor(at);
            self.pace();
        }
    }

    fn set_rate(&mut self, from_ns: i64, rate: f64) {
        self.move_anchor(Exact::at(from_ns));
        self.rate = rate;
        self.pace();
    }
}

/// Arrivals whose count is decided for each second of the schedule, or for what a rate change left of one.
#[derive(Clone, Debug)]
struct PerSecond {
    seed: u64,
    rate: f64,
    counts: Counts,
    start_ns: i64,
    end_ns: i64,
    points: Points,
    arrival: i64,
}

/// How many events a second holds.
#[derive(Clone, Debug)]
enum Counts {
    /// What the rate says, counted since its last change, so that fractions are not lost.
    Exact { origin_ns: i64, share: Share },
    /// A Poisson count at the intensity of the second's state.
    Random(StatePath),
}

impl PerSecond {
    fn new(rate: f64, seed: u64, counts: Counts) -> Self {
        let points = Points::new(Xoshiro256PlusPlus::seed_from_u64(seed), 0);
        let mut new = Self { seed, rate, counts, start_ns: 0, end_ns: SECOND, points, arrival: NEVER };
        new.begin();
        new
    }

    /// Decides the piece from `start_ns` to `end_ns`. Its generator comes from its start, so that a piece is the same
    /// whatever was drawn before.
    fn begin(&mut self) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed ^ derive_seed(0, 0, self.start_ns as u64));
        let count = match &self.counts {
            Counts::Exact { origin_ns, share } => {
                share.events(self.rate, self.end_ns - origin_ns) - share.events(self.rate, self.start_ns - origin_ns)
            }
            Counts::Random(path) => {
                let mean = path.intensity(self.rate) * (self.end_ns - self.start_ns) as f64 / SECOND_F64;
                Poisson::new(mean).map_or(0, |poisson| poisson.sample(&mut rng) as u64)
            }
        };
        self.points = Points::new(rng, count);
        self.draw();
    }

    fn draw(&mut self) -> i64 {
        self.arrival = self.points.next().map_or(NEVER, |point| {
            let after_ns = (point * (self.end_ns - self.start_ns) as f64) as i64;
            (self.start_ns + after_ns).min(self.end_ns - 1)
        });
        self.arrival
    }

    fn next_second(&mut self) {
        if let Counts::Random(path) = &mut self.counts {
            path.next_second();
        }
        self.start_ns = self.end_ns;
        self.end_ns += SECOND;
        self.begin();
    }

    fn set_rate(&mut self, from_ns: i64, new_rate: f64) {
        self.rate = new_rate;
        self.start_ns = from_ns;
        if let Counts::Exact { origin_ns, .. } = &mut self.counts {
            *origin_ns = from_ns;
        }
        self.begin();
    }
}

impl Share {
    /// Events of this producer in the first `time_ns` at a rate per producer. Over all producers that makes exactly the
    /// total rate times the time, rounded down (Hermite's identity). Counted in billionths of an event per second.
    fn events(self, rate: f64, time_ns: i64) -> u64 {
        const ONE: u128 = 1_000_000_000 * SECOND as u128;
        let total = (rate * f64::from(self.producers) * 1e9).round() as u128;
        let all = total * time_ns.max(0) as u128 + u128::from(self.producer) * ONE;
        (all / (u128::from(self.producers) * ONE)) as u64
    }
}

/// Points uniformly at random in [0, 1), ascending, without holding or sorting them all.
///
/// A span with many points is halved, and each point falls into either half with a fair coin (so their number is a
/// binomial one, counted in random bits); a span with few gets exponential gaps, scaled to fit. Work and memory before
/// the first point are small, however many there are.
#[derive(Clone, Debug)]
struct Points {
    rng: Xoshiro256PlusPlus,
    /// Spans yet to come, the nearest last.
    spans: [Span; MOST_SPANS],
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
struct Span {
    low: f64,
    width: f64,
    count: u64,
}

impl Points {
    fn new(rng: Xoshiro256PlusPlus, count: u64) -> Self {
        let all = Span { low: 0.0, width: 1.0, count };
        Self { rng, spans: [all; MOST_SPANS], depth: 1, few: [0.0; FEW], given: 0, held: 0 }
    }

    #[inline]
    fn next(&mut self) -> Option<f64> {
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
            self.spans[self.depth] = Span { low: span.low + width, width, count: span.count - left };
            self.depth += 1;
            span = Span { low: span.low, width, count: left };
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
fn heads(rng: &mut Xoshiro256PlusPlus, count: u64) -> u64 {
    let whole: u64 = (0..count / 64).map(|_| u64::from(rng.next_u64().count_ones())).sum();
    let rest = rng.next_u64() & ((1 << (count % 64)) - 1);
    whole + u64::from(rest.count_ones())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use statrs::distribution::{Beta, ContinuousCDF, Exp};

    use super::*;

    const MMPP: Mmpp = Mmpp { rate_ratio: 5.0, q12: 0.5, q21: 0.5 };
    const SKEWED: Mmpp = Mmpp { rate_ratio: 20.0, q12: 0.4, q21: 1.6 };
    const SCHEDULED: [ArrivalKind; 5] = [
        ArrivalKind::Uniform,
        ArrivalKind::Poisson,
        ArrivalKind::PoissonNormalized,
        ArrivalKind::Mmpp(MMPP),
        ArrivalKind::MmppWindowed(MMPP),
    ];

    fn one(kind: ArrivalKind, rate: f64, seed: u64) -> Arrivals {
        Arrivals::new(kind, rate, seed, 0, 1, BurstCorrelation::Independent)
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
        let spread = |values: &[f64], mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt();
        covariance / (spread(xs, mx) * spread(ys, my))
    }

    /// The Kolmogorov-Smirnov distance times the root of the sample's size: above 1.63 by chance once in 100 times.
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
            assert!(json == name || json.get(name).is_some(), "{json}");
            assert_eq!(serde_json::from_value::<ArrivalKind>(json).unwrap(), kind);
        }
        let partial: ArrivalKind = serde_json::from_str(r#"{"mmpp":{"rate_ratio":3}}"#).unwrap();
        assert_eq!(partial, ArrivalKind::Mmpp(Mmpp { rate_ratio: 3.0, ..Mmpp::default() }));
        assert_eq!(serde_json::to_value(BurstCorrelation::Shared).unwrap(), "shared");
    }

    #[test]
    fn every_kind_keeps_its_mean_rate() {
        // 20000 s: the share of bursts then has a standard deviation of 0.5 %, the mean rate one of 0.7 %.
        let seconds = 20_000;
        for kind in SCHEDULED {
            for rate in [0.3, 40.0] {
                let count = take_until(&mut one(kind, rate, 7), seconds * SECOND).len() as f64;
                let off = count / (rate * seconds as f64) - 1.0;
                assert!(off.abs() < 0.025, "{} at {rate}: off by {off}", kind.name());
            }
        }
        let skewed = per_second(&mut one(ArrivalKind::Mmpp(SKEWED), 40.0, 7), seconds as usize);
        assert!((mean(&skewed) / 40.0 - 1.0).abs() < 0.04, "{}", mean(&skewed));
    }

    #[test]
    fn seeds_and_producers_give_streams_of_their_own() {
        for kind in SCHEDULED.into_iter().skip(1) {
            let stream =
                |seed, producer| take(&mut Arrivals::new(kind, 100.0, seed, producer, 2, BurstCorrelation::Shared), 50);
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
            ("poisson_normalized", [832_533, 2_273_948, 3_211_364, 4_755_955, 998_513_088, 9_999_495_460]),
            ("mmpp", [86_571, 673_430, 957_477, 1_566_165, 598_393_034, 8_917_880_262]),
            ("mmpp_windowed", [151_005, 432_378, 1_105_542, 2_304_338, 627_445_476, 8_447_962_399]),
        ];
        let got = SCHEDULED.map(|kind| {
            let mut arrivals = Arrivals::new(kind, 1000.0, 42, 1, 3, BurstCorrelation::Independent);
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
                take(&mut Arrivals::new(kind, 250.0, 9, producer, 4, BurstCorrelation::Independent), 500)
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
        for kind in [ArrivalKind::Poisson, ArrivalKind::Mmpp(Mmpp { rate_ratio: 1.0, ..MMPP })] {
            let dispersion = dispersion(&per_second(&mut one(kind, 100.0, 5), 5000));
            assert!((dispersion - 1.0).abs() < 0.06, "{}: {dispersion}", kind.name());
        }
        let steady = ArrivalKind::MmppWindowed(Mmpp { rate_ratio: 1.0, ..MMPP });
        for rate in [5.0, 100.0] {
            let dispersion = dispersion(&per_second(&mut one(steady, rate, 5), 5000));
            assert!((dispersion - 1.0).abs() < 0.06, "windowed at {rate}: {dispersion}");
        }
    }

    #[test]
    fn sums_of_gaps_stay_exact_after_years() {
        // 10 years on, a float of nanoseconds would round to 64 ns; the gaps must still be exponential.
        let mut arrivals = one(ArrivalKind::Poisson, 1e8, 3);
        let Process::Modulated(modulated) = &mut arrivals.process else { panic!("not a Poisson process") };
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
                assert!(times[times.len() - 1] < (second + 1) * SECOND, "{rate}/s: past second {second}");
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
            per_second(&mut Arrivals::new(kind, 10.0 / 3.0, 1, producer, 3, BurstCorrelation::Independent), 1000)
        });
        assert!((0..1000).all(|second| shares.iter().map(|counts| counts[second] as u32).sum::<u32>() == 10));
    }

    #[test]
    fn normalized_gaps_are_those_of_points_placed_at_random() {
        // n points at random in a second: a gap is Beta(1, n), each order statistic k is Beta(k, n + 1 - k).
        let n = 100;
        let mut arrivals = one(ArrivalKind::PoissonNormalized, 100.0, 13);
        let seconds: Vec<Vec<i64>> = (0..3000).map(|_| take(&mut arrivals, n)).collect();
        let gap = Beta::new(1.0, n as f64).unwrap();
        for pair in [0, 15, 31, 32, 50, 98] {
            let gaps = seconds.iter().map(|times| (times[pair + 1] - times[pair]) as f64 / SECOND_F64).collect();
            let distance = kolmogorov_smirnov(gaps, |x| gap.cdf(x));
            assert!(distance < 1.63, "gap {pair}: {distance}");
        }
        for k in [1, 20, 50, 100] {
            let order = Beta::new(k as f64, (n + 1 - k) as f64).unwrap();
            let offsets = seconds.iter().map(|times| (times[k - 1] % SECOND) as f64 / SECOND_F64).collect();
            let distance = kolmogorov_smirnov(offsets, |x| order.cdf(x));
            assert!(distance < 1.63, "point {k}: {distance}");
        }
        // And so they are nearly exponential, with the rate of the second.
        let times: Vec<i64> = seconds.concat();
        let exponential = Exp::new(100.0).unwrap();
        let distance = kolmogorov_smirnov(gaps_s(&times), |x| exponential.cdf(x)) / (times.len() as f64).sqrt();
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
        let mut arrivals = one(ArrivalKind::Mmpp(SKEWED), rate, 23);
        let Process::Modulated(Modulated { path: Some(mut path), .. }) = arrivals.process.clone() else {
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
            gaps.extend(times.first().map(|first| (first - from_ns) as f64 / SECOND_F64 * path.intensity(rate)));
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
        assert!((gaps.iter().filter(|&&gap| gap < std::f64::consts::LN_2).count() as f64 / waits - 0.5).abs() < 0.03);
    }

    #[test]
    fn producers_are_independent_unless_they_share_their_bursts() {
        for kind in [ArrivalKind::Mmpp(MMPP), ArrivalKind::MmppWindowed(MMPP)] {
            let counts = |producer, burst| per_second(&mut Arrivals::new(kind, 500.0, 29, producer, 3, burst), 3000);
            // The state outlives a second: of 3000 seconds about 1000 count as independent.
            let alone = [0, 1, 2].map(|producer| counts(producer, BurstCorrelation::Independent));
            for (a, b) in [(0, 1), (1, 2), (0, 2)] {
                let correlation = correlation(&alone[a], &alone[b]);
                assert!(correlation.abs() < 0.1, "{}: {correlation}", kind.name());
            }
            let together = [0, 2].map(|producer| counts(producer, BurstCorrelation::Shared));
            let shared = correlation(&together[0], &together[1]);
            assert!(shared > 0.97, "{}: {shared}", kind.name());
            assert_ne!(together[0], together[1]);
        }
        let poisson = [0, 1].map(|producer| {
            let kind = ArrivalKind::Poisson;
            per_second(&mut Arrivals::new(kind, 100.0, 29, producer, 2, BurstCorrelation::Shared), 5000)
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

        /// Whether a change is known long before or just in time makes no difference, and neither do others before it.
        #[test]
        fn the_stream_is_a_function_of_its_rate_changes(
            kind in prop::sample::select(SCHEDULED.to_vec()),
            seed in any::<u64>(),
            start in 0.5..200.0_f64,
            mut changes in prop::collection::vec((0..20 * SECOND, prop_oneof![Just(0.0), 0.5..300.0_f64]), 0..5),
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
}
