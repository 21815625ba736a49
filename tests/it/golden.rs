//! What goes out is the same to the byte: every form of a fixed set of reports, of a matrix and of
//! a comparison; lists, status and events over HTTP; metrics.
//!
//! The files are in `tests/it/golden`. `STREAMGAUGE_WRITE=1` writes them anew: a difference belongs
//! into CHANGELOG.md.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use streamgauge::config::{Assignment, Layers, ResolvedSettings};
use streamgauge::daemon::Daemon;
use streamgauge::history::{FinishedRun, History, NewRun};
use streamgauge::live::{Bookmark, Live, News};
use streamgauge::matrix;
use streamgauge::matrix::cells::Dimension;
use streamgauge::matrix::figures::MatrixRun;
use streamgauge::matrix::plan::Plan;
use streamgauge::matrix::report::{MatrixContext, MatrixReport};
use streamgauge::matrix::request::Request;
use streamgauge::metrics::Metrics;
use streamgauge::report::compare::{Allowance, compare, words};
use streamgauge::report::{Format, Report, Versions, terminal};
use streamgauge_actors::testing::SimClock;
use streamgauge_actors::{
    FailureKind, LatencyKind, Mode, RunFact, RunOutcome, RunState, SECOND, StageId, StageMeasured,
};
use tempfile::TempDir;

use crate::support::cases::{Case, cases, run};
use crate::support::daemon::{Lab, agent, setup};
use crate::support::outcomes::{BASE, context, report, spec};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name)
}

/// Compares texts with their files, all of them before it fails.
#[derive(Default)]
struct Golden(Mutex<Vec<String>>);

impl Golden {
    fn check(&self, name: &str, text: &str) {
        let path = golden(name);
        // A release changes no file.
        let text = text.replace(env!("CARGO_PKG_VERSION"), "x.y.z");
        if std::env::var_os("STREAMGAUGE_WRITE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
            return;
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        if stored == text {
            return;
        }
        let at = stored.lines().zip(text.lines()).take_while(|(a, b)| a == b).count();
        let line = |text: &str| text.lines().nth(at).unwrap_or("(its end)").to_owned();
        self.0.lock().unwrap().push(format!(
            "{name}, line {}:\n  was {}\n  is  {}",
            at + 1,
            line(&stored),
            line(&text)
        ));
    }

    #[track_caller]
    fn end(self) {
        let differences = self.0.into_inner().unwrap();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

/// A page without what is the same in every page: its styles and scripts, but for its data.
fn own_part(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    loop {
        let tags = ["<style", "<script"].map(|tag| rest.find(tag));
        let Some(start) = tags.into_iter().flatten().min() else { break };
        let open = start + rest[start..].find('>').unwrap() + 1;
        let end = if rest[start..].starts_with("<style") { "</style>" } else { "</script>" };
        let close = open + rest[open..].find(end).unwrap();
        text.push_str(&rest[..open]);
        if rest[start..open].contains("json") {
            text.push_str(&rest[open..close]);
        } else {
            text.push_str("...");
        }
        rest = &rest[close..];
    }
    text + rest
}

#[test]
fn reports_in_every_form() {
    let found = Golden::default();
    for Case { name, report } in cases() {
        for (format, extension) in Format::ALL {
            let text = format.render(&report).unwrap();
            let text = if format == Format::Html { own_part(&text) } else { text };
            found.check(&format!("report/{name}.{extension}"), &text);
        }
        found.check(&format!("report/{name}.txt"), &terminal::render(&report, false));
    }
    let passed = cases().swap_remove(0).report;
    found.check("report/pass.colour.txt", &terminal::render(&passed, true));
    found.check("report/pass.ndjson", &passed.to_ndjson().unwrap());
    found.end();
}

/// A run of a matrix whose latencies are all this long.
fn matrix_run(ms: f64, place: usize) -> Report {
    let mut report = report(&run(2, ms), Mode::Run);
    report.run_id = format!("r-{place}");
    report
}

fn matrix_report(is_clean: bool) -> MatrixReport {
    let flag = |key: &str, value: &str| Assignment {
        origin: "flag".to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let plan = Plan::new(Request {
        layers: Layers { flags: vec![flag("broker.kind", "kafka")], ..Layers::default() },
        varied: vec![Dimension {
            key: "workload.rate".to_owned(),
            origin: "flag".to_owned(),
            choices: vec!["1k/s".to_owned(), "2k/s".to_owned()],
        }],
        with: Vec::new(),
        baseline: Vec::new(),
    })
    .unwrap();
    let rounds = plan.order.iter().enumerate();
    let order = rounds.flat_map(|(round, cells)| cells.iter().map(move |&cell| (round, cell)));
    let runs: Vec<MatrixRun> = order
        .enumerate()
        .map(|(place, (round, cell))| {
            let mut report = matrix_run([6.0, 8.0, 2.0, 3.0][cell] + 0.1 * round as f64, place);
            "kafka".clone_into(&mut report.broker.kind);
            if cell == 1 {
                report.notes.push("kafka: no deletion".to_owned());
            }
            let lost = !is_clean && cell == 1 && round == 1;
            let result =
                if lost { Err("the broker is gone".to_owned()) } else { Ok((report, None)) };
            MatrixRun { cell, round, place, result }
        })
        .collect();
    let context = MatrixContext {
        started_at: "2026-11-24T12:00:00.000Z".to_owned(),
        finished_at: "2026-11-24T12:10:00.000Z".to_owned(),
        aborted: !is_clean,
        versions: Versions::new(Some("2.12.1".to_owned()), None),
        host: context().host,
    };
    let mut report = MatrixReport::new(&plan, &runs, &context).unwrap();
    // A setting more is no change of the report.
    report.config = json!({"workload": {"name": "classic"}});
    report
}

#[test]
fn a_matrix_in_every_form() {
    let found = Golden::default();
    for (name, is_clean) in [("clean", true), ("broken", false)] {
        let report = matrix_report(is_clean);
        for (format, extension) in matrix::format::MatrixFormat::ALL {
            let text = report.render(format).unwrap();
            let text = if extension == "html" { own_part(&text) } else { text };
            found.check(&format!("matrix/{name}.{extension}"), &text);
        }
        let text = matrix::terminal::render(&report, false);
        found.check(&format!("matrix/{name}.txt"), &text);
        found.check(&format!("matrix/{name}.ndjson"), &report.to_ndjson().unwrap());
    }
    found.end();
}

/// Two reports of runs of 12 s: by second they differ as the runs' latencies do.
fn pair() -> [Report; 2] {
    let second = |i: usize| 0.1 * (i % 4) as f64;
    [2.0, 3.0].map(|ms| {
        let mut outcome = run(12, ms);
        for (i, row) in outcome.series.iter_mut().enumerate() {
            let samples = run(1, ms + second(i)).series.remove(0);
            (row.produced, row.consumed) = (40_000 - i as u64 % 3, 40_000 - i as u64 % 5);
            row.acknowledged = row.produced;
            crate::support::cases::take_latencies(row, &samples);
        }
        outcome.spec.run_id = format!("r-{ms}");
        report(&outcome, Mode::Run)
    })
}

#[test]
fn a_comparison_in_every_form() {
    let found = Golden::default();
    let [base, mut candidate] = pair();
    let check = |name: &str, base: &Report, candidate: &Report| {
        let comparison = compare(base, candidate, &Allowance::forced()).unwrap();
        let json = serde_json::to_string_pretty(&comparison).unwrap();
        found.check(&format!("compare/{name}.json"), &json);
        found.check(&format!("compare/{name}.txt"), &words::terminal(&comparison));
        found.check(&format!("compare/{name}.md"), &words::markdown(&comparison));
        let regressions = comparison.regressions(0.05);
        let json = serde_json::to_string_pretty(&regressions).unwrap();
        found.check(&format!("compare/{name}.regressions.json"), &json);
    };
    check("slower", &base, &candidate);
    check("same", &base, &base);
    let wrong = cases().into_iter().find(|case| case.name == "failed_audit").unwrap().report;
    check("wrong", &base, &wrong);
    candidate.config["workload"]["rate"] = json!(1);
    let refused = compare(&base, &candidate, &Allowance::none()).unwrap_err();
    found.check("compare/unlike.txt", &refused.to_string());
    found.end();
}

/// A history of all cases and of a run that never ended, a second after each
/// other: so late that none is forgotten.
fn history(folder: &Path) -> Vec<String> {
    let history = History::open(folder).unwrap();
    let mut ids = Vec::new();
    for (i, Case { name, mut report }) in cases().into_iter().enumerate() {
        report.run_id = format!("r-{name}");
        report.started_at = format!("2099-11-24T12:00:{i:02}.000Z");
        history.finish(&FinishedRun::of(&report).unwrap()).unwrap();
        ids.push(report.run_id);
    }
    let run = NewRun {
        run_id: "r-never-ended".to_owned(),
        workload: "classic".to_owned(),
        broker: "kafka".to_owned(),
        started_at_ms: 4_000_000_000_000,
    };
    history.begin(&run).unwrap();
    history.recover().unwrap();
    ids.push(run.run_id);
    ids
}

#[test]
fn the_history_as_the_command_line_lists_it() {
    let found = Golden::default();
    let folder = TempDir::new().unwrap();
    history(folder.path());
    for form in ["table", "json", "ndjson"] {
        let output = Command::new(env!("CARGO_BIN_EXE_streamgauge"))
            .env_clear()
            .current_dir(folder.path())
            .args(["history", "-o", form, "--state-dir"])
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        found.check(&format!("history/list.{form}"), &String::from_utf8(output.stdout).unwrap());
    }
    found.check("history/columns.txt", &columns(folder.path()));
    found.end();
}

/// Every column of every run, and the view of the seconds of one of them.
fn columns(folder: &Path) -> String {
    let database = rusqlite::Connection::open(folder.join(streamgauge::history::FILE)).unwrap();
    let mut text = String::new();
    let queries = [
        "SELECT * FROM runs ORDER BY run_id",
        "SELECT * FROM seconds WHERE run_id = 'r-pass' ORDER BY second",
    ];
    for query in queries {
        let mut statement = database.prepare(query).unwrap();
        let names = statement.column_names();
        let names: Vec<String> = names.map(str::to_owned).collect();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for name in &names {
                let value: rusqlite::types::Value = row.get(name.as_str()).unwrap();
                writeln!(text, "{name} = {value:?}").unwrap();
            }
            text.push('\n');
        }
    }
    text
}

#[test]
fn runs_over_http() {
    let found = Golden::default();
    let folder = TempDir::new().unwrap();
    let ids = history(folder.path());
    let daemon =
        Daemon::start(setup(&folder, &[], Arc::new(ResolvedSettings::open_broker))).unwrap();
    let lab = Lab { daemon: Some(daemon), folder, agent: agent(), token: None };
    let pretty = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        // The order of the keys as it is on the wire is what the raw answers below show.
        serde_json::to_string_pretty(&value).unwrap()
    };
    found.check("http/runs.json", &lab.get("/api/v1/runs?limit=100").text);
    let mut status = lab.get("/api/v1/status").json();
    status.as_object_mut().unwrap().remove("daemon").unwrap();
    found.check("http/status.json", &pretty(&status.to_string()));
    let shown = ["r-pass", "r-failed_audit", "r-stepped", "r-foreign", "r-never-ended"];
    for id in ids.iter().map(String::as_str).filter(|id| shown.contains(id)) {
        let get = |rest: &str| lab.get(&format!("/api/v1/runs/{id}{rest}")).text;
        found.check(&format!("http/{id}.json"), &get(""));
        found.check(&format!("http/{id}.events.txt"), &get("/events"));
        found.check(&format!("http/{id}.timeseries.json"), &get("/timeseries"));
    }
    found.check("http/histogram.json", &lab.get("/api/v1/runs/r-pass/histogram").text);
    let compared = "/api/v1/compare?base=r-pass&candidate=r-failed_audit&force=true";
    found.check("http/compare.json", &pretty(&lab.get(compared).text));
    found.end();
}

/// What a stage reports: a second, a window, and samples.
fn measured(outcome: &RunOutcome, stage: StageId, clock_stepped: bool) -> RunFact {
    let latencies = LatencyKind::ALL
        .into_iter()
        .filter_map(|kind| Some((kind, outcome.latencies.get(&kind)?.clone())))
        .collect();
    RunFact::Measured(Arc::new(StageMeasured {
        stage,
        at_ns: BASE + 3 * SECOND,
        clock_stepped,
        totals: outcome.counters.clone(),
        watermarks: outcome.counters.watermarks.clone(),
        latencies,
        seconds: outcome.series.clone(),
        windows: outcome.measures.as_ref().unwrap().windows.clone(),
        mailbox: 3,
        supervisor_mailbox: 1,
    }))
}

fn facts(clock_stepped: bool) -> Vec<RunFact> {
    let spec = Arc::new(spec());
    let outcome = run(3, 12.3);
    vec![
        RunFact::Queued(Arc::clone(&spec)),
        RunFact::Accepted { spec: Arc::clone(&spec), started_at_ns: BASE - SECOND },
        RunFact::StateChanged(RunState::Preparing),
        RunFact::Began { spec, base_ns: BASE, lead_ns: SECOND },
        RunFact::StateChanged(RunState::Running),
        measured(&outcome, StageId::WindowAggregator(0), clock_stepped),
        RunFact::RateChanged(20_000.0),
        RunFact::StateChanged(RunState::Draining),
    ]
}

#[test]
fn a_run_under_way() {
    let found = Golden::default();
    for (name, clock_stepped) in [("steady", false), ("stepped", true)] {
        let live = Live::new(Arc::new(SimClock::at(BASE)));
        let mut text = String::new();
        for fact in facts(clock_stepped) {
            live.hear("embedded", &fact);
            let run = live.present().or_else(|| live.run("r-7f3a")).unwrap();
            text += &serde_json::to_string_pretty(&run.view()).unwrap();
            text.push('\n');
        }
        let News { view, seconds, windows, seen, is_over } =
            live.present().unwrap().news(Bookmark::default());
        let news = json!({
            "view": view, "seconds": seconds, "windows": windows,
            "seen": [seen.seconds, seen.windows], "is_over": is_over,
        });
        text += &serde_json::to_string_pretty(&news).unwrap();
        found.check(&format!("live/{name}.txt"), &text);
    }
    found.end();
}

/// All families but those of the process and the build.
fn exposition(metrics: &Metrics) -> String {
    let own =
        |line: &&str| !["process_", "streamgauge_build_info"].iter().any(|n| line.contains(n));
    let text = metrics.render().unwrap();
    text.lines().filter(own).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn metrics() {
    let found = Golden::default();
    let workloads = ["classic".to_owned(), "smoke".to_owned()];
    let thresholds = ["audit.events_lost == 0".to_owned()];
    let metrics =
        Metrics::new("embedded", &workloads, &thresholds, Arc::new(SimClock::at(BASE + SECOND)));
    found.check("metrics/before.txt", &exposition(&metrics));
    for fact in facts(false) {
        metrics.hear("embedded", true, &fact);
    }
    found.check("metrics/running.txt", &exposition(&metrics));
    let outcome = run(3, 12.3);
    metrics.hear("embedded", true, &RunFact::Finished(Arc::new(outcome.clone())));
    metrics.reported("embedded", &report(&outcome, Mode::Run));
    found.check("metrics/finished.txt", &exposition(&metrics));
    for fact in facts(true) {
        metrics.hear("embedded", true, &fact);
    }
    metrics.probed("embedded", "classic", Some(FailureKind::Connection));
    for case in cases() {
        metrics.reported("kafka", &case.report);
    }
    found.check("metrics/many.txt", &exposition(&metrics));
    found.end();
}
