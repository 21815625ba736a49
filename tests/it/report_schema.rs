//! The JSON report keeps to its published schema, and says `null` where nothing was measured.

use std::path::Path;

use crate::support::outcomes::{AGGREGATE, BASE, FOLLOW, context, failed, passed, report};
use serde_json::{Value, json};
use streamgauge::config::Threshold;
use streamgauge::report::{Format, Report};
use streamgauge_actors::{
    ArrivalKind, Ending, Finding, FindingKind, LatencyHistogram, LatencyKind, MILLISECOND, Mode,
    Nanos, ResultRecord, RunOutcome, SECOND,
};

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn check(schema: &Value, instance: &Value) {
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(instance).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// The report as JSON, found to keep to the schema and to read back as it was.
fn checked(outcome: &RunOutcome, mode: Mode) -> Value {
    let report = report(outcome, mode);
    let text = report.to_json().unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    check(&schema("report.schema.json"), &value);
    assert_eq!(Report::from_json(&text).unwrap(), report);
    let line = report.to_ndjson().unwrap();
    assert_eq!(line.find('\n'), Some(line.len() - 1));
    value
}

#[test]
fn a_passed_run() {
    let report = checked(&passed(6), Mode::Run);
    assert_eq!(report["verdict"], "pass");
    assert_eq!(report["started_at"], "2023-11-14T22:13:19.000Z");
    assert_eq!(report["finished_at"], "2023-11-14T22:14:21.000Z");
    assert_eq!((&report["exit_code"], &report["thresholds"]), (&json!(0), &json!([])));
    assert_eq!(report["duration_s"], 60.0);
    assert_eq!(report["throughput"]["target_per_second"], 40_000.0);
    assert_eq!(report["throughput"]["consumed_per_second"], 40_000.0);
    assert_eq!(report["audit"]["windows_exact"], 6);
    assert_eq!(report["drain"], Value::Null);
    assert_eq!(report["latency"]["result_latency"]["count"], 1000);
    assert_eq!(report["latency"]["result_latency"]["resolution_ms"], 1.0);
    assert_eq!(report["windows"][5]["window_start"], BASE / MILLISECOND + 50_000);
    assert_eq!(report["series"][3]["latency"]["close_latency"], Value::Null);
    assert_eq!(
        report["series"][3]["watermarks_ms"],
        json!({"0": null, "1": BASE / MILLISECOND + 3000, "2": null})
    );
    assert_eq!(report["resources"]["cpu_us_per_event"], 12.34e6 / 2_400_000.0);
    assert_eq!(report["versions"]["fluvio"], Value::Null);
}

#[test]
fn a_failed_run_that_measured_nothing() {
    let report = checked(&failed(), Mode::Run);
    assert_eq!(report["verdict"], "fail");
    assert_eq!(report["ending"]["cause"], "topic `clicks` does not exist on localhost:9092");
    assert_eq!(report["audit"], Value::Null);
    assert_eq!(report["throughput"]["produced_per_second"], Value::Null);
    assert_eq!(report["resources"]["cpu_us_per_event"], Value::Null);
    for kind in LatencyKind::ALL {
        assert_eq!(report["latency"][kind.name()], Value::Null, "{}", kind.name());
    }
}

#[test]
fn an_aborted_run() {
    let run =
        RunOutcome { ending: Ending::Stopped { drained: false }, measures: None, ..passed(6) };
    let report = checked(&run, Mode::Run);
    assert_eq!(report["verdict"], "aborted");
    assert_eq!(
        report["ending"],
        json!({"how": "stopped", "drained": false, "stage": null, "cause": null})
    );
    assert_eq!(report["audit"], Value::Null);
}

#[test]
fn a_wrong_count_is_named() {
    let mut run = passed(6);
    run.measures.as_mut().unwrap().audit.windows_exact = 5;
    run.findings.push(Finding {
        kind: FindingKind::EventsMissing,
        window_id: Some(4),
        campaign_id: Some(7),
        producer: Some(1),
        partition: None,
        count: 1,
    });
    let report = checked(&run, Mode::Run);
    assert_eq!(report["verdict"], "fail");
    assert_eq!(report["findings"][0]["producer"], 1);
    assert_eq!(report["findings"][0]["kind"], "events_missing");
}

#[test]
fn only_negative_samples_give_counts_and_no_figures() {
    let mut run = passed(6);
    let mut negative = LatencyHistogram::default();
    negative.record(-5);
    run.latencies.insert(LatencyKind::ResultLatency, negative);
    run.latencies.insert(LatencyKind::EndToEnd, LatencyHistogram::default());
    let report = checked(&run, Mode::Run);
    let figures = &report["latency"]["result_latency"];
    assert_eq!((&figures["count"], &figures["negative"]), (&json!(0), &json!(1)));
    assert_eq!(
        (&figures["avg_ms"], &figures["p99_ms"], &figures["max_ms"]),
        (&json!(null), &json!(null), &json!(null))
    );
    assert_eq!(report["latency"]["end_to_end"], Value::Null);
}

#[test]
fn a_stepped_clock_leaves_no_result_latency_and_says_why() {
    let run = RunOutcome { wall_step_ns: -3 * SECOND, ..passed(6) };
    let report = checked(&run, Mode::Run);
    assert_eq!(report["verdict"], "inconclusive");
    assert_eq!(report["latency"]["result_latency"], Value::Null);
    assert_eq!(report["windows"][0]["result_latency_ms_max"], Value::Null);
    assert!(report["latency"]["end_to_end"].is_object());
    assert!(report["notes"][0].as_str().unwrap().contains("stepped by -3000 ms"));
}

#[test]
fn a_log_that_stamps_nothing_is_noted() {
    let mut run = passed(6);
    run.broker.log_append_time = false;
    let report = checked(&run, Mode::Run);
    assert!(report["latency"]["result_latency"].is_object());
    assert!(report["notes"][0].as_str().unwrap().contains("acknowledgement was received"));
}

#[test]
fn without_a_schedule_there_is_no_target() {
    let mut run = passed(6);
    run.spec.workload.arrivals = ArrivalKind::Max;
    run.series.iter_mut().for_each(|second| second.target = None);
    let report = checked(&run, Mode::Run);
    assert_eq!(report["throughput"]["target_per_second"], Value::Null);
    assert_eq!(report["series"][0]["target"], Value::Null);
}

#[test]
fn aggregation_alone_has_a_drain_and_no_audit() {
    let mut run = passed(6);
    (run.base_ns, run.measures) = (None, None);
    run.counters.malformed.add("not JSON", 3);
    let report = checked(&run, AGGREGATE);
    assert_eq!(report["audit"], Value::Null);
    // The process started two seconds before the base, and the last result came 60 s after it.
    assert_eq!(
        report["drain"],
        json!({"events": 2_400_000, "seconds": 62.0, "per_second": 2_400_000.0 / 62.0})
    );
    assert_eq!(report["throughput"]["target_per_second"], Value::Null);
    assert_eq!(report["events"]["malformed"], 3);
    run.counters.last_result_ns = 0;
    run.counters.results_events = 0;
    let report = checked(&run, AGGREGATE);
    assert_eq!(report["drain"], json!({"events": 0, "seconds": null, "per_second": null}));
}

#[test]
fn the_other_parts_of_the_pipeline() {
    let produced = checked(&passed(6), Mode::Produce);
    assert_eq!((&produced["audit"], &produced["mode"]), (&Value::Null, &json!("produce")));
    assert_eq!(produced["throughput"]["consumed_per_second"], Value::Null);
    let judged = checked(&passed(6), Mode::Latency(FOLLOW));
    assert_eq!(judged["audit"]["windows"], 6);
    let measured = checked(&RunOutcome { measures: None, ..passed(6) }, Mode::Latency(FOLLOW));
    assert_eq!(measured["audit"], Value::Null);
}

#[test]
fn thresholds_are_listed_with_what_was_observed() {
    let mut context = context();
    context.thresholds = ["events.late == 0", "drain.seconds < 1"]
        .map(|text| Threshold::parse(text).unwrap())
        .to_vec();
    let report = serde_json::to_value(Report::new(&passed(6), &context)).unwrap();
    check(&schema("report.schema.json"), &report);
    assert_eq!(
        report["thresholds"],
        json!([
            {"expression": "events.late == 0", "observed": 0.0, "passed": true},
            {"expression": "drain.seconds < 1", "observed": null, "passed": false},
        ])
    );
}

#[test]
fn the_schema_refuses_what_is_no_report() {
    let report = checked(&passed(6), Mode::Run);
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema("report.schema.json"))
        .unwrap();
    for key in report.as_object().unwrap().keys() {
        let mut without = report.clone();
        without.as_object_mut().unwrap().remove(key);
        assert!(!validator.is_valid(&without), "without {key}");
    }
    let wrongs = [
        ("/verdict", json!("ok")),
        ("/started_at", json!("yesterday")),
        ("/latency/result_latency/p99_ms", json!("12")),
        ("/latency/result_latency/count", json!(1.5)),
        ("/events/produced", json!(null)),
        ("/windows/0/exact", json!(1)),
        ("/series/0/latency/close_latency", json!(0)),
        ("/reasons", json!([])),
        ("/exit_code", json!(3)),
        ("/thresholds", json!([{"expression": "events.late == 0", "observed": 0}])),
    ];
    for (pointer, wrong) in wrongs {
        let mut changed = report.clone();
        *changed.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&changed), "{pointer}");
    }
}

#[test]
fn histograms_survive() {
    let run = passed(6);
    let report = report(&run, Mode::Run);
    let figures = report.latency.get(LatencyKind::ResultLatency).unwrap();
    let histogram = figures.decode_histogram().unwrap();
    assert_eq!(histogram.len(), 1000);
    assert_eq!(Some(histogram.value_at_quantile(0.99) as f64 / 1000.0), figures.p99_ms);
}

#[test]
fn every_form_is_written_whole_and_unknown_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let report = report(&passed(6), Mode::Run);
    for (format, extension) in Format::ALL {
        let path = folder.path().join(format!("report.{extension}"));
        std::fs::write(&path, "an older one").unwrap();
        report.write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format.render(&report).unwrap());
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        Format::ALL.len(),
        "no temporary file is left"
    );
    let csv = std::fs::read_to_string(folder.path().join("report.csv")).unwrap();
    let columns: Vec<_> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!((columns.len(), columns[0]), (61, 14 + 3 + LatencyKind::COUNT * 4));
    assert!(columns.iter().all(|&count| count == columns[0]));
    let distribution = std::fs::read_to_string(folder.path().join("report.hdr")).unwrap();
    assert_eq!(distribution.matches("Total count    =         1000").count(), LatencyKind::COUNT);
    for path in ["report.pdf", "report", ".json"] {
        let error = report.write(Path::new(path)).unwrap_err().to_string();
        assert!(
            error.contains(".json, .html, .md, .csv or .hdr") && error.contains(path),
            "{error}"
        );
    }
    let nowhere = folder.path().join("missing").join("report.json");
    assert!(report.write(&nowhere).unwrap_err().to_string().contains("missing"));
}

#[test]
fn results_keep_to_their_schema() {
    let result = ResultRecord {
        run_id: "r".to_owned(),
        window_id: -1,
        window_start: 0,
        window_end: Nanos::from(10_000),
        campaign_id: 1,
        count: 2,
        max_produce_time: 3,
    };
    check(&schema("result.schema.json"), &serde_json::from_slice(&result.to_json()).unwrap());
}

#[test]
fn the_event_schema_has_every_field() {
    let properties = schema("event.schema.json")["properties"].clone();
    let mut names: Vec<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
    let mut fields = streamgauge_actors::EVENT_FIELDS;
    names.sort_unstable();
    fields.sort_unstable();
    assert_eq!(names, fields);
}
