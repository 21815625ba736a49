//! A stage that fails ends its run as failed, with the stage and the cause named; an order that
//! makes no sense is refused, with the reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use streamgauge::daemon::foreground::Foreground;
use streamgauge_actors::{
    Ack, ArrivalKind, Broker, BrokerDescription, Cause, Ending, EventReader, EventWriter,
    FindingKind, KnownLoss, LossKind, MILLISECOND, PortError, Record, RestartRun, RunOutcome,
    RunPlan, RunSpec, RunState, SECOND, Sent, SetRate, SharedClock, Span, StageId, StartAt,
    StartRun, StopMode, StopRun, Sustained, TopicAdmin, Verdict, WriterRole,
    testing::{Fault, FaultKind, FaultyBroker, small_spec},
};

use streamgauge_support::runs::{self, outcome, play, start, wait_for_state};

/// How long a port freezes.
const FREEZE: Duration = Duration::from_secs(2);
/// Past the time-out, and past the time that the teardown waits, which is as long.
const FREEZE_INTO: Duration = Duration::from_millis(3300);
/// What a run that freezes allows.
const HEARTBEAT_TIMEOUT_NS: i64 = 1500 * MILLISECOND;
/// Calls that a port answers before it fails.
const GOOD_CALLS: u32 = 20;

/// How a port fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Error,
    Panic,
    PanicInReport,
    Freeze,
    /// Until the next run is under way.
    FreezeInto,
    FreezeForever,
    Unreachable,
    /// The reader learns of a loss.
    Loss,
}

/// Which port fails; the first of its kind that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Broker,
    EventsWriter,
    EventsReader,
    ResultsWriter,
    ResultsReader,
}

struct FailingBroker {
    inner: Arc<dyn Broker>,
    events_topic: String,
    port: Port,
    failure: Failure,
    made: AtomicU32,
}

impl FailingBroker {
    fn trap(&self, port: Port) -> Trap {
        let armed = port == self.port && self.made.fetch_add(1, Ordering::Relaxed) == 0;
        Trap { failure: armed.then_some(self.failure), calls: 0 }
    }
}

struct Trap {
    failure: Option<Failure>,
    calls: u32,
}

impl Trap {
    fn spring(&mut self) -> Result<(), PortError> {
        self.calls += 1;
        match self.failure {
            Some(Failure::Error) if self.calls > GOOD_CALLS => {
                Err(PortError::fatal("the disk is on fire"))
            }
            Some(Failure::Panic) if self.calls > GOOD_CALLS => {
                panic!("index out of bounds in the client")
            }
            Some(Failure::Freeze) if self.calls == GOOD_CALLS => {
                std::thread::sleep(FREEZE);
                Ok(())
            }
            Some(Failure::FreezeInto) if self.calls == GOOD_CALLS => {
                std::thread::sleep(FREEZE_INTO);
                Ok(())
            }
            Some(Failure::FreezeForever) if self.calls == GOOD_CALLS => loop {
                std::thread::park();
            },
            _ => Ok(()),
        }
    }
}

struct FailingWriter(Box<dyn EventWriter>, Trap);

impl EventWriter for FailingWriter {
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
        self.0.send(partition, key, payload, token)
    }

    fn poll_acks(
        &mut self,
        budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        self.1.spring()?;
        self.0.poll_acks(budget, visit)
    }

    fn in_flight(&self) -> u64 {
        self.0.in_flight()
    }
}

struct FailingReader(Box<dyn EventReader>, Trap);

impl EventReader for FailingReader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        self.1.spring()?;
        self.0.poll(budget, max_records, visit)
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        self.0.set_paused(partition, paused)
    }

    fn lag(&mut self) -> u64 {
        assert!(
            self.1.failure != Some(Failure::PanicInReport),
            "index out of bounds in the client"
        );
        self.0.lag()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.0.lag_of(partition)
    }

    fn take_losses(&mut self, visit: &mut dyn FnMut(KnownLoss)) {
        if self.1.failure == Some(Failure::Loss) && self.1.calls == GOOD_CALLS {
            visit(KnownLoss { partition: 1, first: 7, records: 3, kind: LossKind::Cut });
        }
    }
}

impl Broker for FailingBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        match (self.port, self.failure) {
            (Port::Broker, Failure::Unreachable) => {
                Err(PortError::fatal("127.0.0.1:1 cannot be reached"))
            }
            (Port::Broker, Failure::Panic) => panic!("index out of bounds in the client"),
            (Port::Broker, Failure::Freeze) => {
                std::thread::sleep(FREEZE);
                self.inner.describe()
            }
            _ => self.inner.describe(),
        }
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        self.inner.admin()
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        let port =
            if topic == self.events_topic { Port::EventsWriter } else { Port::ResultsWriter };
        Ok(Box::new(FailingWriter(self.inner.writer(topic, role)?, self.trap(port))))
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        let port =
            if topic == self.events_topic { Port::EventsReader } else { Port::ResultsReader };
        Ok(Box::new(FailingReader(self.inner.reader(topic, start)?, self.trap(port))))
    }
}

fn spec(failure: Failure) -> RunSpec {
    let mut spec = small_spec("failing");
    // Windows often enough for the ports of the results to be called.
    spec.workload.window = Span::from_nanos(20 * MILLISECOND);
    spec.workload.duration = Span::from_nanos(2 * SECOND);
    if matches!(failure, Failure::Freeze | Failure::FreezeInto | Failure::FreezeForever) {
        spec.supervisor.heartbeat_timeout = Span::from_nanos(HEARTBEAT_TIMEOUT_NS);
    }
    spec
}

/// A run whose port fails, and what its broker stands on.
fn failing(port: Port, failure: Failure) -> (RunPlan, Arc<dyn Broker>, SharedClock) {
    let (clock, spec) = (runs::clock(), spec(failure));
    let inner = runs::embedded(&clock);
    let broker = Arc::new(FailingBroker {
        inner: Arc::clone(&inner),
        events_topic: spec.topics.events.clone(),
        port,
        failure,
        made: AtomicU32::new(0),
    });
    (runs::plan(spec, broker, &clock), inner, clock)
}

/// Plays a run whose port fails, and another one after it in the same process, which passes. Gives
/// the failed one.
fn failed(port: Port, failure: Failure) -> Arc<RunOutcome> {
    let (plan, inner, clock) = failing(port, failure);
    let host = Foreground::start().unwrap();
    let failed = play(&host, plan);
    assert!(inner.admin().unwrap().list().unwrap().is_empty(), "its topics are deleted");
    let judgement = failed.judge(&Sustained::default());
    assert_eq!(
        (judgement.verdict(), judgement.exit_code()),
        (Verdict::Fail, 1),
        "{:?}",
        judgement.texts()
    );
    let after = play(&host, runs::plan(small_spec("after"), inner, &clock));
    let judgement = after.judge(&Sustained::default());
    assert_eq!(judgement.verdict(), Verdict::Pass, "{:?}", judgement.texts());
    failed
}

#[track_caller]
fn blames(outcome: &RunOutcome, blamed: Option<StageId>, words: &str) {
    let Ending::Failed { stage, cause, .. } = &outcome.ending else {
        panic!("{:?}", outcome.ending)
    };
    assert_eq!(*stage, blamed, "{cause}");
    assert!(cause.contains(words), "{cause}");
}

#[test]
fn a_port_that_errs_ends_the_run_and_its_stage_is_named() {
    let stages = [
        (Port::EventsWriter, StageId::Producer(0)),
        (Port::EventsReader, StageId::WindowAggregator(0)),
        (Port::ResultsWriter, StageId::ResultWriter),
        (Port::ResultsReader, StageId::Latency),
    ];
    for (port, stage) in stages {
        blames(&failed(port, Failure::Error), Some(stage), "the disk is on fire");
    }
}

#[test]
fn a_stage_that_panics_ends_the_run_and_is_named() {
    let stages = [
        (Port::EventsWriter, StageId::Producer(0)),
        (Port::EventsReader, StageId::WindowAggregator(0)),
        (Port::ResultsWriter, StageId::ResultWriter),
        (Port::ResultsReader, StageId::Latency),
    ];
    for (port, stage) in stages {
        blames(
            &failed(port, Failure::Panic),
            Some(stage),
            "panicked: index out of bounds in the client",
        );
    }
}

#[test]
fn a_panic_outside_of_turns_ends_the_run_all_the_same() {
    let words = "panicked: index out of bounds in the client";
    blames(
        &failed(Port::EventsReader, Failure::PanicInReport),
        Some(StageId::WindowAggregator(0)),
        words,
    );
    blames(&failed(Port::Broker, Failure::Panic), None, words);
}

/// Also where every event had been counted before it was lost.
#[test]
fn what_a_log_has_lost_is_held_against_the_run_and_does_not_end_it() {
    for port in [Port::EventsReader, Port::ResultsReader] {
        let outcome = play(&Foreground::start().unwrap(), failing(port, Failure::Loss).0);
        assert_eq!(outcome.ending, Ending::Completed);
        assert!(outcome.audit().unwrap().exact(), "every count is right");
        let judgement = outcome.judge(&Sustained::default());
        assert_eq!((judgement.cause(), judgement.exit_code()), (Cause::RecordsLost, 4));
        assert_eq!(judgement.texts()[0], "3 record(s) lost by the log");
        let [finding] = &outcome.findings[..] else { panic!("{:?}", outcome.findings) };
        let found = (finding.kind, finding.partition, finding.count);
        assert_eq!(found, (FindingKind::RecordsLost, Some(1), 3));
    }
}

#[test]
fn a_frozen_stage_ends_the_run_and_is_named() {
    blames(
        &failed(Port::EventsReader, Failure::Freeze),
        Some(StageId::WindowAggregator(0)),
        "heartbeat_timeout",
    );
}

#[test]
fn a_frozen_producer_ends_the_run_and_is_named() {
    blames(
        &failed(Port::EventsWriter, Failure::Freeze),
        Some(StageId::Producer(0)),
        "heartbeat_timeout",
    );
}

/// The freeze ends while the next run is under way: the stage that was left behind must not meddle
/// in it.
#[test]
fn a_stage_left_behind_that_wakes_up_says_nothing() {
    let wakes_after = Failure::FreezeInto;
    blames(
        &failed(Port::EventsReader, wakes_after),
        Some(StageId::WindowAggregator(0)),
        "heartbeat_timeout",
    );
}

#[test]
fn a_stage_that_is_frozen_for_good_is_left_behind() {
    let blamed = Some(StageId::ResultWriter);
    blames(&failed(Port::ResultsWriter, Failure::FreezeForever), blamed, "heartbeat_timeout");
}

#[test]
fn a_broker_out_of_reach_fails_before_any_stage() {
    blames(&failed(Port::Broker, Failure::Unreachable), None, "127.0.0.1:1 cannot be reached");
}

const DRAIN: StopRun = StopRun { run_id: None, mode: StopMode::Drain };
const ABANDON: StopRun = StopRun { run_id: None, mode: StopMode::Abandon };
const FASTER: SetRate = SetRate { run_id: None, events_per_second: 3000.0 };

#[track_caller]
fn refused(
    answer: anyhow::Result<Result<(), streamgauge_actors::Refusal>>,
    state: RunState,
    words: &str,
) {
    let refusal = answer.unwrap().expect_err("the order is refused");
    assert_eq!(refusal.state, state, "{refusal}");
    assert!(refusal.reason.contains(words), "{refusal}");
}

#[test]
fn orders_are_refused_with_the_reason_where_they_make_no_sense() {
    let clock = runs::clock();
    let embedded = runs::embedded(&clock);
    let host = Foreground::start().unwrap();
    for stop in [DRAIN, ABANDON] {
        refused(host.ask(stop), RunState::Idle, "no run is under way");
    }
    refused(host.ask(FASTER), RunState::Idle, "no run is under way");

    // While it is draining: a lost result is waited for, for a while.
    let mut draining = small_spec("draining");
    draining.workload.window = Span::from_nanos(100 * MILLISECOND);
    draining.workload.duration = Span::from_nanos(400 * MILLISECOND);
    let lost = vec![Fault { kind: FaultKind::DropResult, after_records: 0 }];
    let broker = Arc::new(FaultyBroker::new(Arc::clone(&embedded), &draining, lost));
    let plan = Arc::new(runs::plan(draining, broker, &clock));
    host.ask(StartRun { plan: Arc::clone(&plan) }).unwrap().unwrap();
    wait_for_state(&host, RunState::Running);
    refused(host.ask(StartRun { plan }), RunState::Running, "a run is under way");
    refused(
        host.ask(SetRate { run_id: None, events_per_second: 0.0 }),
        RunState::Running,
        "more than 0",
    );
    host.ask(FASTER).unwrap().unwrap();
    wait_for_state(&host, RunState::Draining);
    refused(host.ask(DRAIN), RunState::Draining, "draining already");
    refused(host.ask(FASTER), RunState::Draining, "producers have stopped");
    host.ask(ABANDON).unwrap().unwrap();
    assert_eq!(outcome(&host).ending, Ending::Stopped { drained: false });
    refused(host.ask(DRAIN), RunState::Stopped, "no run is under way");

    let closed_loop = small_spec("max").with(|spec| {
        spec.workload.arrivals = ArrivalKind::Max;
    });
    start(&host, runs::plan(closed_loop, Arc::clone(&embedded), &clock));
    wait_for_state(&host, RunState::Running);
    refused(host.ask(FASTER), RunState::Running, "has no rate");
    host.ask(ABANDON).unwrap().unwrap();
    assert_eq!(outcome(&host).ending, Ending::Stopped { drained: false });
    assert!(embedded.admin().unwrap().list().unwrap().is_empty());
}

#[test]
fn a_run_is_stopped_or_replaced_while_it_is_being_prepared() {
    let (clock, slow) = (runs::clock(), small_spec("slow"));
    let inner = runs::embedded(&clock);
    let slow_broker = |spec: &RunSpec| FailingBroker {
        inner: Arc::clone(&inner),
        events_topic: spec.topics.events.clone(),
        port: Port::Broker,
        failure: Failure::Freeze,
        made: AtomicU32::new(0),
    };
    let host = Foreground::start().unwrap();
    start(&host, runs::plan(slow.clone(), Arc::new(slow_broker(&slow)), &clock));
    refused(host.ask(FASTER), RunState::Preparing, "still being prepared");
    let plan = Arc::new(runs::plan(small_spec("next"), Arc::clone(&inner), &clock));
    refused(
        host.ask(StartRun { plan: Arc::clone(&plan) }),
        RunState::Preparing,
        "a run is under way",
    );
    host.ask(RestartRun { run_id: None, mode: StopMode::Drain, plan }).unwrap().unwrap();
    let stopped = outcome(&host);
    assert_eq!(
        (stopped.ending.clone(), &*stopped.spec.run_id),
        (Ending::Stopped { drained: false }, "slow")
    );
    let next = outcome(&host);
    assert_eq!(
        (next.judge(&Sustained::default()).verdict(), &*next.spec.run_id),
        (Verdict::Pass, "next")
    );
    assert!(inner.admin().unwrap().list().unwrap().is_empty());
}
