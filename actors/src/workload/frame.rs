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
    /// End of the schedule: windows past it are partial.
    pub end_ns: Nanos,
    /// Whether there is a schedule, which ends earlier when the run is stopped.
    pub scheduled: bool,
}

impl WindowFrame {
    /// Windows that others fill: none of them is warm-up or cut short.
    pub fn unscheduled(base_ns: Nanos, window_ns: Nanos) -> Self {
        let (measure_from_ns, end_ns) = (Nanos::MIN, Nanos::MAX);
        Self { base_ns, window_ns, measure_from_ns, end_ns, scheduled: false }
    }

    /// The schedule, if there is one, ends earlier than planned: the window around `end_ns` is
    /// partial.
    pub fn end_at(&mut self, end_ns: Nanos) {
        if self.scheduled {
            self.end_ns = end_ns.min(self.end_ns);
        }
    }

    /// Whether the window counts for the figures: whole, and after the warm-up.
    pub fn is_measured(&self, window_id: i64) -> bool {
        !self.is_partial(window_id) && !self.is_warmup(window_id)
    }

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
