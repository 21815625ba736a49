//! Thresholds over the paths of the JSON report: what outranks a failed one, what it costs, where
//! it is shown.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::outcomes::{AGGREGATE, context, failed, of_mode, passed, report};
use serde_json::{Value, json};
use streamgauge::config::Layers;
use streamgauge::config::Threshold;
use streamgauge::report::{Format, Report, terminal};
use streamgauge_actors::{Cause, Ending, Mode, RunOutcome, SECOND, Verdict};
use tempfile::TempDir;

/// Makes something go wrong with a run.
type Trouble = fn(&mut RunOutcome);

fn judged(outcome: &RunOutcome, mode: Mode, expressions: &[&str]) -> Report {
    let mut context = context();
    context.thresholds = expressions.iter().map(|text| Threshold::parse(text).unwrap()).collect();
    Report::new(&of_mode(outcome, mode), &context)
}

/// Paths of all numbers below a value, lists left out.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(path.to_owned()),
        Value::Object(keys) => {
            for (key, inner) in keys {
                leaves(
                    inner,
                    &if path.is_empty() { key.clone() } else { format!("{path}.{key}") },
                    found,
                );
            }
        }
        _ => {}
    }
}

#[test]
fn every_number_of_a_report_is_a_path() {
    let mut paths = Vec::new();
    for mode in [Mode::Run, AGGREGATE] {
        let mut report = serde_json::to_value(report(&passed(6), mode)).unwrap();
        // Settings are no figures, and the exit code follows from the thresholds.
        for key in ["config", "exit_code"] {
            report.as_object_mut().unwrap().remove(key);
        }
        leaves(&report, "", &mut paths);
    }
    assert!(paths.len() > 100 && paths.iter().any(|path| path == "drain.per_second"), "{paths:?}");
    for path in paths {
        Threshold::parse(&format!("{path} >= 0")).unwrap();
    }
}

#[test]
fn a_failed_threshold_turns_a_pass_into_a_failure() {
    let report = judged(
        &passed(6),
        Mode::Run,
        &["latency.result_latency.p99_ms < 5", "audit.events_lost == 0", "drain.per_second > 0"],
    );
    assert_eq!((report.verdict, report.exit_code), (Verdict::Fail, 99));
    assert_eq!(report.causes.last(), Some(&Cause::NoFault));
    assert!(report.causes.len() > 1 && report.causes[0] == Cause::ThresholdFailed);
    assert_eq!(
        report.reasons,
        [
            "threshold failed: latency.result_latency.p99_ms < 5, but it was 12.223",
            "threshold failed: drain.per_second > 0, but it was not measured",
            "every count of all 6 windows is exact",
        ]
    );
    let rows: Vec<_> = report.thresholds.iter().map(|row| (row.observed, row.passed)).collect();
    assert_eq!(rows, [(Some(12.223), false), (Some(0.0), true), (None, false)]);
    assert_eq!(report.next, "streamgauge run classic --seed 42 --rate 32k/s");
    let satisfied = judged(&passed(6), Mode::Run, &["audit.events_lost == 0"]);
    assert_eq!(
        (satisfied.verdict, satisfied.exit_code, satisfied.reasons.len()),
        (Verdict::Pass, 0, 1)
    );
    let rate = judged(&passed(6), Mode::Run, &["throughput.produced_per_second > 50e3"]);
    assert_eq!(rate.next, "streamgauge run classic --seed 42", "less load would not help");
}

#[test]
fn what_is_graver_outranks_a_failed_threshold() {
    let cases: [(Trouble, Verdict, u8); 5] = [
        (|run| *run = failed(), Verdict::Fail, 1),
        (|run| run.counters.events_lost = 3, Verdict::Fail, 4),
        (|run| run.ending = Ending::Stopped { drained: true }, Verdict::Aborted, 0),
        (|run| run.wall_step_ns = 2 * SECOND, Verdict::Inconclusive, 5),
        (|run| run.counters.sent_late_backpressure = 120_000, Verdict::Fail, 99),
    ];
    for (trouble, verdict, code) in cases {
        let mut run = passed(6);
        trouble(&mut run);
        let plain = report(&run, Mode::Run);
        let report =
            judged(&run, Mode::Run, &["events.produced < 1", "latency.close_latency.max_ms < 1"]);
        assert_eq!((report.verdict, report.exit_code), (verdict, code), "{:?}", report.reasons);
        assert_eq!((plain.verdict, plain.exit_code), (verdict, code));
        assert_eq!((&report.reasons[0], &report.next), (&plain.reasons[0], &plain.next));
        // A run that failed has nothing to judge, and says nothing about it.
        let named =
            report.reasons.iter().filter(|reason| reason.starts_with("threshold failed")).count();
        assert_eq!(named, if code == 1 { 0 } else { 2 });
        assert_eq!(report.thresholds.len(), 2);
    }
}

#[test]
fn people_see_a_table_of_them() {
    let long = format!("latency.result_latency.p99_ms < {}", "9".repeat(60));
    let report =
        judged(&passed(6), Mode::Run, &["audit.events_lost > 0", "drain.events == 0", &long]);
    let text = terminal::render(&report, false);
    assert!(text.lines().all(|line| line.chars().count() <= terminal::WIDTH), "{text}");
    let row = |start: &str| {
        text.lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{text}"))
            .to_owned()
    };
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&row("FAILED  audit")), ["FAILED", "audit.events_lost", ">", "0", "0"]);
    assert!(
        row("FAILED  drain").ends_with("not measured") && row("passed").contains("999…"),
        "{text}"
    );
    let markdown = Format::Markdown.render(&report).unwrap();
    assert!(markdown.contains("## Thresholds\n\n| result | threshold | observed |"), "{markdown}");
    assert!(!terminal::render(&judged(&passed(6), Mode::Run, &[]), false).contains("threshold"));
}

#[test]
fn flags_add_to_what_is_configured() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, "[thresholds]\nexpressions = [\"audit.events_lost == 0\"]").unwrap();
    let mut layers = Layers {
        config_file: Some(file.clone()),
        thresholds: vec!["events.late<1".to_owned()],
        ..Layers::default()
    };
    let resolved = layers.load().unwrap();
    let texts: Vec<_> =
        resolved.settings.thresholds().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["audit.events_lost == 0", "events.late<1"]);
    assert_eq!(
        resolved.origins["thresholds.expressions"],
        format!("{}, flag --threshold", file.display())
    );

    layers.thresholds.push("audit.event_lost == 0".to_owned());
    let error = layers.load().unwrap_err().to_string();
    for part in ["flag --threshold: `thresholds.expressions`", "did you mean `audit.events_lost`?"]
    {
        assert!(error.contains(part), "{error}");
    }
    fs::write(&file, "[thresholds]\nexpressions = [\"latency.p99_ms < 5\"]").unwrap();
    let error = layers.load().unwrap_err().to_string();
    assert!(error.contains("flag --threshold"), "{error}");
    layers.thresholds.clear();
    let error = layers.load().unwrap_err().to_string();
    assert!(
        error.contains("c.toml: `thresholds.expressions`") && error.contains("p99_ms`?"),
        "{error}"
    );
}

/// The program, with its state in `folder`.
fn streamgauge(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    command
        .env_clear()
        .env("XDG_STATE_HOME", folder)
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A run of a second whose generator may be as slow as the machine makes it.
const QUICK: &[&str] = &[
    "run",
    "smoke",
    "--duration",
    "1s",
    "--rate",
    "5k/s",
    "--window",
    "200ms",
    "--set",
    "workload.send_delay_limit=10s",
    "--set",
    "workload.least_judged=0s",
    "-o",
    "json",
];

#[test]
fn a_run_ends_with_99_is_remembered_and_can_be_made_again() {
    let folder = TempDir::new().unwrap();
    let thresholds =
        ["--threshold", "audit.events_lost == 0", "--threshold", "events.produced > 1e6"];
    let report = json(&streamgauge(folder.path(), &[QUICK, &thresholds].concat()), 99);
    assert_eq!(
        (&report["verdict"], &report["exit_code"]),
        (&json!("fail"), &json!(99)),
        "{}",
        report["reasons"]
    );
    assert_eq!(
        report["thresholds"],
        json!([
            {"expression": "audit.events_lost == 0", "observed": 0.0, "passed": true},
            {"expression": "events.produced > 1e6", "observed": 5000.0, "passed": false},
        ])
    );
    let stored = json(&streamgauge(folder.path(), &["report", "latest", "-o", "json"]), 0);
    assert_eq!(stored, report);
    let rows = json(&streamgauge(folder.path(), &["history", "-o", "json"]), 0);
    assert_eq!((&rows[0]["run_id"], &rows[0]["exit_code"]), (&report["run_id"], &json!(99)));

    // The same settings, thresholds included, come of the line that makes the run again.
    let again = report["rerun"].as_str().unwrap().replacen(
        "streamgauge run",
        "\"$0\" config show -o json",
        1,
    );
    let mut shell = Command::new("sh");
    let shown = shell
        .arg("-c")
        .arg(again)
        .arg(env!("CARGO_BIN_EXE_streamgauge"))
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(
        json(&shown, 0)["thresholds"]["expressions"],
        json!(["audit.events_lost == 0", "events.produced > 1e6"])
    );
}

#[test]
fn a_run_that_satisfies_them_passes_whatever_becomes_of_the_history() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("streamgauge/history.db")).unwrap();
    let output =
        streamgauge(folder.path(), &[QUICK, &["--threshold", "audit.windows_exact >= 1"]].concat());
    assert_eq!(json(&output, 0)["thresholds"][0]["passed"], true);
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("WARN") && warning.contains("streamgauge/history.db"), "{warning}");
}

#[test]
fn an_unknown_path_is_bad_configuration() {
    for command in ["run", "produce", "config check"] {
        let folder = TempDir::new().unwrap();
        let arguments: Vec<&str> =
            command.split(' ').chain(["--threshold", "latency.result_latency.p99 < 50"]).collect();
        let output = streamgauge(folder.path(), &arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0), "{command}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("did you mean `latency.result_latency.p99_ms`?"), "{error}");
    }
}
