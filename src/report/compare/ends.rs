//! Where a latency begins and ends in a run: only latencies of the same ends are compared.

use streamgauge_actors::LatencyKind;

use crate::report::Report;

/// Latencies that begin at an event's intended time.
const FROM_INTENDED: [LatencyKind; 3] =
    [LatencyKind::PublishDelay, LatencyKind::EventLatency, LatencyKind::ResultLatencyIntended];

/// Stands where the latency begins at different points.
const OTHER_BEGIN: &str = "one begins at the intended time, the other at the sending";

/// Stands where the latency ends at different points.
const OTHER_END: &str = "one ends at the insertion, the other at the acknowledgement";

/// Both ends of a latency, as they were in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    from: &'static str,
    to: &'static str,
}

impl Ends {
    /// Of a latency in a run.
    pub fn of(kind: LatencyKind, report: &Report) -> Self {
        let row = kind.row();
        // Without a schedule an event is intended when it is sent.
        let is_unscheduled =
            report.config.pointer("/workload/arrivals").is_some_and(|a| a == "max");
        // A log's own clock is what a step of ours spoils a latency by.
        let ends_in_log = kind.is_spoiled(true);
        Self {
            from: if is_unscheduled && FROM_INTENDED.contains(&kind) {
                "the sending"
            } else {
                row.from
            },
            to: if ends_in_log && !report.broker.log_append_time {
                "the acknowledgement"
            } else {
                row.to
            },
        }
    }

    /// Why latencies with these ends must not be compared; `None`: they may be.
    pub fn apart(all: &[Self]) -> Option<&'static str> {
        let first = all.first()?;
        if all.iter().any(|ends| ends.from != first.from) {
            Some(OTHER_BEGIN)
        } else if all.iter().any(|ends| ends.to != first.to) {
            Some(OTHER_END)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_from_an_intended_time_is_among_them() {
        let from_intended = |kind: &LatencyKind| {
            [kind.name(), kind.row().from].iter().any(|words| words.contains("intended"))
        };
        let found: Vec<LatencyKind> = LatencyKind::ALL.into_iter().filter(from_intended).collect();
        assert_eq!(found, FROM_INTENDED);
    }
}
