//! The report of a matrix: merged percentiles, the floor, significance between runs, in every form;
//! from runs made up.

use crate::support::outcomes::{context, failed, passed, report};
use serde_json::{Value, json};
use streamgauge::config::{Assignment, Layers};
use streamgauge::matrix::cells::Dimension;
use streamgauge::matrix::figures::{Figure, MatrixRun};
use streamgauge::matrix::format::MatrixFormat;
use streamgauge::matrix::plan::Plan;
use streamgauge::matrix::report::{MatrixContext, MatrixReport, SCHEMA};
use streamgauge::matrix::request::Request;
use streamgauge::matrix::{tables, terminal};
use streamgauge::report::compare::MetricVerdict;
use streamgauge::report::{Report, Versions};
use streamgauge_actors::{LatencyHistogram, LatencyKind, Mode, Verdict};

const HOSTILE: &str = "</script><script>alert(1)</script><!-- \"'&<img src=x onerror=alert(1)>|";

fn plan(lists: &[(&str, &[&str])], set: &[(&str, &str)], baseline: &[(&str, &str)]) -> Plan {
    let origin = || "flag".to_owned();
    let flag = |&(key, value): &(&str, &str)| Assignment {
        origin: origin(),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let varied = lists.iter().map(|(key, choices)| Dimension {
        key: (*key).to_owned(),
        origin: origin(),
        choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
    });
    Plan::new(Request {
        layers: Layers { flags: set.iter().map(flag).collect(), ..Layers::default() },
        varied: varied.collect(),
        with: Vec::new(),
        baseline: baseline.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
    })
    .unwrap()
}

/// A run whose latencies are all this long.
fn run(ms: f64) -> Report {
    let mut histogram = LatencyHistogram::default();
    (0..100).for_each(|_| histogram.record((ms * 1e6) as i64));
    let mut outcome = passed(6);
    outcome.latencies =
        LatencyKind::ALL.into_iter().map(|kind| (kind, histogram.clone())).collect();
    report(&outcome, Mode::Run)
}

/// Every run of the plan, as `of(cell, round)` makes them.
fn matrix(plan: &Plan, of: impl Fn(usize, usize) -> Report) -> MatrixReport {
    let order = plan
        .order
        .iter()
        .enumerate()
        .flat_map(|(round, cells)| cells.iter().map(move |&cell| (round, cell)));
    let runs: Vec<MatrixRun> = order
        .enumerate()
        .map(|(place, (round, cell))| {
            let mut report = of(cell, round);
            report.run_id = format!("r-{place}");
            MatrixRun { cell, round, place, result: Ok((report, None)) }
        })
        .collect();
    let described = context();
    let context = MatrixContext {
        started_at: "2026-11-24T12:00:00.000Z".to_owned(),
        finished_at: "2026-11-24T12:10:00.000Z".to_owned(),
        aborted: false,
        versions: Versions::new(None, None),
        host: described.host,
    };
    let report = MatrixReport::new(plan, &runs, &context).unwrap();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let document = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    let errors: Vec<_> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&document)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    report
}

const P99: Figure = Figure::P99(LatencyKind::EndToEnd);

#[test]
fn the_embedded_log_is_the_floor_of_every_other_broker() {
    let plan = plan(&[("workload.rate", &["1k/s", "2k/s"])], &[("broker.kind", "kafka")], &[]);
    let names: Vec<_> =
        plan.cells.iter().map(|cell| (cell.name.as_str(), cell.asked, cell.is_floor)).collect();
    let expected = [
        ("kafka, 1k/s", true, false),
        ("kafka, 2k/s", true, false),
        ("embedded, 1k/s", false, true),
        ("embedded, 2k/s", false, true),
    ];
    assert_eq!(names, expected);
    let report = matrix(&plan, |cell, round| run([6.0, 8.0, 2.0, 2.0][cell] + 0.01 * round as f64));
    let relative = |cell: usize| report.cells[cell].figure(P99).unwrap().relative_to_floor;
    assert!((relative(0).unwrap() - 3.0).abs() < 0.05 && (relative(1).unwrap() - 4.0).abs() < 0.05);
    assert_eq!(relative(2), None);
    // A floor that nobody asked for is compared with nothing.
    let pairs: Vec<_> = report.comparisons.iter().map(|each| (each.cell, each.baseline)).collect();
    assert_eq!(pairs, [(2, 1)]);
    let text = terminal::render(&report, false);
    let floor = text.split("the harness's own floor, on the embedded log:").nth(1).unwrap();
    assert!(floor.lines().nth(3).unwrap().starts_with("#3 embedded, 1k/s"), "{text}");
}

#[test]
fn percentiles_are_those_of_the_merged_histograms() {
    let plan = plan(&[("workload.rate", &["1k/s", "2k/s"])], &[("matrix.repetitions", "4")], &[]);
    // Three runs of 1 ms and one of 100 ms: of all samples a quarter take 100 ms.
    let report = matrix(&plan, |_, round| run(if round == 3 { 100.0 } else { 1.0 }));
    let cell = &report.cells[0];
    let (p50, p99) =
        (cell.figure(Figure::Median(LatencyKind::EndToEnd)).unwrap(), cell.figure(P99).unwrap());
    assert!((p50.value.unwrap() - 1.0).abs() < 0.01, "the mean of the medians would be 25.75");
    assert!((p99.value.unwrap() - 100.0).abs() < 0.1);
    assert!((p99.least.unwrap() - 1.0).abs() < 0.01 && (p99.greatest.unwrap() - 100.0).abs() < 0.1);
    let latency = cell.latency.get(LatencyKind::EndToEnd).unwrap();
    assert_eq!((latency.count, latency.decode_histogram().unwrap().len()), (400, 400));
}

#[test]
fn differences_beyond_the_spread_of_the_runs_are_found_and_others_are_not() {
    let lists: [(&str, &[&str]); 1] = [("workload.arrivals", &["uniform", "poisson", "mmpp"])];
    let plan = plan(&lists, &[("matrix.repetitions", "5")], &[]);
    let spread = |round: usize| [0.0, 0.3, -0.2, 0.1, -0.3][round];
    let report =
        matrix(&plan, |cell, round| run([5.0, 5.05, 9.0][cell] + spread((round + cell) % 5)));
    let said: Vec<_> = report.comparisons.iter().map(|each| each.conclusion.as_str()).collect();
    assert_eq!(said[0], "no significant difference");
    assert!(said[1].starts_with("significantly worse: result_latency p50 +"), "{}", said[1]);
    // One run is one value.
    let row = report.comparisons[1].metrics.iter().find(|row| row.metric == P99.name()).unwrap();
    assert_eq!((row.base.unwrap().n, row.candidate.unwrap().n), (5, 5));
    assert!(row.p_adjusted.unwrap() >= row.test.unwrap().p_value);
}

#[test]
fn a_cell_that_did_not_pass_is_marked_and_never_better() {
    let plan = plan(&[("workload.arrivals", &["uniform", "poisson"])], &[], &[]);
    let report = matrix(&plan, |cell, round| match (cell, round) {
        (1, 2) => {
            let mut limited = run(0.1);
            (limited.verdict, limited.exit_code) = (Verdict::Inconclusive, 5);
            limited.reasons = vec!["the generator was the limit".to_owned()];
            limited
        }
        (1, _) => run(0.1),
        _ => run(9.0 + 0.1 * round as f64),
    });
    assert_eq!((report.verdict, report.exit_code), (Verdict::Inconclusive, 5));
    assert_eq!(
        report.reasons,
        ["1 of 3 run(s) of #2 poisson: INCONCLUSIVE: the generator was the limit"]
    );
    assert!(
        report.comparisons[0]
            .conclusion
            .starts_with("NO RESULT: #2 poisson did not pass (INCONCLUSIVE)")
    );
    let rows = tables::figure_table(&report, P99, false).rows;
    assert_eq!(
        (rows[0].last().unwrap().as_str(), rows[1].last().unwrap().as_str()),
        ("baseline", "NO RESULT")
    );
    assert!(!terminal::render(&report, false).contains("better"));
}

#[test]
fn a_cell_that_is_compared_with_nothing_is_no_floor() {
    let plan = plan(&[], &[("broker.kind", "kafka"), ("matrix.repetitions", "2")], &[]);
    let report = matrix(&plan, |cell, round| run([6.0, 2.0][cell] + 0.01 * round as f64));
    let said: Vec<_> =
        tables::figure_table(&report, P99, false).rows.iter().map(|row| row[5].clone()).collect();
    assert_eq!(said, ["not compared", "floor"]);
    assert_eq!(
        report.cells[0].figure(Figure::Produced).unwrap().relative_to_floor,
        None,
        "a rate has no floor"
    );
    // A floor that is no result is none.
    let report = matrix(&plan, |cell, _| {
        let mut report = run(1.0);
        if cell == 1 {
            (report.verdict, report.exit_code) = (Verdict::Inconclusive, 5);
        }
        report
    });
    assert_eq!(report.cells[0].figure(P99).unwrap().relative_to_floor, None);
}

#[test]
fn settings_of_another_broker_make_no_cells() {
    let lists: [(&str, &[&str]); 2] =
        [("broker.kind", &["redpanda", "fluvio"]), ("broker.fluvio.compression", &["none", "lz4"])];
    let names: Vec<_> = plan(&lists, &[("matrix.floor", "false")], &[])
        .cells
        .into_iter()
        .map(|cell| cell.name)
        .collect();
    assert_eq!(names, ["redpanda", "fluvio, compression none", "fluvio, compression lz4"]);
    let lists: [(&str, &[&str]); 2] =
        [("broker.kind", &["redpanda", "fluvio"]), ("broker.kafka.events_linger", &["1ms", "5ms"])];
    let names: Vec<_> = plan(&lists, &[("matrix.floor", "false")], &[])
        .cells
        .into_iter()
        .map(|cell| cell.name)
        .collect();
    assert_eq!(names, ["redpanda, events linger 1ms", "redpanda, events linger 5ms", "fluvio"]);
}

#[test]
fn latencies_that_end_elsewhere_are_in_no_relation_to_the_floor() {
    let plan = plan(&[("workload.rate", &["1k/s", "2k/s"])], &[("broker.kind", "fluvio")], &[]);
    let report = matrix(&plan, |cell, round| {
        let mut report = run(2.0 + cell as f64 + 0.1 * round as f64);
        report.broker.log_append_time = cell >= 2;
        report
    });
    let related = |kind: LatencyKind| {
        report.cells[0].figure(Figure::P99(kind)).unwrap().relative_to_floor.is_some()
    };
    assert!(!related(LatencyKind::ResultLatency) && related(LatencyKind::EndToEnd));
}

#[test]
fn processor_time_differs_by_more_than_its_step_or_not_at_all() {
    let plan = plan(&[("workload.rate", &["1k/s", "2k/s"])], &[], &[]);
    let finding = |resolution_s: Option<f64>, more_us: f64| {
        let report = matrix(&plan, |cell, round| {
            let mut report = run(2.0 + 0.1 * round as f64);
            report.resources.cpu_resolution_s = resolution_s;
            report.resources.cpu_us_per_event = Some(5.0 + more_us * cell as f64);
            report
        });
        let rows = &report.comparisons[0].metrics;
        rows.iter().find(|row| row.metric == Figure::Cpu.name()).unwrap().finding
    };
    // 20 ms over 2,400,000 events are 0.0083 us.
    assert_eq!(finding(None, 0.008), MetricVerdict::NoDifference);
    assert_eq!(finding(None, 0.08), MetricVerdict::Worse);
    assert_eq!(finding(Some(1e-9), 0.008), MetricVerdict::Worse);
}

#[test]
fn cells_name_the_settings_in_which_they_differ() {
    let lists: [(&str, &[&str]); 2] =
        [("workload.rate", &["1k/s", "2k/s"]), ("broker.kafka.events_linger", &["1ms", "5ms"])];
    let plan = plan(&lists, &[("broker.kind", "kafka"), ("matrix.floor", "false")], &[]);
    let report = matrix(&plan, |_, round| run(2.0 + 0.1 * round as f64));
    let across: Vec<Vec<&str>> = report
        .comparisons
        .iter()
        .map(|pair| pair.across.iter().map(|each| each.key.as_str()).collect())
        .collect();
    let (linger, rate) = ("broker.kafka.events_linger", "workload.rate");
    assert_eq!(across, [vec![rate], vec![linger], vec![linger, rate]]);
    assert!(report.next.ends_with(" --across workload.rate"), "{}", report.next);
}

#[test]
fn latencies_that_end_elsewhere_are_not_compared() {
    let plan = plan(&[("broker.kind", &["kafka", "fluvio"])], &[("matrix.floor", "false")], &[]);
    let report = matrix(&plan, |cell, round| {
        let mut report = run(2.0 + cell as f64 + 0.1 * round as f64);
        report.broker.kind = ["kafka", "fluvio"][cell].to_owned();
        report.broker.log_append_time = cell == 0;
        report
    });
    let tested = |kind: LatencyKind| {
        let row = report.comparisons[0]
            .metrics
            .iter()
            .find(|row| row.metric == Figure::P99(kind).name())
            .unwrap();
        row.test.is_some()
    };
    assert!(!tested(LatencyKind::ResultLatency) && tested(LatencyKind::EndToEnd));
    assert!(tables::notes(&report).iter().any(|note| note.contains("result_latency.p99_ms")
        && note.contains(": one ends at the insertion")));
}

#[test]
fn what_a_broker_cannot_do_is_said_once() {
    let plan = plan(&[("workload.rate", &["1k/s", "2k/s"])], &[("broker.kind", "kafka")], &[]);
    let report = matrix(&plan, |cell, _| {
        let mut report = run(1.0);
        if cell < 2 {
            report.notes.push("kafka: no deletion".to_owned());
        }
        report
    });
    assert_eq!(
        tables::notes(&report).iter().filter(|note| *note == "#1, #2: kafka: no deletion").count(),
        1
    );
    let text = terminal::render(&report, false);
    assert!(text.contains("#1, #2: kafka: no deletion\n"), "{text}");
}

#[test]
fn the_gravest_exit_code_comes_first() {
    let plan = plan(
        &[("workload.arrivals", &["uniform", "poisson", "mmpp"])],
        &[("matrix.repetitions", "1")],
        &[],
    );
    let code = |codes: [u8; 3]| {
        matrix(&plan, |cell, _| {
            let mut report = run(1.0);
            report.exit_code = codes[cell];
            report.verdict = if codes[cell] == 0 { Verdict::Pass } else { Verdict::Fail };
            report
        })
        .exit_code
    };
    let found = [[0, 0, 0], [0, 99, 0], [99, 5, 0], [5, 4, 99], [4, 99, 1]].map(code);
    assert_eq!(found, [0, 99, 5, 4, 1]);
}

#[test]
fn a_baseline_is_the_counterpart_with_its_value() {
    let lists: [(&str, &[&str]); 2] =
        [("topics.partitions", &["1", "2"]), ("workload.rate", &["1k/s", "2k/s"])];
    let baselines = |baseline: &[(&str, &str)]| -> Vec<Option<usize>> {
        plan(&lists, &[], baseline).cells.iter().map(|cell| cell.baseline).collect()
    };
    assert_eq!(baselines(&[]), [None, Some(0), Some(0), Some(0)]);
    assert_eq!(baselines(&[("topics.partitions", "2")]), [Some(2), Some(3), None, None]);
    assert_eq!(
        baselines(&[("workload.rate", "2k/s"), ("topics.partitions", "1")]),
        [Some(1), None, Some(1), Some(1)]
    );
}

#[test]
fn a_matrix_in_which_nothing_was_measured_has_every_form() {
    let plan = plan(&[("workload.rate", &["1k/s", "2k/s"])], &[("broker.kind", "kafka")], &[]);
    let report = matrix(&plan, |_, _| report(&failed(), Mode::Run));
    assert_eq!((report.verdict, report.exit_code), (Verdict::Fail, 1));
    let document: Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(document["cells"][0]["figures"]["end_to_end.p99_ms"]["value"], json!(null));
    for (format, _) in MatrixFormat::ALL {
        assert!(!report.render(format).unwrap().is_empty());
    }
    assert!(terminal::render(&report, false).lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn names_and_reasons_become_no_markup_and_no_wider_than_a_terminal() {
    let plan = plan(
        &[("workload.name", &[HOSTILE, "a name far longer than any column of a table is wide"])],
        &[],
        &[],
    );
    let report = matrix(&plan, |cell, _| {
        let mut report = run(1.0);
        if cell == 0 {
            (report.verdict, report.exit_code, report.reasons) =
                (Verdict::Fail, 99, vec![HOSTILE.to_owned()]);
        }
        report
    });
    let html = report.render(MatrixFormat::Html).unwrap();
    assert!(
        !html.contains("<script") && !html.contains("<img") && !html.contains("<!-- "),
        "markup got through"
    );
    assert!(html.contains("&lt;img"), "it is shown as text");
    for outside in ["http://", "https://", "src=\"", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let markdown = report.render(MatrixFormat::Markdown).unwrap();
    assert!(!markdown.split("```").step_by(2).any(|prose| prose.contains("<img")), "{markdown}");
    let text = terminal::render(&report, false);
    let rerun = text.find("rerun: ").unwrap();
    assert!(text[..rerun].lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_name_that_is_too_long_for_a_column_keeps_its_last_value_and_stands_above_in_whole() {
    let of = |key, choices| -> MatrixReport {
        let lists: [(&str, &[&str]); 3] = [
            ("workload.rate", &["1k/s", "2k/s"]),
            ("workload.campaigns", &["10", "20"]),
            (key, choices),
        ];
        matrix(&plan(&lists, &[("matrix.repetitions", "1")], &[]), |_, _| run(1.0))
    };
    let title = |report: &MatrixReport| tables::overview(report, false, false).rows[7][0].clone();
    let report = of("workload.seed", &["6", "7"]);
    assert_eq!(title(&report), "#8 2k/s, …, seed 7");
    assert!(terminal::render(&report, false).contains("\n#8 2k/s, campaigns 20, seed 7\n"));
    assert_eq!(title(&of("workload.progress_interval", &["1s", "2s"])), "#8 …ogress interval 2s");
}
