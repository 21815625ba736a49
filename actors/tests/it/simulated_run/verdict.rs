//! What must hold when a simulated run has ended.

use std::collections::BTreeMap;
use std::fmt::Debug;

use streamgauge_actors::{
    FindingKind, Nanos, ResultRecord, RunSpec, WindowAudit,
    testing::{Expectation, FaultKind, Injector, SimLog, TrueCount},
    to_millis,
};

use super::{LEAST_EVENTS, Outcome};

#[allow(clippy::needless_pass_by_value, reason = "nearly all that is compared is made for it")]
fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: found {found:?}, expected {expected:?}"))
    }
}

pub(crate) fn check(
    spec: &RunSpec,
    base: Nanos,
    log: &SimLog,
    run: &Outcome,
    expected: &Expectation,
) -> Result<(), String> {
    let mut findings = run.findings.clone();
    Expectation::sort(&mut findings);
    if findings != expected.findings {
        let unexpected: Vec<_> =
            findings.iter().filter(|f| !expected.findings.contains(f)).collect();
        let unflagged: Vec<_> =
            expected.findings.iter().filter(|f| !findings.contains(f)).collect();
        return Err(format!(
            "findings: unexpected {unexpected:?}, not flagged {unflagged:?}\n{:#?}",
            run.injections
        ));
    }
    if run.windows < 3 || run.events < LEAST_EVENTS {
        return Err(format!("too small a run: {} events, {} windows", run.events, run.windows));
    }
    counts(log, run, expected)?;
    audit(run, expected)?;
    results(spec, base, log, run)
}

/// Every event is accounted for, in every stage.
fn counts(log: &SimLog, run: &Outcome, expected: &Expectation) -> Result<(), String> {
    let counters = &run.counters;
    let struck =
        |kind| run.injections.iter().filter(|injection| injection.kind == kind).count() as u64;
    let truth: u64 = log.injected(|injector| injector.truth().values().map(TrueCount::count).sum());
    let consumed = truth - struck(FaultKind::DropEvent) + struck(FaultKind::DoubleEvent);
    same("events acknowledged", counters.acknowledged, truth)?;
    same("events produced", counters.produced, truth)?;
    same("events consumed", counters.consumed, consumed)?;
    same("rejected, unknown", (counters.rejected, counters.unknown), (0, 0))?;
    same(
        "strangers, stale, malformed",
        (counters.strangers, counters.stale, counters.malformed.total()),
        (struck(FaultKind::StrangeEvent), 0, struck(FaultKind::UnreadableEvent)),
    )?;
    same("lost", counters.events_lost, expected.count(FindingKind::EventLost))?;
    same("progress lost", counters.progress_lost, struck(FaultKind::DropProgress))?;
    same("duplicated", counters.events_duplicated, expected.count(FindingKind::EventDuplicated))?;
    same("reordered", counters.events_reordered, expected.count(FindingKind::EventReordered))?;
    same("late", counters.late, expected.count(FindingKind::EventLate))
}

fn audit(run: &Outcome, expected: &Expectation) -> Result<(), String> {
    let audit = &run.audit;
    same(
        "windows",
        (audit.windows, audit.windows_exact),
        (expected.windows, expected.windows_exact),
    )?;
    same("events missing", audit.events_missing, expected.count(FindingKind::EventsMissing))?;
    same("events extra", audit.events_extra, expected.count(FindingKind::EventsExtra))?;
    same("results missing", audit.results_missing, expected.count(FindingKind::ResultMissing))?;
    same("skipped, unscheduled", (audit.events_skipped, audit.events_unscheduled), (0, 0))?;
    let scheduled = if run.arrivals == "max" { 0 } else { run.events };
    same(
        "compared with the schedule",
        (audit.events_compared, audit.events_not_compared),
        (scheduled, 0),
    )?;
    same("results wrong", audit.results_wrong, expected.count(FindingKind::ResultWrong))?;
    same(
        "results duplicated",
        audit.results_duplicated,
        expected.count(FindingKind::ResultDuplicated),
    )?;
    // Whether a result's latency ends at the log's time or at its acknowledgement: each window has
    // it.
    let measured =
        |window: &&WindowAudit| !window.partial && !window.warmup && window.campaigns > 0;
    let unmeasured = run
        .table
        .iter()
        .filter(measured)
        .filter(|window| window.result_latency_ms_avg.is_none())
        .count();
    same("windows without a latency", unmeasured, 0)?;
    same(
        "events expected",
        run.table.iter().map(|window| window.expected).sum::<u64>(),
        run.events,
    )?;
    if run.injections.is_empty() {
        same(
            "events in the results",
            run.table.iter().map(|window| window.count).sum::<u64>(),
            run.events,
        )?;
        same(
            "all exact",
            (audit.exact(), run.table.iter().all(|window| window.exact)),
            (true, true),
        )?;
    }
    Ok(())
}

/// Every result is what the acknowledged events say, where no fault has touched it.
fn results(spec: &RunSpec, base: Nanos, log: &SimLog, run: &Outcome) -> Result<(), String> {
    let mut touched: Vec<(i64, u64)> = Vec::new();
    for injection in &run.injections {
        touched.push((injection.window_id, injection.campaign_id));
        touched.extend(injection.to_window.map(|window| (window, injection.campaign_id)));
    }
    let mut found = BTreeMap::new();
    for payload in &run.results {
        let result = ResultRecord::from_json(payload).map_err(|error| error.to_string())?;
        let place = (result.window_id, result.campaign_id);
        if touched.contains(&place) {
            continue;
        }
        let start = base + result.window_id * spec.workload.window.as_nanos();
        let frame = (to_millis(start), to_millis(start + spec.workload.window.as_nanos()));
        same("window's frame", (result.window_start, result.window_end), frame)?;
        if found.insert(place, (result.count, result.max_produce_time)).is_some() {
            return Err(format!("two results for {place:?}"));
        }
    }
    let of_truth = |injector: &Injector| {
        let truths = injector.truth().iter().filter(|(place, _)| !touched.contains(place));
        truths
            .map(|(&place, truth)| (place, (truth.count(), truth.max_produce_ms)))
            .collect::<BTreeMap<_, _>>()
    };
    same("results", found, log.injected(of_truth))
}
