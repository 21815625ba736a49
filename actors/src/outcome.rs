//! What a finished run hands to whoever reports it, and the verdict on it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::audit::Finding;
use crate::clock::{MILLISECOND, Nanos, SECOND};
use crate::histogram::{LatencyHistogram, LatencyKind};
use crate::measures::{RunMeasures, Second, StageCounters};
use crate::messages::StageId;
use crate::ports::BrokerDescription;
use crate::spec::RunSpec;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The schedule was played to its end and audited.
    Completed,
    /// It was stopped on request; drained (and audited) or abandoned.
    Stopped {
        /// Whether everything sent was still aggregated and audited.
        drained: bool,
    },
    /// A stage failed.
    Failed {
        /// Which one, unless the run failed before there were stages.
        stage: Option<StageId>,
        /// Why.
        cause: String,
    },
}

/// Everything measured in one run.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The resolved workload.
    pub spec: RunSpec,
    /// The broker.
    pub broker: BrokerDescription,
    /// The pipeline's last generation.
    pub generation: u16,
    /// How it ended.
    pub ending: Ending,
    /// Wall time at the start of preparations.
    pub started_at_ns: Nanos,
    /// Start of window 0; `None`: it never began.
    pub base_ns: Option<Nanos>,
    /// End of the schedule: as planned, or when the producers were stopped.
    pub schedule_end_ns: Nanos,
    /// When the last stage was done.
    pub finished_at_ns: Nanos,
    /// All stages' totals.
    pub counters: StageCounters,
    /// Whole-run histograms of the measured part.
    pub latencies: BTreeMap<LatencyKind, LatencyHistogram>,
    /// One row a second.
    pub series: Vec<Second>,
    /// Audit and windows; `None`: the run ended before it was audited.
    pub measures: Option<RunMeasures>,
    /// What was found wrong (bounded; the totals count all).
    pub findings: Vec<Finding>,
    /// How far the wall clock moved against the monotonic one.
    pub wall_step_ns: Nanos,
}

/// A step of the wall clock beyond this spoils `result_latency` (slewing stays far below).
pub const CLOCK_STEP_LIMIT_NS: Nanos = 100 * MILLISECOND;

impl RunOutcome {
    /// Whether the wall clock was stepped during the run.
    pub fn clock_stepped(&self) -> bool {
        self.wall_step_ns.abs() > CLOCK_STEP_LIMIT_NS
    }

    /// Length of the measured part as it was played, seconds.
    pub fn measured_seconds(&self) -> f64 {
        let Some(base) = self.base_ns else { return 0.0 };
        let from = base + self.spec.warmup_ns;
        (self.schedule_end_ns - from).max(0) as f64 / SECOND as f64
    }

    /// Measured events per second handed to the client, and consumed: over the measured part, or over the longer time
    /// that it really took.
    pub fn throughput(&self) -> (f64, f64) {
        let from = self.base_ns.unwrap_or(0) + self.spec.warmup_ns;
        let rate = |events: u64, last: Nanos| {
            let seconds = (last - from) as f64 / SECOND as f64;
            let span = seconds.max(self.measured_seconds());
            if span > 0.0 { events as f64 / span } else { 0.0 }
        };
        (
            rate(self.counters.produced_measured, self.counters.last_produced_ns),
            rate(self.counters.consumed_measured, self.counters.last_consumed_ns),
        )
    }
}

/// The verdict on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every count exact, and the harness was not the limit.
    Pass,
    /// A wrong count, an error, or the broker fell behind.
    Fail,
    /// Nothing can be said about the broker: the generator was the limit, or the clock stepped.
    Inconclusive,
    /// It was stopped before its end.
    Aborted,
}

/// A verdict, why, and the exit code of `streamgauge run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, the gravest first; never empty.
    pub reasons: Vec<String>,
    /// 1 runtime error, 4 audit failed, 5 inconclusive, 99 broker-limited, 0 pass.
    pub exit_code: u8,
}

impl RunOutcome {
    /// Judges the run. In order of precedence: error, audit, generator or clock, broker.
    pub fn judge(&self) -> Judgement {
        let audit_failures = self.audit_failures();
        let limit = self.limit();
        let (verdict, exit_code, mut reasons) = match (&self.ending, audit_failures.is_empty()) {
            (Ending::Failed { stage, cause }, _) => {
                let stage = stage.map_or_else(|| "the run".to_owned(), |stage| stage.to_string());
                (Verdict::Fail, 1, vec![format!("{stage} failed: {cause}")])
            }
            (_, false) => (Verdict::Fail, 4, Vec::new()),
            (Ending::Stopped { drained }, true) => {
                let how = if *drained { "drained and audited" } else { "abandoned, not audited" };
                (Verdict::Aborted, 0, vec![format!("stopped on request before its end; {how}")])
            }
            (Ending::Completed, true) if self.clock_stepped() => {
                let step_ms = self.wall_step_ns / MILLISECOND;
                (Verdict::Inconclusive, 5, vec![format!("the wall clock stepped by {step_ms} ms during the run")])
            }
            (Ending::Completed, true) => match limit {
                Some(Limit::Generator(share)) => {
                    (Verdict::Inconclusive, 5, vec![self.limit_reason("generator", share)])
                }
                Some(Limit::Broker(share)) => (Verdict::Fail, 99, vec![self.limit_reason("broker", share)]),
                None => (Verdict::Pass, 0, vec!["every count of every window is exact".to_owned()]),
            },
        };
        reasons.extend(audit_failures);
        Judgement { verdict, reasons, exit_code }
    }

    /// What the audit holds against the run; empty where all is exact (or nothing was audited).
    pub fn audit_failures(&self) -> Vec<String> {
        let counters = &self.counters;
        let mut failures = Vec::new();
        let mut check = |count: u64, what: &str| {
            if count > 0 {
                failures.push(format!("{count} {what}"));
            }
        };
        if let Some(measures) = &self.measures {
            let audit = &measures.audit;
            check(audit.windows - audit.windows_exact, "window(s) with a wrong count");
            check(audit.events_missing, "acknowledged event(s) missing from the results");
            check(audit.events_extra, "event(s) too many in the results");
            check(audit.results_missing, "result(s) missing");
            check(audit.results_duplicated, "result(s) duplicated");
        }
        check(counters.events_lost, "event(s) lost");
        check(counters.events_duplicated, "event(s) duplicated");
        check(counters.events_reordered, "event(s) reordered");
        check(counters.late, "event(s) late");
        failures
    }

    fn limit(&self) -> Option<Limit> {
        if self.spec.arrivals == crate::arrivals::ArrivalKind::Max {
            return None;
        }
        let sent = self.counters.produced_measured.max(1) as f64;
        let generator = self.counters.sent_late_generator as f64 / sent;
        let broker = self.counters.sent_late_backpressure as f64 / sent;
        if generator + broker <= self.spec.send_delay_share {
            None
        } else if broker >= generator {
            Some(Limit::Broker(generator + broker))
        } else {
            Some(Limit::Generator(generator + broker))
        }
    }

    fn limit_reason(&self, who: &str, share: f64) -> String {
        let limit_ms = self.spec.send_delay_limit_ns / MILLISECOND;
        format!(
            "{who}-limited: {:.1} % of the events were sent more than {limit_ms} ms after their intended time",
            share * 100.0
        )
    }
}

enum Limit {
    Generator(f64),
    Broker(f64),
}
