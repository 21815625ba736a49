//! From what the pipeline measured to the report.

use std::time::{Duration, UNIX_EPOCH};

use streamgauge_actors::{
    ArrivalKind, AuditTotals, BrokerDescription, Cause, ClockBracket, Ending, Grade, Judgement,
    LatencyHistogram, LatencyKind, MILLISECOND, Mode, Nanos, PerLatency, RateChange, Reason,
    RunOutcome, SECOND, StageCounters,
};

use super::latency::LatencyFigures;
use super::numbers::{exact, grouped};
use super::thresholds;
use super::{
    BrokerReport, Drain, EndingReport, ModeName, RateChangeRow, Report, ReportContext,
    SCHEMA_VERSION, ThresholdRow, Throughput, Topics, next_step,
};

impl Report {
    /// The report of a run that ended, however it ended.
    pub fn new(outcome: &RunOutcome, context: &ReportContext) -> Self {
        let mode = &outcome.mode;
        let sustained = outcome.sustained();
        let mut judgement = outcome.judge(&sustained);
        let events = outcome.counters.reported();
        let stepped = outcome.clock_stepped();
        let resources = context.resources.per_event(events.produced, events.consumed);
        let mut report = Self {
            schema_version: SCHEMA_VERSION,
            verdict: judgement.verdict(),
            next: String::new(),
            reasons: judgement.texts(),
            causes: judgement.causes(),
            exit_code: judgement.exit_code(),
            notes: notes(outcome, mode),
            run_id: outcome.spec.run_id.clone(),
            mode: mode_name(mode),
            workload: outcome.spec.workload.name.clone(),
            seed: outcome.spec.workload.seed,
            broker: broker(&outcome.broker),
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
            sustained,
            rate_changes: rate_changes(outcome),
            broker_clock_offset_ms: broker_clock_offset_ms(outcome),
            audit: audit(outcome),
            thresholds: Vec::new(),
            drain: drain(outcome, context),
            latency: PerLatency::from_fn(|kind| LatencyFigures::of(kind, outcome.latency(kind)?)),
            windows: outcome
                .measures
                .iter()
                .flat_map(|measures| &measures.windows)
                .map(|window| window.clone().unspoiled(stepped))
                .collect(),
            findings: outcome.findings.clone(),
            series: outcome.series.iter().map(|second| second.clone().unspoiled(stepped)).collect(),
            resources,
            faults: Vec::new(),
            config: context.config.clone(),
            versions: context.versions.clone(),
            host: context.host.clone(),
            rerun: context.rerun.clone(),
        };
        report.thresholds = thresholds::judge(&context.thresholds, &report);
        // A run that failed measured nothing that a threshold could judge.
        if !matches!(outcome.ending, Ending::Failed { .. }) {
            judgement = judgement.with(report.thresholds.iter().filter_map(failed_threshold));
        }
        report.pronounce(&judgement);
        if let (Grade::Stopped, Some(code)) = (judgement.grade(), context.stopped_by_signal) {
            report.exit_code = code;
        }
        report.next = next_step::next_step(outcome, judgement.cause(), &report);
        report
    }

    fn pronounce(&mut self, judgement: &Judgement) {
        (self.verdict, self.exit_code) = (judgement.verdict(), judgement.exit_code());
        (self.reasons, self.causes) = (judgement.texts(), judgement.causes());
    }
}

fn failed_threshold(row: &ThresholdRow) -> Option<Reason> {
    if row.passed {
        return None;
    }
    let observed = row.observed.map_or_else(
        || "was not measured".to_owned(),
        |observed| format!("was {}", exact(observed)),
    );
    let text = format!("threshold failed: {}, but it {observed}", row.expression);
    Some(Reason::new(Cause::ThresholdFailed, text))
}

fn broker(broker: &BrokerDescription) -> BrokerReport {
    BrokerReport {
        kind: broker.kind.clone(),
        version: broker.version.clone(),
        guarantee: broker.guarantee.clone(),
        log_append_time: broker.log_append_time,
        limitations: broker.limitations.iter().map(ToString::to_string).collect(),
    }
}

fn mode_name(mode: &Mode) -> ModeName {
    match mode {
        Mode::Run => ModeName::Run,
        Mode::Produce => ModeName::Produce,
        Mode::Aggregate(_) => ModeName::Aggregate,
        Mode::Latency(_) => ModeName::Latency,
    }
}

fn seconds_between(from: Nanos, to: Nanos) -> f64 {
    to.saturating_sub(from).max(0) as f64 / SECOND as f64
}

/// RFC 3339 in UTC, of milliseconds since the Unix epoch.
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
    if mode.produces() {
        outcome.measured_seconds()
    } else {
        seconds_between(outcome.started_at_ns, outcome.finished_at_ns)
    }
}

fn ending(ending: &Ending) -> EndingReport {
    let plain = EndingReport { how: ending.state(), drained: None, stage: None, cause: None };
    match ending {
        Ending::Completed => plain,
        Ending::Stopped { drained } => EndingReport { drained: Some(*drained), ..plain },
        Ending::Failed { stage, cause, .. } => EndingReport {
            stage: stage.map(|stage| stage.to_string()),
            cause: Some(cause.clone()),
            ..plain
        },
    }
}

fn throughput(outcome: &RunOutcome, context: &ReportContext) -> Throughput {
    let counters = &outcome.counters;
    // A run that was stopped in its warm-up has no rate of its measured part.
    let began = outcome.base_ns.is_some() && outcome.measured_seconds() > 0.0;
    let rates = outcome.throughput();
    let none = Throughput {
        target_per_second: None,
        produced_per_second: None,
        handed_over_per_second: None,
        consumed_per_second: None,
    };
    match &outcome.mode {
        mode @ (Mode::Run | Mode::Produce) => Throughput {
            target_per_second: outcome.target,
            produced_per_second: began.then_some(rates.acknowledged),
            handed_over_per_second: began.then_some(rates.handed_over),
            consumed_per_second: (began && *mode == Mode::Run).then_some(rates.consumed),
        },
        Mode::Aggregate(_) => {
            let seconds = seconds_between(context.process_started_ns, counters.last_consumed_ns);
            Throughput {
                consumed_per_second: (seconds > 0.0).then(|| counters.consumed as f64 / seconds),
                ..none
            }
        }
        Mode::Latency(_) => none,
    }
}

fn broker_clock_offset_ms(outcome: &RunOutcome) -> Option<[f64; 2]> {
    let ClockBracket { low_ns, high_ns, .. } = outcome.measures.as_ref()?.broker_clock?;
    Some([low_ns, high_ns].map(|ns| ns as f64 / MILLISECOND as f64))
}

/// The changes of the rate that took effect.
fn rate_changes(outcome: &RunOutcome) -> Vec<RateChangeRow> {
    let base_ns = outcome.base_ns.unwrap_or(0);
    let took_effect = outcome.rate_changes.iter().filter(|it| it.at_ns < outcome.schedule_end_ns);
    let row = |change: &RateChange| RateChangeRow {
        at_s: (change.at_ns - base_ns) as f64 / SECOND as f64,
        events_per_second: change.events_per_second,
    };
    took_effect.map(row).collect()
}

/// The audit's sums; what became of single events, the aggregators count.
fn audit(outcome: &RunOutcome) -> Option<AuditTotals> {
    let StageCounters { events_lost, events_duplicated, events_reordered, records_lost, .. } =
        outcome.counters;
    let sums = outcome.audit()?.clone();
    Some(AuditTotals { events_lost, events_duplicated, events_reordered, records_lost, ..sums })
}

fn drain(outcome: &RunOutcome, context: &ReportContext) -> Option<Drain> {
    if !matches!(outcome.mode, Mode::Aggregate(_)) {
        return None;
    }
    let events = outcome.counters.results_events;
    let seconds = seconds_between(context.process_started_ns, outcome.counters.last_result_ns);
    let seconds = (outcome.counters.last_result_ns > 0 && seconds > 0.0).then_some(seconds);
    Some(Drain { events, seconds, per_second: seconds.map(|seconds| events as f64 / seconds) })
}

/// Changes of the rate that are told one by one.
const NOTED_CHANGES: usize = 10;

/// That the rate was changed, and how the run was asked for it.
fn rate_notes(outcome: &RunOutcome) -> Option<String> {
    let changes = rate_changes(outcome);
    let mut listed: Vec<String> = changes
        .iter()
        .take(NOTED_CHANGES)
        .map(|change| format!("{}/s from {:.1} s on", exact(change.events_per_second), change.at_s))
        .collect();
    if changes.len() > NOTED_CHANGES {
        listed.push(format!("and {} more", changes.len() - NOTED_CHANGES));
    }
    let mean = exact(outcome.target?.round());
    (!listed.is_empty()).then(|| {
        format!(
            "the rate was changed while the run was under way: {}; the target is the mean, \
             {mean}/s, and the rerun keeps the rate that it began with",
            listed.join(", ")
        )
    })
}

fn never_sent_note(counters: &StageCounters) -> Option<String> {
    let (never, estimated) = (counters.never_sent, counters.never_sent_estimated);
    let about = if estimated > 0 { "about " } else { "" };
    (never > 0)
        .then(|| format!("{about}{} event(s) of the schedule were given up unsent", grouped(never)))
}

/// What lay in the topics that the run did not write.
fn notes_on_others(outcome: &RunOutcome, mode: &Mode) -> Vec<String> {
    let counters = &outcome.counters;
    let mut notes = Vec::new();
    if counters.malformed.total() > 0 {
        let reasons: Vec<_> =
            counters.malformed.iter().map(|(reason, n)| format!("{n} for {reason}")).collect();
        let kept = &outcome.spec.topics.malformed;
        let total = counters.malformed.total();
        let until = if matches!(mode, Mode::Run) {
            ", for as long as the run's topics are kept"
        } else {
            ""
        };
        let where_kept = match mode {
            Mode::Latency(_) => String::new(),
            _ if counters.letters_lost >= total => ", none of them kept".to_owned(),
            _ if counters.letters_lost > 0 => {
                format!(", {} of them kept in {kept}{until}", total - counters.letters_lost)
            }
            _ => format!(", kept in {kept}{until}"),
        };
        notes.push(format!("{total} malformed record(s){where_kept} ({})", reasons.join(", ")));
    }
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            notes.push(format!("{} {what}", grouped(count)));
        }
    };
    note(
        counters.held_back,
        "record(s) behind open transactions: nobody can read them, in no count",
    );
    note(counters.tombstones, "record(s) without a value: deletions, in no count");
    note(counters.framed, "record(s) behind a schema registry's frame of 5 bytes");
    note(
        counters.imprecise,
        "number(s) written as doubles too great to hold every whole number: their last digits may \
         be wrong",
    );
    note(counters.zoneless, "time(s) without a zone, taken for UTC");
    note(
        counters.result_updates,
        "result(s) replaced by a later one of the same window and campaign",
    );
    note(counters.result_repeats, "result(s) that came again as they were");
    if counters.strangers > 0 {
        let fate =
            if matches!(mode, Mode::Aggregate(_)) { "added, not auditable" } else { "never added" };
        notes.push(format!("{} event(s) of other programs: {fate}", counters.strangers));
    }
    if counters.results_foreign > 0 {
        notes.push(format!("{} result(s) of other runs: never judged", counters.results_foreign));
    }
    notes
}

/// What a reader must know about single figures.
fn notes(outcome: &RunOutcome, mode: &Mode) -> Vec<String> {
    let counters = &outcome.counters;
    let mut notes: Vec<String> = rate_notes(outcome).into_iter().collect();
    notes.extend(never_sent_note(counters));
    for kind in LatencyKind::ALL.into_iter().filter(|kind| kind.is_spoiled(outcome.clock_stepped()))
    {
        let step_ms = outcome.wall_step_ns / MILLISECOND;
        notes.push(format!(
            "{}: none, since the wall clock stepped by {step_ms} ms during the run",
            kind.name()
        ));
    }
    if outcome.latency(LatencyKind::ResultLatency).is_some() && !outcome.broker.log_append_time {
        notes.push(
            "result_latency, result_latency_intended: end when the result's acknowledgement was \
             received, since this broker's log stamps no insertion time"
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
    notes.extend(notes_on_others(outcome, mode));
    if mode.produces() && outcome.spec.workload.arrivals == ArrivalKind::Max {
        notes.push(
            "arrivals `max`: there is no schedule, so latency counts from the time of sending, and \
             backpressure hides \
             the waiting before it"
                .to_owned(),
        );
    }
    notes
}
