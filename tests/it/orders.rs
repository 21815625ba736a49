//! Every order in every state does what the table says (`actors/src/run/states.rs`): all cells, on
//! a supervisor that is really in that state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use streamgauge::daemon::foreground::Foreground;
use streamgauge::daemon::host::ActorHost;
use streamgauge_actors::{
    Broker, BrokerDescription, Effect, Ending, EventReader, EventWriter, GetStatus, MILLISECOND,
    OrderKind, PortError, Record, Refusal, RestartRun, RunFact, RunPlan, RunSpec, RunState, SECOND,
    SetRate, Span, StartAt, StartRun, StopMode, StopRun, TopicAdmin, WriterRole, order_effect,
    testing::small_spec,
};

use streamgauge_support::runs::{self, outcome, wait_for_state, wait_until};

/// What a broker holds back.
#[derive(Default)]
struct Holds {
    /// It does not answer: the run stays in preparation.
    answers: AtomicBool,
    /// Results do not come back: the run stays draining.
    results: AtomicBool,
    /// It is out of reach: the run fails.
    everything: AtomicBool,
}

struct Holding {
    inner: Arc<dyn Broker>,
    results_topic: String,
    holds: Arc<Holds>,
}

struct HeldReader(Box<dyn EventReader>, Arc<Holds>);

impl EventReader for HeldReader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        if self.1.results.load(Ordering::Relaxed) {
            std::thread::sleep(budget);
            return Ok(0);
        }
        self.0.poll(budget, max_records, visit)
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        self.0.set_paused(partition, paused)
    }

    fn lag(&mut self) -> u64 {
        self.0.lag()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.0.lag_of(partition)
    }
}

impl Broker for Holding {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        while self.holds.answers.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.holds.everything.load(Ordering::Relaxed) {
            return Err(PortError::reconnect("out of reach"));
        }
        self.inner.describe()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        self.inner.admin()
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        self.inner.writer(topic, role)
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        let reader = self.inner.reader(topic, start)?;
        let is_held = topic == self.results_topic;
        Ok(if is_held { Box::new(HeldReader(reader, Arc::clone(&self.holds))) } else { reader })
    }
}

/// A supervisor in some state.
struct Lab {
    host: Foreground,
    holds: Arc<Holds>,
}

fn plan(spec: RunSpec, holds: &Arc<Holds>) -> Arc<RunPlan> {
    let clock = runs::clock();
    let results_topic = spec.topics.results.clone();
    let broker = Holding { inner: runs::embedded(&clock), results_topic, holds: Arc::clone(holds) };
    Arc::new(runs::plan(spec, Arc::new(broker), &clock))
}

/// The run whose state it is about.
fn present() -> RunSpec {
    small_spec("present").with(|spec| {
        spec.workload.duration = Span::from_nanos(3600 * SECOND);
        spec.workload.window = Span::from_nanos(50 * MILLISECOND);
    })
}

fn next(holds: &Arc<Holds>) -> Arc<RunPlan> {
    plan(
        small_spec("next").with(|spec| {
            spec.workload.duration = Span::from_nanos(3600 * SECOND);
        }),
        holds,
    )
}

impl Lab {
    fn in_state(state: RunState) -> Self {
        let lab = Self { host: Foreground::start().unwrap(), holds: Arc::default() };
        let spec = match state {
            RunState::WarmingUp => present().with(|spec| {
                spec.workload.warmup = Span::from_nanos(3600 * SECOND);
            }),
            RunState::Completed => present().with(|spec| {
                spec.workload.duration = Span::from_nanos(100 * MILLISECOND);
            }),
            _ => present(),
        };
        lab.holds.answers.store(state == RunState::Preparing, Ordering::Relaxed);
        lab.holds.results.store(state == RunState::Draining, Ordering::Relaxed);
        lab.holds.everything.store(state == RunState::Failed, Ordering::Relaxed);
        if state != RunState::Idle {
            lab.host.ask(StartRun { plan: plan(spec, &lab.holds) }).unwrap().unwrap();
        }
        if matches!(state, RunState::Stopped | RunState::Draining) {
            let mode = if state == RunState::Stopped { StopMode::Abandon } else { StopMode::Drain };
            wait_until(&lab.host, "results", |status| status.counters.results_written > 0);
            lab.host.ask(StopRun { run_id: None, mode }).unwrap().unwrap();
        }
        if matches!(state, RunState::Completed | RunState::Stopped | RunState::Failed) {
            assert_eq!(outcome(&lab.host).ending.state(), state);
        }
        wait_for_state(&lab.host, state);
        lab.holds.everything.store(false, Ordering::Relaxed);
        lab
    }

    fn order(&self, order: OrderKind) -> Result<(), Refusal> {
        let run_id = None;
        let plan = next(&self.holds);
        match order {
            OrderKind::Start => self.host.ask(StartRun { plan }),
            OrderKind::StopDrain => self.host.ask(StopRun { run_id, mode: StopMode::Drain }),
            OrderKind::StopAbandon => self.host.ask(StopRun { run_id, mode: StopMode::Abandon }),
            OrderKind::Restart => {
                self.host.ask(RestartRun { run_id, mode: StopMode::Abandon, plan })
            }
            OrderKind::SetRate => self.host.ask(SetRate { run_id, events_per_second: 3000.0 }),
        }
        .unwrap()
    }

    fn let_go(&self) {
        self.holds.answers.store(false, Ordering::Relaxed);
        self.holds.results.store(false, Ordering::Relaxed);
    }

    fn check(&self, state: RunState, order: OrderKind) {
        let answer = self.order(order);
        let cell = format!("{order:?} in {state:?}");
        match order_effect(state, order) {
            Effect::Refuse(reason) => {
                assert_eq!(answer, Err(Refusal { state, reason: reason.to_owned() }), "{cell}");
                assert_eq!(self.host.ask(GetStatus).unwrap().state, state, "{cell}");
                return;
            }
            _ => assert_eq!(answer, Ok(()), "{cell}"),
        }
        match order_effect(state, order) {
            Effect::Drain => {
                wait_until(&self.host, &cell, |status| {
                    matches!(status.state, RunState::Draining | RunState::Stopped)
                });
            }
            Effect::ChangeRate => {
                let status = self.host.ask(GetStatus).unwrap();
                assert!((status.target_per_second - 3000.0).abs() < 1e-9, "{cell}");
            }
            _ => {}
        }
        self.let_go();
        match order_effect(state, order) {
            Effect::Drain => {
                assert_eq!(outcome(&self.host).ending, Ending::Stopped { drained: true }, "{cell}");
            }
            Effect::Abandon => {
                assert_eq!(
                    outcome(&self.host).ending,
                    Ending::Stopped { drained: false },
                    "{cell}"
                );
            }
            Effect::StopThenBegin => {
                assert_eq!(
                    outcome(&self.host).ending,
                    Ending::Stopped { drained: false },
                    "{cell}"
                );
                wait_until(&self.host, &cell, |status| status.run_id == "next");
            }
            Effect::Begin => wait_until(&self.host, &cell, |status| status.run_id == "next"),
            Effect::ChangeRate | Effect::Refuse(_) => {}
        }
    }
}

fn check_all(state: RunState) {
    for order in OrderKind::ALL {
        let lab = Lab::in_state(state);
        lab.check(state, order);
        lab.let_go();
        // What still runs ends, or the threads of the run would outlive the supervisor.
        if lab.host.ask(StopRun { run_id: None, mode: StopMode::Abandon }).unwrap().is_ok() {
            outcome(&lab.host);
        }
    }
}

#[test]
fn idle() {
    check_all(RunState::Idle);
}

#[test]
fn preparing() {
    check_all(RunState::Preparing);
}

#[test]
fn warming_up() {
    check_all(RunState::WarmingUp);
}

#[test]
fn running() {
    check_all(RunState::Running);
}

#[test]
fn draining() {
    check_all(RunState::Draining);
}

#[test]
fn completed() {
    check_all(RunState::Completed);
}

#[test]
fn failed() {
    check_all(RunState::Failed);
}

#[test]
fn stopped() {
    check_all(RunState::Stopped);
}

#[test]
fn an_order_is_answered_once_its_fact_is_heard() {
    let heard = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&heard);
    let host = ActorHost::start(move |fact| {
        if matches!(fact, RunFact::Accepted { .. }) {
            // An answer that did not wait would come in the meantime.
            std::thread::sleep(Duration::from_millis(200));
            told.store(true, Ordering::Relaxed);
        }
    })
    .unwrap();
    let clock = runs::clock();
    let plan = runs::plan(small_spec("heard"), runs::embedded(&clock), &clock);
    host.ask(StartRun { plan: Arc::new(plan) }).unwrap().unwrap();
    assert!(heard.load(Ordering::Relaxed));
}
