//! How long the client was full, and what was late for it.

use crate::clock::Nanos;

/// The client's being full, as the producer finds it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backpressure {
    /// Since when the client is full.
    since: Option<Nanos>,
    /// How long it was full since the producer was last on time.
    behind_ns: Nanos,
    total_ns: Nanos,
}

impl Backpressure {
    /// The client takes no record.
    pub(super) fn full(&mut self, now: Nanos) {
        self.since.get_or_insert(now);
    }

    /// The client takes records again.
    pub(super) fn taken(&mut self, now: Nanos) {
        if let Some(since) = self.since.take() {
            self.total_ns += now - since;
            self.behind_ns += now - since;
        }
    }

    /// Nothing is overdue, and the client has taken all that there was.
    pub(super) fn on_time(&mut self, now: Nanos) {
        self.taken(now);
        self.behind_ns = 0;
    }

    /// Whether an event that is `delay_ns` late would be within the limit but for the time that the
    /// client was full.
    pub(super) fn explains(&self, delay_ns: Nanos, limit_ns: Nanos) -> bool {
        delay_ns - self.behind_ns.min(delay_ns) <= limit_ns
    }

    /// How long the client was full, up to now.
    pub(super) fn total(&self, now: Nanos) -> u64 {
        (self.total_ns + self.since.map_or(0, |since| now - since)).max(0) as u64
    }
}
