//! How the windows of a run lie in time.

use crate::clock::Nanos;

/// How windows lie in time, for the table, and which of them count for the figures.
#[derive(Clone, Copy, Debug)]
pub struct WindowFrame {
    /// Start of window 0.
    pub base_ns: Nanos,
    /// Length of a window.
    pub window_ns: Nanos,
    /// End of the warm-up.
    pub measure_from_ns: Nanos,
    /// End of the schedule (moved earlier when a run is stopped): windows past it are partial.
    pub end_ns: Nanos,
}

impl WindowFrame {
    /// First time of the window.
    pub fn start(&self, window_id: i64) -> Nanos {
        self.base_ns.saturating_add(window_id.saturating_mul(self.window_ns))
    }

    /// First time after the window.
    pub fn end(&self, window_id: i64) -> Nanos {
        self.start(window_id.saturating_add(1))
    }

    /// Whether the window is cut short by the start or the end of the schedule.
    pub fn is_partial(&self, window_id: i64) -> bool {
        self.start(window_id) < self.base_ns || self.end(window_id) > self.end_ns
    }

    /// Whether the window lies (at least in part) in the warm-up.
    pub fn is_warmup(&self, window_id: i64) -> bool {
        self.start(window_id) < self.measure_from_ns
    }
}
