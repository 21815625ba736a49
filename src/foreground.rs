//! One run in the foreground: starts the supervisor, shows progress, and waits for the outcome.
//!
//! The first SIGINT or SIGTERM drains the run, which still ends with a report; a second one ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use actix::prelude::*;
use anyhow::{Context as _, anyhow};
use streamgauge_actors::messages::{GetStatus, RunFinished, StartRun, StopMode, StopRun};
use streamgauge_actors::outcome::RunOutcome;
use streamgauge_actors::pipeline::RunPlan;
use streamgauge_actors::supervisor::{RunStatus, Supervisor};

/// How often the observer is called.
const OBSERVE_EVERY: Duration = Duration::from_millis(200);

/// A run's outcome, and the signal that stopped it, if one did.
pub struct Finished {
    /// Everything measured.
    pub outcome: Arc<RunOutcome>,
    /// 2 (SIGINT) or 15 (SIGTERM).
    pub signal: Option<i32>,
}

/// Hands every run's outcome to the thread that waits for it.
struct Listener(Sender<Arc<RunOutcome>>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<RunFinished> for Listener {
    type Result = ();

    fn handle(&mut self, message: RunFinished, _ctx: &mut Context<Self>) {
        // Whoever waited may have given up.
        drop(self.0.send(message.outcome));
    }
}

/// A supervisor on its own arbiter, inside an actix system on a thread of its own.
pub struct Host {
    supervisor: Addr<Supervisor>,
    system: System,
    thread: Option<std::thread::JoinHandle<()>>,
    outcomes: Receiver<Arc<RunOutcome>>,
}

impl Host {
    /// Starts the system and the supervisor.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start() -> anyhow::Result<Self> {
        let (to_us, from_system) = channel();
        let (outcome, outcomes) = channel();
        let thread = std::thread::Builder::new().name("streamgauge-system".to_owned()).spawn(move || {
            let runner = System::new();
            let arbiter = Arbiter::new();
            let supervisor = runner.block_on(async {
                let listener = Listener(outcome).start();
                Supervisor::start_in_arbiter(&arbiter.handle(), move |_| Supervisor::new(listener.recipient()))
            });
            if to_us.send((supervisor, System::current())).is_ok() {
                drop(runner.run());
            }
            arbiter.stop();
            drop(arbiter.join());
        })?;
        let (supervisor, system) = from_system.recv().context("the actor system did not start")?;
        Ok(Self { supervisor, system, thread: Some(thread), outcomes })
    }

    /// Sends the supervisor a message and waits for its answer.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub fn ask<M>(&self, message: M) -> anyhow::Result<M::Result>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Supervisor: Handler<M>,
        <Supervisor as Actor>::Context: actix::dev::ToEnvelope<Supervisor, M>,
    {
        let (answer, answered) = channel();
        let request = self.supervisor.send(message);
        self.system.arbiter().spawn(async move {
            // Whoever asked may have given up.
            drop(answer.send(request.await));
        });
        answered.recv().context("the supervisor is gone")?.context("the supervisor is gone")
    }

    /// Waits up to `timeout` for the next run's outcome.
    pub fn outcome(&self, timeout: Duration) -> Option<Arc<RunOutcome>> {
        self.outcomes.recv_timeout(timeout).ok()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.system.stop();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Signals that came since the process asked for them.
struct Signals {
    last: Arc<AtomicUsize>,
}

impl Signals {
    fn watch() -> anyhow::Result<Self> {
        let signals = Self { last: Arc::default() };
        // Armed by the first signal of either kind: any further one ends the process at once.
        let armed = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&armed))?;
            signal_hook::flag::register(signal, Arc::clone(&armed))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&signals.last), signal as usize)?;
        }
        Ok(signals)
    }

    fn received(&self) -> Option<i32> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }
}

/// Runs `plan` to its end, calling `observe` a few times a second.
///
/// # Errors
/// When the run cannot be started at all. A run that fails is an outcome, not an error.
pub fn run(plan: RunPlan, observe: &mut dyn FnMut(&RunStatus)) -> anyhow::Result<Finished> {
    let signals = Signals::watch()?;
    let host = Host::start()?;
    host.ask(StartRun { plan: Arc::new(plan) })?.map_err(|refusal| anyhow!(refusal.reason))?;
    let mut stopping = false;
    loop {
        if let Some(outcome) = host.outcome(OBSERVE_EVERY) {
            return Ok(Finished { outcome, signal: signals.received() });
        }
        observe(&host.ask(GetStatus)?);
        if signals.received().is_some() && !stopping {
            // Refused while it drains already: then there is nothing to stop.
            drop(host.ask(StopRun { mode: StopMode::Drain })?);
            stopping = true;
        }
    }
}
