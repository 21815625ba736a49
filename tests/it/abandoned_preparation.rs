//! A run can be abandoned at any moment of its preparation, whatever its broker does: orders are
//! answered, the next run begins, and what was made is removed once the broker goes on.

use std::sync::{Arc, Condvar, Mutex};

use streamgauge::daemon::foreground::Foreground;
use streamgauge_actors::{
    Broker, BrokerDescription, Ending, EventReader, EventWriter, MILLISECOND, PortError,
    RestartRun, RunPlan, RunState, Span, StartAt, StopMode, StopRun, TopicAdmin, TopicDescription,
    TopicSpec, WriterRole, testing::small_spec,
};

use streamgauge_support::wait_for;

use streamgauge_support::runs::{self, clock, embedded, outcome, start, wait_until};

/// Where a broker hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Describe,
    /// The topic is made, and nobody is told.
    CreateEvents,
    CreateResults,
    Reader,
    Writers,
}

/// Whether somebody hangs, and whether they may go on.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, bool)>,
    bell: Condvar,
}

impl Gate {
    fn hang(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        drop(self.bell.wait_while(state, |state| !state.1).unwrap());
    }

    fn is_reached(&self) -> bool {
        self.state.lock().unwrap().0
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.bell.notify_all();
    }
}

/// A broker that hangs in one step.
#[derive(Clone)]
struct HangingBroker {
    inner: Arc<dyn Broker>,
    step: Step,
    gate: Arc<Gate>,
}

impl HangingBroker {
    fn pass(&self, step: Step) {
        if step == self.step {
            self.gate.hang();
        }
    }
}

struct HangingAdmin(Box<dyn TopicAdmin>, HangingBroker);

impl Broker for HangingBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        self.pass(Step::Describe);
        self.inner.describe()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        Ok(Box::new(HangingAdmin(self.inner.admin()?, self.clone())))
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        self.pass(Step::Writers);
        self.inner.writer(topic, role)
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        self.pass(Step::Reader);
        self.inner.reader(topic, start)
    }
}

impl TopicAdmin for HangingAdmin {
    fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError> {
        self.0.create(topic)?;
        let is_events = topic.name.ends_with("events");
        self.1.pass(if is_events { Step::CreateEvents } else { Step::CreateResults });
        Ok(())
    }

    fn delete(&mut self, topic: &str) -> Result<(), PortError> {
        self.0.delete(topic)
    }

    fn describe(&mut self, topic: &str) -> Result<Option<TopicDescription>, PortError> {
        self.0.describe(topic)
    }

    fn list(&mut self) -> Result<Vec<String>, PortError> {
        self.0.list()
    }

    fn truncate(&mut self, topic: &str) -> Result<(), PortError> {
        self.0.truncate(topic)
    }
}

fn plan(run_id: &str, broker: Arc<dyn Broker>) -> RunPlan {
    let spec = small_spec(run_id).with(|spec| {
        spec.workload.duration = Span::from_nanos(200 * MILLISECOND);
        spec.workload.window = Span::from_nanos(100 * MILLISECOND);
    });
    runs::plan(spec, broker, &clock())
}

fn topics(broker: &Arc<dyn Broker>) -> usize {
    broker.admin().unwrap().list().unwrap().len()
}

#[test]
fn a_run_whose_broker_hangs_is_abandoned_at_once_and_leaves_nothing() {
    for step in
        [Step::Describe, Step::CreateEvents, Step::CreateResults, Step::Reader, Step::Writers]
    {
        let host = Foreground::start().unwrap();
        let (inner, gate) = (embedded(&clock()), Arc::<Gate>::default());
        let broker = HangingBroker { inner: Arc::clone(&inner), step, gate: Arc::clone(&gate) };
        start(&host, plan("hanging", Arc::new(broker)));
        wait_for("the broker hangs", || gate.is_reached());
        wait_until(&host, "it is being prepared", |status| status.state == RunState::Preparing);
        // By a stop or a restart; the gate is closed all the time.
        if step == Step::CreateResults {
            let next = Arc::new(plan("next", Arc::clone(&inner)));
            let restart = RestartRun { run_id: None, mode: StopMode::Abandon, plan: next };
            host.ask(restart).unwrap().unwrap();
        } else {
            host.ask(StopRun { run_id: None, mode: StopMode::Drain }).unwrap().unwrap();
        }
        let abandoned = outcome(&host);
        assert_eq!(abandoned.ending, Ending::Stopped { drained: false }, "{step:?}");
        if step != Step::CreateResults {
            start(&host, plan("next", Arc::clone(&inner)));
        }
        let next = outcome(&host);
        assert_eq!((next.spec.run_id.as_str(), &next.ending), ("next", &Ending::Completed));
        assert!(next.counters.acknowledged > 0, "{step:?}");
        gate.open();
        wait_for("its topics are removed", || topics(&inner) == 0);
        wait_until(&host, "nothing is left", |status| status.leaving == 0);
    }
}

#[test]
fn the_end_of_the_process_waits_for_the_topics_of_an_abandoned_run() {
    let host = Foreground::start().unwrap();
    let (inner, gate) = (embedded(&clock()), Arc::<Gate>::default());
    let (step, shared) = (Step::CreateEvents, Arc::clone(&gate));
    let broker = HangingBroker { inner: Arc::clone(&inner), step, gate: shared };
    start(&host, plan("hanging", Arc::new(broker)));
    wait_for("the broker hangs", || gate.is_reached());
    host.ask(StopRun { run_id: None, mode: StopMode::Abandon }).unwrap().unwrap();
    assert_eq!(outcome(&host).ending, Ending::Stopped { drained: false });
    assert_eq!(topics(&inner), 1);
    let opener = std::thread::spawn(move || gate.open());
    drop(host);
    opener.join().unwrap();
    assert_eq!(topics(&inner), 0);
}
