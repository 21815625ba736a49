//! Ways to be fooled: for each a client, a broker, a clock or a reader that does it, and the
//! verdict, the culprit and the exit code that must come of it. (What lies about single records is
//! in `audit.rs`.)

use std::collections::VecDeque;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use streamgauge::daemon::foreground::Foreground;
use streamgauge_actors::{
    Ack, Broker, BrokerDescription, Cause, EventReader, EventWriter, Limit, MILLISECOND, Nanos,
    PortError, Rate, Record, RunSpec, SECOND, Sent, SharedClock, Span, StartAt, TopicAdmin,
    Verdict, WriterRole, testing::small_spec,
};
use tempfile::TempDir;

use streamgauge_support::runs;

/// What is wrong with a broker, or with what reads from it.
#[derive(Clone, Copy, Debug)]
enum Trick {
    /// Nothing.
    Honest,
    /// The broker takes so many events a second.
    SlowBroker(f64),
    /// The reader of events takes so long for each.
    SlowReader(Duration),
    /// The broker's clock is off by so many milliseconds.
    OtherClock(i64),
}

/// A broker with a trick.
struct Liar {
    inner: Arc<dyn Broker>,
    spec: RunSpec,
    clock: SharedClock,
    trick: Trick,
}

impl Broker for Liar {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        self.inner.describe()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        self.inner.admin()
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        let inner = self.inner.writer(topic, role)?;
        match self.trick {
            Trick::SlowBroker(per_second) if topic == self.spec.topics.events => {
                let clock = Arc::clone(&self.clock);
                let waiting = VecDeque::new();
                Ok(Box::new(SlowWriter { inner, clock, per_second, waiting, free_ns: 0 }))
            }
            _ => Ok(inner),
        }
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        let inner = self.inner.reader(topic, start)?;
        let is_events = topic == self.spec.topics.events;
        let (per_record, clock_ms) = match self.trick {
            Trick::SlowReader(per_record) if is_events => (per_record, 0),
            Trick::OtherClock(clock_ms) if !is_events => (Duration::ZERO, clock_ms),
            _ => return Ok(inner),
        };
        Ok(Box::new(OddReader { inner, per_record, clock_ms }))
    }
}

/// Passes records on no faster than so many a second, and holds a few thousand.
struct SlowWriter {
    inner: Box<dyn EventWriter>,
    clock: SharedClock,
    per_second: f64,
    waiting: VecDeque<(u32, Vec<u8>, Vec<u8>, u64)>,
    /// When the next record may go.
    free_ns: Nanos,
}

impl EventWriter for SlowWriter {
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
        if self.waiting.len() >= 5000 {
            return Ok(Sent::Full);
        }
        self.waiting.push_back((partition, key.to_vec(), payload.to_vec(), token));
        Ok(Sent::Ok)
    }

    fn poll_acks(
        &mut self,
        budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        let now = self.clock.now();
        self.free_ns = self.free_ns.max(now - 50 * MILLISECOND);
        while self.free_ns <= now
            && let Some((partition, key, payload, token)) = self.waiting.front()
        {
            if self.inner.send(*partition, key, payload, *token)? == Sent::Full {
                break;
            }
            self.waiting.pop_front();
            self.free_ns += (SECOND as f64 / self.per_second) as Nanos;
        }
        if self.inner.in_flight() == 0 {
            thread::sleep(budget);
        }
        self.inner.poll_acks(Duration::ZERO, visit)
    }

    fn in_flight(&self) -> u64 {
        self.inner.in_flight() + self.waiting.len() as u64
    }
}

/// Takes its time for every record, and shows the times of another clock.
struct OddReader {
    inner: Box<dyn EventReader>,
    per_record: Duration,
    clock_ms: i64,
}

impl EventReader for OddReader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let Self { inner, per_record, clock_ms } = self;
        // A turn is short, however slow.
        let most = if per_record.is_zero() { max_records } else { 10 };
        let visited = inner.poll(budget, most, &mut |record| {
            let timestamp_ns = record.timestamp_ns + *clock_ms * MILLISECOND;
            visit(Record { timestamp_ns, ..record });
        })?;
        thread::sleep(*per_record * visited as u32);
        Ok(visited)
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        self.inner.set_paused(partition, paused)
    }

    fn lag(&mut self) -> u64 {
        self.inner.lag()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.inner.lag_of(partition)
    }
}

/// A run of 4,000 events a second for 6 s, judged in full but for single late events: the machine
/// of a test may be busy.
fn spec(name: &str) -> RunSpec {
    small_spec(name).with(|spec| {
        spec.workload.producers = 1;
        spec.workload.rate = Rate(4000.0);
        spec.workload.duration = Span::from_nanos(6 * SECOND);
        spec.workload.window = Span::from_nanos(SECOND);
        spec.workload.send_delay_limit = Span::from_nanos(60 * SECOND);
        spec.workload.least_judged = Span::from_nanos(5 * SECOND);
        spec.aggregator.count = 1;
    })
}

/// How a run with a trick was judged.
struct Judged {
    cause: Cause,
    verdict: Verdict,
    code: u8,
    limit: Option<Limit>,
    texts: Vec<String>,
    /// Whether our own threads did not get the processor that they asked for.
    is_starved: bool,
}

/// Plays a run with this trick.
fn judged(trick: Trick) -> Judged {
    let clock = runs::clock();
    let spec = spec("liar");
    let inner = runs::embedded(&clock);
    let broker = Liar { inner, spec: spec.clone(), clock: Arc::clone(&clock), trick };
    let host = Foreground::start().unwrap();
    let outcome = runs::play(&host, runs::plan(spec, Arc::new(broker), &clock));
    let sustained = outcome.sustained();
    let judgement = outcome.judge(&sustained);
    Judged {
        cause: judgement.cause(),
        verdict: judgement.verdict(),
        code: judgement.exit_code(),
        limit: sustained.limit,
        texts: judgement.texts(),
        is_starved: outcome.series.iter().any(|second| second.load.cpu_wait > 0.05),
    }
}

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
        (thread::spawn(move || judged(trick)), trick, (cause, code, limit))
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
