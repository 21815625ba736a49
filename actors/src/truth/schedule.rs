//! The schedule drawn again, from the seed and its changes: what had to be sent, whatever was.

use crate::clock::{MILLISECOND, Nanos, SECOND};
use crate::workload::arrivals::Arrivals;
use crate::workload::spec::RunSpec;

/// The length of a step in which the arrivals of all producers are looked at together.
const STEP_NS: Nanos = 10 * MILLISECOND;

/// The arrivals of all producers of a run.
pub(crate) struct ReplayedSchedule {
    producers: Vec<Arrivals>,
}

impl ReplayedSchedule {
    /// Of a run whose rate was changed: (offset from the base, events per second over all
    /// producers).
    pub(crate) fn new(spec: &RunSpec, changes: &[(Nanos, f64)]) -> Self {
        let workload = &spec.workload;
        let producers = (0..workload.producers).map(|producer| {
            let mut arrivals = spec.arrivals(producer);
            for &(offset_ns, rate) in changes {
                arrivals.set_rate(offset_ns, rate / f64::from(workload.producers));
            }
            arrivals
        });
        Self { producers: producers.collect() }
    }

    /// Takes what arrives before an offset, at most `draws`; `None`: it is more.
    fn take_before(&mut self, offset_ns: Nanos, draws: &mut u64) -> Option<u64> {
        let mut sum = 0;
        for arrivals in &mut self.producers {
            let (count, all) = arrivals.skip_before(offset_ns, *draws);
            *draws = draws.saturating_sub(count);
            sum += count;
            if !all {
                return None;
            }
        }
        Some(sum)
    }

    /// What this very schedule leaves at `to_ns` before a server that takes exactly `rate` events
    /// per second from `from_ns` on, in the time that the server needs for it: the greatest over s
    /// of the events that arrive in (s, to] less rate (to - s), over the rate (Lindley, *The theory
    /// of queues with a single server*, 1952). `None`: that takes more than `draws` arrivals.
    pub(crate) fn burst_ns(
        mut self,
        (from_ns, to_ns): (Nanos, Nanos),
        rate: f64,
        mut draws: u64,
    ) -> Option<Nanos> {
        self.take_before(from_ns, &mut draws)?;
        let (mut at_ns, mut waiting) = (from_ns, 0.0_f64);
        while at_ns < to_ns {
            let next_ns = (at_ns + STEP_NS).min(to_ns);
            let arrived = self.take_before(next_ns, &mut draws)? as f64;
            let taken = rate * (next_ns - at_ns) as f64 / SECOND as f64;
            waiting = (waiting + arrived - taken).max(0.0);
            at_ns = next_ns;
        }
        Some((waiting / rate * SECOND as f64) as Nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::small_spec;
    use crate::units::Rate;
    use crate::workload::arrivals::{ArrivalKind, BurstCorrelation, Mmpp};

    fn burst_ns(kind: ArrivalKind, seconds: i64) -> Nanos {
        let spec = small_spec("bursts").with(|spec| {
            spec.workload.arrivals = kind;
            spec.workload.rate = Rate(10_000.0);
            spec.workload.mmpp = Mmpp { rate_ratio: 20.0, q12: 0.5, q21: 0.5 };
            spec.workload.burst_correlation = BurstCorrelation::Shared;
        });
        let schedule = ReplayedSchedule::new(&spec, &[]);
        schedule.burst_ns((0, seconds * SECOND), 10_000.0, u64::MAX).unwrap()
    }

    #[test]
    fn even_arrivals_leave_nothing_and_bursts_leave_seconds() {
        assert!(burst_ns(ArrivalKind::Uniform, 20) <= 2 * MILLISECOND);
        assert!(burst_ns(ArrivalKind::PoissonNormalized, 20) < 50 * MILLISECOND);
        // Wherever a run ends, some end in a burst.
        let worst = (1..40).map(|seconds| burst_ns(ArrivalKind::Mmpp, seconds)).max().unwrap();
        assert!(worst > SECOND, "{worst}");
    }

    #[test]
    fn a_schedule_that_is_too_long_to_be_drawn_is_none() {
        let spec = small_spec("long").with(|spec| {
            spec.workload.arrivals = ArrivalKind::Poisson;
            spec.workload.rate = Rate(1e6);
        });
        let schedule = ReplayedSchedule::new(&spec, &[]);
        assert_eq!(schedule.burst_ns((0, 60 * SECOND), 1e6, 10_000), None);
    }

    #[test]
    fn a_change_of_the_rate_changes_what_arrives_behind_it() {
        let spec = small_spec("changed").with(|spec| {
            spec.workload.arrivals = ArrivalKind::Uniform;
            spec.workload.rate = Rate(1000.0);
        });
        let mut schedule = ReplayedSchedule::new(&spec, &[(SECOND, 3000.0)]);
        let mut draws = u64::MAX;
        assert_eq!(schedule.take_before(SECOND, &mut draws), Some(1000));
        let behind = schedule.take_before(2 * SECOND, &mut draws).unwrap();
        assert!(behind.abs_diff(3000) <= u64::from(spec.workload.producers), "{behind}");
    }
}
