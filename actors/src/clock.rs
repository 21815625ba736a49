//! The only reader of time. Everything else is handed a [`Nanos`] or a [`Clock`].
//!
//! A run has one clock: the wall clock at its start plus the monotonic clock since, so that
//! durations stay right when the wall clock steps. [`Clock::wall_step_ns`] tells whether it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
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

    /// How far the wall clock has surely moved against this clock since it was made
    /// (nanoseconds, signed): more than a millisecond or two means that it was stepped.
    fn wall_step_ns(&self) -> Nanos;

    /// Takes the present wall time, whatever it was before: a run begins.
    fn begin(&self) {}
}

/// A clock shared by the stages of a run.
pub type SharedClock = Arc<dyn Clock>;

/// The wall clock at creation plus the monotonic clock.
#[derive(Debug)]
pub struct RunClock {
    /// The wall time at `started`, by what it was when it was last looked at.
    wall_start: AtomicI64,
    started: Instant,
}

/// Wall time less monotonic time, as they were read together.
#[derive(Clone, Copy, Debug)]
struct Bracket {
    offset_ns: Nanos,
    /// How far off that may be.
    error_ns: Nanos,
}

/// A reading between two others that are further apart than this is tried again.
const CLOSE_NS: Nanos = 20_000;
/// How often at most: a thread may lose its processor in between.
const READINGS: usize = 8;

impl RunClock {
    /// A clock that starts at the present wall time.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads time")]
    pub fn start() -> Self {
        let clock = Self { wall_start: AtomicI64::new(0), started: Instant::now() };
        clock.begin();
        clock
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that reads time")]
    fn elapsed_ns(&self) -> Nanos {
        self.started.elapsed().as_nanos() as Nanos
    }

    /// The wall clock read between two readings of the monotonic one: the closest of a few.
    fn bracket(&self) -> Bracket {
        let mut best = Bracket { offset_ns: 0, error_ns: Nanos::MAX };
        for _ in 0..READINGS {
            let before = self.elapsed_ns();
            let wall = wall_now();
            let error_ns = (self.elapsed_ns() - before) / 2 + 1;
            if error_ns < best.error_ns {
                best = Bracket { offset_ns: wall - before - error_ns, error_ns };
            }
            if best.error_ns < CLOSE_NS {
                break;
            }
        }
        best
    }
}

impl Clock for RunClock {
    fn now(&self) -> Nanos {
        self.wall_start.load(Ordering::Relaxed) + self.elapsed_ns()
    }

    fn wall_step_ns(&self) -> Nanos {
        let Bracket { offset_ns, error_ns } = self.bracket();
        let step = offset_ns - self.wall_start.load(Ordering::Relaxed);
        step.signum() * (step.abs() - error_ns).max(0)
    }

    fn begin(&self) {
        self.wall_start.store(self.bracket().offset_ns, Ordering::Relaxed);
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
