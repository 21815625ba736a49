//! How far a partition of others has come, when not every clock is to be believed.

use crate::clock::Nanos;

/// What an event's time means for its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FeedStep {
    /// It follows from what came before.
    InStep,
    /// It is too far ahead of all that came before, and not of the wall clock: the feed itself is
    /// in the past, and may have jumped. Its partition has come so far.
    Unconfirmed(Nanos),
    /// It is too far ahead of what came before, and of the wall clock: so many nanoseconds.
    Ahead(Nanos),
}

/// The event-time progress of one partition. A jump counts once a second event confirms it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeedClock {
    progress: Nanos,
    jump: Option<Nanos>,
}

impl Default for FeedClock {
    fn default() -> Self {
        Self { progress: Nanos::MIN, jump: None }
    }
}

impl FeedClock {
    /// Takes an event's time. `wall`: the wall clock.
    #[inline]
    pub(super) fn step(
        &mut self,
        time: Nanos,
        max_ahead_ns: Nanos,
        wall: impl FnOnce() -> Nanos,
    ) -> FeedStep {
        if time <= self.progress.saturating_add(max_ahead_ns) {
            self.progress = self.progress.max(time);
            return FeedStep::InStep;
        }
        self.jump_to(time, max_ahead_ns, wall())
    }

    #[cold]
    fn jump_to(&mut self, time: Nanos, max_ahead_ns: Nanos, wall: Nanos) -> FeedStep {
        if time > wall.saturating_add(max_ahead_ns) {
            return FeedStep::Ahead(time.saturating_sub(wall));
        }
        let Some(jump) = self.jump else {
            self.jump = Some(time);
            return FeedStep::Unconfirmed(self.progress);
        };
        let (first, last) = (jump.min(time), jump.max(time));
        if last.saturating_sub(first) <= max_ahead_ns {
            (self.progress, self.jump) = (last, None);
        } else {
            (self.progress, self.jump) = (first, Some(last));
        }
        FeedStep::Unconfirmed(self.progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Nanos = 1_000_000;

    fn steps(times: &[Nanos]) -> (Vec<FeedStep>, Nanos) {
        let mut clock = FeedClock::default();
        let steps = times.iter().map(|&time| clock.step(time, 100, || WALL)).collect();
        (steps, clock.progress)
    }

    #[test]
    fn what_is_ahead_of_everything_moves_nothing() {
        let (steps, progress) = steps(&[WALL - 20, WALL - 10, WALL + 500, WALL + 90]);
        assert_eq!(
            steps,
            [
                FeedStep::Unconfirmed(Nanos::MIN),
                FeedStep::Unconfirmed(WALL - 10),
                FeedStep::Ahead(500),
                FeedStep::InStep
            ]
        );
        assert_eq!(progress, WALL + 90);
    }

    #[test]
    fn a_feed_in_the_past_jumps_where_two_events_say_so() {
        let (_, progress) = steps(&[1000, 1001, 5000, 1050, 1060]);
        assert_eq!(progress, 1060, "one fast clock");
        let (_, progress) = steps(&[1000, 1001, 5000, 5010, 5020]);
        assert_eq!(progress, 5020, "a gap in the feed");
        let (_, progress) = steps(&[1000, 1001, 9000, 5000, 5010, 5060]);
        assert_eq!(progress, 5060, "one fast clock, and a gap");
        let (_, progress) = steps(&[9000, 1000, 1010]);
        assert_eq!(progress, 1010, "a fast clock that is the first");
    }
}
