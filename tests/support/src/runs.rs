//! Runs in the process of a test, mostly on the embedded log.

use std::sync::Arc;

use streamgauge::broker::embedded::EmbeddedBroker;
use streamgauge::daemon::foreground::Foreground;
use streamgauge_actors::{
    Broker, GetStatus, Mode, RunClock, RunOutcome, RunPlan, RunSpec, RunState, RunStatus,
    SharedClock, StartRun, testing::NoDeadLetters,
};

use crate::{DEADLINE, wait_for};

/// The clock of a run.
pub fn clock() -> SharedClock {
    Arc::new(RunClock::start())
}

/// An embedded log.
pub fn embedded(clock: &SharedClock) -> Arc<dyn Broker> {
    Arc::new(EmbeddedBroker::new(64 << 20, Arc::clone(clock)))
}

/// A whole run, with topics of its own.
pub fn plan(spec: RunSpec, broker: Arc<dyn Broker>, clock: &SharedClock) -> RunPlan {
    RunPlan {
        spec,
        mode: Mode::Run,
        events_broker: Arc::clone(&broker),
        results_broker: broker,
        clock: Arc::clone(clock),
        create_events_topic: true,
        create_results_topic: true,
        events_retention_bytes: None,
        keep_topics: false,
        truth: None,
        dead_letters: Arc::new(|_| Box::new(NoDeadLetters)),
    }
}

/// Starts a run.
pub fn start(host: &Foreground, plan: RunPlan) {
    host.ask(StartRun { plan: Arc::new(plan) }).unwrap().expect("nothing runs yet");
}

/// Waits for the outcome of the present run.
///
/// # Panics
/// It did not come within [`DEADLINE`].
pub fn outcome(host: &Foreground) -> Arc<RunOutcome> {
    host.outcome(DEADLINE).unwrap_or_else(|| panic!("no outcome: {:?}", host.ask(GetStatus)))
}

/// Plays one run from its start to its end.
pub fn play(host: &Foreground, plan: RunPlan) -> Arc<RunOutcome> {
    start(host, plan);
    outcome(host)
}

/// Waits until the run's status is as wanted.
pub fn wait_until(host: &Foreground, what: &str, wanted: impl Fn(&RunStatus) -> bool) {
    wait_for(what, || wanted(&host.ask(GetStatus).unwrap()));
}

/// Waits until the run is in this state.
pub fn wait_for_state(host: &Foreground, state: RunState) {
    wait_until(host, &format!("{state:?}"), |status| status.state == state);
}
