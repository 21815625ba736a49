//! `streamgauge compare`: unlike workloads refused, significance tested, failed runs named,
//! regressions gated.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::outcomes::{failed, passed, report};
use serde_json::{Value, json};
use streamgauge::report::{RateChangeRow, Report};
use streamgauge::report::compare::{
    Allowance, Comparison, MetricVerdict, Regression, Unlike, compare,
};
use streamgauge_actors::{LatencyKind, Mode, Quantiles, Second};
use tempfile::TempDir;

/// A run whose `publish_latency` scatters around `mean` milliseconds, from second to second.
fn run(id: &str, mean: f64) -> Report {
    let mut report = report(&passed(6), Mode::Run);
    id.clone_into(&mut report.run_id);
    // A fixed pattern without a period shorter than the run: golden-ratio steps.
    let scatter = |second: i64| (second as f64 * 0.618_033_988_75 + mean * 7.3).fract() - 0.5;
    for row in &mut report.series {
        let p50_ms = mean + 0.2 * scatter(row.second);
        let quantiles = Quantiles { count: 40_000, p50_ms, p99_ms: 3.0 * p50_ms, max_ms: 10.0 };
        row.latency.set(LatencyKind::PublishLatency, Some(quantiles));
        set_produced(row, 40_000 + (100.0 * scatter(row.second + 7)) as u64);
    }
    report
}

/// What was handed to the client in a second, and acknowledged: whichever *produced* means.
fn set_produced(row: &mut Second, events: u64) {
    (row.produced, row.acknowledged) = (events, events);
}

fn comparison(base: &Report, candidate: &Report) -> Comparison {
    compare(base, candidate, &Allowance::none()).unwrap()
}

fn unlike(base: &Report, candidate: &Report) -> Unlike {
    compare(base, candidate, &Allowance::none()).unwrap_err()
}

fn finding(comparison: &Comparison, metric: &str) -> MetricVerdict {
    comparison
        .metrics
        .iter()
        .find(|row| row.metric == metric)
        .unwrap_or_else(|| panic!("no {metric}"))
        .finding
}

/// The program on two report files.
struct Files {
    folder: TempDir,
    base: PathBuf,
    candidate: PathBuf,
}

impl Files {
    fn new(base: &Report, candidate: &Report) -> Self {
        let folder = TempDir::new().unwrap();
        let paths = ["base.json", "candidate.json"].map(|name| folder.path().join(name));
        for (report, path) in [base, candidate].into_iter().zip(&paths) {
            report.write(path).unwrap();
        }
        let [base, candidate] = paths;
        Self { folder, base, candidate }
    }

    fn compare(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
        command
            .env_clear()
            .env("XDG_STATE_HOME", self.folder.path())
            .current_dir(self.folder.path());
        command.arg("compare").args([&self.base, &self.candidate]).args(arguments).output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "stdout: {}\nstderr: {}",
        stdout(output),
        stderr(output)
    );
}

#[test]
fn runs_that_do_not_differ_say_so() {
    let files = Files::new(&run("r-1", 1.0), &run("r-2", 1.001));
    let output = files.compare(&["--fail-on-regression", "5%"]);
    assert_code(&output, 0);
    let text = stdout(&output);
    assert_eq!(text.lines().next(), Some("no significant difference"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_slower_run_is_found_and_gated() {
    let files = Files::new(&run("r-1", 1.0), &run("r-2", 1.2));
    let output = files.compare(&["--fail-on-regression", "5%"]);
    assert_code(&output, 99);
    let text = stdout(&output);
    assert!(text.starts_with("significantly worse: publish_latency p50 +20"), "{text}");
    let row = text.lines().find(|line| line.starts_with("publish_latency p50")).unwrap();
    assert!(
        row.contains("1.00") && row.contains("1.20") && row.ends_with("WORSE, p<0.001"),
        "{row}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let errors = stderr(&output);
    assert!(
        errors.starts_with(
            "error: worse than the limit of 5 % allows:\n  publish_latency.p50_ms: +20"
        ),
        "{errors}"
    );
    assert_code(&files.compare(&["--fail-on-regression", "50%"]), 0);
    assert_code(&files.compare(&[]), 0);
    // A faster one is better, and no regression.
    let files = Files::new(&run("r-1", 1.2), &run("r-2", 1.0));
    let output = files.compare(&["--fail-on-regression", "0%"]);
    assert_code(&output, 0);
    assert!(
        stdout(&output).starts_with("significantly better: publish_latency p50 -16"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn json_and_markdown_say_the_same() {
    let files = Files::new(&run("r-1", 1.0), &run("r-2", 1.2));
    let output = files.compare(&["-o", "json", "--fail-on-regression", "5%"]);
    assert_code(&output, 99);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&json["base"]["run_id"], &json["candidate"]["verdict"]),
        (&json!("r-1"), &json!("pass"))
    );
    let row = json["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["metric"] == "publish_latency.p99_ms")
        .unwrap();
    assert_eq!(
        (&row["finding"], &row["better"], &row["base"]["n"]),
        (&json!("worse"), &json!("lower"), &json!(60))
    );
    assert!(
        row["test"]["low"].as_f64().unwrap() > 0.0 && row["p_adjusted"].as_f64().unwrap() < 0.001,
        "{row}"
    );
    assert_eq!(json["regression_limit"], 0.05);
    assert_eq!(json["regressions"][0]["what"], "metric");
    let without: Value = serde_json::from_str(&stdout(&files.compare(&["-o", "ndjson"]))).unwrap();
    assert_eq!(without.get("regressions"), None);
    let markdown = stdout(&files.compare(&["-o", "md"]));
    assert!(markdown.starts_with("# significantly worse: publish_latency p50"), "{markdown}");
    assert!(
        markdown.contains("| mean of | base | candidate | change | 95 % interval | finding |"),
        "{markdown}"
    );
}

#[test]
fn unlike_workloads_are_refused_unless_forced() {
    let base = run("r-1", 1.0);
    let mut candidate = run("r-2", 1.0);
    candidate.config = json!({
        "workload": {"rate": 20_000.0, "name": "other", "seed": 7},
        "topics": {"partitions": 4},
    });
    let files = Files::new(&base, &candidate);
    let output = files.compare(&[]);
    assert_code(&output, 2);
    assert_eq!(stdout(&output), "");
    let errors = stderr(&output);
    assert!(errors.contains("  workload.rate: 40000 (base), 20000.0 (candidate)\n"), "{errors}");
    assert!(errors.contains("  topics.partitions: not there (base), 4 (candidate)\n"), "{errors}");
    assert!(!errors.contains("workload.name") && !errors.contains("workload.seed"), "{errors}");
    assert!(errors.contains("--force"), "{errors}");
    let forced = files.compare(&["--force"]);
    assert_code(&forced, 0);
    assert!(stdout(&forced).contains("warning: the workloads are unlike"), "{}", stdout(&forced));
    let mut produced = run("r-3", 1.0);
    produced.mode = streamgauge::report::ModeName::Produce;
    assert_eq!(unlike(&base, &produced).differences[0].key, "mode");
}

#[test]
fn broker_and_machine_may_differ_and_are_named() {
    let base = run("r-1", 1.0);
    let mut candidate = run("r-2", 1.0);
    (candidate.broker.kind, candidate.broker.version) = ("kafka".to_owned(), "4.1.0".to_owned());
    candidate.host.cores = Some(64);
    candidate.config = json!({
        "workload": {"rate": 40_000.0},
        "broker": {"kind": "kafka", "kafka": {"password": "***"}},
    });
    let found = comparison(&base, &candidate);
    let keys: Vec<_> =
        found.circumstances.iter().map(|difference| difference.key.as_str()).collect();
    assert_eq!(keys, ["broker.kind", "broker.version", "host.cores"]);
    assert_eq!(found.warnings.len(), 1);
    assert!(
        found.warnings[0].contains("host.cores: 2 (base), 64 (candidate)"),
        "{:?}",
        found.warnings
    );
    let text = stdout(&Files::new(&base, &candidate).compare(&[]));
    assert!(text.contains("differs: broker.kind: embedded (base), kafka (candidate)"), "{text}");
}

#[test]
fn a_run_that_did_not_pass_is_said_first() {
    let mut lost = passed(6);
    lost.counters.events_lost = 3;
    let (base, candidate) = (run("r-1", 1.0), report(&lost, Mode::Run));
    let found = comparison(&base, &candidate);
    assert!(
        found.conclusion.starts_with("NO RESULT: the candidate did not pass (FAIL)"),
        "{}",
        found.conclusion
    );
    assert!(
        found.warnings[0].starts_with("the candidate is no result: FAIL: "),
        "{:?}",
        found.warnings
    );
    let worse: Vec<_> = found.regressions(10.0).iter().map(ToString::to_string).collect();
    assert!(
        worse[0].starts_with("the verdict: the base passed, the candidate did not (FAIL: "),
        "{worse:?}"
    );
    assert!(worse.contains(&"audit.events_lost: 3, in the base 0".to_owned()), "{worse:?}");
    let output = Files::new(&base, &candidate).compare(&["--fail-on-regression", "1000%"]);
    assert_code(&output, 99);
    assert!(stdout(&output).starts_with("NO RESULT: "), "{}", stdout(&output));
    // The other way round nothing got worse, but the base is no measure.
    let found = comparison(&candidate, &base);
    assert!(
        found.conclusion.starts_with("NO RESULT: the base did not pass (FAIL)"),
        "{}",
        found.conclusion
    );
    assert!(
        !found
            .regressions(10.0)
            .iter()
            .any(|each| matches!(each, Regression::Verdict { .. } | Regression::Audit(_)))
    );
    // A run that measured nothing at all.
    let nothing = comparison(&base, &report(&failed(), Mode::Run));
    assert!(nothing.metrics.iter().all(|row| row.finding == MetricVerdict::Untested));
    assert!(
        nothing.conclusion.ends_with("its figures would say: nothing could be tested"),
        "{}",
        nothing.conclusion
    );
}

#[test]
fn meeting_the_target_is_no_merit() {
    let base = run("r-1", 1.0);
    let mut candidate = run("r-2", 1.0);
    for row in &mut candidate.series {
        set_produced(row, row.produced + 100);
    }
    let found = comparison(&base, &candidate);
    assert_eq!(finding(&found, "throughput.produced_per_second"), MetricVerdict::OnTarget);
    // Consumed is the same constant on both sides.
    assert_eq!(finding(&found, "throughput.consumed_per_second"), MetricVerdict::NoDifference);
    for row in &mut candidate.series {
        set_produced(row, row.produced - 4_000);
    }
    let found = comparison(&base, &candidate);
    assert_eq!(finding(&found, "throughput.produced_per_second"), MetricVerdict::Worse);
    assert_eq!(found.regressions(0.05).len(), 1);
    // Without a target more is better.
    let (mut first, mut second) = (base.clone(), candidate.clone());
    (first.throughput.target_per_second, second.throughput.target_per_second) = (None, None);
    assert_eq!(
        finding(&comparison(&second, &first), "throughput.produced_per_second"),
        MetricVerdict::Better
    );
}

#[test]
fn what_cannot_be_tested_says_why() {
    let base = run("r-1", 1.0);
    let mut candidate = run("r-2", 1.0);
    candidate
        .series
        .iter_mut()
        .skip(2)
        .for_each(|row| row.latency.set(LatencyKind::PublishDelay, None));
    for window in &mut candidate.windows {
        window.result_latency_ms_avg = None;
    }
    let found = comparison(&base, &candidate);
    let reason = |metric: &str| {
        let row = found.metrics.iter().find(|row| row.metric == metric).unwrap();
        assert_eq!((row.finding, row.test), (MetricVerdict::Untested, None), "{metric}");
        row.reason.unwrap()
    };
    assert_eq!(reason("publish_delay.p99_ms"), "fewer than 4 values");
    assert_eq!(found.ungated(0.05).count(), 0, "no worse than before");
    assert_eq!(reason("windows.result_latency_ms_avg"), "not measured in the candidate");
    assert!(
        !found.metrics.iter().any(|row| row.metric.starts_with("close_latency")),
        "measured in neither"
    );
}

/// The same run with these result latencies, the same in every second and window.
fn with_results(report: &Report, id: &str, ms: f64) -> Report {
    let mut report = report.clone();
    id.clone_into(&mut report.run_id);
    for row in &mut report.series {
        let quantiles = Quantiles { count: 10, p50_ms: ms, p99_ms: ms, max_ms: ms };
        row.latency.set(LatencyKind::ResultLatency, Some(quantiles));
    }
    for window in &mut report.windows {
        window.result_latency_ms_avg = Some(ms);
    }
    report
}

#[test]
fn constants_that_differ_by_more_than_a_step_are_different() {
    let base = run("r-1", 1.0);
    let found = |first: f64, second: f64| {
        comparison(&with_results(&base, "r-1", first), &with_results(&base, "r-2", second))
    };
    let metrics =
        ["result_latency.p50_ms", "result_latency.p99_ms", "windows.result_latency_ms_avg"];
    for (first, second, expected) in [
        (1.0, 3.0, MetricVerdict::Worse),
        (3.0, 1.0, MetricVerdict::Better),
        // A step of 1 ms is what two clocks may make of the same latency.
        (1.0, 2.0, MetricVerdict::NoDifference),
        (2.0, 1.0, MetricVerdict::NoDifference),
        (1.0, 1.0, MetricVerdict::NoDifference),
        // From 0: there is no share of it.
        (0.0, 2.0, MetricVerdict::Worse),
    ] {
        let comparison = found(first, second);
        for metric in metrics {
            assert_eq!(finding(&comparison, metric), expected, "{metric}: {first}, {second}");
        }
        let regressed = comparison.regressions(0.05).len();
        assert_eq!(regressed, if expected == MetricVerdict::Worse { 3 } else { 0 });
    }
    // Counts of events have a step of one.
    let mut fewer = run("r-2", 1.0);
    fewer.series.iter_mut().for_each(|row| row.consumed = 39_000);
    let slower = comparison(&base, &fewer);
    assert_eq!(finding(&slower, "throughput.consumed_per_second"), MetricVerdict::Worse);
    fewer.series.iter_mut().for_each(|row| row.consumed = 39_999);
    let same = comparison(&base, &fewer);
    assert_eq!(finding(&same, "throughput.consumed_per_second"), MetricVerdict::NoDifference);

    let files = Files::new(&with_results(&base, "r-1", 1.0), &with_results(&base, "r-2", 3.0));
    let output = files.compare(&["--fail-on-regression", "5%"]);
    assert_code(&output, 99);
    let text = stdout(&output);
    assert!(text.starts_with("significantly worse: result_latency p50 +200 %"), "{text}");
    assert!(text.contains("WORSE, constant"), "{text}");
    let errors = stderr(&output);
    assert!(errors.contains("result_latency.p99_ms: +200 %, constant"), "{errors}");
}

#[test]
fn noise_below_a_step_is_no_difference() {
    let base = run("r-1", 1.0);
    let noisy = |id: &str, least: f64| {
        let mut report = with_results(&base, id, least);
        for (i, row) in report.series.iter_mut().enumerate() {
            let ms = least + 0.1 * (i % 3) as f64;
            let quantiles = Quantiles { count: 10, p50_ms: ms, p99_ms: 5.0 * ms, max_ms: ms };
            row.latency.set(LatencyKind::ResultLatency, Some(quantiles));
        }
        report
    };
    let found = comparison(&noisy("r-1", 2.0), &noisy("r-2", 2.5));
    let row = found.metrics.iter().find(|row| row.metric == "result_latency.p50_ms").unwrap();
    assert_eq!((row.finding, row.resolution), (MetricVerdict::NoDifference, 1.0));
    assert!(row.p_adjusted.unwrap() < 0.001, "{row:?}");
    assert_eq!(row.reason, Some("apart by no more than the step in which it is measured"));
    // The 99th percentile differs by more than the step.
    assert_eq!(finding(&found, "result_latency.p99_ms"), MetricVerdict::Worse);
}

#[test]
fn latencies_of_different_ends_are_never_compared() {
    let base = with_results(&run("r-1", 1.0), "r-1", 1.0);
    let mut candidate = with_results(&base, "r-2", 90.0);
    candidate.broker.log_append_time = false;
    let untested = |candidate: &Report, metrics: &[&str], reason: &str| {
        let found = compare(&base, candidate, &Allowance::forced()).unwrap();
        for row in &found.metrics {
            let is_one = metrics.iter().any(|metric| row.metric.starts_with(metric));
            assert_eq!(row.reason == Some(reason), is_one, "{}: {:?}", row.metric, row.reason);
            if is_one {
                assert_eq!((row.finding, row.test), (MetricVerdict::Untested, None));
                assert_eq!((row.difference, row.relative_change), (None, None));
            }
        }
        assert!(found.regressions(0.0).is_empty(), "{:?}", found.regressions(0.0));
    };
    untested(
        &candidate,
        &["result_latency.", "windows.result_latency"],
        "one ends at the insertion, the other at the acknowledgement",
    );
    // Without a schedule an event is intended when it is sent.
    let mut candidate = base.clone();
    candidate.config["workload"]["arrivals"] = json!("max");
    let reason = "one begins at the intended time, the other at the sending";
    untested(&candidate, &["publish_delay.", "event_latency."], reason);
    // Both alike: compared.
    let stamped = comparison(&base, &with_results(&base, "r-2", 90.0));
    assert_eq!(finding(&stamped, "result_latency.p99_ms"), MetricVerdict::Worse);
}

/// The same run with a client's setting of its own.
fn with_client(report: &Report, kafka: &Value) -> Report {
    let mut report = report.clone();
    report.config = json!({
        "workload": {"rate": 40_000.0},
        "topics": {"retention_bytes": "1GiB"},
        "broker": {"kind": "kafka", "kafka": kafka},
    });
    report
}

#[test]
fn client_settings_make_runs_unlike_unless_they_are_named() {
    let base = with_client(
        &run("r-1", 1.0),
        &json!({"bootstrap_servers": "a:9092", "events_linger": "5ms", "properties": {}}),
    );
    let mut candidate = with_client(
        &run("r-2", 1.0),
        &json!({
            "bootstrap_servers": "b:9092",
            "events_linger": "20ms",
            "properties": {"compression.type": "lz4"},
        }),
    );
    let files = Files::new(&base, &candidate);
    let output = files.compare(&[]);
    assert_code(&output, 2);
    let errors = stderr(&output);
    assert!(
        errors.contains("  broker.kafka.events_linger: 5ms (base), 20ms (candidate)\n"),
        "{errors}"
    );
    let property = "broker.kafka.properties.compression.type";
    assert!(
        errors.contains(&format!("  {property}: not there (base), lz4 (candidate)\n")),
        "{errors}"
    );
    assert!(errors.contains("--across broker.kafka.events_linger"), "{errors}");
    assert!(!errors.contains("bootstrap_servers"), "where a broker is may differ: {errors}");
    // One named, the other still counts.
    let linger = ["--across", "broker.kafka.events_linger"];
    let output = files.compare(&linger);
    assert_code(&output, 2);
    assert!(!stderr(&output).contains("events_linger: 5ms"), "{}", stderr(&output));
    let output = files.compare(&[&linger[..], &["--across", property]].concat());
    assert_code(&output, 0);
    let text = stdout(&output);
    assert!(
        text.contains("across: broker.kafka.events_linger: 5ms (base), 20ms (candidate)"),
        "{text}"
    );
    assert!(!text.contains("warning"), "{text}");
    let named = files.compare(&["--across", "broker.kafka", "-o", "json"]);
    let json: Value = serde_json::from_str(&stdout(&named)).unwrap();
    assert_eq!(json["differences"], json!([]));
    assert_eq!(json["across"][1]["key"], property);
    // What is no setting.
    let output = files.compare(&["--across", "broker.kafka.event_linger"]);
    assert_code(&output, 2);
    let errors = stderr(&output);
    assert!(errors.contains("did you mean `broker.kafka.events_linger`?"), "{errors}");
    // Retention is work for the broker.
    candidate.config = base.config.clone();
    candidate.config["topics"]["retention_bytes"] = json!("2GiB");
    assert_eq!(unlike(&base, &candidate).differences[0].key, "topics.retention_bytes");
}

#[test]
fn across_another_rate_the_rates_themselves_are_not_compared() {
    let base = run("r-1", 1.0);
    let mut candidate = run("r-2", 1.2);
    candidate.config["workload"]["rate"] = json!(20_000);
    candidate.throughput.target_per_second = Some(20_000.0);
    candidate.series.iter_mut().for_each(|row| set_produced(row, row.produced / 2));
    let across = Allowance::across(["workload.rate".to_owned()], false).unwrap();
    let found = compare(&base, &candidate, &across).unwrap();
    let row = &found.metrics[0];
    assert_eq!(
        (row.metric.as_str(), row.finding, row.reason),
        (
            "throughput.produced_per_second",
            MetricVerdict::Untested,
            Some("another rate was asked for")
        )
    );
    assert_eq!(finding(&found, "publish_latency.p50_ms"), MetricVerdict::Worse);
}

#[test]
fn schema_versions_between_which_a_name_changed_its_meaning_are_not_mixed() {
    let of_version = |id: &str, version: u32| {
        let mut report = run(id, 1.0);
        report.schema_version = version;
        // Handed over, and not acknowledged.
        report.series.iter_mut().for_each(|row| row.acknowledged = 30_000);
        report
    };
    let (old, new) = (of_version("r-1", 1), of_version("r-2", 2));
    for (base, candidate) in [(&old, &new), (&new, &old)] {
        let refused = unlike(base, candidate);
        assert_eq!(refused.differences, []);
        assert!(refused.mixed[0].contains("`throughput.produced_per_second`"), "{refused}");
        let forced = compare(base, candidate, &Allowance::forced()).unwrap();
        assert!(forced.warnings[0].contains("acknowledged events"), "{:?}", forced.warnings);
        let row = &forced.metrics[0];
        assert_eq!(
            (row.metric.as_str(), row.finding),
            ("throughput.produced_per_second", MetricVerdict::Untested)
        );
        assert_eq!((row.difference, row.test), (None, None));
        assert_eq!(finding(&forced, "throughput.consumed_per_second"), MetricVerdict::NoDifference);
    }
    // Each version among its like, by its own meaning.
    for (version, mean_below, mean_above) in [(1, 41_000.0, 39_000.0), (2, 30_001.0, 29_999.0)] {
        let found = comparison(&of_version("r-1", version), &of_version("r-2", version));
        let mean = found.metrics[0].base.unwrap().mean;
        assert!((mean_above..mean_below).contains(&mean), "version {version}: {mean}");
    }
}

#[test]
fn a_run_whose_rate_was_changed_is_like_no_other() {
    let base = run("r-1", 1.0);
    let mut changed = run("r-2", 1.0);
    changed.rate_changes = vec![RateChangeRow { at_s: 20.0, events_per_second: 10_000.0 }];
    let refused = unlike(&base, &changed);
    assert_eq!(refused.differences, []);
    assert!(refused.mixed[0].contains("the rate of the candidate was changed"), "{refused}");
    assert_eq!(unlike(&changed, &changed).mixed.len(), 2);
    let output = Files::new(&base, &changed).compare(&["--across", "workload.rate"]);
    assert_code(&output, 2);
    let forced = compare(&base, &changed, &Allowance::forced()).unwrap();
    assert!(forced.warnings[0].contains("was changed while it ran"), "{:?}", forced.warnings);
}

#[test]
fn processor_time_within_its_step_is_the_same() {
    let base = run("r-1", 1.0);
    let mut candidate = run("r-2", 1.0);
    let per_event = base.resources.cpu_us_per_event.unwrap();
    let line = |candidate: &Report| {
        let text = stdout(&Files::new(&base, candidate).compare(&[]));
        text.lines().find(|line| line.starts_with("cpu")).unwrap().to_owned()
    };
    candidate.resources.cpu_us_per_event = Some(per_event * 1.001);
    assert!(line(&candidate).contains("+0.10 %"), "nanoseconds tell them apart");
    // Ticks of 10 ms, counted twice, over 2,400,000 events are steps of 0.008 us.
    candidate.resources.cpu_resolution_s = None;
    candidate.resources.cpu_us_per_event = Some(per_event + 0.008);
    assert!(line(&candidate).ends_with("the same"), "{}", line(&candidate));
    candidate.resources.cpu_us_per_event = Some(per_event + 0.009);
    assert!(line(&candidate).contains("+0.18 %"), "{}", line(&candidate));
}

#[test]
fn the_gate_says_of_what_it_knows_nothing() {
    let base = run("r-1", 1.0);
    let mut candidate = run("r-2", 1.0);
    for row in candidate.series.iter_mut().skip(3) {
        row.latency.set(LatencyKind::PublishDelay, None);
    }
    for row in candidate.series.iter_mut().take(3) {
        let quantiles = Quantiles { count: 9, p50_ms: 9000.0, p99_ms: 9000.0, max_ms: 9000.0 };
        row.latency.set(LatencyKind::PublishDelay, Some(quantiles));
    }
    let files = Files::new(&base, &candidate);
    let output = files.compare(&["--fail-on-regression", "5%"]);
    assert_code(&output, 0);
    let errors = stderr(&output);
    assert!(errors.starts_with("warning: publish_delay.p50_ms: +"), "{errors}");
    assert!(errors.contains("not tested"), "{errors}");
}

#[test]
fn warmup_and_the_time_after_the_schedule_are_left_out() {
    let mut base = run("r-1", 1.0);
    (base.warmup_s, base.duration_s) = (10.0, 40.0);
    let mut candidate = base.clone();
    for row in candidate.series.iter_mut().filter(|row| row.second < 10 || row.second >= 49) {
        set_produced(row, 1);
    }
    let found = comparison(&base, &candidate);
    assert_eq!(finding(&found, "throughput.produced_per_second"), MetricVerdict::NoDifference);
    let row = &found.metrics[0];
    assert_eq!(row.base.unwrap().n, 39);
}

#[test]
fn what_is_no_report_or_no_percentage_is_a_usage_error() {
    let files = Files::new(&run("r-1", 1.0), &run("r-2", 1.0));
    std::fs::write(&files.candidate, "{}").unwrap();
    let output = files.compare(&[]);
    assert_code(&output, 2);
    assert!(stderr(&output).contains("candidate.json"), "{}", stderr(&output));
    std::fs::remove_file(&files.base).unwrap();
    let output = files.compare(&[]);
    assert_code(&output, 2);
    assert!(stderr(&output).contains("base.json"), "{}", stderr(&output));
    for nonsense in ["5", "-1%", "NaN%", "much"] {
        let output = files.compare(&[&format!("--fail-on-regression={nonsense}")]);
        assert_code(&output, 2);
        assert!(stderr(&output).contains("write 5%"), "{}", stderr(&output));
    }
}
