//! A supervisor on its own arbiter, inside an actix system on a thread of its own.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use anyhow::Context as _;
use streamgauge_actors::{
    Clock as _, FactsHeard, GetStatus, Nanos, RunClock, RunFact, SECOND, Supervisor,
};

/// How long the end waits for topics that are being deleted. What is not deleted by then is found
/// in the record of own topics.
const DELETION_PATIENCE_NS: Nanos = 10 * SECOND;

/// Passes on what happens to runs.
struct Listener<F>(F);

impl<F: FnMut(RunFact) + Unpin + 'static> Actor for Listener<F> {
    type Context = Context<Self>;
}

impl<F: FnMut(RunFact) + Unpin + 'static> Handler<RunFact> for Listener<F> {
    type Result = ();

    fn handle(&mut self, fact: RunFact, _ctx: &mut Context<Self>) {
        (self.0)(fact);
    }
}

impl<F: FnMut(RunFact) + Unpin + 'static> Handler<FactsHeard> for Listener<F> {
    type Result = ();

    // Messages come in their order: what was told before has been passed on.
    fn handle(&mut self, _: FactsHeard, _ctx: &mut Context<Self>) {}
}

/// The system that the supervisor lives in.
pub struct ActorHost {
    supervisor: Addr<Supervisor>,
    system: System,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl ActorHost {
    /// Starts the system and the supervisor; `hear` is called, on the system's thread, with all
    /// that happens to runs.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(hear: impl FnMut(RunFact) + Send + Unpin + 'static) -> anyhow::Result<Self> {
        let (to_us, from_system) = channel();
        let thread =
            std::thread::Builder::new().name("streamgauge-system".to_owned()).spawn(move || {
                let runner = System::new();
                let arbiter = Arbiter::new();
                let supervisor = runner.block_on(async {
                    let listener = Listener(hear).start();
                    Supervisor::start_in_arbiter(&arbiter.handle(), move |_| {
                        Supervisor::new(listener.clone().recipient(), listener.recipient())
                    })
                });
                if to_us.send((supervisor, System::current())).is_ok() {
                    drop(runner.run());
                }
                arbiter.stop();
                drop(arbiter.join());
            })?;
        let (supervisor, system) = from_system.recv().context("the actor system did not start")?;
        Ok(Self { supervisor, system, thread: Some(thread) })
    }

    /// The supervisor, for those who can wait for its answers without blocking.
    pub fn supervisor(&self) -> &Addr<Supervisor> {
        &self.supervisor
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
        <Supervisor as Actor>::Context: ToEnvelope<Supervisor, M>,
    {
        let (answer, answered) = channel();
        let request = self.supervisor.send(message);
        self.system.arbiter().spawn(async move {
            // Whoever asked may have given up.
            drop(answer.send(request.await));
        });
        answered.recv().context("the supervisor is gone")?.context("the supervisor is gone")
    }
}

impl ActorHost {
    /// Waits for the deletion of topics of runs that were stopped while they were being prepared,
    /// as far as their broker answers.
    fn await_deletions(&self) {
        let clock = RunClock::start();
        let deadline = clock.now() + DELETION_PATIENCE_NS;
        while clock.now() < deadline && self.ask(GetStatus).is_ok_and(|status| status.leaving > 0) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for ActorHost {
    fn drop(&mut self) {
        self.await_deletions();
        self.system.stop();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
