//! The program on a real Fluvio cluster (`STREAMGAUGE_TEST_FLUVIO`), and what it says where there
//! is none.
#![cfg(feature = "fluvio")]

use std::collections::HashSet;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::fluvio_cluster::Cluster;
use serde_json::Value;
use streamgauge::broker::fluvio::FluvioSection;
use streamgauge::config::Layers;
use streamgauge_actors::{Broker as _, Record, StartAt};
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
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path())
            .env("STREAMGAUGE__BROKER__KIND", "fluvio")
            .env("STREAMGAUGE__BROKER__FLUVIO__ENDPOINT", &self.endpoint)
            .env("STREAMGAUGE__TOPICS__PREFIX", &self.prefix)
            .env("STREAMGAUGE__WORKLOAD__SEND_DELAY_SHARE", "1");
        command
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stderr}"))
    }
}

#[test]
fn a_run_is_exact_and_says_what_fluvio_lacks() {
    let Some(endpoint) = streamgauge_support::fluvio::endpoint() else { return };
    let program = Program::new("run", endpoint);
    let report = program.json(&["run", "smoke", "-q", "--rate", "5k/s", "--duration", "5s"]);
    assert_eq!(report["verdict"], "pass", "{report}");
    assert_eq!(
        (&report["audit"]["windows_exact"], &report["audit"]["results"]),
        (&5.into(), &50.into()),
        "{report}"
    );
    let broker = &report["broker"];
    assert_eq!(
        (&broker["kind"], &broker["guarantee"]),
        (&"fluvio".into(), &"at least once".into())
    );
    assert_eq!(broker["log_append_time"], false);
    let said = report["notes"].to_string();
    for limit in
        ["acknowledgement was received", "no idempotent producer", "no deletion of records"]
    {
        assert!(said.contains(limit), "{said}");
    }
    for latency in [
        "publish_delay",
        "publish_latency",
        "event_latency",
        "close_latency",
        "result_latency",
        "end_to_end",
    ] {
        assert!(report["latency"][latency]["count"].as_u64() > Some(0), "{latency}: {report}");
    }
    assert_eq!(report["latency"]["result_latency"]["count"], 50);
    let windows = report["windows"].as_array().unwrap();
    assert!(windows.iter().all(|window| window["result_latency_ms_avg"].is_f64()), "{windows:?}");
    assert!(report["versions"]["fluvio"].is_string());
    assert!(!report["topics"]["events"].as_str().unwrap().contains('.'));
    assert_eq!(
        program.json(&["topics", "list"]),
        Value::Array(vec![]),
        "the run's topics are deleted"
    );
}

#[test]
fn the_stages_run_one_by_one_on_the_same_topics() {
    let Some(endpoint) = streamgauge_support::fluvio::endpoint() else { return };
    let program = Program::new("stages", endpoint);
    let (events, results) =
        (format!("{}-events", program.prefix), format!("{}-results", program.prefix));
    let created = program.json(&["topics", "create", "--partitions", "3"]);
    assert_eq!(
        (&created[0]["topic"], &created[1]["topic"]),
        (&events.as_str().into(), &results.as_str().into())
    );
    let load = [
        "--duration",
        "3s",
        "--warmup",
        "0s",
        "--window",
        "1s",
        "--rate",
        "5k/s",
        "--truth",
        "truth.ndjson",
    ];
    let compressed = ["--set", "broker.fluvio.compression=zstd"];
    program.json(&[&["produce", "-q", "--events-topic", &events][..], &load, &compressed].concat());
    let truth = std::fs::read_to_string(program.folder.path().join("truth.ndjson")).unwrap();
    let base = serde_json::from_str::<Value>(truth.lines().next().unwrap()).unwrap()["base_ns"]
        .to_string();
    let aggregate = [
        "aggregate",
        "-q",
        "--events-topic",
        &events,
        "--results-topic",
        &results,
        "--window",
        "1s",
    ];
    let drained = program
        .json(&[&aggregate[..], &["--until-idle", "1s", "--base-event-time", &base]].concat());
    assert_eq!(drained["events"]["consumed"], 15_000, "{drained}");
    let latency =
        ["latency", "-q", "--results-topic", &results, "--window", "1s", "--until-idle", "1s"];
    let judged = program.json(&[&latency[..], &["--truth", "truth.ndjson"]].concat());
    assert_eq!(
        (&judged["verdict"], &judged["audit"]["windows_exact"]),
        (&"pass".into(), &3.into()),
        "{judged}"
    );
    assert_eq!(
        judged["latency"]["result_latency"],
        Value::Null,
        "nobody knows when others' results were stored"
    );
    let refused = program.run(&["topics", "clear", "--yes"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("Fluvio deletes no records"), "{said}");
    let mut admin = broker(&program).admin().unwrap();
    for topic in [events, results] {
        admin.delete(&topic).unwrap();
    }
}

fn broker(program: &Program) -> Box<dyn streamgauge_actors::Broker> {
    let settings = streamgauge_support::fluvio::settings().unwrap();
    assert_eq!(settings.endpoint, program.endpoint);
    Box::new(streamgauge::broker::fluvio::FluvioBroker::new(settings).unwrap())
}

/// A run of 80,000 events, in the midst of which `kill` takes its streaming unit away, which is
/// then started again.
fn run_without_its_unit(
    cluster: &mut Cluster,
    program: &Program,
    kill: impl FnOnce(&mut Cluster),
) -> (Option<i32>, Value) {
    let load = ["--rate", "10k/s", "--duration", "8s", "--window", "1s", "--warmup", "0s"];
    let mut command =
        program.command(&[&["run", "-q", "--keep-topics", "-o", "json"][..], &load].concat());
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    streamgauge_support::wait_for("events in the log", || cluster.bytes_of("-events") > 5_000_000);
    kill(cluster);
    // For so long nobody answers.
    std::thread::sleep(Duration::from_secs(1));
    cluster.start_unit();
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code(), report)
}

#[test]
fn a_cluster_killed_in_mid_run_loses_and_doubles_nothing_unnoticed() {
    let Some(mut cluster) = Cluster::start() else { return };
    let program = Program::new("kill", cluster.endpoint());
    let (code, report) = run_without_its_unit(&mut cluster, &program, |cluster| {
        cluster.kill_controller();
        cluster.start_controller();
        cluster.kill_unit();
    });
    // The topic counted once more, by itself.
    let defaults = Layers::default().load().unwrap().settings.broker.fluvio;
    let settings = FluvioSection { endpoint: cluster.endpoint(), ..defaults };
    let broker = streamgauge::broker::fluvio::FluvioBroker::new(settings).unwrap();
    let topic = report["topics"]["events"].as_str().unwrap();
    let partitions = broker.admin().unwrap().describe(topic).unwrap().unwrap().partitions;
    let start: Vec<_> =
        (0..partitions.len() as u32).map(|partition| (partition, StartAt::Earliest)).collect();
    let mut reader = broker.reader(topic, &start).unwrap();
    let (mut records, mut events) = (0_u64, HashSet::new());
    streamgauge_support::wait_for("the whole topic", || {
        let mut visit = |record: Record<'_>| {
            if record.key != b"progress" {
                records += 1;
                events.insert(record.payload.to_vec());
            }
        };
        reader.poll(Duration::from_millis(100), 100_000, &mut visit).unwrap() == 0
            && reader.lag() == 0
    });
    let distinct = events.len() as u64;
    let (audit, produced) = (&report["audit"], &report["events"]["produced"]);
    assert_eq!((produced, distinct), (&80_000.into(), 80_000), "{audit}");
    assert_eq!(
        (&audit["events_missing"], &audit["events_duplicated"]),
        (&0.into(), &(records - distinct).into())
    );
    assert_eq!(code, Some(if records == distinct { 0 } else { 4 }), "{audit}");
    assert_eq!(report["broker"]["guarantee"], "at least once");
}

#[test]
fn a_unit_that_comes_back_without_its_records_is_no_pass() {
    let Some(mut cluster) = Cluster::start() else { return };
    let program = Program::new("wipe", cluster.endpoint());
    let (code, report) = run_without_its_unit(&mut cluster, &program, |cluster| {
        cluster.kill_unit();
        cluster.remove_records();
    });
    assert_eq!(code, Some(4), "{}", report["reasons"]);
    assert!(report["audit"]["events_missing"].as_u64() > Some(0), "{}", report["audit"]);
}

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
