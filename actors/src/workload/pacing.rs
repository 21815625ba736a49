//! Open-loop pacing: which events are due by now. An intended time comes from the schedule alone; a
//! producer that falls behind finds its events due with the intended times they always had, so that
//! the delay can be measured.

use crate::clock::{Nanos, SECOND};
use crate::workload::arrivals::{ArrivalKind, Arrivals};

/// Once the schedule was stopped, what is overdue by more than this is given up.
const OVERDUE_LIMIT_NS: Nanos = SECOND;

/// What there is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// An event is due; its intended time.
    Now(Nanos),
    /// Nothing is due before this time, in the future: the next intended time, or the schedule's
    /// end.
    Later(Nanos),
    /// The schedule has ended, and all of it was taken or given up. Final.
    Done,
}

/// Whether the schedule is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Play {
    /// As it is.
    On,
    /// To an earlier end, and nothing that is long overdue.
    Stopped,
    /// No more.
    GivenUp,
}

/// The schedule of one producer, from the run's base to its end.
#[derive(Clone, Debug)]
pub struct Pacer {
    arrivals: Arrivals,
    /// As fast as possible: there is no schedule, an event is intended when it is sent.
    is_max: bool,
    base_ns: Nanos,
    end_ns: Nanos,
    play: Play,
    /// The latest time shown to `due`.
    latest_ns: Nanos,
}

impl Pacer {
    /// Paces arrivals whose offsets count from `base_ns`; what would arrive at `end_ns` or later is
    /// never due.
    pub fn new(arrivals: Arrivals, base_ns: Nanos, end_ns: Nanos) -> Self {
        let is_max = arrivals.kind() == ArrivalKind::Max;
        Self { arrivals, is_max, base_ns, end_ns, play: Play::On, latest_ns: base_ns }
    }

    /// What is due, without consuming it.
    pub fn due(&mut self, now: Nanos) -> Due {
        self.latest_ns = self.latest_ns.max(now);
        let intended = self.intended(now);
        if self.play != Play::On && self.gives_up(intended, now) {
            Due::Done
        } else if intended >= self.end_ns {
            // Only time ends a schedule: until then a new rate may still bring events.
            if now >= self.end_ns { Due::Done } else { Due::Later(self.end_ns) }
        } else if intended <= now {
            Due::Now(intended)
        } else {
            Due::Later(intended)
        }
    }

    /// Whether a schedule that was stopped ends before its next event.
    #[cold]
    fn gives_up(&mut self, intended: Nanos, now: Nanos) -> bool {
        let is_long_overdue = intended < self.end_ns && now - intended > OVERDUE_LIMIT_NS;
        if is_long_overdue && !self.is_max {
            self.play = Play::GivenUp;
        }
        self.play == Play::GivenUp
    }

    /// Consumes the event that [`due`](Self::due) just showed.
    pub fn take(&mut self) {
        if !self.is_max {
            self.arrivals.next();
        }
    }

    /// Moves the end earlier: nothing intended at `at_ns` or later is due any more. What is overdue
    /// still is, until the next event is overdue by more than a second: from there on all is given
    /// up.
    pub fn stop_at(&mut self, at_ns: Nanos) {
        self.end_ns = self.end_ns.min(at_ns);
        if self.play == Play::On {
            self.play = Play::Stopped;
        }
    }

    /// Nothing is due any more, overdue or not.
    pub fn give_up(&mut self) {
        self.play = Play::GivenUp;
    }

    /// From `at_ns` on events come at another rate (events per second). What was intended before
    /// stays, even if it is overdue. False: the schedule was already played past that time, and
    /// stays as it was.
    #[must_use]
    pub fn set_rate(&mut self, at_ns: Nanos, rate: f64) -> bool {
        let is_ahead = at_ns >= self.latest_ns;
        if is_ahead {
            self.arrivals.set_rate(at_ns - self.base_ns, rate);
        }
        is_ahead
    }

    /// Counts events that were given up, and consumes them: those intended before `before_ns`, at
    /// most `draws` of them where each must be drawn. False: there may be more.
    pub fn count_given_up(&mut self, before_ns: Nanos, draws: u64) -> (u64, bool) {
        let before_ns = before_ns.min(self.end_ns);
        if self.is_max || self.play != Play::GivenUp {
            return (0, true);
        }
        self.arrivals.skip_before(before_ns.saturating_sub(self.base_ns), draws)
    }

    /// The schedule's end; where a stop came when more was taken already, right behind that.
    pub fn played_until(&self) -> Nanos {
        let behind_last = self.base_ns.saturating_add(self.arrivals.last()).saturating_add(1);
        self.end_ns.max(behind_last)
    }

    /// The intended time of the next event, and the schedule's end.
    pub fn rest(&self) -> (Nanos, Nanos) {
        (self.base_ns.saturating_add(self.arrivals.peek()), self.end_ns)
    }

    /// The event time up to which this producer is done, exclusive: every event to come is intended
    /// at this time or later. Show the same `now` to [`due`](Self::due) first.
    pub fn progress(&self, now: Nanos) -> Nanos {
        self.intended(now).min(now)
    }

    fn intended(&self, now: Nanos) -> Nanos {
        if self.is_max {
            now.max(self.base_ns)
        } else {
            self.base_ns.saturating_add(self.arrivals.peek())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{MILLISECOND, SECOND};
    use crate::workload::arrivals::Bursts;

    const BASE: Nanos = 1_700_000_000 * SECOND;

    const SCHEDULED: [ArrivalKind; 5] = [
        ArrivalKind::Uniform,
        ArrivalKind::Poisson,
        ArrivalKind::PoissonNormalized,
        ArrivalKind::Mmpp,
        ArrivalKind::MmppWindowed,
    ];

    fn arrivals(kind: ArrivalKind, rate: f64, seed: u64) -> Arrivals {
        Arrivals::new(kind, rate, seed, 0, 1, Bursts::default())
    }

    fn pacer(kind: ArrivalKind, rate: f64, seconds: i64) -> Pacer {
        Pacer::new(arrivals(kind, rate, 1), BASE, BASE + seconds * SECOND)
    }

    /// Takes all that is due; checks that none of it is early, and what comes after is later.
    fn drain(pacer: &mut Pacer, now: Nanos) -> Vec<Nanos> {
        let mut taken = Vec::new();
        loop {
            match pacer.due(now) {
                Due::Now(intended) => {
                    assert!(intended <= now, "{} ns early", intended - now);
                    assert_eq!(pacer.due(now), Due::Now(intended), "a look must not consume");
                    assert!(pacer.progress(now) <= intended);
                    taken.push(intended);
                    pacer.take();
                }
                Due::Later(at) => {
                    assert!(at > now);
                    return taken;
                }
                Due::Done => return taken,
            }
        }
    }

    #[test]
    fn the_schedule_ends_before_its_end() {
        let mut pacer = pacer(ArrivalKind::Uniform, 10.0, 1);
        assert_eq!(pacer.due(BASE - 1), Due::Later(BASE));
        assert_eq!(drain(&mut pacer, BASE + SECOND - 1).len(), 10);
        // The eleventh event would be intended exactly at the end.
        assert_eq!(pacer.due(BASE + SECOND - 1), Due::Later(BASE + SECOND));
        assert_eq!(pacer.due(BASE + SECOND), Due::Done);
        assert_eq!(pacer.due(BASE + 9 * SECOND), Due::Done);
    }

    #[test]
    fn overdue_events_keep_their_intended_time() {
        let mut pacer = pacer(ArrivalKind::Uniform, 10.0, 1);
        let late = BASE + 3600 * SECOND;
        let expected: Vec<Nanos> = (0..10).map(|tenth| BASE + tenth * SECOND / 10).collect();
        assert_eq!(drain(&mut pacer, late), expected);
        assert_eq!(pacer.due(late), Due::Done);
    }

    #[test]
    fn a_stop_drains_what_is_overdue_and_no_more() {
        let mut pacer = pacer(ArrivalKind::Uniform, 10.0, 10);
        assert_eq!(drain(&mut pacer, BASE + SECOND / 2).len(), 6);
        // Stopped at 0.8 s while behind: 0.6 and 0.7 s are still due, 0.8 s is not.
        pacer.stop_at(BASE + 8 * SECOND / 10);
        let now = BASE + 12 * SECOND / 10;
        assert_eq!(drain(&mut pacer, now), [BASE + 6 * SECOND / 10, BASE + 7 * SECOND / 10]);
        assert_eq!(pacer.due(now), Due::Done);
        pacer.stop_at(BASE + 5 * SECOND);
        assert_eq!(pacer.due(now), Due::Done, "an end never moves later");
        assert_eq!(pacer.count_given_up(Nanos::MAX, 100), (0, true));
    }

    #[test]
    fn what_is_long_overdue_at_a_stop_is_given_up_and_counted() {
        for kind in SCHEDULED {
            let mut pacer = pacer(kind, 1000.0, 20);
            let taken = drain(&mut pacer, BASE + SECOND).len() as u64;
            pacer.stop_at(BASE + 10 * SECOND);
            assert_eq!(pacer.due(BASE + 10 * SECOND), Due::Done, "{kind:?}");
            let mut whole = arrivals(kind, 1000.0, 1);
            let (scheduled, all) = whole.skip_before(10 * SECOND, u64::MAX);
            assert!(all);
            let (early, all) = pacer.count_given_up(BASE + 4 * SECOND, u64::MAX);
            assert!(all && early > 0, "{kind:?}");
            let (late, all) = pacer.count_given_up(Nanos::MAX, u64::MAX);
            assert!(all);
            assert_eq!(taken + early + late, scheduled, "{kind:?}");
        }
    }

    #[test]
    fn a_long_rest_is_counted_in_steps() {
        let mut pacer = pacer(ArrivalKind::Poisson, 1000.0, 20);
        pacer.give_up();
        let mut sum = 0;
        loop {
            let (count, all) = pacer.count_given_up(Nanos::MAX, 1000);
            sum += count;
            if all {
                break;
            }
            assert_eq!(count, 1000);
        }
        let scheduled =
            arrivals(ArrivalKind::Poisson, 1000.0, 1).skip_before(20 * SECOND, u64::MAX);
        assert_eq!((sum, true), scheduled);
    }

    #[test]
    fn a_new_rate_leaves_what_is_overdue() {
        let mut pacer = pacer(ArrivalKind::Uniform, 10.0, 2);
        assert!(pacer.set_rate(BASE + SECOND, 100.0));
        let taken = drain(&mut pacer, BASE + 2 * SECOND);
        assert_eq!(taken.len(), 110);
        assert_eq!(
            taken[9..12],
            [9, 10, 11].map(|i| BASE + if i < 11 { i * 100 } else { 1010 } * MILLISECOND)
        );
        assert!(!pacer.set_rate(BASE + SECOND, 10.0), "it was played past that");
    }

    #[test]
    fn a_new_rate_after_the_last_event_still_counts() {
        let mut pacer = pacer(ArrivalKind::Uniform, 0.01, 10);
        let now = BASE + 5 * SECOND;
        assert_eq!(drain(&mut pacer, now), [BASE]);
        assert_eq!(pacer.due(now), Due::Later(BASE + 10 * SECOND));
        assert!(pacer.set_rate(now, 100.0));
        // 0.05 of the first gap has passed; the other 0.95 take 9.5 ms at the new rate, and 10 ms
        // each from there on.
        let taken = drain(&mut pacer, BASE + 10 * SECOND);
        assert_eq!((taken[0], taken.len()), (now + 9_500_000, 500));
    }

    #[test]
    fn progress_is_bounded_by_time_and_by_the_next_event() {
        let mut pacer = pacer(ArrivalKind::Uniform, 1.0, 10);
        assert_eq!(pacer.progress(BASE - 5), BASE - 5);
        assert_eq!(pacer.progress(BASE + SECOND / 2), BASE, "the first event was not taken");
        pacer.take();
        assert_eq!(pacer.progress(BASE + SECOND / 2), BASE + SECOND / 2);
        assert_eq!(pacer.progress(BASE + 5 * SECOND), BASE + SECOND);
    }

    #[test]
    fn max_is_always_due_at_the_time_of_sending() {
        let mut pacer = pacer(ArrivalKind::Max, 1.0, 1);
        assert_eq!(pacer.due(BASE - 1), Due::Later(BASE));
        for now in [BASE, BASE + 1, BASE + 1, BASE + SECOND - 1] {
            assert_eq!(pacer.due(now), Due::Now(now));
            assert_eq!(pacer.progress(now), now);
            pacer.take();
        }
        assert!(pacer.set_rate(BASE + SECOND, 3.0));
        assert_eq!(pacer.due(BASE + 7), Due::Now(BASE + 7));
        assert_eq!(pacer.due(BASE + SECOND), Due::Done);
        pacer.stop_at(BASE + 7);
        assert_eq!(pacer.due(BASE + 7), Due::Done);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However often, late or disorderly the producer looks, the intended times are those of
        /// the schedule.
        #[test]
        fn intended_times_come_from_the_schedule_alone(
            kind in prop::sample::select(SCHEDULED.to_vec()),
            seed in any::<u64>(),
            rate in 0.5..300.0_f64,
            nows in prop::collection::vec(-SECOND..6 * SECOND, 0..60),
        ) {
            let end = BASE + 5 * SECOND;
            let mut schedule = arrivals(kind, rate, seed);
            let mut expected = Vec::new();
            while BASE + schedule.peek() < end {
                expected.push(BASE + schedule.next());
            }
            let mut pacer = Pacer::new(arrivals(kind, rate, seed), BASE, end);
            let mut taken = Vec::new();
            for now in nows.into_iter().chain([5 * SECOND]) {
                taken.extend(drain(&mut pacer, BASE + now));
            }
            prop_assert_eq!(taken, expected);
            prop_assert_eq!(pacer.due(end), Due::Done);
        }

        /// A stop keeps exactly the events before it, and progress once told is never taken back,
        /// not even by a rate change.
        #[test]
        fn progress_holds_through_rate_changes_and_a_stop(
            kind in prop::sample::select(SCHEDULED.to_vec()),
            seed in any::<u64>(),
            steps in prop::collection::vec((0..SECOND, -SECOND..SECOND, 0.5..300.0_f64), 1..12),
            stop in 0..4 * SECOND,
        ) {
            let mut pacer = Pacer::new(arrivals(kind, 100.0, seed), BASE, BASE + 5 * SECOND);
            let (mut now, mut progress) = (BASE, BASE);
            for (step, ahead, rate) in steps {
                now += step;
                let taken = drain(&mut pacer, now);
                prop_assert!(taken.is_sorted());
                prop_assert!(taken.first().is_none_or(|&first| first >= progress));
                prop_assert!(pacer.progress(now) >= progress);
                progress = pacer.progress(now);
                prop_assert_eq!(pacer.set_rate(now + ahead, rate), ahead >= 0);
            }
            pacer.stop_at(BASE + stop);
            let rest = drain(&mut pacer, (BASE + stop).max(now));
            prop_assert!(rest.iter().all(|&at| at >= progress && at < BASE + stop));
            prop_assert_eq!(pacer.due(now + 9 * SECOND), Due::Done);
        }

        /// Where and how often a producer looked does not matter to a change that it hears of in
        /// time.
        #[test]
        fn a_change_gives_all_who_hear_of_it_in_time_the_same_schedule(
            kind in prop::sample::select(SCHEDULED.to_vec()),
            seed in any::<u64>(),
            at in 0..4 * SECOND,
            heard in 0.0..1.0_f64,
            rate in 0.5..300.0_f64,
        ) {
            let end = BASE + 5 * SECOND;
            let mut told_first = Pacer::new(arrivals(kind, 100.0, seed), BASE, end);
            prop_assert!(told_first.set_rate(BASE + at, rate));
            let expected = drain(&mut told_first, end);
            let mut told_late = Pacer::new(arrivals(kind, 100.0, seed), BASE, end);
            let mut taken = drain(&mut told_late, BASE + (at as f64 * heard) as i64);
            prop_assert!(told_late.set_rate(BASE + at, rate));
            taken.extend(drain(&mut told_late, end));
            prop_assert_eq!(taken, expected);
        }
    }
}
