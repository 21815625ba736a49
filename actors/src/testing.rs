//! What tests need in place of the world: a clock that is set by hand ([`SimClock`]), a log under
//! stress ([`SimLog`]), faults that strike after the acknowledgement ([`Injector`],
//! [`FaultyBroker`]), and bugs planted in the pipeline itself ([`plant`]). Only with the feature
//! `testing`.

mod faulty_broker;
mod injection;
mod sim_log;

use std::sync::atomic::{AtomicI64, Ordering};

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

pub use self::faulty_broker::FaultyBroker;
pub use self::injection::{Expected, Fault, FaultKind, Injection, Injector, StoredRecord, Truth};
pub use self::sim_log::{SimLog, SimReader, SimWriter, Stress, StressCounts, Topic};
use crate::clock::{Clock, MILLISECOND, Nanos, SECOND};
#[cfg(feature = "planted-bugs")]
pub use crate::planted::{Bug, plant};
use crate::ports::{DeadLetters, Record};
use crate::workload::arrivals::{ArrivalKind, BurstCorrelation};
use crate::workload::spec::RunSpec;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct SimClock(AtomicI64);

impl SimClock {
    /// A clock that shows `now`.
    pub fn at(now: Nanos) -> Self {
        Self(AtomicI64::new(now))
    }

    /// Moves it on by `by` nanoseconds.
    pub fn advance(&self, by: Nanos) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Sets it.
    pub fn set(&self, now: Nanos) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed)
    }

    fn wall_step_ns(&self) -> Nanos {
        0
    }
}

/// Everything random of a simulation, from one seed.
#[derive(Clone, Debug)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// Dice that fall the same way for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number below `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1) as u64) as i64
    }

    /// True once in `n` times; never where `n` is 0.
    pub fn once_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// One of `values`.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// Puts `values` into any order.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// Forgets malformed records.
#[derive(Clone, Copy, Debug)]
pub struct NoDeadLetters;

impl DeadLetters for NoDeadLetters {
    fn keep(&mut self, _record: Record<'_>, _reason: &'static str) {}
}

/// A small workload to start from: 2 producers, 3 partitions, 3 windows of 200 ms, 2,000 events/s.
pub fn small_spec(run_id: &str) -> RunSpec {
    RunSpec {
        run_id: run_id.to_owned(),
        run_tag: 0x5eed,
        workload: "test".to_owned(),
        seed: 1,
        producers: 2,
        aggregators: 2,
        partitions: 3,
        replication: 1,
        rate: 2000.0,
        arrivals: ArrivalKind::Uniform,
        burst_correlation: BurstCorrelation::Independent,
        duration_ns: 600 * MILLISECOND,
        warmup_ns: 0,
        window_ns: 200 * MILLISECOND,
        campaigns: 10,
        ads_per_campaign: 10,
        zipf_exponent: None,
        ad_types: ["image", "video"].map(String::from).to_vec(),
        event_types: ["view", "click", "purchase"].map(String::from).to_vec(),
        allowed_lateness_ns: 0,
        progress_interval_ns: 100 * MILLISECOND,
        progress_records: true,
        max_open_windows: 16,
        result_batch: 1000,
        events_topic: format!("{run_id}.events"),
        results_topic: format!("{run_id}.results"),
        log_append_time: true,
        malformed_topic: format!("{run_id}.events.malformed"),
        send_delay_limit_ns: SECOND,
        send_delay_share: 0.5,
        heartbeat_timeout_ns: 10 * SECOND,
        drain_timeout_ns: 60 * SECOND,
    }
}
