//! The program on a real Fluvio cluster (`STREAMGAUGE_TEST_FLUVIO`), and what it says where there is none.

mod support;

use std::process::{Command, Output};

use serde_json::Value;
use streamgauge::config::{ConfigError, Layers};
use tempfile::TempDir;

/// The program in a folder of its own, with topics of its own.
struct Program {
    folder: TempDir,
    endpoint: String,
    prefix: String,
}

impl Program {
    fn new(name: &str, endpoint: String) -> Self {
        let prefix = format!("t-{name}-{}", std::process::id());
        Self { folder: TempDir::new().unwrap(), endpoint, prefix }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_streamgauge"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path())
            .env("STREAMGAUGE__BROKER__KIND", "fluvio")
            .env("STREAMGAUGE__BROKER__FLUVIO__ENDPOINT", &self.endpoint)
            .env("STREAMGAUGE__TOPICS__PREFIX", &self.prefix)
            .env("STREAMGAUGE__WORKLOAD__SEND_DELAY_SHARE", "1")
            .output()
            .unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stderr}"))
    }
}

#[cfg(feature = "fluvio")]
#[test]
fn a_run_is_exact_and_says_what_fluvio_lacks() {
    let Some(endpoint) = support::fluvio::endpoint() else { return };
    let program = Program::new("run", endpoint);
    let report = program.json(&["run", "smoke", "-q", "--rate", "5k/s", "--duration", "3s"]);
    assert_eq!(report["verdict"], "pass", "{report}");
    assert_eq!((&report["audit"]["windows_exact"], &report["audit"]["results"]), (&3.into(), &30.into()), "{report}");
    let broker = &report["broker"];
    assert_eq!((&broker["kind"], &broker["guarantee"]), (&"fluvio".into(), &"at least once".into()));
    assert_eq!(broker["log_append_time"], false);
    let said = report["notes"].to_string();
    for limit in ["acknowledgement was received", "no idempotent producer", "no deletion of records"] {
        assert!(said.contains(limit), "{said}");
    }
    for latency in
        ["publish_delay", "publish_latency", "event_latency", "close_latency", "result_latency", "end_to_end"]
    {
        assert!(report["latency"][latency]["count"].as_u64() > Some(0), "{latency}: {report}");
    }
    assert_eq!(report["latency"]["result_latency"]["count"], 30);
    let windows = report["windows"].as_array().unwrap();
    assert!(windows.iter().all(|window| window["result_latency_ms_avg"].is_f64()), "{windows:?}");
    assert!(report["versions"]["fluvio"].is_string());
    assert!(!report["topics"]["events"].as_str().unwrap().contains('.'));
    assert_eq!(program.json(&["topics", "list"]), Value::Array(vec![]), "the run's topics are deleted");
}

#[cfg(feature = "fluvio")]
#[test]
fn the_stages_run_one_by_one_on_the_same_topics() {
    let Some(endpoint) = support::fluvio::endpoint() else { return };
    let program = Program::new("stages", endpoint);
    let (events, results) = (format!("{}-events", program.prefix), format!("{}-results", program.prefix));
    let created = program.json(&["topics", "create", "--partitions", "3"]);
    assert_eq!((&created[0]["topic"], &created[1]["topic"]), (&events.as_str().into(), &results.as_str().into()));
    let load = ["--duration", "3s", "--warmup", "0s", "--window", "1s", "--rate", "5k/s", "--truth", "truth.ndjson"];
    let compressed = ["--set", "broker.fluvio.compression=zstd"];
    program.json(&[&["produce", "-q", "--events-topic", &events][..], &load, &compressed].concat());
    let truth = std::fs::read_to_string(program.folder.path().join("truth.ndjson")).unwrap();
    let base = serde_json::from_str::<Value>(truth.lines().next().unwrap()).unwrap()["base_ns"].to_string();
    let aggregate = ["aggregate", "-q", "--events-topic", &events, "--results-topic", &results, "--window", "1s"];
    let drained = program.json(&[&aggregate[..], &["--until-idle", "1s", "--base-event-time", &base]].concat());
    assert_eq!(drained["events"]["consumed"], 15_000, "{drained}");
    let latency = ["latency", "-q", "--results-topic", &results, "--window", "1s", "--until-idle", "1s"];
    let judged = program.json(&[&latency[..], &["--truth", "truth.ndjson"]].concat());
    assert_eq!((&judged["verdict"], &judged["audit"]["windows_exact"]), (&"pass".into(), &3.into()), "{judged}");
    assert_eq!(judged["latency"]["result_latency"], Value::Null, "nobody knows when others' results were stored");
    let refused = program.run(&["topics", "clear", "--yes"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("Fluvio deletes no records"), "{said}");
    let mut admin = broker(&program).admin().unwrap();
    for topic in [events, results] {
        admin.delete(&topic).unwrap();
    }
}

#[cfg(feature = "fluvio")]
fn broker(program: &Program) -> Box<dyn streamgauge_actors::ports::Broker> {
    let settings = support::fluvio::settings().unwrap();
    assert_eq!(settings.endpoint, program.endpoint);
    Box::new(streamgauge::broker::fluvio::FluvioBroker::new(settings).unwrap())
}

#[cfg(feature = "fluvio")]
#[test]
fn a_cluster_out_of_reach_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let program = Program::new("nobody", nobody.to_string());
    let output = program.run(&["run", "smoke", "-q", "--set", "broker.fluvio.connect_timeout=1s"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&nobody.to_string()) && said.contains("controller"), "{said}");
    let doctor = program.run(&["doctor", "--set", "broker.fluvio.connect_timeout=1s"]);
    assert_eq!(doctor.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("broker.fluvio.endpoint"));
}

#[cfg(not(feature = "fluvio"))]
#[test]
fn without_the_feature_the_error_says_how_to_build_with_it() {
    let program = Program::new("none", "127.0.0.1:1".to_owned());
    let output = program.run(&["run", "smoke", "-q"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("--features fluvio"), "{said}");
}

fn refused(settings: &[(&str, &str)]) -> ConfigError {
    let mut layers = Layers::default();
    let fluvio = [("broker.kind", "fluvio")];
    for (key, value) in fluvio.iter().chain(settings) {
        layers.flags.push(streamgauge::config::Assignment {
            origin: "flag".to_owned(),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        });
    }
    layers.load().and_then(|resolved| resolved.settings.run_spec("20261123-031522-7f3a").map(drop)).unwrap_err()
}

#[test]
fn impossible_settings_are_named() {
    for (key, value) in [
        ("broker.fluvio.endpoint", "nowhere"),
        ("broker.fluvio.batch_bytes", "2MB"),
        ("broker.fluvio.events_linger", "1us"),
        ("broker.fluvio.queue_records", "0"),
        ("broker.fluvio.fetch_bytes", "1MiB"),
        ("topics.prefix", "with.dots"),
        ("topics.prefix", "a-prefix-that-leaves-no-room"),
        ("topics.events", "Upper"),
        ("topics.results", "ends-"),
    ] {
        let error = refused(&[(key, value)]).to_string();
        assert!(error.contains(key), "{key} = {value}: {error}");
    }
    let error = refused(&[("broker.fluvio.tls.mode", "verified"), ("broker.fluvio.tls.domain", "d")]).to_string();
    assert!(error.contains("broker.fluvio.tls.ca_file") && !error.contains("broker.fluvio.tls.domain"), "{error}");
}
