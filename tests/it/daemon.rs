//! The daemon: follows its schedule, outlives failed runs and absent brokers, keeps its history,
//! and ends in order.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::daemon::{Lab, agent, short};
use crate::support::unwritable::unwritable;
use streamgauge_support::wait_for;

/// The program as a daemon, in a process of its own.
struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    fn start(folder: TempDir, config: &str) -> Self {
        Self::start_with(folder, config, &[])
    }

    fn start_with(folder: TempDir, config: &str, environment: &[(&str, &str)]) -> Self {
        let log =
            fs::File::options().append(true).create(true).open(folder.path().join("log")).unwrap();
        Self::start_logging_to(log.into(), folder, config, environment)
    }

    fn start_logging_to(
        stderr: Stdio,
        folder: TempDir,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        fs::write(folder.path().join("config.toml"), config).unwrap();
        // The last daemon may have been killed.
        drop(fs::remove_file(folder.path().join("state/listen")));
        let child = Command::new(env!("CARGO_BIN_EXE_streamgauge"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--config",
                "config.toml",
                "--state-dir",
                "state",
            ])
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut process = Self { child, folder };
        wait_for("the daemon to listen", || {
            assert!(process.child.try_wait().unwrap().is_none(), "{}", process.log());
            process.path("state/listen").exists() && !process.address().is_empty()
        });
        process
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    fn address(&self) -> String {
        fs::read_to_string(self.path("state/listen")).unwrap_or_default().trim().to_owned()
    }

    fn get(&self, path: &str) -> Value {
        agent()
            .get(format!("http://{}{path}", self.address()))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }

    fn start_run(&self, body: &Value) -> String {
        let url = format!("http://{}/api/v1/runs", self.address());
        let answer: Value =
            agent().post(url).send_json(body).unwrap().body_mut().read_json().unwrap();
        answer["run_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn wait_for_state(&self, state: &str) {
        wait_for(state, || self.get("/api/v1/status")["state"] == state);
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; gives the exit code and the folder, so that another one can take its
    /// place.
    fn ended(mut self) -> (Option<i32>, TempDir, String) {
        let mut code = None;
        wait_for("the daemon's end", || match self.child.try_wait().unwrap() {
            Some(status) => {
                code = status.code();
                true
            }
            None => false,
        });
        let log = self.log();
        (code, std::mem::replace(&mut self.folder, TempDir::new().unwrap()), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What `streamgauge` prints as JSON in a folder.
fn printed(folder: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_streamgauge"))
        .args(arguments)
        .args(["-o", "json", "--state-dir", "state"])
        .env_clear()
        .current_dir(folder)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

const CALM: &str = "[workload]\nsend_delay_limit = \"1h\"\nleast_judged = \"0s\"\n";

#[test]
fn a_daemon_whose_log_cannot_be_written_goes_on() {
    for (how, stderr) in unwritable() {
        let config = format!("{CALM}[log]\nlevel = \"debug\"\n");
        let folder = TempDir::new().unwrap();
        let mut process = Process::start_logging_to(stderr, folder, &config, &[]);
        process.start_run(&json!({"workload": "smoke", "set": {"workload.duration": "1s"}}));
        process.wait_for_state("completed");
        assert_eq!(process.child.try_wait().unwrap(), None, "{how}");
    }
}

#[test]
fn a_signal_drains_the_run_and_files_it() {
    let process = Process::start(TempDir::new().unwrap(), CALM);
    let run_id = process.start_run(&short("1h"));
    wait_for("a judged window", || {
        process.get("/api/v1/status")["windows"]["judged"].as_u64() > Some(0)
    });
    process.signal("TERM");
    let (code, folder, log) = process.ended();
    assert_eq!(code, Some(143), "{log}");
    assert!(!folder.path().join("state/listen").exists());
    let runs = printed(folder.path(), &["history"]);
    assert_eq!(
        (&runs[0]["run_id"], &runs[0]["verdict"]),
        (&json!(run_id), &json!("aborted")),
        "{runs}"
    );
    let report = printed(folder.path(), &["report", &run_id]);
    assert!(report["audit"]["windows"].as_u64() > Some(0), "drained, and audited");
    assert_eq!(report["audit"]["windows"], report["audit"]["windows_exact"]);
}

#[test]
fn a_killed_daemon_loses_no_finished_run_and_files_the_one_that_it_left() {
    let process = Process::start(TempDir::new().unwrap(), CALM);
    let whole = process.start_run(&short("200ms"));
    process.wait_for_state("completed");
    let cut = process.start_run(&short("1h"));
    process.wait_for_state("running");
    // It is filed by a thread of its own, which may be slower than the run's beginning.
    wait_for("the run in the history", || {
        process.get("/api/v1/runs")["runs"].as_array().is_some_and(|runs| runs.len() == 2)
    });
    process.signal("KILL");
    let (_, folder, _) = process.ended();
    let process = Process::start(folder, CALM);
    let runs = process.get("/api/v1/runs");
    let row = |run_id: &str| {
        runs["runs"].as_array().unwrap().iter().find(|run| run["run_id"] == run_id).unwrap().clone()
    };
    assert_eq!(row(&whole)["verdict"], "pass");
    assert_eq!((&row(&cut)["state"], &row(&cut)["verdict"]), (&json!("failed"), &json!("fail")));
    assert!(row(&cut)["reason"].as_str().unwrap().contains("ended before the run did"), "{runs}");
    process.signal("INT");
    assert_eq!(process.ended().0, Some(130));
}

#[test]
fn a_new_configuration_is_in_force_for_the_next_run_and_a_bad_one_is_not() {
    let json_log = "[log]\nformat = \"json\"\n";
    let process = Process::start(TempDir::new().unwrap(), &[CALM, json_log].concat());
    let rate = || process.get("/api/v1/config")["workload"]["rate"].clone();
    assert_eq!(rate(), "40k/s");
    fs::write(process.path("config.toml"), [CALM, "rate = \"1k/s\"\n", json_log].concat()).unwrap();
    process.signal("HUP");
    wait_for("the new rate", || rate() == "1k/s");
    fs::write(process.path("config.toml"), "[workload]\nrat = 3\n").unwrap();
    process.signal("HUP");
    wait_for("the error", || process.log().contains("the configuration stays as it was"));
    assert_eq!(rate(), "1k/s");
    let set = json!({"workload.duration": "200ms", "workload.window": "100ms"});
    let body = json!({"workload": "smoke", "set": set});
    // The broken file is not in force: runs start as if nobody had touched it.
    let run_id = process.start_run(&body);
    process.wait_for_state("completed");
    // Every line is an object with its fields at the top.
    wait_for("the run in the log", || process.log().contains("the run is reported"));
    let lines: Vec<Value> =
        process.log().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let of_run: Vec<&Value> =
        lines.iter().filter(|line| line["run_id"] == run_id.as_str()).collect();
    assert!(of_run.iter().any(|line| line["actor"] == "supervisor"), "{of_run:?}");
}

#[test]
fn a_report_that_cannot_be_filed_is_kept_and_filed_later() {
    let lab = Lab::new(&[]);
    let run_id = lab.start("1h");
    lab.wait_for_state(&run_id, "running");
    // Somebody else writes to the history, and takes his time.
    let history = lab.folder.path().join("history.db");
    let other = Command::new("python3")
        .args(["-c", HOLD, history.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut other) = other else {
        eprintln!("SKIPPED: this test needs python3 to hold the history");
        return;
    };
    let mut word = [0; 5];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut word).unwrap();
    drop(lab.post(&format!("/api/v1/runs/{run_id}/stop"), &json!({})));
    assert_eq!(lab.over(&run_id)["verdict"], "aborted", "shown all the same");
    assert_eq!(lab.get(&format!("/api/v1/runs/{run_id}/report")).status, 200);
    let listed = || lab.get("/api/v1/runs").json()["runs"][0].clone();
    assert_eq!((&listed()["verdict"], &listed()["finished_at"]), (&json!("aborted"), &Value::Null));
    drop(other.stdin.take());
    other.wait().unwrap();
    wait_for("the run in the history", || listed()["finished_at"].is_string());
}

/// Holds the history's write lock until its input ends.
const HOLD: &str = "import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute('BEGIN IMMEDIATE')
print('held', flush=True)
sys.stdin.read()
held.execute('ROLLBACK')";

#[test]
fn the_service_manager_is_told() {
    let folder = TempDir::new().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let path = folder.path().join("notify");
    let process = Process::start_with(folder, CALM, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let expect = |words: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length =
                socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {words}: {error}"));
            if String::from_utf8_lossy(&buffer[..length])
                .lines()
                .any(|line| line.starts_with(words))
            {
                return;
            }
        }
    };
    expect("READY=1");
    process.signal("HUP");
    expect("RELOADING=1");
    expect("READY=1");
    process.start_run(&short("1h"));
    expect("STATUS=running");
    process.signal("TERM");
    expect("STOPPING=1");
    assert_eq!(process.ended().0, Some(143));
}

#[test]
fn runs_follow_each_other_in_turn_whatever_becomes_of_them() {
    let lab = Lab::new(&[
        ("schedule.mode", "continuous"),
        ("schedule.workloads", "smoke,bursty"),
        ("schedule.retry_min", "100ms"),
        ("workload.duration", "300ms"),
        ("workload.warmup", "0s"),
        ("workload.window", "100ms"),
        // Nothing is that fast: every run fails its threshold.
        ("thresholds.expressions", "latency.publish_delay.max_ms < 0"),
    ]);
    wait_for("four runs", || {
        lab.get("/api/v1/runs?status=completed").json()["runs"].as_array().unwrap().len() >= 4
    });
    let runs = lab.get("/api/v1/runs?status=completed").json();
    let mut runs: Vec<Value> = runs["runs"].as_array().unwrap().clone();
    runs.reverse();
    let workloads: Vec<&str> =
        runs.iter().take(4).map(|run| run["workload"].as_str().unwrap()).collect();
    assert_eq!(workloads, ["smoke", "bursty", "smoke", "bursty"]);
    assert!(runs.iter().all(|run| run["verdict"] == "fail" && run["exit_code"] == 99), "{runs:?}");
    let threshold = "threshold=\"latency.publish_delay.max_ms < 0\"";
    assert_eq!(lab.metric("streamgauge_last_run_threshold_passed", &["smoke", threshold]), 0);
    assert!(lab.metric("streamgauge_runs_total", &["outcome=\"fail\""]) >= 4);
    let schedule = lab.get("/api/v1/status").json()["daemon"]["schedule"].clone();
    assert_eq!(schedule["mode"], "continuous");
}

#[test]
fn a_broker_that_is_down_is_retried_and_seen() {
    // Nothing listens there: the port was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let servers = format!("127.0.0.1:{port}");
    let lab = Lab::new(&[
        ("broker.kind", "kafka"),
        ("broker.kafka.bootstrap_servers", &servers),
        ("broker.kafka.connect_timeout", "200ms"),
        ("schedule.mode", "continuous"),
        ("schedule.workloads", "smoke"),
        ("schedule.probe_interval", "100ms"),
        ("schedule.retry_min", "100ms"),
        ("schedule.retry_max", "200ms"),
    ]);
    wait_for("a second attempt", || {
        lab.metric("streamgauge_broker_errors_total", &["stage=\"probe\""]) >= 2
    });
    let answer = lab.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.json()["reasons"][0].as_str().unwrap().contains(&servers), "{}", answer.text);
    assert_eq!(lab.metric("streamgauge_broker_up", &[]), 0);
    assert_eq!(lab.get("/livez").status, 200);
    let status = lab.get("/api/v1/status").json();
    assert_eq!((&status["state"], &status["daemon"]["broker_up"]), (&json!("idle"), &json!(false)));
    assert!(status["daemon"]["schedule"]["next_start_at"].is_string());
    // A run that is asked for all the same fails, and says why.
    let answer = lab.post("/api/v1/runs", &json!({"workload": "smoke"}));
    assert_eq!(answer.status, 202, "{}", answer.text);
    let run = lab.over(answer.json()["run_id"].as_str().unwrap());
    assert_eq!((&run["verdict"], &run["exit_code"]), (&json!("fail"), &json!(1)));
    assert!(run["reasons"][0].as_str().unwrap().contains(&servers), "{run}");
}

#[test]
fn counters_and_reports_agree_to_the_unit() {
    let lab = Lab::new(&[]);
    let first = lab.metric("streamgauge_events_produced_total", &[]);
    assert_eq!(first, 0, "every series is there before the first run");
    let mut sums: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    for _ in 0..2 {
        let run_id = lab.start("700ms");
        lab.over(&run_id);
        let report = lab.get(&format!("/api/v1/runs/{run_id}/report")).json();
        let (events, audit) = (&report["events"], &report["audit"]);
        for (metric, value) in [
            ("events_produced_total", &events["produced"]),
            ("produced_bytes_total", &events["produced_bytes"]),
            ("events_acknowledged_total", &events["acknowledged"]),
            ("events_consumed_total", &events["consumed"]),
            ("consumed_bytes_total", &events["consumed_bytes"]),
            ("events_lost_total", &audit["events_lost"]),
            ("events_duplicated_total", &audit["events_duplicated"]),
            ("events_reordered_total", &audit["events_reordered"]),
            ("events_late_total", &events["late"]),
            ("windows_judged_total", &audit["windows"]),
            ("windows_closed_total", &audit["windows"]),
            ("results_written_total", &audit["results"]),
        ] {
            *sums.entry(metric.to_owned()).or_default() +=
                value.as_u64().unwrap_or_else(|| panic!("{metric}"));
        }
        for kind in [
            "publish_delay",
            "publish_latency",
            "event_latency",
            "close_latency",
            "result_latency",
            "end_to_end",
        ] {
            let count = report["latency"][kind]["count"].as_u64().unwrap();
            *sums.entry(format!("{kind}_seconds_count")).or_default() += count;
        }
    }
    for (name, value) in &sums {
        assert_eq!(
            lab.metric(&format!("streamgauge_{name}"), &["workload=\"smoke\""]),
            *value,
            "{name}"
        );
    }
    assert!(
        sums["events_produced_total"] > 0 && sums["result_latency_seconds_count"] > 0,
        "{sums:?}"
    );
    assert_eq!(lab.metric("streamgauge_runs_total", &["outcome=\"pass\""]), 2);
    assert_eq!(lab.metric("streamgauge_last_run_valid", &["workload=\"smoke\""]), 1);
    assert_eq!(lab.metric("streamgauge_target_events_per_second", &[]), 0, "nothing runs any more");
}
