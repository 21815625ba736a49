//! `streamgauge matrix`: lists of settings, every combination several times in changing order, one
//! report.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs of a fraction of a second, whose verdicts do not depend on how busy the machine is.
const SHORT: [&str; 10] = [
    "--duration",
    "200ms",
    "--window",
    "100ms",
    "--set",
    "workload.send_delay_limit=1m",
    "--set",
    "workload.least_judged=0s",
    "--set",
    "supervisor.heartbeat_timeout=60s",
];

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program in this folder, with nothing of this machine's environment.
    fn streamgauge(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
        command
            .env_clear()
            .env("XDG_STATE_HOME", self.path())
            .current_dir(self.path())
            .args(arguments);
        command
    }

    fn matrix(&self, arguments: &[&str]) -> Output {
        self.streamgauge(&[&["matrix", "smoke"], arguments].concat()).output().unwrap()
    }

    /// The same with short runs.
    fn short(&self, arguments: &[&str]) -> Output {
        self.matrix(&[&SHORT, arguments].concat())
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
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

/// The JSON document, found to keep to its schema.
#[track_caller]
fn document(text: &str) -> Value {
    let document: Value = serde_json::from_str(text).unwrap();
    let schema: Value = serde_json::from_str(streamgauge::matrix::report::SCHEMA).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    document
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

#[test]
fn every_combination_runs_once_a_round_and_every_run_is_kept() {
    let place = Place::new();
    let lists = ["--rate", "500,1k/s", "--set", "topics.partitions=[1, 2]", "--repetitions", "2"];
    let reports =
        ["--report", "m.html", "--report", "m.md", "--report", "m.csv", "--report", "m.json"];
    let output =
        place.short(&[&lists[..], &reports, &["--runs-to", "runs", "-o", "ndjson"]].concat());
    assert_code(&output, 0);
    let text = stdout(&output);
    assert_eq!(text.find('\n'), Some(text.len() - 1));
    let report = document(&text);
    assert_eq!(report, document(&place.read("m.json")));

    let keys: Vec<_> =
        array(&report["varied"]).iter().map(|varied| varied["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["topics.partitions", "workload.rate"]);
    let names: Vec<_> =
        array(&report["cells"]).iter().map(|cell| cell["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["partitions 1, 500/s", "partitions 1, 1k/s", "partitions 2, 500/s", "partitions 2, 1k/s"],
        "no floor is added where all is on the embedded log"
    );

    // The runs are those of the order that was drawn, which differs from round to round.
    let order = array(&report["order"]);
    assert_eq!(order.len(), 2);
    assert_ne!(order[0], order[1]);
    let played: Vec<Value> = array(&report["runs"]).iter().map(|run| run["cell"].clone()).collect();
    assert_eq!(played, order.iter().flat_map(array).cloned().collect::<Vec<_>>());
    for cell in array(&report["cells"]) {
        assert_eq!((&cell["verdict"], &cell["valid"]), (&json!("pass"), &json!(true)), "{cell}");
        assert_eq!(cell["verdicts"], json!({"pass": 2}));
        let produced = &cell["figures"]["throughput.produced_per_second"];
        assert_eq!(produced["runs"], 2);
        assert!(produced["least"].as_f64() <= produced["value"].as_f64(), "{produced}");
    }

    assert_every_run_is_kept(&place, &report);
    assert_every_form_is_whole(&place);

    let said = stderr(&output);
    assert!(said.contains("matrix: 4 cell(s), 8 run(s), about "), "{said}");
    let first = said
        .lines()
        .find(|line| line.starts_with("run 1/8, round 1, #"))
        .unwrap_or_else(|| panic!("{said}"));
    let id = report["runs"][0]["run_id"].as_str().unwrap();
    assert!(
        first.contains(": PASS: every count of all ") && first.ends_with(&format!("({id})")),
        "{first}"
    );
}

/// History, `report` and `compare` know every run, and so does the folder.
fn assert_every_run_is_kept(place: &Place, report: &Value) {
    let ids: Vec<&str> =
        array(&report["runs"]).iter().map(|run| run["run_id"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 8);
    let listed = stdout(&place.streamgauge(&["history"]).output().unwrap());
    assert!(ids.iter().all(|id| listed.contains(id)), "{listed}");
    let one: Value = serde_json::from_slice(
        &place.streamgauge(&["report", ids[0], "-o", "json"]).output().unwrap().stdout,
    )
    .unwrap();
    let cell = &report["cells"][report["runs"][0]["cell"].as_u64().unwrap() as usize - 1];
    assert_eq!(one["config"]["workload"]["rate"], cell["settings"]["workload.rate"]);
    assert!(
        one["rerun"].as_str().unwrap().starts_with("streamgauge run smoke "),
        "{}",
        one["rerun"]
    );
    assert!(!one["rerun"].as_str().unwrap().contains("matrix"), "{}", one["rerun"]);
    let file = report["runs"][0]["file"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&place.read(file)).unwrap(), one);
    assert_code(&place.streamgauge(&["compare", ids[0], ids[1], "--force"]).output().unwrap(), 0);
}

/// The other forms of a matrix of two by two cells, in two rounds.
fn assert_every_form_is_whole(place: &Place) {
    let csv = place.read("m.csv");
    assert_eq!(csv.lines().count(), 9);
    assert!(
        csv.starts_with("place,round,cell,is_floor,topics.partitions,workload.rate,run_id,"),
        "{csv}"
    );
    let markdown = place.read("m.md");
    assert!(markdown.starts_with("# PASS: all 8 run(s) of 4 cell(s) passed\n"), "{markdown}");
    assert!(markdown.contains("| #4 partitions 2, 1k/s | PASS | 2/2 |"), "{markdown}");
    let html = place.read("m.html");
    assert!(
        html.starts_with("<!DOCTYPE html>") && html.contains("result_latency p99, ms"),
        "{html}"
    );
}

#[test]
fn a_file_keeps_a_matrix_and_flags_lie_over_it() {
    let place = Place::new();
    let file = r#"
        [workload]
        rate = "500/s"
        duration = "200ms"
        warmup = "0s"
        window = "100ms"
        send_delay_limit = "1m"
        least_judged = "0s"
        [matrix]
        repetitions = 1
        seed = 7
        [matrix.vary]
        "workload.arrivals" = ["uniform", "poisson"]
        workload.campaigns = [3, 5]
        [matrix.with]
        "workload.arrivals=poisson" = { "workload.rate" = "700/s" }
    "#;
    fs::write(place.path().join("mine.toml"), file).unwrap();
    let run = |arguments: &[&str]| {
        place
            .streamgauge(&[&["matrix", "mine.toml", "-q", "-o", "json"], arguments].concat())
            .output()
            .unwrap()
    };
    let output =
        run(&["--campaigns", "4", "--with", "workload.arrivals=uniform", "workload.seed=9"]);
    assert_code(&output, 0);
    assert_eq!(stderr(&output), "");
    let report = document(&stdout(&output));
    assert_eq!((&report["workload"], &report["order_seed"]), (&json!("mine"), &json!(7)));
    assert_eq!(
        report["varied"],
        json!([{"key": "workload.arrivals", "values": ["uniform", "poisson"]}])
    );
    let rates: Vec<_> =
        array(&report["cells"]).iter().map(|cell| cell["target_per_second"].as_f64()).collect();
    assert_eq!(rates, [Some(500.0), Some(700.0)]);
    let rerun = report["rerun"].as_str().unwrap();
    for part in [
        "--set 'workload.arrivals=[\"uniform\", \"poisson\"]'",
        "--with workload.arrivals=poisson workload.rate=700/s",
        "--with workload.arrivals=uniform workload.seed=9",
        "--set workload.campaigns=4",
        "--repetitions 1 --set matrix.seed=7",
    ] {
        assert!(rerun.contains(part), "{part} is not in {rerun}");
    }
    let again = rerun.replacen("streamgauge", env!("CARGO_BIN_EXE_streamgauge"), 1) + " -q -o json";
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &again]).env("XDG_STATE_HOME", place.path()).current_dir("/");
    let again = document(&stdout(&shell.output().unwrap()));
    for same in ["varied", "order", "config"] {
        assert_eq!(again[same], report[same], "{same} of {rerun}");
    }
    let settings = |report: &Value| {
        array(&report["cells"]).iter().map(|cell| cell["settings"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(settings(&again), settings(&report));
    // With one run of each nothing is claimed.
    let comparison = &report["comparisons"][0];
    assert_eq!((&comparison["cell"], &comparison["baseline"]), (&json!(2), &json!(1)));
    assert!(array(&comparison["metrics"]).iter().all(|row| row["test"].is_null()), "{comparison}");
    assert_eq!(comparison["conclusion"], "nothing could be tested");
    // The same file is a workload for everybody else, too.
    assert_code(&place.streamgauge(&["config", "check", "mine.toml"]).output().unwrap(), 0);
    let shown = stdout(&place.streamgauge(&["config", "show", "mine.toml"]).output().unwrap());
    assert!(shown.contains("\"workload.campaigns\" = [\"3\", \"5\"] # mine.toml"), "{shown}");
}

#[test]
fn bad_flags_are_exit_code_78_and_named_all_at_once() {
    let place = Place::new();
    for (arguments, named) in [
        (
            &["--rate", "0,1k/s", "--partitions", "2,0", "--baseline", "workload.rate=9"][..],
            &[
                "flag --rate: `workload.rate` must be above 0",
                "flag --partitions: `topics.partitions` must be at least 1",
            ][..],
        ),
        (
            &["--rate", "1k/s,quick"],
            &["flag --rate: `workload.rate` cannot be read: `quick` is no rate"],
        ),
        (&["--rate", "1k/s,"], &["flag --rate: `workload.rate` cannot be read: `` is no rate"]),
        (
            &["--rate", "1k/s,1000"],
            &["two cells of the same settings (`embedded, 1k/s` and `embedded, 1000`)"],
        ),
        (&["--set", "log.format=human,json"], &["`log.format` makes no run another one"]),
        (
            &["--set", "matrix.vary.workload.ratee=1,2"],
            &["`workload.ratee` is an unknown key; did you mean `workload.rate`?"],
        ),
        (&["--repetitions", "0"], &["flag --repetitions: `matrix.repetitions` must be 1 to 1000"]),
        (
            &["--rate", "1k/s,2k/s", "--baseline", "workload.rate=3k/s"],
            &["flag --baseline: `workload.rate` is `3k/s` in no cell", "1k/s, 2k/s"],
        ),
        (
            &["--rate", "1k/s,2k/s", "--baseline", "workload.seed=3"],
            &["`workload.seed` is not varied: that is workload.rate"],
        ),
        (
            &["--with", "broker.kind=redpanda", "topics.partitions=3"],
            &["`broker.kind` is `redpanda` in no cell"],
        ),
        (
            &["--with", "broker.kindd=kafka", "topics.partitions=3"],
            &["flag --with: `broker.kindd` is an unknown key"],
        ),
        (
            &[
                "--campaigns",
                "1,2,3,4,5,6,7",
                "--seed",
                "1,2,3,4,5,6,7",
                "--producers",
                "1,2,3,4,5,6",
            ],
            &["makes 294 cells, and 256"],
        ),
    ] {
        let output = place.matrix(arguments);
        assert_code(&output, 78);
        let said = stderr(&output);
        assert!(
            output.stdout.is_empty() && named.iter().all(|part| said.contains(part)),
            "{arguments:?}: {said}"
        );
    }
    assert_nothing_ran(&place);
}

#[test]
fn a_bad_table_of_a_matrix_is_exit_code_78() {
    let place = Place::new();
    for (table, named) in [
        (
            "vary = { \"workload.rate\" = \"1k/s\" }",
            "`matrix.vary.workload.rate` must be a list of values",
        ),
        (
            "vary = { \"workload.rat\" = [1] }",
            "`matrix.vary.workload.rat` names no setting; did you mean",
        ),
        (
            "vary = { \"server.listen\" = [1] }",
            "`matrix.vary.server.listen` makes no run another one",
        ),
        ("vary = { \"workload\" = [1] }", "`matrix.vary.workload` is a section"),
        (
            "with = { \"broker.kind\" = { \"workload.rate\" = 1 } }",
            "must be a setting and its value",
        ),
        (
            "with = { \"broker.kind=kafka\" = { \"workload.rat\" = 1 } }",
            "names no setting; did you mean",
        ),
        (
            "repetition = 3",
            "`matrix.repetition` is an unknown key; did you mean `matrix.repetitions`?",
        ),
    ] {
        fs::write(place.path().join("bad.toml"), format!("[matrix]\n{table}\n")).unwrap();
        let output = place.streamgauge(&["matrix", "bad.toml"]).output().unwrap();
        assert_code(&output, 78);
        assert!(
            stderr(&output).contains("bad.toml: `matrix.") && stderr(&output).contains(named),
            "{}",
            stderr(&output)
        );
    }
    assert_nothing_ran(&place);
}

fn assert_nothing_ran(place: &Place) {
    let listed = place.streamgauge(&["history"]).output().unwrap();
    assert!(stderr(&listed).contains("no such runs"), "nothing ran");
}

#[test]
fn what_could_not_be_written_is_refused_before_the_first_run() {
    let place = Place::new();
    for arguments in [
        &["--report", "m.hdr"][..],
        &["--report", "no/folder/m.html"],
        &["--report", "m"],
        &["--baseline", "kafka"],
        &["--with", "broker.kind=kafka"],
        &["-o", "md"],
    ] {
        let output = place.matrix(arguments);
        assert_code(&output, 2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    fs::write(place.path().join("taken"), "").unwrap();
    let output = place.matrix(&["--runs-to", "taken"]);
    assert_code(&output, 2);
    assert!(stderr(&output).contains("`taken`"), "{}", stderr(&output));
}

#[test]
fn every_broker_that_is_not_there_is_named_before_the_first_run() {
    let place = Place::new();
    // Nothing listens on the ports of listeners that are gone.
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [first, second] = listeners.map(|listener| listener.local_addr().unwrap().to_string());
    let servers = format!("broker.kafka.bootstrap_servers=[\"{first}\", \"{second}\"]");
    let output = place.matrix(&[
        "--broker",
        "kafka",
        "--set",
        &servers,
        "--set",
        "broker.kafka.connect_timeout=500ms",
    ]);
    assert_code(&output, 3);
    let said = stderr(&output);
    assert!(said.contains(&first) && said.contains(&second), "{said}");
}

#[test]
fn a_failed_threshold_is_99_and_its_cell_is_never_ranked() {
    let place = Place::new();
    let output = place.short(&[
        "--rate",
        "500,1k/s",
        "--repetitions",
        "2",
        "--threshold",
        "throughput.target_per_second > 700",
        "--report",
        "m.json",
    ]);
    assert_code(&output, 99);
    let text = stdout(&output);
    assert!(text.starts_with("FAIL: 2 of 2 run(s) of #1 500/s: FAIL: threshold failed:"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(
        text.contains("#2 1k/s against #1 500/s: NO RESULT: #1 500/s did not pass (FAIL)"),
        "{text}"
    );
    let report = document(&place.read("m.json"));
    assert_eq!((&report["verdict"], &report["exit_code"]), (&json!("fail"), &json!(99)));
    let valid: Vec<_> = array(&report["cells"]).iter().map(|cell| &cell["valid"]).collect();
    assert_eq!(valid, [&json!(false), &json!(true)]);
    let findings: BTreeSet<_> = array(&report["comparisons"][0]["metrics"])
        .iter()
        .map(|row| row["finding"].as_str().unwrap())
        .collect();
    assert_eq!(findings, ["untested"].into());
}

#[test]
fn a_run_that_fails_does_not_end_the_matrix() {
    let place = Place::new();
    let output = place.short(&[
        "--set",
        "topics.events=[\"missing\", \"\"]",
        "--repetitions",
        "1",
        "-o",
        "json",
    ]);
    assert_code(&output, 1);
    let report = document(&stdout(&output));
    let verdicts: Vec<_> =
        array(&report["cells"]).iter().map(|cell| cell["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["fail", "pass"]);
    assert_eq!(array(&report["runs"]).len(), 2);
    assert!(report["reasons"][0].as_str().unwrap().contains("`missing`"), "{}", report["reasons"]);
    assert!(report["cells"][0]["figures"]["end_to_end.p99_ms"]["value"].is_null());
}

#[test]
fn a_signal_drains_the_present_run_and_the_report_is_of_what_there_is() {
    let place = Place::new();
    let arguments =
        ["matrix", "smoke", "--rate", "500,1k/s", "--duration", "5m", "-v", "-o", "json"];
    let mut child = place
        .streamgauge(&arguments)
        .args(["--set", "workload.send_delay_limit=1m", "--set", "workload.least_judged=0s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("preparing a run") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended before it ran anything");
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    let report = document(&text);
    assert_eq!((&report["verdict"], &report["exit_code"]), (&json!("aborted"), &json!(0)));
    assert_eq!(report["reasons"], json!(["stopped after 1 of 6 run(s)"]));
    assert_eq!(
        (array(&report["runs"]).len(), &report["runs"][0]["verdict"]),
        (1, &json!("aborted"))
    );
    assert!(array(&report["cells"]).iter().all(|cell| cell["valid"] == false));
}
