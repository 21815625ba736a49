//! The verdict on a run: what outranks what, and what is never a pass.

use crate::support::outcomes::{AGGREGATE, FOLLOW, of_mode, passed};
use streamgauge_actors::{
    ArrivalKind, Cause, Ending, FailureKind, LatencyKind, Load, Mode, RunOutcome, SECOND, StageId,
    Sustained, Verdict,
};

/// Makes something go wrong with a run.
type Trouble = fn(&mut RunOutcome);

/// What can go wrong, in order of precedence.
const TROUBLES: [(&str, Trouble, Cause, Verdict, u8); 6] = [
    ("result-writer failed: disk full", fail, Cause::StageFailed, Verdict::Fail, 1),
    ("3 event(s) lost", |run| run.counters.events_lost = 3, Cause::EventsLost, Verdict::Fail, 4),
    (
        "stopped on request",
        |run| run.ending = Ending::Stopped { drained: true },
        Cause::Stopped,
        Verdict::Aborted,
        0,
    ),
    (
        "the wall clock stepped by 2000 ms",
        |run| run.wall_step_ns = 2 * SECOND,
        Cause::ClockStepped,
        Verdict::Inconclusive,
        5,
    ),
    (
        "generator-limited: 5.0 %",
        |run| run.counters.sent_late_generator = 120_000,
        Cause::GeneratorLimited,
        Verdict::Inconclusive,
        5,
    ),
    (
        "broker-limited: 5.0 %",
        |run| run.counters.sent_late_backpressure = 120_000,
        Cause::BrokerLimited,
        Verdict::Fail,
        99,
    ),
];

fn fail(run: &mut RunOutcome) {
    run.ending = Ending::Failed {
        stage: Some(StageId::ResultWriter),
        kind: FailureKind::Delivery,
        cause: "disk full".to_owned(),
    };
}

#[test]
fn every_trouble_outranks_those_after_it() {
    for (i, (reason, trouble, cause, verdict, code)) in TROUBLES.iter().enumerate() {
        for (j, (_, less, ..)) in TROUBLES.iter().enumerate().skip(i) {
            // Two endings exclude each other, and a late event has one cause that prevails.
            if (i, j) == (0, 2) || (i, j) == (4, 5) {
                continue;
            }
            let mut run = passed(6);
            less(&mut run);
            trouble(&mut run);
            let judgement = run.judge(&Sustained::default());
            assert_eq!(judgement.cause(), *cause);
            assert!(judgement.causes().is_sorted());
            assert_eq!(
                (judgement.verdict(), judgement.exit_code()),
                (*verdict, *code),
                "{reason}, and trouble {j}"
            );
            assert!(judgement.texts()[0].starts_with(reason), "{:?}", judgement.texts());
        }
    }
}

#[test]
fn all_exact_is_a_pass() {
    let judgement = passed(6).judge(&Sustained::default());
    assert_eq!((judgement.verdict(), judgement.exit_code()), (Verdict::Pass, 0));
    assert_eq!(judgement.texts(), ["every count of all 6 windows is exact"]);
}

#[test]
fn exact_counts_without_one_result_latency_are_no_pass() {
    let mut run = passed(1);
    run.latencies.remove(&LatencyKind::ResultLatency);
    let judgement = run.judge(&Sustained::default());
    assert_eq!((judgement.verdict(), judgement.exit_code()), (Verdict::Inconclusive, 5));
    assert!(judgement.texts()[0].contains("no whole window"), "{:?}", judgement.texts());
}

#[test]
fn every_wrong_count_fails() {
    let wrongs: [(&str, Trouble); 9] = [
        ("1 window(s) with a wrong count", |run| audit(run).windows_exact -= 1),
        ("1 acknowledged event(s) missing", |run| audit(run).events_missing = 1),
        ("1 event(s) too many", |run| audit(run).events_extra = 1),
        ("1 result(s) missing", |run| audit(run).results_missing = 1),
        ("1 result(s) duplicated", |run| audit(run).results_duplicated = 1),
        ("1 event(s) lost", |run| run.counters.events_lost = 1),
        ("1 event(s) duplicated", |run| run.counters.events_duplicated = 1),
        ("1 event(s) reordered", |run| run.counters.events_reordered = 1),
        ("1 event(s) late", |run| run.counters.late = 1),
    ];
    for (reason, cause) in wrongs {
        let mut run = passed(6);
        cause(&mut run);
        let judgement = run.judge(&Sustained::default());
        assert_eq!((judgement.verdict(), judgement.exit_code()), (Verdict::Fail, 4), "{reason}");
        assert!(judgement.texts()[0].starts_with(reason), "{:?}", judgement.texts());
    }
}

fn audit(run: &mut RunOutcome) -> &mut streamgauge_actors::AuditTotals {
    &mut run.measures.as_mut().expect("the run was audited").audit
}

#[test]
fn what_was_not_checked_is_no_pass() {
    let unaudited = RunOutcome { measures: None, ..passed(6) }.judge(&Sustained::default());
    assert_eq!((unaudited.verdict(), unaudited.exit_code()), (Verdict::Fail, 1));
    let empty = passed(0).judge(&Sustained::default());
    assert_eq!((empty.verdict(), empty.exit_code()), (Verdict::Inconclusive, 5));
    let mut idle = passed(6);
    (idle.counters.consumed, idle.counters.results_read, idle.counters.produced) = (0, 0, 0);
    for mode in [Mode::Produce, AGGREGATE, Mode::Latency(FOLLOW)] {
        assert_eq!(of_mode(&idle, mode).judge(&Sustained::default()).exit_code(), 5, "{mode:?}");
    }
}

#[test]
fn late_events_of_foreign_topics_name_the_lateness_that_would_have_sufficed() {
    let mut run = passed(6);
    (run.counters.late, run.counters.late_needed_ns) = (17, 1_233_000_001);
    let judgement = of_mode(&run, AGGREGATE).judge(&Sustained::default());
    assert_eq!((judgement.verdict(), judgement.exit_code()), (Verdict::Fail, 4));
    assert_eq!(
        judgement.texts(),
        ["17 event(s) late: --allowed-lateness 1234ms would have sufficed"]
    );
    run.counters.late_needed_ns = 1_234_000_000;
    assert_eq!(run.lateness_flag(), "--allowed-lateness 1234ms");
}

#[test]
fn what_has_no_schedule_is_not_late() {
    let mut run = passed(6);
    (run.counters.sent_late_generator, run.spec.workload.arrivals) = (2_400_000, ArrivalKind::Max);
    assert_eq!(run.judge(&Sustained::default()).verdict(), Verdict::Pass);
}

#[test]
fn a_client_that_is_full_while_we_lack_a_processor_is_nobody_elses_fault() {
    let cause = |cpu_wait: f64, client_cpus: f64| {
        let mut run = passed(6);
        run.counters.sent_late_backpressure = 120_000;
        assert!(!run.series.is_empty());
        for second in &mut run.series {
            second.load = Load {
                client_full: 0.5,
                reader_busy: 0.1,
                cpu_wait,
                client_cpus: Some(client_cpus),
                foreign_cpus: Some(1.0),
            };
        }
        run.judge(&Sustained::default()).cause()
    };
    assert_eq!(cause(0.01, 0.2), Cause::BrokerLimited);
    assert_eq!(cause(0.2, 0.2), Cause::GeneratorLimited);
    assert_eq!(cause(0.2, 1.5), Cause::BrokerLimited, "the client's own threads took it");
}

#[test]
fn a_part_of_the_pipeline_is_judged_by_what_it_does() {
    let mut run = passed(6);
    run.measures = None;
    assert_eq!(
        of_mode(&run, Mode::Produce).judge(&Sustained::default()).texts(),
        ["every event was acknowledged"]
    );
    assert_eq!(
        of_mode(&run, AGGREGATE).judge(&Sustained::default()).texts(),
        ["no event was late"]
    );
    let unaudited = of_mode(&run, Mode::Latency(FOLLOW)).judge(&Sustained::default());
    assert_eq!(unaudited.verdict(), Verdict::Pass);
    assert!(unaudited.texts()[0].contains("not audited"), "{:?}", unaudited.texts());
    run.counters.rejected = 2;
    assert_eq!(of_mode(&run, Mode::Produce).judge(&Sustained::default()).exit_code(), 1);
}
