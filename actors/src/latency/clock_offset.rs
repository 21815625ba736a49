//! How far the broker's clock is from ours, by bracketing: a result's insertion lies between its
//! hand-over and its acknowledgement, both on our clock.
//!
//! A bracket is taken per results partition (leaders differ) and minute (clocks drift).

use std::collections::BTreeMap;

use crate::clock::{Nanos, SECOND};
use crate::measures::run_measures::ClockBracket;
use crate::stage::flow::ResultTiming;

/// Clocks drift: what was known a minute ago is not known now.
const MINUTE_NS: Nanos = 60 * SECOND;

/// Results that wait for their other side: of more the oldest are forgotten, since one that came
/// again waits for ever.
const MAX_WAITING: usize = 1 << 16;

/// A window and a campaign.
type Place = (i64, u64);

/// The brackets, from both sides of every result.
#[derive(Clone, Debug, Default)]
pub(super) struct ClockOffset {
    /// Results read back and not timed yet: partition, and the time that the log stamped.
    stamped: BTreeMap<Place, (u32, Nanos)>,
    /// Results timed and not read back yet.
    timed: BTreeMap<Place, ResultTiming>,
    /// The present minute of each partition.
    present: BTreeMap<u32, (i64, ClockBracket)>,
    /// All minutes before.
    hull: Option<ClockBracket>,
}

impl ClockOffset {
    /// A result was read back; gives its timing, if that is known already.
    pub(super) fn stamped(
        &mut self,
        place: Place,
        partition: u32,
        insertion_ns: Nanos,
    ) -> Option<ResultTiming> {
        let timing = self.timed.remove(&place);
        match timing {
            Some(timing) => self.bracket(partition, insertion_ns, timing),
            None => keep(&mut self.stamped, place, (partition, insertion_ns)),
        }
        timing
    }

    /// A result was handed over and acknowledged; gives its insertion time, if that is known
    /// already.
    pub(super) fn timed(&mut self, window_id: i64, timing: ResultTiming) -> Option<Nanos> {
        let place = (window_id, timing.campaign_id);
        let Some((partition, insertion_ns)) = self.stamped.remove(&place) else {
            keep(&mut self.timed, place, timing);
            return None;
        };
        self.bracket(partition, insertion_ns, timing);
        Some(insertion_ns)
    }

    fn bracket(&mut self, partition: u32, insertion_ns: Nanos, timing: ResultTiming) {
        let bracket = ClockBracket::of(insertion_ns, timing.handed_ns, timing.acknowledged_ns);
        let minute = timing.handed_ns.div_euclid(MINUTE_NS);
        let (present, known) = self.present.entry(partition).or_insert((minute, bracket));
        if *present == minute {
            *known = known.narrowed_by(bracket);
        } else {
            let over = std::mem::replace(known, bracket);
            *present = minute;
            self.hull = Some(self.hull.map_or(over, |hull| hull.hull_with(over)));
        }
    }

    /// The hull of all brackets; `None`: there is none.
    pub(super) fn hull(&self) -> Option<ClockBracket> {
        let present = self.present.values().map(|&(_, bracket)| bracket);
        present.chain(self.hull).reduce(ClockBracket::hull_with)
    }
}

fn keep<T>(waiting: &mut BTreeMap<Place, T>, place: Place, side: T) {
    waiting.insert(place, side);
    if waiting.len() > MAX_WAITING {
        waiting.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    const NOW: Nanos = 1_700_000_000 * SECOND;

    fn timing(campaign_id: u64, handed_us: i64, acknowledged_us: i64) -> ResultTiming {
        ResultTiming {
            campaign_id,
            handed_ns: NOW + handed_us * 1000,
            acknowledged_ns: NOW + acknowledged_us * 1000,
            max_event_ns: NOW,
        }
    }

    fn offset_of(clock_ms: i64) -> ClockBracket {
        let mut offset = ClockOffset::default();
        // Inserted at 2.5 and 4.2 ms.
        offset.timed(0, timing(1, 2_100, 3_300));
        offset.stamped((0, 1), 0, NOW + 2_500_000 + clock_ms * MILLISECOND);
        offset.stamped((0, 2), 0, NOW + 4_200_000 + clock_ms * MILLISECOND);
        offset.timed(0, timing(2, 3_900, 4_500));
        offset.hull().unwrap()
    }

    #[test]
    fn the_bracket_holds_the_offset_of_the_brokers_clock() {
        for clock_ms in [-1000, -5, 0, 5] {
            let ClockBracket { low_ns, high_ns, is_torn } = offset_of(clock_ms);
            assert!(!is_torn);
            let offset_ns = clock_ms * MILLISECOND;
            assert!((low_ns..=high_ns).contains(&offset_ns), "{low_ns}..{high_ns}");
            assert_eq!((low_ns - offset_ns, high_ns - offset_ns), (-500_000, 900_000));
            assert_eq!(offset_of(clock_ms).excludes_zero(), clock_ms != 0);
        }
    }

    #[test]
    fn a_step_within_a_minute_tears_the_bracket_and_one_between_minutes_widens_the_hull() {
        let mut offset = ClockOffset::default();
        let both = |offset: &mut ClockOffset, window, after_us: i64, clock_ms: i64| {
            offset.timed(window, timing(1, after_us, after_us + 200));
            let insertion_ns = NOW + (after_us + 100) * 1000 + clock_ms * MILLISECOND;
            offset.stamped((window, 1), 0, insertion_ns);
        };
        both(&mut offset, 0, 0, 0);
        both(&mut offset, 1, 90_000_000, 50);
        let hull = offset.hull().unwrap();
        assert!(!hull.is_torn && hull.low_ns < 0 && hull.high_ns > 49 * MILLISECOND, "{hull:?}");
        both(&mut offset, 2, 91_000_000, 0);
        assert!(offset.hull().unwrap().is_torn);
    }
}
