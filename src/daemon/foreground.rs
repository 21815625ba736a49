//! One run in the foreground: starts the supervisor, shows progress, and waits for the outcome.
//!
//! The first SIGINT or SIGTERM drains the run, which still ends with a report; a second one ends
//! the process.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::anyhow;
use streamgauge_actors::{
    GetStatus, RunFact, RunOutcome, RunPlan, RunStatus, StartRun, StopMode, StopRun,
};

use super::host::ActorHost;
use super::signals::Signals;

/// How often signals are looked at: what is intended after one is not sent.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Looks from one call of the observer to the next.
const LOOKS_PER_CALL: u32 = 10;

/// What became of a run.
pub struct Conclusion {
    /// Everything measured.
    pub outcome: Arc<RunOutcome>,
    /// The signal that stopped it, if one did: 2 (SIGINT) or 15 (SIGTERM).
    pub signal: Option<i32>,
}

/// A supervisor whose runs are waited for.
pub struct Foreground {
    host: ActorHost,
    outcomes: Receiver<Arc<RunOutcome>>,
}

impl Foreground {
    /// Starts the supervisor.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start() -> anyhow::Result<Self> {
        let (outcome, outcomes) = channel();
        let host = ActorHost::start(move |fact| {
            if let RunFact::Finished(finished) = fact {
                // Whoever waited may have given up.
                drop(outcome.send(finished));
            }
        })?;
        Ok(Self { host, outcomes })
    }

    /// Waits up to `timeout` for the next run's outcome.
    pub fn outcome(&self, timeout: Duration) -> Option<Arc<RunOutcome>> {
        self.outcomes.recv_timeout(timeout).ok()
    }
}

impl std::ops::Deref for Foreground {
    type Target = ActorHost;

    fn deref(&self) -> &ActorHost {
        &self.host
    }
}

/// Runs `plan` to its end, calling `observe` a few times a second.
///
/// # Errors
/// When the run cannot be started at all. A run that fails is an outcome, not an error.
pub fn run(
    plan: RunPlan,
    signals: &Signals,
    observe: &mut dyn FnMut(&RunStatus),
) -> anyhow::Result<Conclusion> {
    let host = Foreground::start()?;
    host.ask(StartRun { plan: Arc::new(plan) })?.map_err(|refusal| anyhow!(refusal.reason))?;
    let (mut stopping, mut looks) = (false, 0);
    loop {
        if let Some(outcome) = host.outcome(LOOK_EVERY) {
            return Ok(Conclusion { outcome, signal: signals.received() });
        }
        looks = (looks + 1) % LOOKS_PER_CALL;
        if looks == 0 {
            observe(&host.ask(GetStatus)?);
        }
        if signals.received().is_some() && !stopping {
            // Refused while it drains already: then there is nothing to stop.
            drop(host.ask(StopRun { run_id: None, mode: StopMode::Drain })?);
            stopping = true;
        }
    }
}
