//! A clock that is set by hand.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{Clock, Nanos};

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
