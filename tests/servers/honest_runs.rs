//! Honest runs: at a part of what the broker was measured to take, it may never be blamed. A
//! machine whose neighbour takes the processor is inconclusive. `just honest-runs` plays them, and
//! prints a row of the table in `benches/README.md`.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::lab::Lab;

/// The part of its capacity that a broker is asked for.
const SHARE: f64 = 0.6;

/// A variable of the environment, or what it is without.
fn variable<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is not understood"))
}

/// Where the runs go.
enum Place {
    Embedded(TempDir),
    Kafka(Lab),
}

impl Place {
    /// As the variable says; `None`: there is no Kafka, and that was said.
    fn named(name: &str) -> Option<Self> {
        match name {
            "embedded" => Some(Self::Embedded(TempDir::new().unwrap())),
            "kafka" => Lab::new("honest").map(Self::Kafka),
            other => panic!("honest runs go to embedded or kafka, not to {other}"),
        }
    }

    /// The program, with all its limits as users have them.
    fn command(&self, arguments: &[&str]) -> Command {
        match self {
            Self::Embedded(folder) => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
                command.env_clear().env("XDG_STATE_HOME", folder.path()).args(arguments);
                command.current_dir(folder.path());
                command
            }
            Self::Kafka(lab) => {
                let mut command = lab.command(arguments);
                for setting in ["SEND_DELAY_LIMIT", "LEAST_JUDGED"] {
                    command.env_remove(format!("STREAMGAUGE__WORKLOAD__{setting}"));
                }
                command
            }
        }
    }

    /// The exit code and the report of a run of so many seconds.
    fn run(&self, seconds: u64, load: [&str; 2]) -> (Option<i32>, Value) {
        let duration = format!("{seconds}s");
        let run = ["run", "smoke", "-q", "-o", "json", "--duration", &duration, load[0], load[1]];
        let output = self.command(&run).output().unwrap();
        let told = || panic!("{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| told()))
    }
}

/// A process that burns a core.
struct Neighbour(Child);

impl Neighbour {
    fn start() -> Self {
        let spins =
            Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
        Self(spins.unwrap())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "takes a quarter of an hour, and a machine that has nothing else to do"]
fn none_blames_the_broker() {
    let broker: String = variable("STREAMGAUGE_HONEST_BROKER", "embedded".to_owned());
    let runs: u64 = variable("STREAMGAUGE_HONEST_RUNS", 50);
    let seconds: u64 = variable("STREAMGAUGE_HONEST_SECONDS", 20);
    let is_noisy = variable("STREAMGAUGE_HONEST_NEIGHBOUR", 0) > 0;
    let Some(place) = Place::named(&broker) else { return };
    // The capacity is that of a machine without the neighbour.
    let (_, report) = place.run(seconds.min(10), ["--arrivals", "max"]);
    let capacity = report["throughput"]["produced_per_second"].as_f64().unwrap();
    let rate = format!("{:.0}", capacity * SHARE);
    let _neighbour = is_noisy.then(Neighbour::start);
    let (mut passed, mut others) = (0, BTreeMap::<String, u64>::new());
    let mut blames = Vec::new();
    for run in 1..=runs {
        let (code, report) = place.run(seconds, ["--rate", &rate]);
        let reasons = &report["reasons"];
        println!("run {run} of {runs}: exit code {code:?}, {}", reasons[0]);
        assert!(matches!(code, Some(0 | 5 | 99)), "{code:?}: {reasons}");
        assert_eq!(report["audit"]["windows"], report["audit"]["windows_exact"], "{reasons}");
        if code == Some(0) {
            passed += 1;
        } else {
            *others.entry(report["causes"][0].as_str().unwrap().to_owned()).or_default() += 1;
        }
        if code == Some(99) {
            blames.push(reasons.to_string());
        }
    }
    let others: Vec<String> =
        others.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    println!(
        "| {broker} | {} | {capacity:.0} | {rate} | {runs} of {seconds} s | {passed} | {} | {} |",
        if is_noisy { "burns a core" } else { "none" },
        others.join(", "),
        blames.len()
    );
    assert!(blames.is_empty(), "{blames:#?}");
}
