//! Open-loop pacing: which events are due by now. An intended time comes from the schedule alone; a producer that falls
//! behind finds its events due with the intended times they always had, so that the delay can be measured.

use crate::arrivals::{ArrivalKind, Arrivals};
use crate::clock::Nanos;

/// What there is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// An event is due; its intended time.
    Now(Nanos),
    /// Nothing is due before this time, in the future: the next intended time, or the schedule's end.
    Later(Nanos),
    /// The schedule has ended, and all of it was taken. Final.
    Done,
}

/// The schedule of one producer, from the run's base to its end.
#[derive(Clone, Debug)]
pub struct Pacer {
    arrivals: Arrivals,
    /// As fast as possible: there is no schedule, an event is intended when it is sent.
    is_max: bool,
    base_ns: Nanos,
    end_ns: Nanos,
    /// The latest time shown to `due`.
    latest_ns: Nanos,
}

impl Pacer {
    /// Paces arrivals whose offsets count from `base_ns`; what would arrive at `end_ns` or later is never due.
    pub fn new(arrivals: Arrivals, base_ns: Nanos, end_ns: Nanos) -> Self {
        let is_max = arrivals.kind() == ArrivalKind::Max;
        Self { arrivals, is_max, base_ns, end_ns, latest_ns: base_ns }
    }

    /// What is due, without consuming it.
    pub fn due(&mut self, now: Nanos) -> Due {
        self.latest_ns = self.latest_ns.max(now);
        let intended = self.intended(now);
        if intended >= self.end_ns {
            // Only time ends a schedule: until then a new rate may still bring events.
            if now >= self.end_ns { Due::Done } else { Due::Later(self.end_ns) }
        } else if intended <= now {
            Due::Now(intended)
        } else {
            Due::Later(intended)
        }
    }

    /// Consumes the event that [`due`](Self::due) just showed.
    pub fn take(&mut self) {
        if !self.is_max {
            self.arrivals.next();
        }
    }

    /// Moves the end earlier: nothing intended at `now` or later is due any more, and what is overdue still is.
    pub fn stop_at(&mut self, now: Nanos) {
        self.end_ns = self.end_ns.min(now);
    }

    /// From `now` on events come at another rate (events per second). What was intended before stays, even if it is
    /// overdue; and so does all that [`progress`](Self::progress) promised, should `now` lie before a time already seen.
    pub fn set_rate(&mut self, now: Nanos, rate: f64) {
        self.arrivals.set_rate(now.max(self.latest_ns) - self.base_ns, rate);
    }

    /// The event time up to which this producer is done, exclusive: every event to come is intended at this time or
    /// later. Show the same `now` to [`due`](Self::due) first.
    pub fn progress(&self, now: Nanos) -> Nanos {
        self.intended(now).min(now)
    }

    fn intended(&self, now: Nanos) -> Nanos {
        if self.is_max { now.max(self.base_ns) } else { self.base_ns.saturating_add(self.arrivals.peek()) }
    }
}
