//! The verdict on a finished run: causes, which of them decides, and the exit code of each.

use serde::{Deserialize, Serialize};

use crate::clock::{MILLISECOND, SECOND};
use crate::measures::latency_kinds::LatencyKind;
use crate::run::outcome::{Ending, RunOutcome};
use crate::run::sustained::growth::Undecided;
use crate::run::sustained::{Limit, Sustained};
use crate::truth::findings::AuditTotals;
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

/// How grave what is known of a run is. Of several runs the gravest counts, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// A stage, the broker or the program failed.
    Error,
    /// A count is wrong.
    WrongCount,
    /// Nothing can be said about the broker.
    Inconclusive,
    /// All is exact, and not as good as was asked for.
    FellShort,
    /// It was stopped, and nothing was wrong until then.
    Stopped,
    /// All is well.
    Pass,
}

impl Grade {
    /// Every grade with its verdict, the exit code of the command that made the run, and what that
    /// code is in words. (A command that a signal stopped ends by that signal instead of with 0.)
    pub const TABLE: [(Self, Verdict, u8, &'static str); 6] = [
        (Self::Error, Verdict::Fail, 1, "runtime error"),
        (Self::WrongCount, Verdict::Fail, 4, "audit failed"),
        (Self::Inconclusive, Verdict::Inconclusive, 5, "inconclusive"),
        (
            Self::FellShort,
            Verdict::Fail,
            99,
            "not sustained, broker-limited, or a threshold failed",
        ),
        (Self::Stopped, Verdict::Aborted, 0, "stopped on request"),
        (Self::Pass, Verdict::Pass, 0, "pass"),
    ];

    /// The grade that a report tells by its verdict and exit code; whatever fits none is an error.
    /// (Who was stopped by a signal ended with that signal's code.)
    pub fn of(verdict: Verdict, exit_code: u8) -> Self {
        if verdict == Verdict::Aborted {
            return Self::Stopped;
        }
        let fits = |row: &&(Self, Verdict, u8, &str)| (row.1, row.2) == (verdict, exit_code);
        let by_code = |row: &&(Self, Verdict, u8, &str)| row.2 == exit_code;
        let found = Self::TABLE.iter().find(fits).or_else(|| Self::TABLE.iter().rfind(by_code));
        found.map_or(Self::Error, |row| row.0)
    }

    /// The verdict that goes with it.
    pub fn verdict(self) -> Verdict {
        Self::TABLE[self as usize].1
    }

    /// The exit code of the command that made the run.
    pub fn exit_code(self) -> u8 {
        Self::TABLE[self as usize].2
    }
}

/// Why a verdict is what it is. Of several causes the first in this order decides, and the others
/// follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A stage failed, or the run before it had stages.
    StageFailed,
    /// A whole run ended without its audit.
    AuditMissing,
    /// The broker rejected events.
    EventsRejected,
    /// Windows have a wrong count.
    WindowsWrong,
    /// Acknowledged events are in no result.
    EventsMissing,
    /// Results hold events too many.
    EventsExtra,
    /// Results never came.
    ResultsMissing,
    /// Results came again.
    ResultsDuplicated,
    /// A log has lost records.
    RecordsLost,
    /// Serial numbers are missing.
    EventsLost,
    /// Serial numbers came again.
    EventsDuplicated,
    /// Serial numbers came out of order.
    EventsReordered,
    /// Events came after their window had closed.
    EventsLate,
    /// It was stopped on request.
    Stopped,
    /// There was nothing to measure.
    NothingMeasured,
    /// No result has a latency that counts.
    NoResultLatency,
    /// The whole program was stopped for a while, or got no processor.
    ProgramStopped,
    /// The wall clock was stepped.
    ClockStepped,
    /// The backlog grew where the generator was the limit.
    NotSustainedGenerator,
    /// The backlog grew where our own aggregator was the limit.
    NotSustainedAggregator,
    /// Whether the run kept up cannot be told.
    SustainedUndecided,
    /// The generator was late by itself.
    GeneratorLimited,
    /// The backlog grew where the broker was the limit.
    NotSustainedBroker,
    /// The generator was late because the broker's client was full.
    BrokerLimited,
    /// Events were sent late, or never, while the backlog grew: what held it up decides.
    SentLate,
    /// A threshold does not hold.
    ThresholdFailed,
    /// Nothing is wrong with the run itself.
    NoFault,
}

impl Cause {
    /// How grave it is.
    pub fn grade(self) -> Grade {
        match self {
            Self::StageFailed | Self::AuditMissing | Self::EventsRejected => Grade::Error,
            Self::WindowsWrong
            | Self::EventsMissing
            | Self::EventsExtra
            | Self::ResultsMissing
            | Self::ResultsDuplicated
            | Self::RecordsLost
            | Self::EventsLost
            | Self::EventsDuplicated
            | Self::EventsReordered
            | Self::EventsLate => Grade::WrongCount,
            Self::Stopped => Grade::Stopped,
            Self::NothingMeasured
            | Self::NoResultLatency
            | Self::ProgramStopped
            | Self::ClockStepped
            | Self::NotSustainedGenerator
            | Self::NotSustainedAggregator
            | Self::SustainedUndecided
            | Self::GeneratorLimited => Grade::Inconclusive,
            Self::NotSustainedBroker
            | Self::BrokerLimited
            | Self::SentLate
            | Self::ThresholdFailed => Grade::FellShort,
            Self::NoFault => Grade::Pass,
        }
    }
}

/// A cause, and what it was this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The cause.
    pub cause: Cause,
    /// A sentence for people.
    pub text: String,
}

impl Reason {
    /// `text`: a sentence for people.
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into() }
    }
}

/// What a run is judged by: its reasons, the one that decides first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    reasons: Vec<Reason>,
}

impl Judgement {
    /// This judgement with further reasons, each at its place.
    #[must_use]
    pub fn with(mut self, further: impl IntoIterator<Item = Reason>) -> Self {
        self.reasons.extend(further);
        self.reasons.sort_by_key(|reason| reason.cause);
        self
    }

    /// The cause that decides.
    pub fn cause(&self) -> Cause {
        self.reasons.first().map_or(Cause::NoFault, |reason| reason.cause)
    }

    /// How grave it is.
    pub fn grade(&self) -> Grade {
        self.cause().grade()
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.grade().verdict()
    }

    /// The exit code of the command that made the run.
    pub fn exit_code(&self) -> u8 {
        self.grade().exit_code()
    }

    /// What the reasons say.
    pub fn texts(&self) -> Vec<String> {
        self.reasons.iter().map(|reason| reason.text.clone()).collect()
    }

    /// The causes, one for each reason.
    pub fn causes(&self) -> Vec<Cause> {
        self.reasons.iter().map(|reason| reason.cause).collect()
    }
}

impl RunOutcome {
    /// Judges the run by what its stages can know, and by whether it was `sustained`.
    pub fn judge(&self, sustained: &Sustained) -> Judgement {
        let mut reasons: Vec<Reason> = self.error().into_iter().collect();
        reasons.extend(self.wrong_counts());
        reasons.extend(self.stopped());
        if !matches!(self.ending, Ending::Failed { .. }) {
            reasons.extend(self.doubts());
        }
        reasons.extend(self.not_sustained(sustained));
        reasons.extend(self.sent_late(sustained));
        if reasons.is_empty() {
            reasons.push(Reason::new(Cause::NoFault, self.praise()));
        }
        Judgement { reasons: Vec::new() }.with(reasons)
    }

    /// What broke: a stage, the audit itself, or a delivery.
    fn error(&self) -> Option<Reason> {
        match &self.ending {
            Ending::Failed { stage, cause, .. } => {
                let stage = stage.map_or_else(|| "the run".to_owned(), |stage| stage.to_string());
                Some(Reason::new(Cause::StageFailed, format!("{stage} failed: {cause}")))
            }
            Ending::Completed if self.mode == Mode::Run && self.measures.is_none() => {
                let text = "the run ended without its audit: not one count was checked";
                Some(Reason::new(Cause::AuditMissing, text))
            }
            Ending::Completed if self.mode == Mode::Produce && self.counters.rejected > 0 => {
                let text = format!("{} event(s) rejected by the broker", self.counters.rejected);
                Some(Reason::new(Cause::EventsRejected, text))
            }
            Ending::Completed | Ending::Stopped { .. } => None,
        }
    }

    /// What the audit, or the serial numbers and watermarks, hold against the run; empty where all
    /// is exact.
    fn wrong_counts(&self) -> Vec<Reason> {
        let counters = &self.counters;
        let mut wrong = Vec::new();
        let mut check = |count: u64, cause: Cause, what: &str| {
            if count > 0 {
                wrong.push(Reason::new(cause, format!("{count} {what}")));
            }
        };
        if let Some(audit) = self.audit() {
            let windows = audit.windows.saturating_sub(audit.windows_exact);
            check(windows, Cause::WindowsWrong, "window(s) with a wrong count");
            let what = "acknowledged event(s) missing from the results";
            check(audit.events_missing, Cause::EventsMissing, what);
            check(audit.events_extra, Cause::EventsExtra, "event(s) too many in the results");
            check(audit.results_missing, Cause::ResultsMissing, "result(s) missing");
            check(audit.results_duplicated, Cause::ResultsDuplicated, "result(s) duplicated");
        }
        check(counters.records_lost, Cause::RecordsLost, "record(s) lost by the log");
        check(counters.events_lost, Cause::EventsLost, "event(s) lost");
        check(counters.events_duplicated, Cause::EventsDuplicated, "event(s) duplicated");
        check(counters.events_reordered, Cause::EventsReordered, "event(s) reordered");
        let late = match self.mode {
            Mode::Aggregate(_) => {
                format!("event(s) late: {} would have sufficed", self.lateness_flag())
            }
            Mode::Run | Mode::Produce | Mode::Latency(_) => "event(s) late".to_owned(),
        };
        check(counters.late, Cause::EventsLate, &late);
        wrong
    }

    /// The audit's sums, where there was an audit: in whole runs, and where `latency` was given the
    /// truth.
    pub fn audit(&self) -> Option<&AuditTotals> {
        match self.mode {
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

    fn stopped(&self) -> Option<Reason> {
        let Ending::Stopped { drained } = self.ending else { return None };
        let how = match (drained, self.audit().is_some()) {
            (true, true) => "drained and audited",
            (true, false) => "drained, not audited",
            (false, _) => "abandoned, not audited",
        };
        let text = format!("stopped on request before its end; {how}");
        Some(Reason::new(Cause::Stopped, text))
    }

    /// What kept the run from measuring anything, if something did.
    fn emptiness(&self) -> Option<&'static str> {
        let (is_empty, what) = match self.mode {
            Mode::Run => (
                self.measures.as_ref().is_some_and(|measures| measures.audit.windows == 0),
                "no window was audited",
            ),
            Mode::Produce => (self.counters.produced == 0, "no event was produced"),
            Mode::Aggregate(_) => (self.counters.consumed == 0, "no event came"),
            Mode::Latency(_) => (self.counters.results_read == 0, "no result came"),
        };
        is_empty.then_some(what)
    }

    /// Why nothing can be concluded.
    fn doubts(&self) -> Vec<Reason> {
        let mut doubts = Vec::new();
        let has_result_latency = self
            .latencies
            .get(&LatencyKind::ResultLatency)
            .is_some_and(|samples| !samples.is_empty());
        if let Some(what) = self.emptiness() {
            let text = format!("nothing was measured: {what}");
            doubts.push(Reason::new(Cause::NothingMeasured, text));
        } else if self.mode == Mode::Run && !has_result_latency {
            let text = "no result latency was measured: no whole window lies in the measured part";
            doubts.push(Reason::new(Cause::NoResultLatency, text));
        }
        if self.longest_stop_ns > 0 {
            let stop_s = self.longest_stop_ns as f64 / SECOND as f64;
            let text = format!(
                "the program itself stood still for {stop_s:.1} s: it was stopped, or got no \
                 processor"
            );
            doubts.push(Reason::new(Cause::ProgramStopped, text));
        }
        // Aggregation alone measures spans of the run clock, which a step does not touch.
        if self.clock_stepped() && !matches!(self.mode, Mode::Aggregate(_)) {
            let step_ms = self.wall_step_ns / MILLISECOND;
            let text = format!("the wall clock stepped by {step_ms} ms during the run");
            doubts.push(Reason::new(Cause::ClockStepped, text));
        }
        doubts
    }

    /// Whether the backlog grew, and where.
    fn not_sustained(&self, sustained: &Sustained) -> Option<Reason> {
        let is_stopped = matches!(self.ending, Ending::Stopped { .. });
        if let Some(Undecided { why, needed_s }) = &sustained.undecided {
            // Who stopped a run did not ask for that.
            let text = format!(
                "whether it kept up cannot be told: {why}; a measured part of {needed_s} s would \
                 tell"
            );
            return (!is_stopped).then(|| Reason::new(Cause::SustainedUndecided, text));
        }
        let (Some(limit), Some(growth_s)) = (sustained.limit, sustained.growth_s) else {
            return None;
        };
        let cause = match limit {
            Limit::Generator => Cause::NotSustainedGenerator,
            Limit::Aggregator => Cause::NotSustainedAggregator,
            Limit::Broker | Limit::Processor => Cause::NotSustainedBroker,
        };
        let text = format!(
            "not sustained, {}-limited: the backlog grew by {growth_s:.1} s in {} s",
            limit.name(),
            sustained.judged_s
        );
        Some(Reason::new(cause, text))
    }

    fn praise(&self) -> String {
        let counters = &self.counters;
        match (self.mode, self.audit()) {
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

    /// What made the producers late, if too many events were. Never sent is late, too. Where the
    /// backlog grew, too, what held it up decides alone.
    fn sent_late(&self, sustained: &Sustained) -> Option<Reason> {
        self.spec.target(self.mode)?;
        let counters = &self.counters;
        let never = counters.never_sent_measured;
        let scheduled = (counters.produced_measured + never).max(1) as f64;
        let by_broker = counters.sent_late_backpressure + counters.never_sent_backpressure;
        let by_generator =
            counters.sent_late_generator + never.saturating_sub(counters.never_sent_backpressure);
        let share = (by_generator + by_broker) as f64 / scheduled;
        if share <= self.spec.workload.send_delay_share {
            return None;
        }
        let (cause, who) = if by_broker >= by_generator {
            (Cause::BrokerLimited, "broker")
        } else {
            (Cause::GeneratorLimited, "generator")
        };
        let percent = share * 100.0;
        let limit_ms = self.spec.workload.send_delay_limit.as_nanos() / MILLISECOND;
        let or_never = if never > 0 { ", or never" } else { "" };
        let late = format!(
            "{percent:.1} % of the events were sent more than {limit_ms} ms after their intended \
             time{or_never}"
        );
        Some(match sustained.limit {
            Some(_) => Reason::new(Cause::SentLate, late),
            None => Reason::new(cause, format!("{who}-limited: {late}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grade_is_found_by_its_verdict_and_exit_code() {
        for (at, (grade, verdict, code, _)) in Grade::TABLE.into_iter().enumerate() {
            assert_eq!((grade as usize, Grade::of(verdict, code)), (at, grade));
        }
        assert_eq!(Grade::of(Verdict::Fail, 77), Grade::Error);
    }

    #[test]
    fn the_gravest_reason_comes_first_and_equals_stay_in_order() {
        let reasons = [
            Reason::new(Cause::ThresholdFailed, "a"),
            Reason::new(Cause::EventsLost, "b"),
            Reason::new(Cause::ThresholdFailed, "c"),
            Reason::new(Cause::StageFailed, "d"),
        ];
        let judgement = Judgement { reasons: vec![Reason::new(Cause::NoFault, "fine")] };
        assert_eq!(judgement.grade(), Grade::Pass);
        let judgement = judgement.with(reasons);
        assert_eq!(judgement.texts(), ["d", "b", "a", "c", "fine"]);
        assert_eq!((judgement.verdict(), judgement.exit_code()), (Verdict::Fail, 1));
    }
}
