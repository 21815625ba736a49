//! The command line on a real Kafka: own topics, the whole run, and its stages one by one.

use std::fs;

use crate::support::lab::Lab;
use serde_json::Value;
use streamgauge_actors::StampedBy;

fn records(rows: &Value) -> u64 {
    rows.as_array().unwrap().iter().map(|row| row["records"].as_u64().unwrap()).sum()
}

#[test]
fn only_own_topics_are_listed_emptied_and_deleted() {
    let Some(mut lab) = Lab::new("own") else { return };
    let foreign = lab.topic("foreign", 1, StampedBy::Client);

    let (events, results) = (format!("{}.events", lab.prefix), format!("{}.results", lab.prefix));
    let created = lab.json(&["topics", "create", "--partitions", "3"]);
    assert_eq!(
        (&created[0]["topic"], &created[0]["partitions"]),
        (&events.as_str().into(), &3.into())
    );
    assert_eq!(lab.names(), [events.clone(), results.clone()]);

    let flags = ["--events-topic", &events, "--duration", "1s", "--warmup", "0s", "--rate", "1k/s"];
    lab.json(&[&["produce", "-q"][..], &flags].concat());
    assert!(records(&lab.json(&["topics", "describe", &events])) >= 1000);
    assert_eq!(lab.run(&["topics", "clear", &foreign, "--yes"]).status.code(), Some(2));
    assert_eq!(
        lab.run(&["topics", "clear"]).status.code(),
        Some(2),
        "there is no terminal to ask on"
    );
    assert!(lab.run(&["topics", "clear", "--yes"]).status.success());
    assert_eq!(records(&lab.json(&["topics", "describe"])), 0, "emptied");
    assert_eq!(lab.names(), [events.clone(), results.clone()], "and still there");
    assert!(lab.admin().describe(&foreign).unwrap().is_some());
    for topic in [foreign, events, results] {
        lab.admin().delete(&topic).unwrap();
    }
    assert!(lab.names().is_empty(), "what is gone is forgotten");
}

#[test]
fn a_run_passes_and_leaves_no_topics() {
    let Some(lab) = Lab::new("run") else { return };
    let report = lab.json(&[
        "run",
        "smoke",
        "-q",
        "--rate",
        "2k/s",
        "--duration",
        "2s",
        "--report",
        "r.md",
        "--set",
        "workload.send_delay_share=1",
    ]);
    assert_eq!(
        (&report["verdict"], &report["broker"]["kind"]),
        (&"pass".into(), &"kafka".into()),
        "{report}"
    );
    assert!(fs::read_to_string(lab.folder().join("r.md")).unwrap().contains("PASS"));
    assert!(lab.names().is_empty());
}

#[test]
fn the_stages_run_one_by_one_on_the_same_topics() {
    let Some(lab) = Lab::new("stages") else { return };
    let (events, results) = (format!("{}.events", lab.prefix), format!("{}.results", lab.prefix));
    lab.json(&["topics", "create"]);
    let load = [
        "--duration",
        "3s",
        "--warmup",
        "0s",
        "--window",
        "1s",
        "--rate",
        "1k/s",
        "--truth",
        "truth.ndjson",
    ];
    lab.json(&[&["produce", "-q", "--events-topic", &events][..], &load].concat());
    let truth = fs::read_to_string(lab.folder().join("truth.ndjson")).unwrap();
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
    let drained =
        lab.json(&[&aggregate[..], &["--until-idle", "1s", "--base-event-time", &base]].concat());
    assert_eq!(drained["events"]["consumed"], 3000, "{drained}");
    let latency =
        ["latency", "-q", "--results-topic", &results, "--window", "1s", "--until-idle", "1s"];
    let judged = lab.json(&[&latency[..], &["--truth", "truth.ndjson"]].concat());
    assert_eq!(
        (&judged["verdict"], &judged["audit"]["windows_exact"]),
        (&"pass".into(), &3.into()),
        "{judged}"
    );
    assert!(lab.run(&["topics", "clear", "--yes"]).status.success());
}
