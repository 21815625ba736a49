//! Ways to be fooled: for each a client, a broker, a clock or a reader that does it, and the
//! verdict, the culprit and the exit code that must come of it. (What lies about single records is
//! in `audit.rs`.)

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use streamgauge_actors::{Cause, Limit, Verdict};
use streamgauge_support::liar::{Judged, Trick, judged};
use streamgauge_support::runs;
use tempfile::TempDir;

#[test]
fn who_fools_us_is_named() {
    let broker = Some(Limit::Broker);
    let aggregator = Some(Limit::Aggregator);
    let cases = [
        (Trick::Honest, Cause::NoFault, 0, None),
        (Trick::SlowBroker(3400.0), Cause::NotSustainedBroker, 99, broker),
        (
            Trick::SlowReader(Duration::from_micros(400)),
            Cause::NotSustainedAggregator,
            5,
            aggregator,
        ),
        (Trick::OtherClock(-1000), Cause::BrokerClock, 5, None),
        (Trick::OtherClock(-5), Cause::BrokerClock, 5, None),
        (Trick::OtherClock(5), Cause::BrokerClock, 5, None),
    ];
    let plays = cases.map(|(trick, cause, code, limit)| {
        let play = thread::spawn(move || {
            let clock = runs::clock();
            judged("liar", runs::embedded(&clock), &clock, trick)
        });
        (play, trick, (cause, code, limit))
    });
    for (play, trick, expected) in plays {
        let Judged { cause, verdict, code, limit, texts, is_starved } = play.join().unwrap();
        let found = (cause, code, limit);
        // Who lacks a processor blames nobody else.
        let itself = (Cause::NotSustainedGenerator, 5, Some(Limit::Generator));
        let blames_nobody = is_starved && expected.2 == broker && found == itself;
        assert!(found == expected || blames_nobody, "{trick:?}: {found:?}, {texts:?}");
        assert_eq!(verdict == Verdict::Pass, code == 0, "{trick:?}");
    }
}

/// The program on a run of the smoke workload, with more arguments.
fn program(folder: &TempDir, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    command.env_clear().env("XDG_STATE_HOME", folder.path()).current_dir(folder.path());
    command.args(["run", "smoke", "-q", "-o", "json"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn send_signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The report of a program that ends with this code: whatever was sent is exact.
fn report_of(child: Child, code: i32) -> Value {
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", report["reasons"]);
    assert_eq!(report["audit"]["windows"], report["audit"]["windows_exact"]);
    report
}

#[test]
fn a_program_that_was_stopped_is_inconclusive_and_its_stages_are_not_frozen() {
    let folder = TempDir::new().unwrap();
    let timeout = "supervisor.heartbeat_timeout=1s";
    let child = program(&folder, &["--rate", "5k/s", "--set", timeout]);
    thread::sleep(Duration::from_secs(2));
    send_signal(&child, "-STOP");
    thread::sleep(Duration::from_millis(2500));
    send_signal(&child, "-CONT");
    let report = report_of(child, 5);
    assert_eq!(report["causes"][0], "program_stopped", "{}", report["reasons"]);
}

/// The program asked for far more than any machine gives.
fn overloaded(folder: &TempDir, duration: &str) -> Child {
    let catch_up = "supervisor.catch_up_timeout=500ms";
    program(folder, &["--rate", "1G/s", "--duration", duration, "--set", catch_up])
}

fn never_sent(report: &Value) -> u64 {
    report["events"]["never_sent"].as_u64().unwrap()
}

/// `timeout` sends its signal to the program, and to its process group.
#[test]
fn a_signal_sent_twice_at_once_ends_the_sending_and_is_the_reports_exit_code() {
    let folder = TempDir::new().unwrap();
    let child = overloaded(&folder, "1h");
    thread::sleep(Duration::from_millis(2500));
    send_signal(&child, "-INT");
    send_signal(&child, "-INT");
    let report = report_of(child, 130);
    assert_eq!((&report["verdict"], &report["exit_code"]), (&"aborted".into(), &130.into()));
    assert!(never_sent(&report) > 0);
}

#[test]
fn a_load_that_nothing_takes_is_a_measurement_and_no_program_error() {
    let folder = TempDir::new().unwrap();
    // Whichever of our own stages it was.
    let report = report_of(overloaded(&folder, "5s"), 5);
    assert_eq!(report["sustained"]["verdict"], "not_sustained");
    assert!(never_sent(&report) > 0);
}
