//! The only reader of time. Everything else is handed a [`Nanos`] or a [`Clock`].
//!
//! A run has one clock: the wall clock at its start plus the monotonic clock since, so that
//! durations stay right when the wall clock steps. [`Clock::wall_step_ns`] tells whether it did.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch.
pub type Nanos = i64;

/// One millisecond in [`Nanos`].
pub const MILLISECOND: Nanos = 1_000_000;
/// One second in [`Nanos`].
pub const SECOND: Nanos = 1_000_000_000;

/// A source of time: real ([`RunClock`]) or simulated.
pub trait Clock: Send + Sync {
    /// The present.
    fn now(&self) -> Nanos;

    /// How far the wall clock has moved against this clock since it was made (nanoseconds, signed):
    /// more than a few milliseconds means that it was stepped.
    fn wall_step_ns(&self) -> Nanos;
}

/// A clock shared by the stages of a run.
pub type SharedClock = Arc<dyn Clock>;

/// The wall clock at creation plus the monotonic clock.
#[derive(Debug)]
pub struct RunClock {
    wall_start: Nanos,
    started: Instant,
}

impl RunClock {
    /// A clock that starts at the present wall time.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads time")]
    pub fn start() -> Self {
        Self { wall_start: wall_now(), started: Instant::now() }
    }
}

impl Clock for RunClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads time")]
    fn now(&self) -> Nanos {
        self.wall_start + self.started.elapsed().as_nanos() as Nanos
    }

    fn wall_step_ns(&self) -> Nanos {
        wall_now() - self.now()
    }
}

/// The wall clock itself, for what outlives a run: a clock that counts from its start drifts away
/// in weeks.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Nanos {
        wall_now()
    }

    fn wall_step_ns(&self) -> Nanos {
        0
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads time")]
fn wall_now() -> Nanos {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as Nanos,
        Err(before) => -(before.duration().as_nanos() as Nanos),
    }
}

/// Whole milliseconds since the Unix epoch, rounded down.
pub fn to_millis(time: Nanos) -> i64 {
    time.div_euclid(MILLISECOND)
}
