//! A run's whole life under the supervisor: it leaves nothing behind, and it ends whatever its stages do.

use std::sync::Arc;
use std::time::Duration;

use streamgauge::broker::embedded::{EmbeddedBroker, EmbeddedSettings};
use streamgauge::foreground::Host;
use streamgauge_actors::clock::{MILLISECOND, RunClock, SECOND};
use streamgauge_actors::messages::{RestartRun, SetRate, StartRun, StopMode, StopRun};
use streamgauge_actors::outcome::{Ending, RunOutcome};
use streamgauge_actors::pipeline::{Mode, RunPlan};
use streamgauge_actors::ports::{
    Broker, BrokerDescription, EventReader, EventWriter, PortError, Record, StartAt, TopicAdmin, WriterRole,
};
use streamgauge_actors::spec::RunSpec;
use streamgauge_actors::testing::{NoDeadLetters, small_spec};

const DEADLINE: Duration = Duration::from_secs(40);

fn plan(broker: Arc<dyn Broker>, clock: Arc<RunClock>, id: &str) -> RunPlan {
    RunPlan {
        spec: RunSpec { window_ns: 50 * MILLISECOND, duration_ns: 3600 * SECOND, ..small_spec(id) },
        mode: Mode::Run,
        broker,
        clock,
        create_events_topic: true,
        create_results_topic: true,
        events_retention_bytes: None,
        keep_topics: false,
        truth: None,
        dead_letters: Arc::new(|_| Box::new(NoDeadLetters)),
    }
}

fn world() -> (EmbeddedBroker, Arc<RunClock>) {
    let clock = Arc::new(RunClock::start());
    (EmbeddedBroker::new(&EmbeddedSettings::default(), clock.clone()), clock)
}

/// None where there is no such folder: only Linux tells.
fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn twenty_runs_leave_no_thread_descriptor_or_topic() {
    if std::env::var_os("STREAMGAUGE_ALONE").is_none() {
        // Counting takes a process of its own.
        let me = std::env::current_exe().unwrap();
        let name = "twenty_runs_leave_no_thread_descriptor_or_topic";
        let child = std::process::Command::new(me).args(["--exact", name]).env("STREAMGAUGE_ALONE", "1").status();
        assert!(child.unwrap().success());
        return;
    }
    let (broker, clock) = world();
    let host = Host::start().unwrap();
    let mut before = None;
    for round in 0..20 {
        let plan = |id: &str, stopped: bool| {
            let mut plan = plan(Arc::new(broker.clone()), clock.clone(), &format!("run-{round}{id}"));
            if !stopped {
                plan.spec.duration_ns = 150 * MILLISECOND;
            }
            Arc::new(plan)
        };
        host.ask(StartRun { plan: plan("", round % 4 != 0) }).unwrap().unwrap();
        match round % 4 {
            1 => host.ask(StopRun { mode: StopMode::Abandon }).unwrap().unwrap(),
            2 => {
                host.ask(RestartRun { mode: StopMode::Drain, plan: plan("-again", false) }).unwrap().unwrap();
                assert!(matches!(host.outcome(DEADLINE).unwrap().ending, Ending::Stopped { .. }));
            }
            3 => {
                let drained = wait(|| host.ask(SetRate { events_per_second: 900.0 }).unwrap().is_ok());
                assert!(drained);
                host.ask(StopRun { mode: StopMode::Drain }).unwrap().unwrap();
            }
            _ => {}
        }
        let outcome = host.outcome(DEADLINE).unwrap();
        let expected = match round % 4 {
            1 => Ending::Stopped { drained: false },
            3 => Ending::Stopped { drained: true },
            _ => Ending::Completed,
        };
        assert_eq!(outcome.ending, expected, "round {round}");
        assert_eq!(outcome.audit_failures(&Mode::Run), Vec::<String>::new());
        assert_eq!(broker.admin().unwrap().list().unwrap(), Vec::<String>::new());
        let left = || (entries("/proc/self/task"), entries("/proc/self/fd"));
        match before {
            // A helper that has sent its last message may still be on its way out.
            Some(before) => assert!(wait(|| left() == before), "round {round}: {:?}, before {before:?}", left()),
            None => before = Some(settled(left)),
        }
    }
}

/// What a count comes to once it stays for a while.
fn settled<T: PartialEq>(count: impl Fn() -> T) -> T {
    let mut last = count();
    loop {
        let changed = (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(2));
            count() != last
        });
        if !changed {
            return last;
        }
        last = count();
    }
}

fn wait(mut reached: impl FnMut() -> bool) -> bool {
    (0..5_000).any(|_| {
        let now = reached();
        if !now {
            std::thread::sleep(Duration::from_millis(1));
        }
        now
    })
}

/// How a stage's port breaks the stage.
#[derive(Clone, Copy, PartialEq)]
enum Breakage {
    PanicInTurn,
    PanicInReport,
    Freeze,
    PanicInPreparation,
}

/// The embedded log, with readers that break whoever uses them.
struct Breaking(EmbeddedBroker, Breakage);

struct BreakingReader(Box<dyn EventReader>, Breakage);

impl Broker for Breaking {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        assert!(self.1 != Breakage::PanicInPreparation, "broken");
        self.0.describe()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        self.0.admin()
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        self.0.writer(topic, role)
    }

    fn reader(&self, topic: &str, start: &[(u32, StartAt)]) -> Result<Box<dyn EventReader>, PortError> {
        let reader = self.0.reader(topic, start)?;
        Ok(if topic.ends_with(".events") { Box::new(BreakingReader(reader, self.1)) } else { reader })
    }
}

impl EventReader for BreakingReader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        assert!(self.1 != Breakage::PanicInTurn, "broken");
        if self.1 == Breakage::Freeze {
            std::thread::sleep(Duration::from_hours(1));
        }
        self.0.poll(budget, max_records, visit)
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        self.0.set_paused(partition, paused)
    }

    fn lag(&mut self) -> u64 {
        assert!(self.1 != Breakage::PanicInReport, "broken");
        self.0.lag()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.0.lag_of(partition)
    }
}

fn broken(breakage: Breakage) -> Arc<RunOutcome> {
    let (broker, clock) = world();
    let host = Host::start().unwrap();
    let mut plan = plan(Arc::new(Breaking(broker, breakage)), clock, "broken");
    plan.spec.heartbeat_timeout_ns = SECOND;
    host.ask(StartRun { plan: Arc::new(plan) }).unwrap().unwrap();
    let outcome = host.outcome(DEADLINE).expect("a run ends whatever its stages do");
    if breakage == Breakage::Freeze {
        // Its thread would be waited for.
        std::mem::forget(host);
    }
    outcome
}

#[test]
fn a_panic_anywhere_ends_the_run_and_is_named() {
    for breakage in [Breakage::PanicInTurn, Breakage::PanicInReport, Breakage::PanicInPreparation] {
        let Ending::Failed { stage, cause } = &broken(breakage).ending else { panic!("it must fail") };
        assert!(cause.contains("panicked: broken"), "{cause}");
        let named = stage.is_some_and(|stage| stage.to_string().starts_with("window-aggregator-"));
        assert_eq!(named, breakage != Breakage::PanicInPreparation, "{stage:?}");
    }
}

#[test]
fn a_frozen_stage_does_not_keep_its_run_from_ending() {
    let Ending::Failed { stage, cause } = &broken(Breakage::Freeze).ending else { panic!("it must fail") };
    assert!(stage.is_some_and(|stage| stage.to_string().starts_with("window-aggregator-")), "{stage:?}");
    assert!(cause.contains("frozen"), "{cause}");
}
