//! A finished run judged by what its stages can know. `judge/input.rs`: what others wrote.

mod input;

use crate::clock::{MILLISECOND, SECOND};
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::measures::run_measures::{ClockBracket, Misalignment, RunMeasures};
use crate::run::outcome::{Ending, MadeTopics, RunOutcome};
use crate::run::sustained::growth::Undecided;
use crate::run::sustained::{Limit, Sustained};
use crate::run::verdict::{Cause, Judgement, Reason};
use crate::stream::result::BAD_RESULT;
use crate::truth::findings::AuditTotals;
use crate::workload::mode::Mode;

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
        Judgement::by(reasons)
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
        // Of windows that lie elsewhere no count is comparable.
        if let Some(audit) = self.audit().filter(|_| self.misalignment().is_none()) {
            let windows = audit.windows.saturating_sub(audit.windows_exact);
            check(windows, Cause::WindowsWrong, "window(s) with a wrong count");
            let what = "acknowledged event(s) missing from the results";
            check(audit.events_missing, Cause::EventsMissing, what);
            check(audit.events_extra, Cause::EventsExtra, "event(s) too many in the results");
            check(audit.results_missing, Cause::ResultsMissing, "result(s) missing");
            check(audit.results_duplicated, Cause::ResultsDuplicated, "result(s) duplicated");
            let what = "result(s) with a wrong max_produce_time or wrong window bounds";
            check(audit.results_wrong, Cause::ResultsWrong, what);
        }
        // Of producers that ran alone, too.
        if let Some(RunMeasures { audit, .. }) = &self.measures {
            let what = "event(s) of the schedule neither sent nor given up";
            check(audit.events_skipped, Cause::ScheduleBroken, what);
            let what = "event(s) sent that the schedule does not have";
            check(audit.events_unscheduled, Cause::ScheduleBroken, what);
        }
        check(counters.records_lost, Cause::RecordsLost, "record(s) lost by the log");
        check(counters.events_lost, Cause::EventsLost, "event(s) lost");
        check(counters.progress_lost, Cause::ProgressLost, "progress record(s) lost");
        check(counters.events_duplicated, Cause::EventsDuplicated, "event(s) duplicated");
        check(counters.events_reordered, Cause::EventsReordered, "event(s) reordered");
        let late = match self.mode {
            Mode::Aggregate(_) => {
                format!("event(s) late: {} would have sufficed", self.lateness_flag())
            }
            Mode::Run | Mode::Produce | Mode::Latency(_) => "event(s) late".to_owned(),
        };
        check(counters.late, Cause::EventsLate, &late);
        let [unreadable, foreign] = self.unexplained();
        let what = "unreadable record(s) in topics that the run made itself";
        check(unreadable, Cause::UnexplainedRecords, what);
        let what = "record(s) of others in topics that the run made itself";
        check(foreign, Cause::UnexplainedRecords, what);
        wrong
    }

    fn misalignment(&self) -> Option<Misalignment> {
        self.measures.as_ref()?.misalignment
    }

    /// Records that nobody can read, and those of others, in topics that the run made itself.
    fn unexplained(&self) -> [u64; 2] {
        let counters = &self.counters;
        let bad_results = counters.malformed.of(BAD_RESULT);
        let bad_events = counters.malformed.total() - bad_results;
        let MadeTopics { events, results } = self.made_topics;
        let where_made = |is_made: bool, count: u64| if is_made { count } else { 0 };
        [
            where_made(events, bad_events) + where_made(results, bad_results),
            where_made(events, counters.strangers) + where_made(results, counters.results_foreign),
        ]
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
        // What came and could not be read has a reason of its own.
        let has_none = self.counters.malformed.total() == 0;
        let (is_empty, what) = match self.mode {
            Mode::Run => (
                self.measures.as_ref().is_some_and(|measures| measures.audit.windows == 0),
                "no window was audited",
            ),
            Mode::Produce => (self.counters.produced == 0, "no event was produced"),
            Mode::Aggregate(_) => (self.counters.consumed == 0 && has_none, "no event came"),
            Mode::Latency(_) => (self.counters.results_read == 0 && has_none, "no result came"),
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
        doubts.extend(self.input_doubts());
        if self.longest_stop_ns > 0 {
            let stop_s = self.longest_stop_ns as f64 / SECOND as f64;
            let text = format!(
                "the program itself stood still for {stop_s:.1} s: it was stopped, or got no \
                 processor"
            );
            doubts.push(Reason::new(Cause::ProgramStopped, text));
        }
        doubts.extend(self.clock_doubt());
        // Aggregation alone measures spans of the run clock, which a step does not touch.
        if self.clock_stepped() && !matches!(self.mode, Mode::Aggregate(_)) {
            let step_ms = self.wall_step_ns / MILLISECOND;
            let text = format!("the wall clock stepped by {step_ms} ms during the run");
            doubts.push(Reason::new(Cause::ClockStepped, text));
        }
        doubts
    }

    /// Whether the broker's clock is another one than ours.
    fn clock_doubt(&self) -> Option<Reason> {
        let clock = self.measures.as_ref().and_then(|measures| measures.broker_clock);
        let negative =
            self.latencies.get(&LatencyKind::ResultLatency).map_or(0, LatencyHistogram::negative);
        let text = match clock {
            Some(ClockBracket { is_torn: true, .. }) => {
                "a clock was stepped: no offset of the broker's clock fits all results".to_owned()
            }
            Some(clock) if clock.excludes_zero() => format!(
                "the broker's clock is {:.1} to {:.1} ms off ours: result_latency is as wrong",
                clock.low_ns as f64 / MILLISECOND as f64,
                clock.high_ns as f64 / MILLISECOND as f64
            ),
            _ if negative > 0 => {
                format!("{negative} result(s) were inserted before their last event was sent")
            }
            _ => return None,
        };
        Some(Reason::new(Cause::BrokerClock, text))
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
    /// backlog grew, too, what held it up decides alone. A client that is full is nobody else's
    /// fault while our own threads lack a processor.
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
        let (cause, who) = if by_broker >= by_generator && !self.fills_its_clients() {
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
