//! `streamgauge ctl`: orders to a running daemon, its answers and errors as the command line tells
//! them.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::daemon::Lab;

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    command.arg("ctl").args(arguments).env_clear().env("STREAMGAUGE_URL", url);
    command
}

fn ctl(lab: &Lab, arguments: &[&str]) -> Output {
    command(&lab.url(""), arguments).output().unwrap()
}

#[track_caller]
fn printed(lab: &Lab, arguments: &[&str]) -> String {
    let output = ctl(lab, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[track_caller]
fn json(lab: &Lab, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(lab, &[arguments, &["-o", "json"]].concat())).unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(errors.contains(words), "{errors}");
    assert!(output.stdout.is_empty(), "errors go to standard error");
}

const SHORT: [&str; 4] = ["--set", "workload.window=200ms", "--rate", "5k/s"];

#[test]
fn a_run_is_ordered_about_and_its_verdict_is_the_exit_code_of_watch() {
    let lab = Lab::new(&[]);
    assert!(printed(&lab, &["status"]).starts_with("no run yet"));
    refused(&ctl(&lab, &["watch"]), 1, "has made no run yet");
    refused(&ctl(&lab, &["stop"]), 1, "has made no run yet");

    let started = json(&lab, &[&["start", "smoke", "--duration", "1h"][..], &SHORT].concat());
    let first = started["run_id"].as_str().unwrap().to_owned();
    lab.wait_for_state(&first, "running");
    refused(&ctl(&lab, &["start"]), 1, "a run is under way");
    assert!(printed(&lab, &["set-rate", "6k/s"]).contains("6,000/s"));
    refused(&ctl(&lab, &["set-rate", "fast"]), 2, "no rate");
    let status = printed(&lab, &["status"]);
    assert!(status.contains(&first) && status.contains("target 6,000/s"), "{status}");
    assert!(status.lines().all(|line| line.chars().count() <= 80), "{status}");

    let restart = ["restart", "--mode", "abandon", "--duration", "1s"];
    let second = json(&lab, &restart)["run_id"].as_str().unwrap().to_owned();
    lab.over(&first);
    let watched = printed(&lab, &["watch", &second]);
    assert!(watched.lines().last().unwrap().starts_with("PASS: every count"), "{watched}");
    assert!(watched.lines().all(|line| line.chars().count() <= 80), "{watched}");
    let events = printed(&lab, &["watch", &second, "-o", "ndjson"]);
    let names: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone())
        .collect();
    assert_eq!((&names[0], names.last().unwrap()), (&"status".into(), &"finished".into()));

    let failing = [
        "start",
        "smoke",
        "--duration",
        "400ms",
        "--set",
        "thresholds.expressions=[\"audit.windows > 99\"]",
    ];
    printed(&lab, &[&failing[..], &SHORT].concat());
    let output = ctl(&lab, &["watch"]);
    assert_eq!(output.status.code(), Some(99), "{}", String::from_utf8_lossy(&output.stdout));
    refused(&ctl(&lab, &["stop"]), 1, "no run is under way");
}

#[test]
fn errors_name_what_to_do() {
    let mut lab = Lab::new(&[("server.token", "s3cret")]);
    refused(&ctl(&lab, &["status"]), 1, "STREAMGAUGE_TOKEN_FILE");
    let file = lab.folder.path().join("token");
    fs::write(&file, "s3cret\n").unwrap();
    let path = file.to_str().unwrap();
    assert!(printed(&lab, &["status", "--token-file", path]).contains("no run yet"));
    refused(&ctl(&lab, &["start", "clasic", "--token-file", path]), 78, "did you mean `classic`");
    refused(
        &ctl(&lab, &["start", "--set", "workload.rat=1", "--token-file", path]),
        78,
        "workload.rate",
    );
    refused(&ctl(&lab, &["stop", "nobody", "--token-file", path]), 1, "no run `nobody`");
    refused(&ctl(&lab, &["status", "--token-file", "/nowhere"]), 2, "/nowhere");
    fs::write(&file, "s3cret\nand more\n").unwrap();
    refused(&ctl(&lab, &["status", "--token-file", path]), 2, "one line");
    let url = lab.url("");
    lab.daemon = None;
    let output = command(&url, &["status"]).output().unwrap();
    refused(&output, 1, "is `streamgauge serve` running there?");
    let output = command("localhost:9464", &["status"]).output().unwrap();
    refused(&output, 2, "http://127.0.0.1:9464");
}
