//! Whether a time looks like one in another unit, as the record's own timestamp tells.

use crate::clock::Nanos;
use crate::units::TimeUnit;

/// A time further from its record's is looked at: a year.
const FAR_NS: Nanos = 365 * DAY_NS;
/// A time in another unit that lies as near to its record's as this is taken for one.
const NEAR_NS: Nanos = 30 * DAY_NS;
const DAY_NS: Nanos = 86_400 * 1_000_000_000;

/// The unit that a time looks like, which was read in `unit`; `None`: it is right, or looks like no
/// other either.
#[inline]
pub(crate) fn suspected_unit(
    time_ns: Nanos,
    unit: TimeUnit,
    stamped_ns: Nanos,
) -> Option<TimeUnit> {
    if time_ns.abs_diff(stamped_ns) <= FAR_NS as u64 {
        return None;
    }
    looks_like(time_ns, unit, stamped_ns)
}

#[cold]
fn looks_like(time_ns: Nanos, unit: TimeUnit, stamped_ns: Nanos) -> Option<TimeUnit> {
    if unit == TimeUnit::Iso {
        return None;
    }
    let number = time_ns / unit.nanos();
    TimeUnit::NUMBERS.into_iter().filter(|other| *other != unit).find(|other| {
        let read_so = number.checked_mul(other.nanos());
        read_so.is_some_and(|time_ns| time_ns.abs_diff(stamped_ns) <= NEAR_NS as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    #[test]
    fn the_records_timestamp_tells_the_unit() {
        let stamped = 1_700_000_000 * SECOND;
        let suspected = |number: i64, unit: TimeUnit| {
            suspected_unit(number.saturating_mul(unit.nanos()), unit, stamped)
        };
        assert_eq!(suspected(stamped, TimeUnit::Ns), None);
        assert_eq!(suspected(stamped / 1_000_000, TimeUnit::Ns), Some(TimeUnit::Ms));
        assert_eq!(suspected(stamped / 1000, TimeUnit::Ns), Some(TimeUnit::Us));
        assert_eq!(suspected(1_700_000_000, TimeUnit::Ns), Some(TimeUnit::S));
        assert_eq!(suspected(1_700_000_000, TimeUnit::Ms), Some(TimeUnit::S));
        assert_eq!(suspected(stamped / 1_000_000, TimeUnit::Ms), None);
        assert_eq!(suspected(stamped - 5 * FAR_NS, TimeUnit::Ns), None, "an old feed");
        assert_eq!(suspected(0, TimeUnit::Ns), None);
    }
}
