//! What a run on Kafka makes of a slow, narrow, deaf or cut way to the broker: every count stays
//! exact, and a run that cannot go on ends in time, and says why.

use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use streamgauge::broker::kafka::KafkaBroker;
use streamgauge::daemon::foreground::Foreground;
use streamgauge_actors::{
    Broker, BrokerDescription, EventReader, EventWriter, PortError, StartAt, Sustained, TopicAdmin,
    WriterRole,
};
use streamgauge_support::kafka::{self, ProxiedKafka};
use streamgauge_support::proxy::LinkFault;
use streamgauge_support::{liar, runs, wait_for};

use crate::support::blame::{assert_blames_broker, assert_kept_up};
use crate::support::lab::Lab;

/// Events a second.
const RATE: u64 = 4000;

/// The least that an event takes on its way to the broker.
const EVENT_BYTES: u64 = 300;

/// A run of six seconds behind a proxy.
struct LinkRun {
    lab: Lab,
    kafka: ProxiedKafka,
    child: Child,
}

impl LinkRun {
    /// Starts it, with more settings.
    fn start(name: &str, settings: &[&str]) -> Option<Self> {
        let (lab, kafka) = Lab::proxied(name)?;
        let rate = RATE.to_string();
        let run = ["run", "smoke", "-q", "-o", "json", "--keep-topics", "--rate", &rate];
        let judged = ["--duration", "6s", "--set", "workload.least_judged=5s"];
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = run.into_iter().chain(judged).chain(settings).collect();
        let child = lab.start(&arguments);
        Some(Self { lab, kafka, child })
    }

    /// Waits until it has sent about so many seconds of its events.
    fn wait_until_sent(&mut self, seconds: u64) {
        let bytes = seconds * RATE * EVENT_BYTES;
        wait_for("the run's events pass", || {
            assert_eq!(self.child.try_wait().unwrap(), None, "it has ended");
            self.kafka.proxy.passed().0 > bytes
        });
    }

    /// Its exit code, and its report. Every event that it says was acknowledged is in the topic,
    /// once, and all windows are exact.
    fn exact_report(mut self) -> (Option<i32>, Value) {
        let (code, report, told) = self.report();
        let audit = &report["audit"];
        assert_eq!(audit["windows"], audit["windows_exact"], "{told}");
        assert_eq!(audit["events_duplicated"], 0);
        let events = &report["events"];
        assert_eq!((&events["acknowledged"], &audit["unknown"]), (&events["produced"], &0.into()));
        let topic = format!("{}.{}.events", self.lab.prefix, report["run_id"].as_str().unwrap());
        let stored = self.lab.read(&topic).iter().filter(|record| record.key.is_empty()).count();
        assert_eq!(events["acknowledged"], stored);
        (code, report)
    }

    /// The report of a run that kept up in the end, and is exact.
    #[track_caller]
    fn passes(self) -> Value {
        let (code, report) = self.exact_report();
        assert_kept_up(code, &report);
        report
    }

    /// Its exit code, its report, and what it said.
    fn report(&mut self) -> (Option<i32>, Value, String) {
        let read = |pipe: &mut dyn std::io::Read| {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        };
        let answer = read(&mut self.child.stdout.take().unwrap());
        let told = read(&mut self.child.stderr.take().unwrap());
        let code = self.child.wait().unwrap().code();
        let report = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{told}"));
        (code, report, told)
    }
}

impl Drop for LinkRun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_far_broker_passes_and_its_latency_is_seen() {
    let Some(run) = LinkRun::start("far", &[]) else { return };
    run.kafka.proxy.set(LinkFault::Latency(Duration::from_millis(50)));
    let report = run.passes();
    let p50_ms = report["latency"]["publish_latency"]["p50_ms"].as_f64().unwrap();
    assert!(p50_ms >= 100.0, "there and back: {p50_ms}");
}

#[test]
fn a_cut_in_the_middle_is_mended_and_nothing_is_lost_or_doubled() {
    let Some(mut run) = LinkRun::start("cut", &[]) else { return };
    run.wait_until_sent(2);
    run.kafka.proxy.set(LinkFault::Cut);
    std::thread::sleep(Duration::from_secs(1));
    run.kafka.proxy.set(LinkFault::None);
    run.passes();
}

#[test]
fn a_half_open_connection_is_given_up_and_made_anew() {
    let timeout = "broker.kafka.properties.socket.timeout.ms=1000";
    let Some(mut run) = LinkRun::start("half-open", &[timeout]) else { return };
    run.wait_until_sent(2);
    run.kafka.proxy.set(LinkFault::HalfOpen);
    std::thread::sleep(Duration::from_millis(500));
    run.kafka.proxy.set(LinkFault::None);
    run.passes();
}

#[test]
fn a_broker_that_hears_nothing_any_more_ends_the_run_in_time() {
    let short = [
        "supervisor.catch_up_timeout=1s",
        "supervisor.drain_timeout=2s",
        "broker.kafka.admin_timeout=3s",
    ];
    let Some(mut run) = LinkRun::start("deaf", &short) else { return };
    run.wait_until_sent(2);
    run.kafka.proxy.set(LinkFault::HalfOpen);
    let (code, report, told) = run.report();
    assert_eq!((code, &report["causes"][0]), (Some(1), &"stage_failed".into()), "{told}");
    assert!(report["reasons"][0].as_str().unwrap().contains("supervisor.drain_timeout"), "{told}");
}

#[test]
fn a_way_too_narrow_for_the_load_is_the_brokers_limit() {
    let Some(run) = LinkRun::start("narrow", &[]) else { return };
    run.kafka.proxy.set(LinkFault::Throttle(RATE * EVENT_BYTES * 3 / 4));
    let (code, report) = run.exact_report();
    assert_blames_broker(code, &report);
}

/// A Kafka whose results are read through a proxy, and nothing else.
struct ResultsByProxy {
    direct: KafkaBroker,
    by_proxy: KafkaBroker,
    results_topic: String,
}

impl Broker for ResultsByProxy {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        self.direct.describe()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        self.direct.admin()
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        self.direct.writer(topic, role)
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        let is_results = topic == self.results_topic;
        let broker = if is_results { &self.by_proxy } else { &self.direct };
        broker.reader(topic, start)
    }
}

/// Longer than results are waited for where the log has no more.
const AWAY: Duration = Duration::from_secs(8);

/// A run of six windows whose results cannot be read from its fifth second on.
fn results_come_late(fault: LinkFault) {
    let Some(kafka) = kafka::proxied() else { return };
    let spec = liar::spec(&format!("late-results-{}-{fault:?}", std::process::id()));
    let broker_at = |address: &str| kafka::broker_with(&kafka::settings_at(address));
    let broker = ResultsByProxy {
        direct: broker_at(kafka.servers),
        by_proxy: broker_at(&kafka.proxy.address()),
        results_topic: spec.topics.results.clone(),
    };
    let clock = runs::clock();
    let host = Foreground::start().unwrap();
    runs::start(&host, runs::plan(spec, Arc::new(broker), &clock));
    runs::wait_until(&host, "its fifth second", |status| status.elapsed_s > 4.5);
    kafka.proxy.set(fault);
    std::thread::sleep(AWAY);
    kafka.proxy.set(LinkFault::None);
    let outcome = runs::outcome(&host);
    let judgement = outcome.judge(&Sustained::default());
    assert_eq!(judgement.exit_code(), 0, "{:?}", judgement.texts());
    let audit = &outcome.measures.as_ref().unwrap().audit;
    assert_eq!((audit.windows, audit.windows_exact, audit.results_missing), (6, 6, 0));
}

#[test]
fn results_that_a_cut_keeps_back_are_waited_for() {
    results_come_late(LinkFault::Cut);
}

#[test]
fn results_that_a_half_open_connection_keeps_back_are_waited_for() {
    results_come_late(LinkFault::HalfOpen);
}
