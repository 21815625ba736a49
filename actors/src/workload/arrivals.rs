//! Arrival processes: when each event of a producer is due, decided by the seed alone.
//!
//! An [`Arrivals`] is an endless, non-decreasing stream of offsets in nanoseconds from the start of
//! the schedule. It is a pure function of its arguments and of the rate changes: never of how far
//! somebody looked ahead. Nothing drifts, however long it runs, and nothing is allocated while it
//! does.
//!
//! - `uniform` counts events and multiplies, so that no rounded gap adds up.
//! - `poisson` and `mmpp` are one Poisson process of rate 1, run through a clock as fast as the
//!   intensity of the moment (the random time change theorem: Brown and Nair, *A simple proof of
//!   the multivariate random time change theorem for point processes*, 1988). What is left of a gap
//!   when the intensity changes stays exponential, so that switches are exact, and so are rate
//!   changes.
//! - `poisson_normalized` and `mmpp_windowed` decide a count once a second and spread it uniformly
//!   at random. That many exponential gaps and one more, scaled to the second, are the same thing
//!   in law.

mod exact;
mod mmpp;
mod modulated;
mod per_second;
mod points;
mod random;
mod share;
#[cfg(test)]
mod tests;
mod uniform;

use std::cmp::min;

use serde::{Deserialize, Serialize};

use self::exact::NEVER;
pub use self::mmpp::Mmpp;
use self::mmpp::StatePath;
use self::modulated::ModulatedPoisson;
use self::per_second::{Counts, PerSecond};
use self::random::{Purpose, derive_seed};
use self::share::Share;
use self::uniform::Uniform;

/// The lowest rate that yields events (events per second): one in twelve days.
const LEAST_RATE: f64 = 1e-6;

/// How the events of a producer are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArrivalKind {
    /// Evenly spaced; the producers are staggered, so that the total is even too.
    Uniform,
    /// Exponential gaps.
    Poisson,
    /// Exponential gaps scaled so that each second holds exactly `rate` events, all inside [0, 1).
    /// A rate that is not a whole number alternates between its neighbours; all producers together
    /// hold the total rate in every second.
    PoissonNormalized,
    /// A Poisson process whose intensity switches between two states in continuous time.
    Mmpp,
    /// The same two states, but state and count are drawn once a second.
    MmppWindowed,
    /// As fast as the broker takes events: there is no schedule (see
    /// [`Pacer`](crate::workload::pacing::Pacer)).
    Max,
}

impl ArrivalKind {
    /// The names of all kinds, as in the settings.
    pub const NAMES: [&'static str; 6] =
        ["uniform", "poisson", "poisson_normalized", "mmpp", "mmpp_windowed", "max"];

    /// The name of this kind, as in the settings.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Poisson => "poisson",
            Self::PoissonNormalized => "poisson_normalized",
            Self::Mmpp => "mmpp",
            Self::MmppWindowed => "mmpp_windowed",
            Self::Max => "max",
        }
    }
}

/// Whether the producers of a run burst together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BurstCorrelation {
    /// Each producer has its own state.
    #[default]
    Independent,
    /// All producers share the path of the states, not the arrivals.
    Shared,
}

/// The bursts of [`ArrivalKind::Mmpp`] and [`ArrivalKind::MmppWindowed`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bursts {
    /// The calm state and the burst state.
    pub states: Mmpp,
    /// Whether the producers share the path of the states.
    pub correlation: BurstCorrelation,
}

/// The arrivals of one producer: an endless stream of offsets from the start of the schedule, in
/// nanoseconds.
#[derive(Clone, Debug)]
pub struct Arrivals {
    kind: ArrivalKind,
    /// As of the last arrival given, with the next one drawn, as if no boundary came in between.
    process: Process,
    /// The process behind the boundaries (switches, seconds, rate changes) that lie before the
    /// upcoming arrival, and how many rate changes that took. Kept apart, because a rate change may
    /// still come before them.
    beyond: Option<(Process, usize)>,
    /// Rate changes to come (offset, events per second), ascending.
    changes: Vec<(i64, f64)>,
    /// The first boundary of `process`.
    limit: i64,
    upcoming: i64,
    last: i64,
}

impl Arrivals {
    /// The stream of producer `producer` (from 0) of `producers`, at a mean rate in events per
    /// second. Rates below 1e-6 yield no events at all.
    ///
    /// # Panics
    /// When the rate is negative or not finite, when `producer` is not below `producers`, or when
    /// the MMPP has a negative or no rate of switching, or a ratio that is not positive.
    pub fn new(
        kind: ArrivalKind,
        rate_per_producer: f64,
        seed: u64,
        producer: u32,
        producers: u32,
        bursts: Bursts,
    ) -> Self {
        assert!(producer < producers, "there is no producer {producer} among {producers}");
        if matches!(kind, ArrivalKind::Mmpp | ArrivalKind::MmppWindowed) {
            bursts.states.assert_valid();
        }
        let rate = checked(rate_per_producer);
        let own = derive_seed(seed, Purpose::Arrivals as u64, u64::from(producer));
        let path = || {
            let of = match bursts.correlation {
                BurstCorrelation::Independent => u64::from(producer),
                BurstCorrelation::Shared => u64::MAX,
            };
            StatePath::new(bursts.states, derive_seed(seed, Purpose::States as u64, of))
        };
        let share = Share { producer, producers };
        let process = match kind {
            ArrivalKind::Uniform => Process::Uniform(Uniform::new(rate, share)),
            ArrivalKind::Poisson => Process::Modulated(ModulatedPoisson::new(rate, own, None)),
            ArrivalKind::Mmpp => Process::Modulated(ModulatedPoisson::new(rate, own, Some(path()))),
            ArrivalKind::PoissonNormalized => {
                Process::PerSecond(PerSecond::new(rate, own, Counts::Exact { origin_ns: 0, share }))
            }
            ArrivalKind::MmppWindowed => {
                Process::PerSecond(PerSecond::new(rate, own, Counts::Random(path())))
            }
            ArrivalKind::Max => Process::Max,
        };
        let mut arrivals = Self {
            kind,
            process,
            beyond: None,
            changes: Vec::new(),
            limit: NEVER,
            upcoming: 0,
            last: 0,
        };
        arrivals.look_ahead();
        arrivals
    }

    /// The kind of the process.
    pub fn kind(&self) -> ArrivalKind {
        self.kind
    }

    /// What [`next`](Self::next) will give, unless the rate changes before; `i64::MAX`: nothing, at
    /// a rate of 0.
    pub fn peek(&self) -> i64 {
        self.upcoming
    }

    /// The last arrival given; 0 before the first.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// The next arrival, never before one already given. Means nothing for [`ArrivalKind::Max`].
    #[allow(
        clippy::should_implement_trait,
        reason = "the stream has no end, so an Option would only mislead"
    )]
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

    /// From this offset on arrivals come at the new rate (events per second); those before stay as
    /// they were, and so do those already given. Replaces earlier changes from the same offset or
    /// later. Nothing changes for [`ArrivalKind::Max`].
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

    /// Takes the arrivals before an offset, at most `draws` of them where each must be drawn. Gives
    /// how many, and whether that is all of them.
    pub fn skip_before(&mut self, offset_ns: i64, draws: u64) -> (u64, bool) {
        if let Process::Uniform(uniform) = &mut self.process
            && self.changes.is_empty()
        {
            let count = uniform.skip_before(offset_ns);
            self.last = self.last.max(uniform.before());
            self.look_ahead();
            return (count, true);
        }
        let mut count = 0;
        while self.upcoming < offset_ns {
            if count == draws {
                return (count, false);
            }
            self.next();
            count += 1;
        }
        (count, true)
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
            let (boundary_ns, change_ns) =
                (process.boundary(), change.map_or(NEVER, |change| change.0));
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

/// One process of a kind: the arrival drawn last, and how to go on from it.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one per producer, and a box would allocate every second"
)]
enum Process {
    Uniform(Uniform),
    Modulated(ModulatedPoisson),
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
            Self::Modulated(ModulatedPoisson { path: Some(path), .. }) => path.until.whole_ns,
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

    /// Goes to an offset between the last arrival and the boundary, and on from there at another
    /// rate.
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
