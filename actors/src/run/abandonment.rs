//! How far a preparation came, and whether it is still wanted.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::ports::PortError;

/// What a run's preparation and whoever waits for it tell each other.
#[derive(Debug, Default)]
pub(crate) struct Abandonment {
    is_abandoned: AtomicBool,
    may_have_topics: AtomicBool,
}

impl Abandonment {
    /// The run is wanted no more.
    pub(crate) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
    }

    /// The next step may begin.
    ///
    /// # Errors
    /// [`PortError`]: the run is wanted no more.
    pub(crate) fn check(&self) -> Result<(), PortError> {
        if self.is_abandoned.load(Ordering::Relaxed) {
            return Err(PortError::fatal("the run was abandoned while it was being prepared"));
        }
        Ok(())
    }

    /// From now on topics may have been made.
    pub(crate) fn makes_topics(&self) {
        self.may_have_topics.store(true, Ordering::Relaxed);
    }

    /// Whether topics may have been made.
    pub(crate) fn may_have_topics(&self) -> bool {
        self.may_have_topics.load(Ordering::Relaxed)
    }
}
