//! A real Prometheus scrapes real daemons: every expression of the dashboards and alerts finds
//! data, and alerts fire for what they are named after.
//!
//! Needs `prometheus` and `promtool` on the path (Debian: `apt install prometheus`); without them
//! the tests are skipped and say so, with `STREAMGAUGE_REQUIRE_PROMETHEUS=1` they fail.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use streamgauge_support::grafana;

use crate::support::prometheus::{Prometheus, Running, client, is_there, wait_for};
use serde_json::{Value, json};
use streamgauge::broker::embedded::EmbeddedBroker;
use streamgauge::config::{Assignment, Layers, ResolvedSettings};
use streamgauge::daemon::{Daemon, DaemonSetup};
use streamgauge_actors::{
    Broker, SharedClock, StampedBy, TopicSpec,
    testing::{Fault, FaultKind, FaultyBroker},
};
use tempfile::TempDir;

/// The built program as a daemon, in a folder of its own.
struct Served {
    process: Running,
    address: String,
    client: ureq::Agent,
    _folder: TempDir,
}

impl Served {
    fn start(config: &str, flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        fs::write(path.join("config.toml"), config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_streamgauge"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg("--state-dir")
            .arg(path.join("state"))
            .arg("--config")
            .arg(path.join("config.toml"))
            .args(flags)
            .env_clear()
            .current_dir(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(path.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut process = Running(child);
        let address = wait_for("the daemon to listen", 30, || {
            let log = || fs::read_to_string(path.join("log")).unwrap();
            assert!(process.0.try_wait().unwrap().is_none(), "the daemon ended: {}", log());
            fs::read_to_string(path.join("state/listen")).ok().map(|text| text.trim().to_owned())
        });
        Self { process, address, client: client(), _folder: folder }
    }

    /// Starts a run, and says its id.
    fn begin(&self, set: &Value) -> String {
        begin(&self.client, &self.address, set)
    }

    fn abandon(&self, run_id: &str) {
        let url = format!("http://{}/api/v1/runs/{run_id}/stop", self.address);
        let answer = self.client.post(url).send_json(json!({"mode": "abandon"})).unwrap();
        assert_eq!(answer.status(), 202);
        finished(&self.client, &self.address, run_id);
    }

    fn run(&self, run_id: &str) -> Value {
        run(&self.client, &self.address, run_id)
    }

    fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.process.0.id());
        assert!(Command::new("sh").args(["-c", &order]).status().unwrap().success());
    }
}

fn begin(client: &ureq::Agent, address: &str, set: &Value) -> String {
    let body = json!({"workload": "smoke", "set": set});
    let mut answer = client.post(format!("http://{address}/api/v1/runs")).send_json(body).unwrap();
    let status = answer.status();
    let answer: Value = answer.body_mut().read_json().unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["run_id"].as_str().unwrap().to_owned()
}

fn run(client: &ureq::Agent, address: &str, run_id: &str) -> Value {
    client
        .get(format!("http://{address}/api/v1/runs/{run_id}"))
        .call()
        .unwrap()
        .body_mut()
        .read_json()
        .unwrap()
}

/// Waits until a run is over.
fn finished(client: &ureq::Agent, address: &str, run_id: &str) -> Value {
    wait_for("the run to end", 60, || {
        let run = run(client, address, run_id);
        (!run["verdict"].is_null()).then_some(run)
    })
}

/// A daemon in this process, on whose embedded log an event vanishes.
fn lossy_daemon(folder: &TempDir) -> Daemon {
    let flag = |key: &str, value: &str| Assignment {
        origin: "test".into(),
        key: key.into(),
        value: value.into(),
    };
    let flags = vec![
        flag("server.listen", "127.0.0.1:0"),
        flag("topics.events", "lossy.events"),
        flag("topics.results", "lossy.results"),
    ];
    let setup = DaemonSetup {
        open_endpoint: streamgauge::http::open,
        layers: Layers { flags, ..Layers::default() },
        folder: folder.path().to_owned(),
        open_broker: Arc::new(|resolved: &ResolvedSettings, clock: SharedClock| {
            let max_bytes = resolved.settings.broker.embedded.max_bytes.0;
            let embedded: Arc<dyn Broker> = Arc::new(EmbeddedBroker::new(max_bytes, clock));
            let spec = resolved.settings.run_spec("lossy")?;
            let mut admin = embedded.admin().unwrap();
            for (name, partitions, stamped_by) in [
                (&spec.topics.events, spec.topics.partitions, StampedBy::Client),
                (&spec.topics.results, 1, StampedBy::Log),
            ] {
                let topic = TopicSpec {
                    name: name.clone(),
                    partitions,
                    replication: 1,
                    stamped_by,
                    retention_bytes: None,
                };
                admin.create(&topic).unwrap();
            }
            let fault = Fault { kind: FaultKind::DropEvent, after_records: 700 };
            Ok(Arc::new(FaultyBroker::new(embedded, &spec, vec![fault])) as Arc<dyn Broker>)
        }),
    };
    Daemon::start(setup).unwrap()
}

/// An expression as Grafana would send it, with everything selected.
fn filled(expr: &str) -> String {
    let mut expr = expr.to_owned();
    for (variable, value) in [
        ("$__rate_interval", "10s"),
        ("$__range", "1m"),
        ("$instance", ".*"),
        ("$broker", ".*"),
        ("$workload", ".*"),
    ] {
        expr = expr.replace(variable, value);
    }
    assert!(!expr.contains('$'), "{expr}");
    expr
}

/// The series that an expression reads: each metric with its matchers.
fn selectors(expr: &str) -> BTreeSet<String> {
    let names = grafana::metrics_in(expr);
    let mut found = BTreeSet::new();
    for name in names {
        for (at, _) in expr.match_indices(&name) {
            let rest = &expr[at + name.len()..];
            if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
                continue; // A longer name.
            }
            let matchers =
                if rest.starts_with('{') { &rest[..=rest.find('}').unwrap()] } else { "" };
            found.insert(format!("{name}{matchers}"));
        }
    }
    found
}

/// Everything that has to find data during a run: the panels' expressions whole; of alerts and
/// annotations, which yield something only when something is wrong, each series that they read.
fn expressions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, dashboard) in grafana::dashboards() {
        let annotations: BTreeSet<_> = grafana::list(&dashboard, "/annotations/list")
            .iter()
            .map(|annotation| grafana::text(annotation, "/name").to_owned())
            .collect();
        for query in grafana::queries(&dashboard) {
            let expr = filled(&query.expr);
            if annotations.contains(&query.place) {
                found.append(&mut selectors(&expr));
            } else {
                found.insert(expr);
            }
        }
    }
    for rule in grafana::rules() {
        found.append(&mut selectors(&rule.expr));
    }
    assert!(found.len() > 80, "{}", found.len());
    found
}

/// Waits for an alert, and looks at how it reads.
#[track_caller]
fn see_firing(prometheus: &Prometheus, alert: &str, instance: &str) {
    see_firing_while(prometheus, alert, instance, || {});
}

/// The same; something is done again and again until it fires.
#[track_caller]
fn see_firing_while(
    prometheus: &Prometheus,
    alert: &str,
    instance: &str,
    mut provoke: impl FnMut(),
) {
    let fired = wait_for(alert, 45, || {
        provoke();
        let mut firing = prometheus.firing().into_iter();
        firing.find(|fired| {
            fired["labels"]["alertname"] == alert && fired["labels"]["instance"] == instance
        })
    });
    for (key, words) in fired["annotations"].as_object().unwrap() {
        let words = words.as_str().unwrap();
        let is_whole =
            !words.contains("<error") && !words.contains("<no value>") && !words.contains("  ");
        assert!(is_whole, "{alert}: {key}: {words}");
    }
}

#[test]
fn every_expression_finds_data_and_alerts_fire_for_real() {
    if !is_there("prometheus") {
        return;
    }
    // A threshold that no run can pass.
    let served =
        Served::start("[thresholds]\nexpressions = [\"latency.result_latency.p99_ms < 0\"]\n", &[]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let brokerless = Served::start(
        "[broker.kafka]\nconnect_timeout = \"1s\"\n",
        &["--broker", "kafka", "--bootstrap-servers", &nobody],
    );
    let folder = TempDir::new().unwrap();
    let lossy = lossy_daemon(&folder);
    let lossy_address = lossy.address().to_string();
    let targets =
        [served.address.clone(), brokerless.address.clone(), lossy_address.clone(), nobody.clone()];
    let prometheus = Prometheus::start(&targets);
    wait_for("the first scrape", 20, || {
        (prometheus.query("up").len() == targets.len()).then_some(())
    });

    // Small, short runs: what is lost and what a threshold says is known once they are over.
    let small = json!({"workload.rate": "2k/s", "workload.duration": "2s"});
    let first = served.begin(&small);
    let lost = begin(&served.client, &lossy_address, &small);
    assert_eq!(finished(&served.client, &lossy_address, &lost)["verdict"], "fail");
    finished(&served.client, &served.address, &first);

    // A long run at a rate that any machine can hold.
    let long = served.begin(&json!({"workload.rate": "2k/s", "workload.duration": "10m"}));
    let mut without_data = expressions();
    let under_way =
        format!("streamgauge_run_phase{{phase=\"running\",instance=\"{}\"}} == 1", served.address);
    wait_for("the run", 30, || (!prometheus.query(&under_way).is_empty()).then_some(()));
    let mut rounds = 0;
    wait_for("data for every expression", 40, || {
        without_data.retain(|expr| prometheus.query(expr).is_empty());
        rounds += 1;
        (without_data.is_empty() || rounds == 100).then_some(())
    });
    assert!(without_data.is_empty(), "these find no data: {without_data:#?}");
    let run = served.run(&long);
    assert_eq!(run["state"], "running", "the run went on meanwhile: {run}");
    assert_eq!(prometheus.sick_rules(), Vec::<Value>::new());

    see_firing(&prometheus, "Down", &nobody);
    see_firing(&prometheus, "BrokerDown", &brokerless.address);
    see_firing(&prometheus, "EventsLost", &lossy_address);
    see_firing(&prometheus, "WindowsIncorrect", &lossy_address);
    see_firing(&prometheus, "ThresholdFailed", &served.address);

    // A generator that gets too little of its machine: it is stopped for 200 ms again and again.
    see_firing_while(&prometheus, "GeneratorSaturated", &served.address, || {
        served.signal("STOP");
        thread::sleep(Duration::from_millis(200));
        served.signal("CONT");
    });
    served.abandon(&long);

    // More than any machine can do.
    let beyond = served.begin(&json!({
        "workload.rate": "20M/s", "workload.arrivals": "uniform", "workload.duration": "10m",
        "broker.embedded.max_bytes": "4MiB",
    }));
    see_firing(&prometheus, "TargetMissed", &served.address);
    served.abandon(&beyond);
    lossy.stop();
}

#[test]
fn promtool_finds_the_configuration_right_and_the_rules_as_tested() {
    if !is_there("promtool") {
        return;
    }
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(grafana::folder())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat();
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
}
