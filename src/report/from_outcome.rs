//! From what the pipeline measured to the report.

use std::time::{Duration, UNIX_EPOCH};

use streamgauge_actors::{
    ArrivalKind, Ending, LatencyHistogram, LatencyKind, MILLISECOND, Mode, Nanos, RunOutcome,
    SECOND, Second, Verdict, WindowAudit, to_millis,
};

use super::latency::{LatencyFigures, PerLatency, SecondLatency};
use super::numbers::exact;
use super::thresholds;
use super::{
    AuditReport, BrokerReport, Drain, EndingName, EndingReport, Events, ModeName, Report,
    ReportContext, SCHEMA_VERSION, SecondRow, ThresholdRow, Throughput, Topics, WindowRow,
    next_step,
};
use crate::config::Threshold;

/// The exit code of a run that did all it should, and not as well as was asked.
const THRESHOLD_FAILED: u8 = 99;

impl Report {
    /// The report of a run that ended, however it ended.
    pub fn new(outcome: &RunOutcome, context: &ReportContext) -> Self {
        let mode = &context.mode;
        let judgement = outcome.judge(mode);
        let is_scheduled = has_schedule(mode) && outcome.spec.workload.arrivals != ArrivalKind::Max;
        let events = events(outcome);
        let mut resources = context.resources.clone();
        // What the program's work is counted in: everything it sent, or everything it read.
        let handled = if events.produced > 0 { events.produced } else { events.consumed };
        resources.cpu_us_per_event = resources
            .cpu_seconds
            .filter(|_| handled > 0)
            .map(|seconds| seconds * 1e6 / handled as f64);
        let mut report = Self {
            schema_version: SCHEMA_VERSION,
            verdict: judgement.verdict,
            next: String::new(),
            reasons: judgement.reasons,
            exit_code: judgement.exit_code,
            notes: notes(outcome, mode),
            run_id: outcome.spec.run_id.clone(),
            mode: mode_name(mode),
            workload: outcome.spec.workload.name.clone(),
            seed: outcome.spec.workload.seed,
            broker: BrokerReport {
                kind: outcome.broker.kind.clone(),
                version: outcome.broker.version.clone(),
                guarantee: outcome.broker.guarantee.clone(),
                log_append_time: outcome.broker.log_append_time,
                limitations: outcome.broker.limitations.iter().map(ToString::to_string).collect(),
            },
            topics: Topics {
                events: outcome.spec.topics.events.clone(),
                results: outcome.spec.topics.results.clone(),
            },
            started_at: rfc3339(outcome.started_at_ns),
            finished_at: rfc3339(outcome.finished_at_ns),
            warmup_s: warmup_s(outcome, mode),
            duration_s: duration_s(outcome, mode),
            ending: ending(&outcome.ending),
            generation: outcome.generation,
            wall_step_ms: outcome.wall_step_ns as f64 / MILLISECOND as f64,
            events,
            throughput: throughput(outcome, context),
            audit: audit(outcome, mode),
            thresholds: Vec::new(),
            drain: drain(outcome, context),
            latency: PerLatency::from_fn(|kind| {
                let spoiled = kind == LatencyKind::ResultLatency && outcome.clock_stepped();
                let histogram = outcome.latencies.get(&kind).filter(|_| !spoiled)?;
                LatencyFigures::of(kind, histogram)
            }),
            windows: outcome
                .measures
                .iter()
                .flat_map(|measures| &measures.windows)
                .map(|window| WindowRow::of(window, outcome.clock_stepped()))
                .collect(),
            findings: outcome.findings.clone(),
            series: outcome
                .series
                .iter()
                .map(|second| {
                    SecondRow::of(second, outcome.base_ns, is_scheduled, outcome.clock_stepped())
                })
                .collect(),
            resources,
            faults: Vec::new(),
            config: context.config.clone(),
            versions: context.versions.clone(),
            host: context.host.clone(),
            rerun: context.rerun.clone(),
        };
        report.apply(&context.thresholds);
        report.next = next_step::next_step(outcome, mode, &report);
        report
    }

    /// Judges the thresholds. A failed one turns a pass into a failure, and follows the reasons of
    /// anything graver.
    fn apply(&mut self, thresholds: &[Threshold]) {
        self.thresholds = thresholds::judge(thresholds, self);
        let failed: Vec<String> =
            self.thresholds.iter().filter(|row| !row.passed).map(failed_threshold).collect();
        if failed.is_empty() || self.ending.how == EndingName::Failed {
            // A run that failed measured nothing that a threshold could judge.
            return;
        }
        if self.verdict == Verdict::Pass {
            (self.verdict, self.exit_code) = (Verdict::Fail, THRESHOLD_FAILED);
            self.reasons.splice(0..0, failed);
        } else {
            self.reasons.extend(failed);
        }
    }
}

fn failed_threshold(row: &ThresholdRow) -> String {
    let observed = row.observed.map_or_else(
        || "was not measured".to_owned(),
        |observed| format!("was {}", exact(observed)),
    );
    format!("threshold failed: {}, but it {observed}", row.expression)
}

fn mode_name(mode: &Mode) -> ModeName {
    match mode {
        Mode::Run => ModeName::Run,
        Mode::Produce => ModeName::Produce,
        Mode::Aggregate(_) => ModeName::Aggregate,
        Mode::Latency(_) => ModeName::Latency,
    }
}

/// Whether the run followed a schedule of its own.
fn has_schedule(mode: &Mode) -> bool {
    matches!(mode, Mode::Run | Mode::Produce)
}

fn seconds_between(from: Nanos, to: Nanos) -> f64 {
    to.saturating_sub(from).max(0) as f64 / SECOND as f64
}

/// The same of milliseconds since the Unix epoch.
pub fn rfc3339_of_ms(at_ms: i64) -> String {
    rfc3339(at_ms.saturating_mul(MILLISECOND))
}

/// RFC 3339 in UTC, with milliseconds.
pub fn rfc3339(at: Nanos) -> String {
    let since_epoch = Duration::from_nanos(at.max(0) as u64);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch).to_string()
}

/// Only producers warm up.
fn warmup_s(outcome: &RunOutcome, mode: &Mode) -> f64 {
    match mode {
        Mode::Run | Mode::Produce => outcome.spec.workload.warmup.as_nanos() as f64 / SECOND as f64,
        Mode::Aggregate(_) | Mode::Latency(_) => 0.0,
    }
}

fn duration_s(outcome: &RunOutcome, mode: &Mode) -> f64 {
    if has_schedule(mode) {
        outcome.measured_seconds()
    } else {
        seconds_between(outcome.started_at_ns, outcome.finished_at_ns)
    }
}

fn ending(ending: &Ending) -> EndingReport {
    match ending {
        Ending::Completed => {
            EndingReport { how: EndingName::Completed, drained: None, stage: None, cause: None }
        }
        Ending::Stopped { drained } => EndingReport {
            how: EndingName::Stopped,
            drained: Some(*drained),
            stage: None,
            cause: None,
        },
        Ending::Failed { stage, cause, .. } => EndingReport {
            how: EndingName::Failed,
            drained: None,
            stage: stage.map(|stage| stage.to_string()),
            cause: Some(cause.clone()),
        },
    }
}

fn events(outcome: &RunOutcome) -> Events {
    let counters = &outcome.counters;
    Events {
        produced: counters.produced,
        produced_bytes: counters.produced_bytes,
        acknowledged: counters.acknowledged,
        rejected: counters.rejected,
        unknown: counters.unknown,
        consumed: counters.consumed,
        consumed_bytes: counters.consumed_bytes,
        late: counters.late,
        malformed: counters.malformed_total(),
        malformed_by_reason: counters
            .malformed
            .iter()
            .map(|(&reason, &n)| (reason.to_owned(), n))
            .collect(),
        strangers: counters.strangers,
        stale: counters.stale,
        sent_late_generator: counters.sent_late_generator,
        sent_late_backpressure: counters.sent_late_backpressure,
        backpressure_s: counters.backpressure_ns as f64 / SECOND as f64,
    }
}

fn throughput(outcome: &RunOutcome, context: &ReportContext) -> Throughput {
    let counters = &outcome.counters;
    // A run that was stopped in its warm-up has no rate of its measured part.
    let began = outcome.base_ns.is_some() && outcome.measured_seconds() > 0.0;
    let (produced, consumed) = outcome.throughput();
    match &context.mode {
        mode @ (Mode::Run | Mode::Produce) => Throughput {
            target_per_second: (outcome.spec.workload.arrivals != ArrivalKind::Max)
                .then_some(outcome.spec.workload.rate.0),
            produced_per_second: began.then_some(produced),
            consumed_per_second: (began && *mode == Mode::Run).then_some(consumed),
        },
        Mode::Aggregate(_) => {
            let seconds = seconds_between(context.process_started_ns, counters.last_consumed_ns);
            Throughput {
                target_per_second: None,
                produced_per_second: None,
                consumed_per_second: (seconds > 0.0).then(|| counters.consumed as f64 / seconds),
            }
        }
        Mode::Latency(_) => Throughput {
            target_per_second: None,
            produced_per_second: None,
            consumed_per_second: None,
        },
    }
}

fn audit(outcome: &RunOutcome, mode: &Mode) -> Option<AuditReport> {
    let totals = outcome.audit(mode)?;
    let counters = &outcome.counters;
    Some(AuditReport {
        windows: totals.windows,
        windows_exact: totals.windows_exact,
        results: totals.results,
        results_duplicated: totals.results_duplicated,
        results_missing: totals.results_missing,
        events_missing: totals.events_missing,
        events_extra: totals.events_extra,
        events_lost: counters.events_lost,
        events_duplicated: counters.events_duplicated,
        events_reordered: counters.events_reordered,
        unknown: totals.unknown,
    })
}

fn drain(outcome: &RunOutcome, context: &ReportContext) -> Option<Drain> {
    if !matches!(context.mode, Mode::Aggregate(_)) {
        return None;
    }
    let events = outcome.counters.results_events;
    let seconds = seconds_between(context.process_started_ns, outcome.counters.last_result_ns);
    let seconds = (outcome.counters.last_result_ns > 0 && seconds > 0.0).then_some(seconds);
    Some(Drain { events, seconds, per_second: seconds.map(|seconds| events as f64 / seconds) })
}

impl WindowRow {
    /// The row of a judged window. A stepped clock spoils its result latency.
    pub fn of(window: &WindowAudit, clock_stepped: bool) -> Self {
        let unspoiled = |value: Option<f64>| value.filter(|_| !clock_stepped);
        Self {
            window_id: window.window_id,
            window_start: window.window_start_ms,
            window_end: window.window_end_ms,
            partial: window.partial,
            warmup: window.warmup,
            campaigns: window.campaigns,
            count: window.count,
            expected: window.expected,
            exact: window.exact,
            result_latency_ms_avg: unspoiled(window.result_latency_ms_avg),
            result_latency_ms_max: unspoiled(window.result_latency_ms_max),
        }
    }
}

impl SecondRow {
    /// The row of a second of a run that began at `base_ns`. Without a schedule there is no target;
    /// a stepped clock spoils result latencies.
    pub fn of(
        second: &Second,
        base_ns: Option<Nanos>,
        is_scheduled: bool,
        clock_stepped: bool,
    ) -> Self {
        let watermark = |at: Nanos| (at != Nanos::MIN && at != Nanos::MAX).then(|| to_millis(at));
        Self {
            second: second.second,
            start_ms: base_ns
                .map(|base| to_millis(base.saturating_add(second.second.saturating_mul(SECOND)))),
            target: is_scheduled.then_some(second.target),
            produced: second.produced,
            acknowledged: second.acknowledged,
            consumed: second.consumed,
            results: second.results,
            lag: second.lag,
            in_flight: second.in_flight,
            watermarks_ms: second
                .watermarks
                .iter()
                .map(|(&partition, &at)| (partition, watermark(at)))
                .collect(),
            latency: PerLatency::from_fn(|kind| {
                let spoiled = kind == LatencyKind::ResultLatency && clock_stepped;
                let place = LatencyKind::ALL.iter().position(|&each| each == kind)?;
                second.latencies[place].filter(|_| !spoiled).map(SecondLatency::from)
            }),
        }
    }
}

/// What a reader must know about single figures.
fn notes(outcome: &RunOutcome, mode: &Mode) -> Vec<String> {
    let counters = &outcome.counters;
    let mut notes = Vec::new();
    let measured = outcome
        .latencies
        .get(&LatencyKind::ResultLatency)
        .is_some_and(|samples| !samples.is_empty());
    if outcome.clock_stepped() {
        let step_ms = outcome.wall_step_ns / MILLISECOND;
        notes.push(format!(
            "result_latency: none, since the wall clock stepped by {step_ms} ms during the run"
        ));
    } else if measured && !outcome.broker.log_append_time {
        notes.push(
            "result_latency: ends when the result's acknowledgement was received, since this broker's log stamps no \
             insertion time"
                .to_owned(),
        );
    }
    notes.extend(
        outcome
            .broker
            .limitations
            .iter()
            .map(|limitation| format!("{}: {limitation}", outcome.broker.kind)),
    );
    for kind in LatencyKind::ALL {
        let negative = outcome.latencies.get(&kind).map_or(0, LatencyHistogram::negative);
        if negative > 0 {
            notes.push(format!("{}: {negative} negative sample(s), in no figure", kind.name()));
        }
    }
    if counters.idle_closed > 0 {
        let closed = counters.idle_closed;
        notes.push(format!(
            "{closed} window(s) closed by processing time, because a partition was idle"
        ));
    }
    if counters.malformed_total() > 0 {
        let reasons: Vec<_> =
            counters.malformed.iter().map(|(reason, n)| format!("{reason}: {n}")).collect();
        let kept = &outcome.spec.topics.malformed;
        let total = counters.malformed_total();
        let until = if matches!(mode, Mode::Run) {
            ", for as long as the run's topics are kept"
        } else {
            ""
        };
        notes.push(format!(
            "{total} malformed record(s), kept in {kept}{until} ({})",
            reasons.join(", ")
        ));
    }
    if counters.strangers > 0 {
        let fate =
            if matches!(mode, Mode::Aggregate(_)) { "added, not auditable" } else { "never added" };
        notes.push(format!("{} event(s) of other programs: {fate}", counters.strangers));
    }
    if has_schedule(mode) && outcome.spec.workload.arrivals == ArrivalKind::Max {
        notes.push(
            "arrivals `max`: there is no schedule, so latency counts from the time of sending, and backpressure hides \
             the waiting before it"
                .to_owned(),
        );
    }
    notes
}
