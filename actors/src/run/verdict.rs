//! The verdict on a finished run.

use serde::{Deserialize, Serialize};

use crate::clock::MILLISECOND;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::run::outcome::{Ending, RunOutcome};
use crate::truth::findings::AuditTotals;
use crate::workload::arrivals::ArrivalKind;
use crate::workload::mode::Mode;

/// The verdict on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every count exact, and the harness was not the limit.
    Pass,
    /// A wrong count, an error, or the broker fell behind.
    Fail,
    /// Nothing can be said about the broker: the generator was the limit, the clock stepped, or
    /// nothing was measured.
    Inconclusive,
    /// It was stopped before its end.
    Aborted,
}

impl Verdict {
    /// The name in reports, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Aborted => "aborted",
        }
    }
}

/// A verdict, why, and the exit code of the command that made the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, the gravest first; never empty.
    pub reasons: Vec<String>,
    /// 1 runtime error, 4 audit failed, 5 inconclusive, 99 broker-limited, 0 pass (or stopped on
    /// request, nothing wrong).
    pub exit_code: u8,
}

impl RunOutcome {
    /// Judges the run by what its stages can know. In order of precedence: error, wrong counts,
    /// stopped on request, clock or generator, broker. The reasons of lower precedence follow the
    /// one that decides.
    pub fn judge(&self, mode: &Mode) -> Judgement {
        let errors = self.errors(mode);
        let wrong = self.audit_failures(mode);
        let doubts = self.doubts(mode);
        let limited = self.broker_limit(mode);
        let (verdict, exit_code) = if !errors.is_empty() {
            (Verdict::Fail, 1)
        } else if !wrong.is_empty() {
            (Verdict::Fail, 4)
        } else if matches!(self.ending, Ending::Stopped { .. }) {
            (Verdict::Aborted, 0)
        } else if !doubts.is_empty() {
            (Verdict::Inconclusive, 5)
        } else if limited.is_some() {
            (Verdict::Fail, 99)
        } else {
            (Verdict::Pass, 0)
        };
        let mut reasons = errors;
        reasons.extend(wrong);
        reasons.extend(self.stopped(mode));
        if !matches!(self.ending, Ending::Failed { .. }) {
            reasons.extend(doubts);
        }
        reasons.extend(limited);
        if reasons.is_empty() {
            reasons.push(self.praise(mode));
        }
        Judgement { verdict, reasons, exit_code }
    }

    /// What broke: a stage, the audit itself, or a delivery.
    fn errors(&self, mode: &Mode) -> Vec<String> {
        match &self.ending {
            Ending::Failed { stage, cause, .. } => {
                let stage = stage.map_or_else(|| "the run".to_owned(), |stage| stage.to_string());
                vec![format!("{stage} failed: {cause}")]
            }
            Ending::Completed if *mode == Mode::Run && self.measures.is_none() => {
                vec!["the run ended without its audit: not one count was checked".to_owned()]
            }
            Ending::Completed if *mode == Mode::Produce && self.counters.rejected > 0 => {
                vec![format!("{} event(s) rejected by the broker", self.counters.rejected)]
            }
            Ending::Completed | Ending::Stopped { .. } => Vec::new(),
        }
    }

    /// What the audit, or the serial numbers and watermarks, hold against the run; empty where all
    /// is exact.
    pub fn audit_failures(&self, mode: &Mode) -> Vec<String> {
        let counters = &self.counters;
        let mut failures = Vec::new();
        let mut check = |count: u64, what: &str| {
            if count > 0 {
                failures.push(format!("{count} {what}"));
            }
        };
        if let Some(audit) = self.audit(mode) {
            check(
                audit.windows.saturating_sub(audit.windows_exact),
                "window(s) with a wrong count",
            );
            check(audit.events_missing, "acknowledged event(s) missing from the results");
            check(audit.events_extra, "event(s) too many in the results");
            check(audit.results_missing, "result(s) missing");
            check(audit.results_duplicated, "result(s) duplicated");
        }
        check(counters.events_lost, "event(s) lost");
        check(counters.events_duplicated, "event(s) duplicated");
        check(counters.events_reordered, "event(s) reordered");
        match mode {
            Mode::Aggregate(_) => {
                let hint = format!("event(s) late: {} would have sufficed", self.lateness_flag());
                check(counters.late, &hint);
            }
            _ => check(counters.late, "event(s) late"),
        }
        failures
    }

    /// The audit's sums, where there was an audit: in whole runs, and where `latency` was given the
    /// truth.
    pub fn audit(&self, mode: &Mode) -> Option<&AuditTotals> {
        match mode {
            Mode::Run | Mode::Latency(_) => self.measures.as_ref().map(|measures| &measures.audit),
            Mode::Produce | Mode::Aggregate(_) => None,
        }
    }

    /// The flag that allows the lateness which would have sufficed for every late event: whole
    /// milliseconds, rounded up.
    pub fn lateness_flag(&self) -> String {
        let needed_ms =
            self.counters.late_needed_ns.max(1).saturating_add(MILLISECOND - 1) / MILLISECOND;
        format!("--allowed-lateness {needed_ms}ms")
    }

    fn stopped(&self, mode: &Mode) -> Option<String> {
        let Ending::Stopped { drained } = self.ending else { return None };
        let how = match (drained, self.audit(mode).is_some()) {
            (true, true) => "drained and audited",
            (true, false) => "drained, not audited",
            (false, _) => "abandoned, not audited",
        };
        Some(format!("stopped on request before its end; {how}"))
    }

    /// Why nothing can be concluded.
    fn doubts(&self, mode: &Mode) -> Vec<String> {
        let mut doubts = Vec::new();
        let nothing = match mode {
            Mode::Run => self.measures.as_ref().is_some_and(|measures| measures.audit.windows == 0),
            Mode::Produce => self.counters.produced == 0,
            Mode::Aggregate(_) => self.counters.consumed == 0,
            Mode::Latency(_) => self.counters.results_read == 0,
        };
        if nothing {
            let what = match mode {
                Mode::Run => "no window was audited",
                Mode::Produce => "no event was produced",
                Mode::Aggregate(_) => "no event came",
                Mode::Latency(_) => "no result came",
            };
            doubts.push(format!("nothing was measured: {what}"));
        } else if *mode == Mode::Run
            && self
                .latencies
                .get(&LatencyKind::ResultLatency)
                .is_none_or(LatencyHistogram::is_empty)
        {
            doubts.push(
                "no result latency was measured: no whole window lies in the measured part"
                    .to_owned(),
            );
        }
        // Aggregation alone measures spans of the run clock, which a step does not touch.
        if self.clock_stepped() && !matches!(mode, Mode::Aggregate(_)) {
            doubts.push(format!(
                "the wall clock stepped by {} ms during the run",
                self.wall_step_ns / MILLISECOND
            ));
        }
        if let Some(Limit::Generator(share)) = self.limit(mode) {
            doubts.push(self.limit_reason("generator", share));
        }
        doubts
    }

    fn broker_limit(&self, mode: &Mode) -> Option<String> {
        match self.limit(mode) {
            Some(Limit::Broker(share)) => Some(self.limit_reason("broker", share)),
            _ => None,
        }
    }

    fn praise(&self, mode: &Mode) -> String {
        let counters = &self.counters;
        match (mode, self.audit(mode)) {
            (Mode::Produce, _) if counters.unknown > 0 => format!(
                "{} of {} events acknowledged; only the log knows about {}",
                counters.acknowledged, counters.produced, counters.unknown
            ),
            (Mode::Produce, _) => "every event was acknowledged".to_owned(),
            (Mode::Aggregate(_), _) => "no event was late".to_owned(),
            (_, Some(audit)) => format!("every count of all {} windows is exact", audit.windows),
            (_, None) => {
                "results measured; their counts not audited (that takes `--truth FILE`)".to_owned()
            }
        }
    }

    fn limit(&self, mode: &Mode) -> Option<Limit> {
        let paced = matches!(mode, Mode::Run | Mode::Produce);
        if !paced || self.spec.arrivals == ArrivalKind::Max {
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
