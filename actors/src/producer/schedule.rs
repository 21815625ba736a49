//! When a producer's events are due, in which windows they lie, and how many were never sent.

use crate::clock::{Nanos, SECOND};
use crate::measures::counters::StageCounters;
use crate::truth::ledger::window_of;
use crate::workload::pacing::{Due, Pacer};
use crate::workload::spec::RunSpec;

/// Events that one turn draws to count what was never sent: a few milliseconds.
const DRAWS_PER_TURN: u64 = 1 << 19;

/// Events that are drawn for that in all: a second or two.
const DRAWS_AT_MOST: u64 = 1 << 27;

/// When events are due, and in which windows they lie.
#[derive(Debug)]
pub(super) struct EventSchedule {
    pub(super) pacer: Pacer,
    pub(super) base_ns: Nanos,
    pub(super) measure_from_ns: Nanos,
    /// Events per second asked for.
    pub(super) rate: f64,
    window_ns: Nanos,
    /// End of the window that the next event falls into (or of a later one).
    pub(super) window_end_ns: Nanos,
    pub(super) window_id: i64,
    /// Events that may still be drawn to be counted as never sent.
    draws_left: u64,
}

/// Events that were given up, as far as they were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeverSent {
    pub(super) count: u64,
    /// Those intended inside the measured part.
    pub(super) measured: u64,
    /// Those that were not drawn, by the rate.
    pub(super) estimated: u64,
    /// Whether there are no more.
    pub(super) is_all: bool,
}

impl NeverSent {
    /// Counts them; `is_explained`: the client was full.
    pub(super) fn add_to(self, counters: &mut StageCounters, is_explained: bool) {
        counters.never_sent += self.count;
        counters.never_sent_estimated += self.estimated;
        counters.never_sent_measured += self.measured;
        if is_explained {
            counters.never_sent_backpressure += self.measured;
        }
    }
}

impl EventSchedule {
    /// Of the producer `index` of a run that begins at `base_ns`.
    pub(super) fn new(spec: &RunSpec, index: u32, base_ns: Nanos) -> Self {
        let window_ns = spec.workload.window.as_nanos();
        Self {
            pacer: Pacer::new(
                spec.arrivals(index),
                base_ns,
                base_ns.saturating_add(spec.schedule_ns()),
            ),
            base_ns,
            measure_from_ns: base_ns + spec.workload.warmup.as_nanos(),
            rate: spec.rate_per_producer(),
            window_ns,
            window_end_ns: base_ns + window_ns,
            window_id: 0,
            draws_left: DRAWS_AT_MOST,
        }
    }

    /// The next event is intended at this time.
    pub(super) fn move_to_window_of(&mut self, intended: Nanos) {
        self.window_id = window_of(intended, self.base_ns, self.window_ns);
        let windows_ns = (self.window_id + 1).saturating_mul(self.window_ns);
        self.window_end_ns = self.base_ns.saturating_add(windows_ns);
    }

    /// Nothing intended at this time or later was sent.
    pub(super) fn end_ns(&self) -> Nanos {
        self.pacer.played_until()
    }

    /// The intended time of the next event that is due by now and not handed to the client.
    pub(super) fn overdue(&mut self, now: Nanos) -> Option<Nanos> {
        match self.pacer.due(now) {
            Due::Now(intended) => Some(intended),
            Due::Later(_) | Due::Done => None,
        }
    }

    /// Events from one intended time up to now, by the rate.
    pub(super) fn due_between(&self, since: Nanos, now: Nanos) -> u64 {
        1 + ((now - since) as f64 / SECOND as f64 * self.rate) as u64
    }

    /// The intended time of the next event.
    pub(super) fn next_ns(&self) -> Nanos {
        self.pacer.rest().0
    }

    /// Counts what was given up, as far as a turn goes. Beyond what can be drawn in a moment it is
    /// estimated by the rate.
    pub(super) fn count_never_sent(&mut self) -> NeverSent {
        let nothing = NeverSent { count: 0, measured: 0, estimated: 0, is_all: true };
        if self.draws_left == 0 {
            return nothing;
        }
        let draws = DRAWS_PER_TURN.min(self.draws_left);
        let (early, is_all) = self.pacer.count_given_up(self.measure_from_ns, draws);
        let (mut measured, is_all) = if is_all {
            self.pacer.count_given_up(Nanos::MAX, draws - early.min(draws))
        } else {
            (0, false)
        };
        self.draws_left -= (early + measured).min(self.draws_left);
        let mut estimated = 0;
        if !is_all && self.draws_left == 0 {
            let (next, end) = self.pacer.rest();
            estimated = ((end - next) as f64 / SECOND as f64 * self.rate) as u64;
            measured += estimated;
        }
        NeverSent {
            count: early + measured,
            measured,
            estimated,
            is_all: is_all || self.draws_left == 0,
        }
    }
}
