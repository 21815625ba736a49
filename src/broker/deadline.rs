//! The end of a time-out that several calls share.

use std::time::Duration;

use streamgauge_actors::{Clock, Nanos, RunClock};

/// The end of a time-out.
pub(super) struct Deadline {
    clock: RunClock,
    end: Nanos,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        let clock = RunClock::start();
        let end = clock.now() + timeout.as_nanos() as Nanos;
        Self { clock, end }
    }

    /// What is left; never less than a millisecond, since librdkafka takes 0 for "do not even ask".
    pub(super) fn left(&self) -> Duration {
        let left = u64::try_from(self.end - self.clock.now()).unwrap_or(0);
        Duration::from_nanos(left).max(Duration::from_millis(1))
    }

    pub(super) fn passed(&self) -> bool {
        self.clock.now() >= self.end
    }
}
