//! The command line as its users meet it: flags, settings, exit codes, what goes to which stream.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use streamgauge_actors::{EVENT_FIELDS, Serial};
use tempfile::TempDir;

use crate::support::unwritable::unwritable;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["run"],
    &["generate"],
    &["produce"],
    &["aggregate"],
    &["latency"],
    &["compare"],
    &["matrix"],
    &["serve"],
    &["ctl"],
    &["ctl", "status"],
    &["ctl", "start"],
    &["ctl", "stop"],
    &["ctl", "restart"],
    &["ctl", "set-rate"],
    &["ctl", "watch"],
    &["man"],
    &["history"],
    &["report"],
    &["topics"],
    &["topics", "create"],
    &["topics", "clear"],
    &["topics", "describe"],
    &["topics", "list"],
    &["config"],
    &["config", "check"],
    &["config", "show"],
    &["config", "schema"],
    &["doctor"],
    &["completions"],
];

/// The program in a folder of its own, with nothing of this machine's environment.
fn streamgauge(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    command.env_clear().env("XDG_STATE_HOME", folder).current_dir(folder);
    command
}

fn run(arguments: &[&str]) -> Output {
    let folder = TempDir::new().unwrap();
    streamgauge(folder.path()).args(arguments).output().unwrap()
}

fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = TempDir::new().unwrap();
    streamgauge(folder.path()).args(arguments).envs(environment.iter().copied()).output().unwrap()
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

fn shown(arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let output = run_with(&[&["config", "show", "-o", "json"], arguments].concat(), environment);
    assert_code(&output, 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_command_has_a_help_of_80_columns() {
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let output = run(&[command, &[flag][..]].concat());
            assert_code(&output, 0);
            let help = stdout(&output);
            assert!(help.contains("Usage: streamgauge"), "{help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{command:?} {flag}: {line}");
            }
        }
    }
}

#[test]
fn completions_for_every_shell_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_code(&output, 0);
        assert!(stdout(&output).contains("generate") && output.stderr.is_empty(), "{shell}");
    }
}

#[test]
fn usage_errors_are_exit_code_2_and_say_so_on_stderr() {
    for arguments in [
        &[][..],
        &["rum"],
        &["run", "--rte", "1"],
        &["run", "--rate"],
        &["run", "--set", "workload.rate"],
        &["run", "--report", "report.pdf"],
        &["run", "--report", "no/such/folder/report.json"],
        &["run", "-o", "xml"],
        &["generate", "--count", "-1"],
        &["generate", "--count-only", "--campaigns-only"],
        &["generate", "--count", "1", "-o", "table"],
        &["aggregate", "--events-topic", "x"],
        &["aggregate", "--bootstrap-servers", "127.0.0.1:1"],
        &["aggregate", "--until-idle", "5"],
        &["aggregate", "--campaigns", "0"],
        &["latency", "--results-topic", "x"],
        &["topics", "list"],
        &["topics", "clear", "--yes"],
        &["history", "--limit", "0"],
        &["history", "--status", "lost"],
        &["report"],
        &["report", "latest", "-o", "pdf"],
        &["completions", "cmd"],
    ] {
        let output = run(arguments);
        assert_code(&output, 2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_unknown_report_format_is_refused_before_the_run() {
    let output = run(&["run", "smoke", "--report", "x.pdf"]);
    assert_code(&output, 2);
    assert!(stderr(&output).contains(".json"), "{}", stderr(&output));
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_run() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("taken.json")).unwrap();
    for arguments in
        [["run", "--report", "taken.json"], ["produce", "--truth", "no/folder/truth.ndjson"]]
    {
        let output = streamgauge(folder.path()).args(arguments).output().unwrap();
        assert_code(&output, 2);
        assert!(stderr(&output).contains(&format!("`{}`", arguments[2])), "{}", stderr(&output));
    }
}

#[test]
fn bad_configuration_is_exit_code_78_and_names_file_key_and_nearest_key() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("mine.toml"), "[workload]\nratee = \"1k/s\"\n").unwrap();
    for command in
        [&["run"][..], &["config", "check"], &["generate"], &["doctor"], &["topics", "list"]]
    {
        let output = streamgauge(folder.path())
            .args(command)
            .args(["--config", "mine.toml"])
            .output()
            .unwrap();
        assert_code(&output, 78);
        let said = stderr(&output);
        for part in ["mine.toml", "`workload.ratee`", "did you mean `workload.rate`?"] {
            assert!(said.contains(part), "{said}");
        }
    }
    let as_workload = streamgauge(folder.path()).args(["run", "mine.toml"]).output().unwrap();
    assert_code(&as_workload, 78);
    assert!(stderr(&as_workload).contains("mine.toml"));
}

#[test]
fn impossible_settings_are_exit_code_78_and_name_flag_and_key() {
    for (flag, value, key) in [
        ("--rate", "0", "workload.rate"),
        ("--rate", "-5", "workload.rate"),
        ("--rate", "quick", "workload.rate"),
        ("--partitions", "0", "topics.partitions"),
        ("--replication", "0", "topics.replication"),
        ("--producers", "0", "workload.producers"),
        ("--producers", "4097", "workload.producers"),
        ("--window", "0s", "workload.window"),
        ("--window", "10", "workload.window"),
        ("--duration", "0s", "workload.duration"),
        ("--campaigns", "0", "workload.campaigns"),
        ("--aggregators", "257", "aggregator.count"),
        ("--ads-per-campaign", "0", "workload.ads_per_campaign"),
        ("--arrivals", "poison", "workload.arrivals"),
        ("--broker", "rabbit", "broker.kind"),
        ("--allowed-lateness", "-1s", "aggregator.allowed_lateness"),
        ("--events-topic", "no spaces", "topics.events"),
        ("--bootstrap-servers", "nowhere", "broker.kafka.bootstrap_servers"),
    ] {
        let output = run(&["run", flag, value]);
        assert_code(&output, 78);
        let said = stderr(&output);
        assert!(said.contains(&format!("flag {flag}: `{key}`")), "{said}");
    }
}

#[test]
fn layers_come_in_their_order() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("c.toml"),
        "[workload]\nseed = 1\ncampaigns = 1\nproducers = 1\nrate = 1\n",
    )
    .unwrap();
    fs::write(folder.path().join("w.toml"), "[workload]\ncampaigns = 2\nproducers = 2\nrate = 2\n")
        .unwrap();
    let output = streamgauge(folder.path())
        .args(["config", "show", "w.toml", "--config", "c.toml", "--rate", "4", "-o", "json"])
        .args(["--set", "workload.rate=3", "--set", "workload.zipf_exponent=1.5"])
        .env("STREAMGAUGE__WORKLOAD__PRODUCERS", "3")
        .env("STREAMGAUGE__WORKLOAD__RATE", "3")
        .env("STREAMGAUGE_URL", "http://127.0.0.1:1")
        .output()
        .unwrap();
    assert_code(&output, 0);
    let settings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let workload = &settings["workload"];
    assert_eq!(
        (&workload["seed"], &workload["campaigns"], &workload["producers"]),
        (&1.into(), &2.into(), &3.into())
    );
    assert_eq!((&workload["rate"], &workload["zipf_exponent"]), (&"4/s".into(), &1.5.into()));
    assert_eq!((&workload["name"], &workload["ads_per_campaign"]), (&"w".into(), &100.into()));
}

#[test]
fn the_environment_sets_anything_and_its_mistakes_are_named() {
    let settings = shown(
        &[],
        &[
            ("STREAMGAUGE__BROKER__KIND", "kafka"),
            ("STREAMGAUGE__TOPICS__PARTITIONS", "7"),
            ("STREAMGAUGE__TOPICS__KEEP", "true"),
            ("STREAMGAUGE__WORKLOAD__EVENT_TYPES", "a,b"),
            ("STREAMGAUGE__BROKER__KAFKA__QUEUE_BYTES", "1GiB"),
        ],
    );
    assert_eq!(
        (&settings["broker"]["kind"], &settings["topics"]["partitions"]),
        (&"kafka".into(), &7.into())
    );
    assert_eq!(
        (&settings["topics"]["keep"], &settings["broker"]["kafka"]["queue_bytes"]),
        (&true.into(), &"1GiB".into())
    );
    assert_eq!(settings["workload"]["event_types"], serde_json::json!(["a", "b"]));
    for (variable, value) in
        [("STREAMGAUGE__TOPICS__PARTITION", "7"), ("STREAMGAUGE__TOPICS__PARTITIONS", "many")]
    {
        let output = run_with(&["config", "check"], &[(variable, value)]);
        assert_code(&output, 78);
        assert!(
            stderr(&output).contains(variable) && stderr(&output).contains("topics.partitions"),
            "{variable}"
        );
    }
}

#[test]
fn config_show_tells_origins_and_no_secrets() {
    let secret = [("STREAMGAUGE__BROKER__KAFKA__PROPERTIES__SASL__PASSWORD", "hunter2")];
    for format in ["table", "json", "ndjson"] {
        let output = run_with(&["config", "show", "smoke", "-v", "-o", format], &secret);
        assert_code(&output, 0);
        let all = stdout(&output) + &stderr(&output);
        assert!(!all.contains("hunter2") && all.contains("<redacted>"), "{all}");
    }
    let toml = stdout(&run_with(&["config", "show", "smoke", "--rate", "5k/s"], &secret));
    for line in [
        "rate = \"5k/s\" # flag --rate",
        "duration = \"5s\" # preset smoke",
        "campaigns = 10 # preset smoke",
        "seed = 42\n",
        "\"sasl.password\" = \"<redacted>\" # environment variable STREAMGAUGE__",
    ] {
        assert!(toml.contains(line), "{toml}");
    }
}

#[test]
fn config_check_and_schema() {
    let output = run(&["config", "check", "bursty"]);
    assert_code(&output, 0);
    assert!(output.stdout.is_empty() && stderr(&output).contains("in order"));
    let schema: Value = serde_json::from_slice(&run(&["config", "schema"]).stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&shown(&["high-throughput"], &[])));
    assert!(!validator.is_valid(&serde_json::json!({"workload": {"rate": []}})));
}

/// The events of a call, as JSON, each also as its text.
fn events(arguments: &[&str]) -> Vec<(Value, String)> {
    let output = run(&[&["generate"], arguments].concat());
    assert_code(&output, 0);
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    stdout(&output)
        .lines()
        .map(|line| (serde_json::from_str(line).unwrap(), line.to_owned()))
        .collect()
}

#[test]
fn generate_writes_ndjson_that_the_seed_decides() {
    let (first, second) =
        (events(&["--count", "1000"]), events(&["--count", "1000", "--seed", "42"]));
    assert_eq!((first.len(), second.len()), (1000, 1000));
    let mut times = Vec::new();
    for ((a, text), (b, _)) in first.iter().zip(&second) {
        for key in
            ["user_id", "ad_id", "ad_type", "event_type", "ip_address", "campaign_id", "window_id"]
        {
            assert_eq!(a[key], b[key], "{key}");
        }
        let places: Vec<usize> =
            EVENT_FIELDS.iter().map(|field| text.find(&format!("\"{field}\":")).unwrap()).collect();
        assert!(places.is_sorted() && a.as_object().unwrap().len() == EVENT_FIELDS.len(), "{text}");
        let serial = |event: &Value| {
            Serial::from_text(event["page_id"].as_str().unwrap().as_bytes()).unwrap()
        };
        assert_eq!((serial(a).producer, serial(a).n), (serial(b).producer, serial(b).n));
        assert_ne!(serial(a).run_tag, serial(b).run_tag, "every run has a tag of its own");
        times.push(a["event_time_ns"].as_i64().unwrap());
    }
    assert!(times.is_sorted());
    assert_ne!(events(&["--count", "1", "--seed", "43"])[0].0["user_id"], first[0].0["user_id"]);
}

#[test]
fn generate_ends_with_the_duration_or_with_the_count() {
    assert_eq!(events(&["--duration", "2s", "--rate", "1k/s"]).len(), 2000);
    assert_eq!(
        events(&["--duration", "1s", "--rate", "100", "--arrivals", "uniform", "--producers", "3"])
            .len(),
        100
    );
    assert_eq!(events(&["--duration", "1s", "--rate", "1", "--count", "10"]).len(), 10);
    assert_eq!(events(&["--arrivals", "max", "--count", "10"]).len(), 10);
    assert_eq!(events(&["--count", "0"]).len(), 0);
}

#[test]
fn generate_prints_the_ad_map() {
    let ads = events(&["--campaigns-only", "--campaigns", "7", "--ads-per-campaign", "3"]);
    assert_eq!(ads.len(), 21);
    assert_eq!(ads[20].0["campaign_id"], 7);
    let table = stdout(&run(&["generate", "--campaigns-only", "-o", "table"]));
    assert_eq!(table.lines().count(), 1001);
    assert!(table.starts_with("AD_ID"), "{table}");
    let json: Value =
        serde_json::from_slice(&run(&["generate", "--campaigns-only", "-o", "json"]).stdout)
            .unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(1000));
    let known: Vec<&Value> = json.as_array().unwrap().iter().map(|ad| &ad["ad_id"]).collect();
    assert!(events(&["--count", "100"]).iter().all(|(event, _)| known.contains(&&event["ad_id"])));
}

#[test]
fn generate_tells_its_speed() {
    let output = run(&["generate", "--count-only", "--count", "20000", "-o", "ndjson"]);
    assert_code(&output, 0);
    let speed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(speed["events"], 20_000);
    assert!(
        speed["events_per_second"].as_f64().unwrap() > 0.0
            && speed["bytes"].as_u64().unwrap() > 20_000 * 250
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        &["generate", "--count", "100000000"][..],
        &["generate", "--campaigns-only", "--campaigns", "5000"],
    ] {
        let mut child = streamgauge(folder.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdout.take().unwrap();
        pipe.read_exact(&mut [0; 1000]).unwrap();
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        assert_code(&output, 0);
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
    }
}

#[test]
fn a_run_that_takes_more_than_the_machine_has_is_refused_before_it_begins() {
    let arguments =
        ["run", "--producers", "4096", "--partitions", "10000", "--campaigns", "100000"];
    let output = run(&arguments);
    assert_code(&output, 78);
    let said = stderr(&output);
    assert!(
        said.contains("flag --campaigns: `workload.campaigns` with `workload.producers` with ")
            && said.contains(" that is more than the memory that "),
        "{said}"
    );
    assert!(output.stdout.is_empty() && !said.contains("preparing"), "{said}");
}

#[test]
fn a_broker_that_is_not_there_is_exit_code_3_with_its_address() {
    // Nothing listens on the port of a listener that is gone.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    for command in [
        &["run", "smoke"][..],
        &["produce"],
        &["aggregate", "--events-topic", "x"],
        &["latency", "--results-topic", "x"],
        &["topics", "list"],
        &["topics", "create"],
        &["doctor"],
    ] {
        let timeout = ["--set", "broker.kafka.connect_timeout=1s"];
        let output =
            run(&[command, &["--broker", "kafka", "--bootstrap-servers", &address], &timeout]
                .concat());
        assert_code(&output, 3);
        assert!((stdout(&output) + &stderr(&output)).contains(&address), "{command:?}");
    }
}

#[test]
fn doctor_lists_its_checks() {
    let output = run(&["doctor", "-o", "json"]);
    assert_code(&output, 0);
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks: Vec<&str> =
        findings.as_array().unwrap().iter().map(|row| row["check"].as_str().unwrap()).collect();
    for check in ["broker", "clock", "cores"] {
        assert!(checks.contains(&check), "{checks:?}");
    }
    assert!(
        findings
            .as_array()
            .unwrap()
            .iter()
            .all(|row| ["ok", "warn"].contains(&row["health"].as_str().unwrap()))
    );
}

#[test]
fn what_doctor_says_fits_a_terminal() {
    let timeout = "broker.kafka.connect_timeout=100ms";
    let output = run(&["doctor", "--bootstrap-servers", "127.0.0.1:1", "--set", timeout]);
    assert_code(&output, 3);
    let text = stdout(&output);
    assert!(text.starts_with("FAIL  broker: ") && text.contains("\n      fix: "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn no_colour_reaches_a_pipe() {
    for arguments in [&["--help"][..], &["run", "--rate", "0"], &["doctor"], &["config", "show"]] {
        let output = run_with(arguments, &[("NO_COLOR", "1")]);
        assert!(!(stdout(&output) + &stderr(&output)).contains('\u{1b}'), "{arguments:?}");
    }
}

#[cfg(not(feature = "fluvio"))]
#[test]
fn without_the_feature_the_error_says_how_to_build_with_it() {
    let folder = TempDir::new().unwrap();
    let output = streamgauge(folder.path())
        .args(["run", "smoke", "-q", "--broker", "fluvio"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("--features fluvio"), "{said}");
}

#[test]
fn a_run_whose_log_cannot_be_written_goes_on_and_its_exit_code_is_its_own() {
    for (how, stderr) in unwritable() {
        let folder = TempDir::new().unwrap();
        let run = ["run", "smoke", "--duration", "1s", "-vv", "-o", "json", "--report", "r.md"];
        let output = streamgauge(folder.path()).args(run).stderr(stderr).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).expect(how);
        assert_eq!(report["ending"]["how"], "completed", "{how}");
        assert_eq!(Some(report["exit_code"].as_i64().unwrap() as i32), output.status.code());
        assert!(folder.path().join("r.md").exists(), "{how}");
    }
}

#[test]
fn a_refusal_that_cannot_be_told_keeps_its_exit_code() {
    for (how, stderr) in unwritable() {
        let folder = TempDir::new().unwrap();
        let wrong = ["run", "smoke", "--rate=-1"];
        let output = streamgauge(folder.path()).args(wrong).stderr(stderr).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{how}");
    }
}
