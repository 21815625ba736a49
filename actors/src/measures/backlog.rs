//! How far a run was behind its schedule, where its events stood, and whose processor time it was.

use serde::{Deserialize, Serialize};

use crate::clock::{MILLISECOND, Nanos};

/// How often a stage looks how far behind it is.
const LOOK_EVERY_NS: Nanos = 10 * MILLISECOND;

/// Events that stood in queues at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Backlog {
    /// Due, and not handed to the client: by the rate asked for.
    pub unsent: u64,
    /// Handed to the client, and not acknowledged.
    pub unacknowledged: u64,
    /// Acknowledged, and not read by an aggregator.
    pub unread: u64,
}

/// Whose processor time a second was, and who was busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Load {
    /// Share of the second that the client was full, mean over the producers.
    pub client_full: f64,
    /// Share of the second that the busiest aggregator was not waiting for records.
    pub reader_busy: f64,
    /// Share of the second that the stage's thread that waited most could have run, and waited for
    /// a processor.
    pub cpu_wait: f64,
    /// Processors that this process used outside of its stages: the broker's client, above all;
    /// `null`: not known.
    pub client_cpus: Option<f64>,
    /// Processors that other processes used; `null`: not known.
    pub foreign_cpus: Option<f64>,
}

impl Load {
    /// The mean of two, which stand for so many seconds each.
    pub(crate) fn mean_with(self, next: Self, seconds: [u32; 2]) -> Self {
        let [of_this, of_next] = seconds.map(f64::from);
        let mean = |a: f64, b: f64| (a * of_this + b * of_next) / (of_this + of_next);
        let mean_if_any = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(mean(a, b)),
            (a, b) => a.or(b),
        };
        Self {
            client_full: mean(self.client_full, next.client_full),
            reader_busy: mean(self.reader_busy, next.reader_busy),
            cpu_wait: mean(self.cpu_wait, next.cpu_wait),
            client_cpus: mean_if_any(self.client_cpus, next.client_cpus),
            foreign_cpus: mean_if_any(self.foreign_cpus, next.foreign_cpus),
        }
    }
}

/// How far behind the schedule a stage is, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BehindSchedule {
    /// So far.
    Exactly(Nanos),
    /// So far at least: nothing has come yet since the run began. It is the beginning that is so
    /// near, and not what comes.
    AtLeast(Nanos),
}

/// The least that a stage was behind the schedule since it was last asked: what lingers, sawtooths
/// or pauses for a moment vanishes in it, a queue does not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeastBehind {
    least_ns: Option<Nanos>,
    /// The last look's, while nothing had come yet.
    at_least_ns: Option<Nanos>,
    next_look_ns: Nanos,
}

impl LeastBehind {
    /// Looks how far behind the stage is, if it is time to; `None`: there is nothing that it could
    /// be behind.
    #[inline]
    pub(crate) fn look(&mut self, now: Nanos, behind: impl FnOnce() -> Option<BehindSchedule>) {
        if now < self.next_look_ns {
            return;
        }
        self.next_look_ns = now + LOOK_EVERY_NS;
        match behind() {
            Some(BehindSchedule::Exactly(behind_ns)) => {
                let least_ns = self.least_ns.map_or(behind_ns, |least_ns| least_ns.min(behind_ns));
                self.least_ns = Some(least_ns.max(0));
            }
            Some(BehindSchedule::AtLeast(behind_ns)) => self.at_least_ns = Some(behind_ns.max(0)),
            None => {}
        }
    }

    /// The least since the last call.
    pub(crate) fn take(&mut self) -> Option<Nanos> {
        let at_least_ns = self.at_least_ns.take();
        self.least_ns.take().or(at_least_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_all_looks_counts_and_a_look_is_rare() {
        let mut behind = LeastBehind::default();
        behind.look(0, || Some(BehindSchedule::Exactly(7)));
        behind.look(1, || unreachable!("too soon"));
        behind.look(LOOK_EVERY_NS, || Some(BehindSchedule::Exactly(5)));
        behind.look(2 * LOOK_EVERY_NS, || None);
        behind.look(3 * LOOK_EVERY_NS, || Some(BehindSchedule::Exactly(6)));
        assert_eq!((behind.take(), behind.take()), (Some(5), None));
    }

    /// What comes from a broker that is far away is always behind. At the beginning nothing is yet.
    #[test]
    fn a_beginning_is_no_measure_unless_nothing_comes() {
        let mut behind = LeastBehind::default();
        let looks = [
            BehindSchedule::AtLeast(0),
            BehindSchedule::AtLeast(140),
            BehindSchedule::Exactly(150),
        ];
        for (at, look) in (0..).zip(looks) {
            behind.look(at * LOOK_EVERY_NS, || Some(look));
        }
        assert_eq!(behind.take(), Some(150));
        behind.look(3 * LOOK_EVERY_NS, || Some(BehindSchedule::AtLeast(900)));
        behind.look(4 * LOOK_EVERY_NS, || Some(BehindSchedule::AtLeast(950)));
        assert_eq!((behind.take(), behind.take()), (Some(950), None));
    }
}
