//! A real Prometheus with the project's own configuration; and programs that end with the test.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use streamgauge_actors::{Clock as _, RunClock, SECOND};
use tempfile::TempDir;

use streamgauge_support::grafana;

const REQUIRE: &str = "STREAMGAUGE_REQUIRE_PROMETHEUS";

/// Whether a program of Prometheus is on the machine; without it the test is skipped, and says so.
pub(crate) fn is_there(program: &str) -> bool {
    let ran =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if ran.is_ok_and(|status| status.success()) {
        return true;
    }
    let required = std::env::var(REQUIRE).is_ok_and(|value| value == "1");
    assert!(!required, "{REQUIRE}=1, but there is no `{program}`");
    eprintln!("SKIPPED: this test needs `{program}`");
    false
}

/// A program that is killed when its test is over.
pub(crate) struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks again and again; says what it waited for when it gives up.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, seconds: i64, mut ask: impl FnMut() -> Option<T>) -> T {
    let clock = RunClock::start();
    let deadline = clock.now() + seconds * SECOND;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(clock.now() < deadline, "waited {seconds} s for {what}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// A client that speaks to this machine alone, and takes any status.
pub(crate) fn client() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build();
    ureq::Agent::new_with_config(config)
}

/// A Prometheus that scrapes these targets.
pub(crate) struct Prometheus {
    process: Running,
    api: String,
    client: ureq::Agent,
    folder: TempDir,
}

impl Prometheus {
    /// Starts one with `grafana/prometheus.yml`, but for the targets, shorter intervals and an
    /// alert's patience.
    pub(crate) fn start(targets: &[String]) -> Self {
        let mut folder = TempDir::new().unwrap();
        let config = fs::read_to_string(grafana::folder().join("prometheus.yml")).unwrap();
        let list =
            targets.iter().map(|target| format!("\"{target}\"")).collect::<Vec<_>>().join(", ");
        let mut config = replaced(&config, "\"127.0.0.1:9464\"", &list);
        for setting in ["scrape_interval: 5s", "scrape_timeout: 4s", "evaluation_interval: 5s"] {
            let (name, _) = setting.split_once(' ').unwrap();
            config = replaced(&config, setting, &format!("{name} 1s"));
        }
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let alerts = fs::read_to_string(grafana::folder().join("alerts.yml")).unwrap();
        let hurried = alerts.lines().map(|line| match line.split_once("for: ") {
            Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
            _ => format!("{line}\n"),
        });
        fs::write(folder.path().join("alerts.yml"), hurried.collect::<String>()).unwrap();
        // A port is free when chosen, and may be taken when used: a few tries are enough.
        for _ in 0..3 {
            let address =
                TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            let process = spawn(folder.path(), &address);
            let mut started =
                Self { process, api: format!("http://{address}"), client: client(), folder };
            if started.answers() {
                return started;
            }
            folder = started.folder;
        }
        panic!(
            "Prometheus did not start: {}",
            fs::read_to_string(folder.path().join("log")).unwrap()
        );
    }

    fn answers(&mut self) -> bool {
        wait_for("Prometheus", 30, || {
            if self.process.0.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let ready = self.client.get(format!("{}/-/ready", self.api)).call();
            ready.is_ok_and(|answer| answer.status() == 200).then_some(true)
        })
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let request = self
            .client
            .get(format!("{}/api/v1/{path}", self.api))
            .query_pairs(query.iter().copied());
        let answer: Value = request.call().unwrap().body_mut().read_json().unwrap();
        assert_eq!(answer["status"], "success", "{path} {query:?}: {answer}");
        answer["data"].clone()
    }

    /// The series that an expression yields now.
    pub(crate) fn query(&self, expr: &str) -> Vec<Value> {
        self.get("query", &[("query", expr)])["result"].as_array().unwrap().clone()
    }

    /// Alerts that fire now.
    pub(crate) fn firing(&self) -> Vec<Value> {
        let mut alerts = self.get("alerts", &[])["alerts"].as_array().unwrap().clone();
        alerts.retain(|alert| alert["state"] == "firing");
        alerts
    }

    /// The rules that Prometheus cannot evaluate.
    pub(crate) fn sick_rules(&self) -> Vec<Value> {
        let data = self.get("rules", &[]);
        let groups = data["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules.filter(|rule| rule["health"] != "ok").cloned().collect()
    }
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "prometheus.yml has no {old}");
    text.replace(old, new)
}

fn spawn(folder: &Path, address: &str) -> Running {
    let log = fs::File::create(folder.join("log")).unwrap();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Running(child)
}
