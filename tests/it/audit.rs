//! The audit can fail: what goes wrong behind an acknowledgement is named by window, campaign and
//! producer.

use std::sync::Arc;

use streamgauge::daemon::foreground::Foreground;
use streamgauge_actors::{
    Broker, Cause, Finding, FindingKind, MadeTopics, RunOutcome, Sustained, Verdict,
    testing::{Expectation, Fault, FaultKind, FaultyBroker, Injection, Injector, small_spec},
};

use streamgauge_support::runs;

/// Plays a run of three windows with one fault, or none; gives what was injected, and what the
/// audit has to find.
fn audited(name: &str, kind: Option<FaultKind>) -> (Arc<RunOutcome>, Vec<Injection>, Expectation) {
    let clock = runs::clock();
    let spec = small_spec(name);
    let after_records = if kind.is_some_and(FaultKind::strikes_results) { 12 } else { 450 };
    let faults = kind.into_iter().map(|kind| Fault { kind, after_records }).collect();
    let broker = Arc::new(FaultyBroker::new(runs::embedded(&clock), &spec, faults));
    let host = Foreground::start().unwrap();
    let outcome =
        runs::play(&host, runs::plan(spec, Arc::clone(&broker) as Arc<dyn Broker>, &clock));
    let (injections, expected) =
        broker.injected(|injector| (injector.injections().to_vec(), Injector::expected(injector)));
    (outcome, injections, expected)
}

/// The audit of a run with one such fault finds exactly that; gives the fault, and the findings.
fn flagged(name: &str, kind: FaultKind) -> (Injection, Vec<Finding>) {
    let (outcome, injections, expected) = audited(name, Some(kind));
    let judgement = outcome.judge(&Sustained::default());
    assert_eq!(
        (judgement.verdict(), judgement.exit_code()),
        (Verdict::Fail, 4),
        "{:?}",
        judgement.texts()
    );
    assert_eq!(injections.len(), 1, "one fault strikes");
    let mut findings = outcome.findings.clone();
    Expectation::sort(&mut findings);
    assert_eq!(findings, expected.findings);
    (injections[0], findings)
}

/// The findings of one kind name this window, campaign and producer, and one event.
fn names(findings: &[Finding], kind: FindingKind, window: i64, injection: &Injection) -> bool {
    let mut of_kind = findings.iter().filter(|finding| finding.kind == kind);
    let named = of_kind.next().is_some_and(|finding| {
        finding.window_id == Some(window)
            && finding.campaign_id == Some(injection.campaign_id)
            && finding.producer == injection.producer
            && finding.count == 1
    });
    named && of_kind.next().is_none()
}

#[test]
fn a_run_without_faults_passes() {
    let (outcome, injections, expected) = audited("control", None);
    let judgement = outcome.judge(&Sustained::default());
    assert_eq!(
        (judgement.verdict(), judgement.exit_code()),
        (Verdict::Pass, 0),
        "{:?}",
        judgement.texts()
    );
    assert_eq!((injections.len(), outcome.findings.len()), (0, 0));
    let audit = &outcome.measures.as_ref().unwrap().audit;
    assert_eq!((audit.windows, audit.windows_exact), (expected.windows, expected.windows));
    assert!(audit.windows >= 3 && outcome.counters.acknowledged > 1000);
}

#[test]
fn a_dropped_event_is_missing_and_lost() {
    let (dropped, findings) = flagged("drop", FaultKind::DropEvent);
    assert!(dropped.producer.is_some());
    assert!(names(&findings, FindingKind::EventsMissing, dropped.window_id, &dropped));
    let lost = findings.iter().find(|finding| finding.kind == FindingKind::EventLost).unwrap();
    assert_eq!((lost.producer, lost.partition), (dropped.producer, Some(dropped.partition)));
}

#[test]
fn a_doubled_event_is_a_duplicate_and_counted_once() {
    let (doubled, findings) = flagged("double", FaultKind::DoubleEvent);
    assert!(names(&findings, FindingKind::EventDuplicated, doubled.window_id, &doubled));
    assert_eq!(findings.len(), 1, "no count is wrong");
}

#[test]
fn a_moved_event_is_missing_here_and_too_many_there() {
    let (moved, findings) = flagged("move", FaultKind::MoveEvent);
    let to = moved.to_window.unwrap();
    assert_ne!(to, moved.window_id);
    assert!(names(&findings, FindingKind::EventsMissing, moved.window_id, &moved));
    assert!(names(&findings, FindingKind::EventsExtra, to, &moved));
}

#[test]
fn reordered_events_are_flagged_though_every_count_is_right() {
    let (reordered, findings) = flagged("reorder", FaultKind::ReorderEvents);
    assert!(names(&findings, FindingKind::EventReordered, reordered.window_id, &reordered));
    assert_eq!(findings.len(), 1, "no count is wrong");
}

#[test]
fn a_late_event_is_late_and_missing() {
    let (late, findings) = flagged("late", FaultKind::DelayEvent);
    assert!(names(&findings, FindingKind::EventLate, late.window_id, &late));
    assert!(names(&findings, FindingKind::EventsMissing, late.window_id, &late));
}

#[test]
fn a_dropped_result_is_missing_with_all_its_events() {
    let (dropped, findings) = flagged("drop-result", FaultKind::DropResult);
    assert!(names(&findings, FindingKind::ResultMissing, dropped.window_id, &dropped));
    let missing =
        findings.iter().find(|finding| finding.kind == FindingKind::EventsMissing).unwrap();
    assert_eq!(
        (missing.window_id, missing.campaign_id),
        (Some(dropped.window_id), Some(dropped.campaign_id))
    );
}

#[test]
fn a_doubled_result_is_a_duplicate() {
    let (doubled, findings) = flagged("double-result", FaultKind::DoubleResult);
    assert!(names(&findings, FindingKind::ResultDuplicated, doubled.window_id, &doubled));
    assert_eq!(findings.len(), 1);
}

#[test]
fn a_dropped_progress_record_is_lost_though_every_count_is_right() {
    let (dropped, findings) = flagged("progress", FaultKind::DropProgress);
    let [lost] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((lost.kind, lost.producer), (FindingKind::ProgressLost, dropped.producer));
}

#[test]
fn a_result_that_lies_about_its_time_or_its_window_is_wrong() {
    for (name, kind) in [("time", FaultKind::FalseProduceTime), ("bounds", FaultKind::FalseBounds)]
    {
        let (false_result, findings) = flagged(name, kind);
        assert!(names(&findings, FindingKind::ResultWrong, false_result.window_id, &false_result));
        assert_eq!(findings.len(), 1, "no count is wrong");
    }
}

/// In a topic that the run made itself nobody else has any business.
#[test]
fn what_others_write_into_the_runs_own_topic_fails_its_audit() {
    for (name, kind) in
        [("stranger", FaultKind::StrangeEvent), ("unreadable", FaultKind::UnreadableEvent)]
    {
        let (outcome, injections, _) = audited(name, Some(kind));
        assert_eq!(injections.len(), 1);
        let judgement = outcome.judge(&Sustained::default());
        assert_eq!(
            (judgement.cause(), judgement.exit_code()),
            (Cause::UnexplainedRecords, 4),
            "{:?}",
            judgement.texts()
        );
        let theirs = RunOutcome { made_topics: MadeTopics::default(), ..(*outcome).clone() };
        assert_eq!(theirs.judge(&Sustained::default()).verdict(), Verdict::Pass);
    }
}
