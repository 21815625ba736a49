//! Ways to be fooled on a real Kafka: a broker that takes less than is offered, a clock that is
//! off, a program that was stopped, a log that loses records, a record or a result that lies. For
//! each the verdict, the culprit and the exit code that must come of it. (`tests/it/liars.rs` has
//! more, on the embedded log.)

use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use streamgauge::daemon::foreground::Foreground;
use streamgauge_actors::{
    Broker, Cause, FindingKind, Sustained, Verdict,
    testing::{Fault, FaultKind, FaultyBroker, small_spec},
};
use streamgauge_support::liar::{Judged, Trick, judged};
use streamgauge_support::{kafka, runs, wait_for};

use crate::support::blame::assert_blames_broker;
use crate::support::events::Event;
use crate::support::lab::Lab;
use crate::support::quota::Quota;

/// What an event takes of a quota: its part of a request to write, bytes.
const QUOTA_BYTES: f64 = 312.5;

/// Plays the workload on a Kafka whose quota is this part of the load, and prints a row of the
/// table in `benches/README.md`.
fn play_with_quota(share: f64, rate: u64, seconds: u64) {
    let name = format!("quota-{}", share * 100.0);
    let Some(lab) = Lab::new(&name) else { return };
    let quota = share * rate as f64 * QUOTA_BYTES;
    let _quota = Quota::set(kafka::bootstrap_servers().unwrap(), &name, quota);
    let client_id = format!("broker.kafka.properties.client.id={name}");
    let (rate, duration) = (rate.to_string(), format!("{seconds}s"));
    let run = ["run", "classic", "-q", "--warmup", "0s", "--set", &client_id];
    let (code, report) =
        lab.report(&[&run[..], &["--rate", &rate, "--duration", &duration]].concat());
    let (audit, sustained) = (&report["audit"], &report["sustained"]);
    let (windows, exact) = (&audit["windows"], &audit["windows_exact"]);
    println!(
        "| {quota:.0} ({:.0} %) | {seconds} | {} | {} | {:.1} s | {exact} of {windows} windows |",
        share * 100.0,
        code.map_or_else(|| "none".to_owned(), |code| code.to_string()),
        report["reasons"][0].as_str().unwrap(),
        sustained["drain_s"].as_f64().unwrap(),
    );
    assert_eq!(windows, exact);
    assert_eq!(report["events"]["acknowledged"], report["events"]["produced"]);
    assert_eq!(audit["unknown"], 0);
    assert_blames_broker(code, &report);
}

#[test]
fn a_quota_far_below_the_load_is_the_brokers_limit() {
    play_with_quota(0.4, 4000, 10);
}

/// The classic load, for minutes: `just nightly`.
#[test]
#[ignore = "takes five minutes"]
fn a_quota_just_below_the_load_is_the_brokers_limit() {
    for (share, seconds) in [(0.85, 60), (0.92, 60), (0.98, 120)] {
        play_with_quota(share, 40_000, seconds);
    }
}

#[test]
fn a_clock_that_is_off_is_named() {
    let Some(broker) = kafka::broker() else { return };
    let broker: Arc<dyn Broker> = Arc::new(broker);
    let cases = [
        (Trick::Honest, Cause::NoFault, 0),
        (Trick::OtherClock(-1000), Cause::BrokerClock, 5),
        (Trick::OtherClock(-5), Cause::BrokerClock, 5),
        (Trick::OtherClock(5), Cause::BrokerClock, 5),
    ];
    let plays = cases.map(|(trick, cause, code)| {
        let broker = Arc::clone(&broker);
        let name = format!("liar-{}-{cause:?}-{}", std::process::id(), clock_ms(trick));
        let play = thread::spawn(move || judged(&name, broker, &runs::clock(), trick));
        (play, trick, (cause, code))
    });
    for (play, trick, expected) in plays {
        let Judged { cause, verdict, code, texts, is_starved, .. } = play.join().unwrap();
        // A machine that is busy adds causes of its own, and they may come first.
        let is_busy = is_starved && code == 5;
        assert!((cause, code) == expected || is_busy, "{trick:?}: {texts:?}");
        assert_eq!(verdict == Verdict::Pass, code == 0, "{trick:?}");
        let names_clock = texts.iter().any(|text| text.contains("clock"));
        assert_eq!(names_clock, clock_ms(trick) != 0, "{trick:?}: {texts:?}");
    }
}

fn clock_ms(trick: Trick) -> i64 {
    if let Trick::OtherClock(ms) = trick { ms } else { 0 }
}

#[test]
fn a_result_that_lies_about_its_time_is_wrong() {
    let Some(inner) = kafka::broker() else { return };
    let clock = runs::clock();
    let spec = small_spec(&format!("liar-{}-time", std::process::id()));
    let faults = vec![Fault { kind: FaultKind::FalseProduceTime, after_records: 12 }];
    let broker = Arc::new(FaultyBroker::new(Arc::new(inner), &spec, faults));
    let host = Foreground::start().unwrap();
    let plan = runs::plan(spec, Arc::clone(&broker) as Arc<dyn Broker>, &clock);
    let outcome = runs::play(&host, plan);
    let judgement = outcome.judge(&Sustained::default());
    assert_eq!(
        (judgement.cause(), judgement.exit_code()),
        (Cause::ResultsWrong, 4),
        "{:?}",
        judgement.texts()
    );
    let kinds: Vec<_> = outcome.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::ResultWrong]);
}

/// A run of the program, of 2,000 events a second.
struct LabRun {
    lab: Lab,
    child: Child,
    events_topic: String,
}

impl LabRun {
    /// Starts it for so long, with more settings, and waits for its topics.
    fn start(name: &str, duration: &str, settings: &[&str]) -> Option<Self> {
        let mut lab = Lab::new(name)?;
        let run = ["run", "smoke", "-q", "-o", "json", "--rate", "2k/s", "--duration", duration];
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let child = lab.start(&run.into_iter().chain(settings).collect::<Vec<_>>());
        let mut events_topic = None;
        wait_for("the run's topic of events", || {
            let names = lab.admin().list().unwrap();
            let is_its = |name: &String| name.starts_with(&lab.prefix) && name.ends_with(".events");
            events_topic = names.into_iter().find(is_its);
            events_topic.is_some()
        });
        Some(Self { lab, child, events_topic: events_topic.unwrap() })
    }

    /// Waits until so many events are stored.
    fn wait_until_stored(&mut self, events: u64) {
        wait_for("stored events", || {
            let topic = self.lab.admin().describe(&self.events_topic).unwrap().unwrap();
            topic.partitions.iter().map(|range| range.end).sum::<u64>() >= events
        });
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Its exit code and its report.
    fn report(self) -> (Option<i32>, Value) {
        let output = self.child.wait_with_output().unwrap();
        let told = || panic!("{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| told()))
    }
}

#[test]
fn a_program_that_was_stopped_for_long_is_inconclusive_and_exact() {
    let Some(mut run) = LabRun::start("stopped", "6s", &[]) else { return };
    run.wait_until_stored(4000);
    run.signal("-STOP");
    thread::sleep(Duration::from_secs(20));
    run.signal("-CONT");
    let (code, report) = run.report();
    let reasons = &report["reasons"];
    assert_eq!((code, &report["causes"][0]), (Some(5), &"program_stopped".into()), "{reasons}");
    let audit = &report["audit"];
    assert_eq!((&audit["windows"], &audit["events_lost"]), (&audit["windows_exact"], &0.into()));
    assert_eq!(report["events"]["acknowledged"], 12_000);
    assert_eq!(report["events"]["consumed"], 12_000);
}

#[test]
fn records_that_the_log_lost_before_they_were_read_fail_the_audit() {
    // It fetches every two seconds.
    let fetches_rarely = [
        "broker.kafka.properties.fetch.min.bytes=100000000",
        "broker.kafka.properties.fetch.wait.max.ms=2000",
    ];
    let Some(mut run) = LabRun::start("lost", "5s", &fetches_rarely) else { return };
    run.wait_until_stored(4000);
    let topic = run.events_topic.clone();
    run.lab.admin().truncate(&topic).unwrap();
    let (code, report) = run.report();
    assert_eq!(code, Some(4), "{}", report["reasons"]);
    let causes = report["causes"].as_array().unwrap();
    assert!(causes.contains(&"records_lost".into()), "{}", report["reasons"]);
    assert!(report["audit"]["events_missing"].as_u64() > Some(0));
}

#[test]
fn a_record_of_another_program_in_the_runs_own_topic_fails_its_audit() {
    let Some(mut run) = LabRun::start("foreign", "3s", &[]) else { return };
    run.wait_until_stored(2000);
    let stranger = Event { event_time_ns: 0, campaign_id: 1, produce_time: 0 }.python();
    run.lab.write(&run.events_topic, "none", [(0, Some(stranger.as_bytes()))]);
    let (code, report) = run.report();
    let found = (code, &report["causes"][0], &report["events"]["strangers"]);
    assert_eq!(found, (Some(4), &"unexplained_records".into(), &1.into()), "{}", report["reasons"]);
}
