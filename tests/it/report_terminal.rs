//! The report for people: 80 columns, the verdict first, nothing measured is no number.

use std::collections::BTreeMap;

use crate::support::outcomes::{AGGREGATE, context, failed, passed, report};
use streamgauge::report::terminal::{WIDTH, render};
use streamgauge::report::{Format, Report};
use streamgauge_actors::{
    ArrivalKind, Ending, Finding, FindingKind, LatencyHistogram, LatencyKind, Mode, RunOutcome,
};

/// The lines, none of them too long.
fn lines(report: &Report) -> Vec<String> {
    let text = render(report, false);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in &lines {
        assert!(line.chars().count() <= WIDTH, "{} columns: {line}\n{text}", line.chars().count());
    }
    assert!(!text.contains('\u{1b}'), "no colour was asked for");
    lines
}

fn line_with<'a>(lines: &'a [String], what: &str) -> &'a str {
    lines
        .iter()
        .find(|line| line.contains(what))
        .unwrap_or_else(|| panic!("no `{what}` in {lines:#?}"))
}

#[test]
fn the_first_line_is_verdict_reason_and_next_command() {
    let mut run = passed(6);
    run.spec.workload.name = "smoke".to_owned();
    let lines = lines(&report(&run, Mode::Run));
    assert_eq!(lines[0], "PASS: every count of all 6 windows is exact. Next: streamgauge run");
}

#[test]
fn a_passed_run_shows_its_figures() {
    let lines = lines(&report(&passed(6), Mode::Run));
    line_with(&lines, "target 40,000/s, produced 40,000/s, consumed 40,000/s");
    line_with(&lines, "2,400,000 produced, 2,400,000 acknowledged, 2,400,000 consumed, 0 late");
    let latency: Vec<_> = line_with(&lines, "result_latency").split_whitespace().collect();
    assert_eq!(
        latency,
        ["result_latency", "produced→inserted", "6.18", "6.17", "11.1", "12.2", "12.3", "12.4"]
    );
    let window: Vec<_> = line_with(&lines, "22:13:20").split_whitespace().collect();
    assert_eq!(window, ["exact", "0", "22:13:20", "400,000", "400,000", "3.25", "7.00"]);
    line_with(&lines, "12.34 CPU s (5.14 µs/event), peak memory 123.0 MiB, 9 threads");
    line_with(&lines, "rerun: streamgauge run classic --seed 42");
}

#[test]
fn nothing_measured_is_a_dash() {
    let lines = lines(&report(&failed(), Mode::Run));
    assert!(lines[0].starts_with("FAIL: the run failed: topic `clicks` does not exist"));
    line_with(&lines, "streamgauge doctor");
    line_with(&lines, "audit: none was made");
    let latency: Vec<_> = line_with(&lines, "result_latency").split_whitespace().skip(2).collect();
    assert_eq!(latency, ["-"; 6]);
}

#[test]
fn only_the_last_windows_and_first_findings_are_shown() {
    let mut run = passed(50);
    let measures = run.measures.as_mut().unwrap();
    measures.audit.windows_exact -= 1;
    measures.windows[3].exact = false;
    let finding = |producer| Finding {
        kind: FindingKind::EventsMissing,
        window_id: Some(3),
        campaign_id: Some(9),
        producer: Some(producer),
        partition: None,
        count: 1,
    };
    run.findings = (0..14).map(finding).collect();
    let lines = lines(&report(&run, Mode::Run));
    assert!(lines[0].starts_with("FAIL: 1 window(s) with a wrong count"));
    assert_eq!(lines.iter().filter(|line| line.starts_with("exact ")).count(), 20);
    line_with(&lines, "30 earlier window(s) in the JSON report, 1 of them wrong");
    assert_eq!(lines.iter().filter(|line| line.starts_with("finding: ")).count(), 10);
    line_with(&lines, "1 event(s) missing from the result, window 3, campaign 9, producer 0");
    line_with(&lines, "4 more finding(s)");
}

#[test]
fn huge_numbers_and_long_names_stay_inside() {
    let mut run = passed(25);
    let mut slow = LatencyHistogram::default();
    slow.record(3_000_000_000_000_000);
    run.latencies =
        LatencyKind::ALL.into_iter().map(|kind| (kind, slow.clone())).collect::<BTreeMap<_, _>>();
    let counters = &mut run.counters;
    for count in [
        &mut counters.produced,
        &mut counters.acknowledged,
        &mut counters.consumed,
        &mut counters.late,
    ] {
        *count = 999_999_999_999;
    }
    (counters.events_lost, counters.events_duplicated, counters.strangers) =
        (999_999, 88_888_888_888, 7_777_777_777);
    let measures = run.measures.as_mut().unwrap();
    (measures.audit.events_missing, measures.audit.events_extra) = (999_999, 999_999);
    for window in &mut measures.windows {
        window.window_id = 1_700_000_000;
        (window.count, window.expected, window.campaigns) = (9_999_999_999, 9_999_999_999, 100_000);
        (window.warmup, window.partial, window.exact) = (true, true, false);
        (window.result_latency_ms_avg, window.result_latency_ms_max) =
            (Some(123_456.7), Some(999_999.0));
    }
    run.ending = Ending::failed(format!("no answer from {}", "broker.example:9092,".repeat(9)));
    let mut context = context();
    context.rerun = format!(
        "streamgauge run --broker kafka --bootstrap-servers {}",
        "broker.example:9092,".repeat(9)
    );
    let lines = lines(&Report::new(&run, &context));
    assert!(lines.len() > 40);
}

#[test]
fn the_next_command_fits_the_trouble() {
    let next = |change: fn(&mut RunOutcome), mode| {
        let mut run = passed(6);
        change(&mut run);
        report(&run, mode).next
    };
    let rerun = "streamgauge run classic --seed 42";
    assert_eq!(next(|_| (), Mode::Run), format!("{rerun} --arrivals max"));
    assert_eq!(
        next(|run| run.spec.workload.arrivals = ArrivalKind::Max, Mode::Run),
        format!("{rerun} --arrivals poisson --rate 32k/s")
    );
    assert_eq!(next(|run| run.counters.late = 1, Mode::Run), format!("{rerun} --keep-topics"));
    assert_eq!(
        next(|run| run.counters.late = 1, AGGREGATE),
        format!("{rerun} --allowed-lateness 1ms")
    );
    assert_eq!(
        next(|run| run.counters.sent_late_generator = 99_999, Mode::Run),
        format!("{rerun} --rate 20k/s")
    );
    assert_eq!(
        next(|run| run.counters.sent_late_backpressure = 99_999, Mode::Run),
        format!("{rerun} --rate 32k/s")
    );
    assert_eq!(next(|run| run.ending = Ending::Stopped { drained: true }, Mode::Run), rerun);
}

#[test]
fn aggregation_alone_tells_how_fast_it_drained() {
    let mut run = passed(6);
    (run.base_ns, run.measures) = (None, None);
    let lines = lines(&report(&run, AGGREGATE));
    line_with(&lines, "drained: 2,400,000 events in 62.00 s, 38,710/s");
    assert!(!lines.iter().any(|line| line.starts_with("audit")), "{lines:#?}");
}

#[test]
fn colour_is_on_the_verdict_alone() {
    let report = report(&passed(6), Mode::Run);
    let (plain, coloured) = (render(&report, false), render(&report, true));
    assert!(coloured.starts_with("\u{1b}[1;32mPASS\u{1b}[0m"));
    assert_eq!(coloured.replace("\u{1b}[1;32m", "").replace("\u{1b}[0m", ""), plain);
}

#[test]
fn markdown_says_the_same() {
    let text = Format::Markdown.render(&report(&passed(25), Mode::Run)).unwrap();
    assert!(text.starts_with("# PASS: every count of all 25 windows is exact\n"));
    assert!(text.contains("| result_latency | produced→inserted | 6.18 |"), "{text}");
    assert_eq!(text.matches("| exact |").count(), 25);
}
