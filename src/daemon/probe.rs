//! Asks the broker whether it is there, on a thread of its own: a connection attempt may block for
//! seconds. While a run flows it rests: acknowledgements say as much, and a measurement is not to
//! be disturbed. Each time that the broker comes to be there, what killed runs left on it is
//! deleted.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use streamgauge_actors::{Clock as _, FailureKind, Nanos, PortError, RunClock, SECOND};

use super::shared::SharedState;
use crate::broker::topics::Leftover;

/// What the broker answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BrokerHealth {
    /// Why it did not answer; `None`: it did.
    pub failure: Option<(FailureKind, String)>,
}

/// The probing thread.
pub(super) struct Probe {
    /// Asks for a probe at once; closed, it ends the thread.
    requests: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    /// Starts probing; every answer goes to `tell`, which returns whether anybody still listens.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(
        shared: Arc<SharedState>,
        mut tell: impl FnMut(BrokerHealth) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, asked) = channel();
        let thread =
            thread::Builder::new().name("streamgauge-probe".to_owned()).spawn(move || {
                let mut prober = Prober::new(shared);
                loop {
                    if !prober.may_rest() && !tell(prober.probe()) {
                        return;
                    }
                    if asked.recv_timeout(prober.interval()) == Err(RecvTimeoutError::Disconnected)
                    {
                        return;
                    }
                    // Several requests at once are one.
                    while asked.try_recv().is_ok() {}
                }
            })?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Asks for a probe now.
    pub(super) fn now(&self) {
        if let Some(requests) = &self.requests {
            // A thread that is gone has said its last word.
            let _ = requests.send(());
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What the probing thread knows.
struct Prober {
    shared: Arc<SharedState>,
    timer: RunClock,
    /// The broker answered when it was last asked.
    is_up: bool,
    flow: Option<Flow>,
}

/// How far a run has come.
struct Flow {
    run_id: Option<String>,
    acknowledged: u64,
    consumed: u64,
    moved_ns: Nanos,
}

/// A run that has not moved for this long does not flow: stages report more often.
const STILL_AFTER_NS: Nanos = 2 * SECOND;

impl Prober {
    fn new(shared: Arc<SharedState>) -> Self {
        Self { shared, timer: RunClock::start(), is_up: false, flow: None }
    }

    fn interval(&self) -> Duration {
        self.shared.planner.current().resolved.settings.schedule.probe_interval.duration()
    }

    /// Whether a run flows through a broker that was there.
    fn may_rest(&mut self) -> bool {
        let present = self.shared.live.present().filter(|run| run.state().is_busy());
        let Some(view) = present.map(|run| run.view()) else {
            self.flow = None;
            return false;
        };
        let (now, events) = (self.timer.now(), view.events);
        let is_still = |flow: &&Flow| {
            flow.run_id == view.run_id
                && (flow.acknowledged, flow.consumed) == (events.acknowledged, events.consumed)
        };
        let moved_ns = self.flow.as_ref().filter(is_still).map_or(now, |flow| flow.moved_ns);
        self.flow = Some(Flow {
            run_id: view.run_id,
            acknowledged: events.acknowledged,
            consumed: events.consumed,
            moved_ns,
        });
        self.is_up && now - moved_ns < STILL_AFTER_NS
    }

    fn probe(&mut self) -> BrokerHealth {
        let answer = match self.shared.planner.broker() {
            Ok(broker) => broker.describe().map(drop),
            Err(error) => Err(PortError::fatal(error.to_string())),
        };
        let was_up = std::mem::replace(&mut self.is_up, answer.is_ok());
        if self.is_up && !was_up {
            // Before anybody hears that it is there: a scheduled run is not to be disturbed.
            self.delete_leftovers();
        }
        BrokerHealth { failure: answer.err().map(|error| (FailureKind::of(&error), error.message)) }
    }

    fn delete_leftovers(&self) {
        let Ok(Some(own)) = self.shared.planner.own_topics() else { return };
        match own.delete_leftovers() {
            Ok(leftovers) => leftovers.iter().for_each(tell_of),
            Err(error) => {
                tracing::warn!("what killed runs left cannot be deleted: {}", error.message);
            }
        }
    }
}

fn tell_of(Leftover { topic, kept_because }: &Leftover) {
    let run_id = topic.run_id.as_deref();
    let name = &topic.name;
    match kept_because {
        None => tracing::info!(run_id, "topic `{name}` of a killed run is deleted"),
        Some(why) => tracing::warn!(
            run_id,
            "topic `{name}` of an earlier run is left alone: {why}; if no run uses it, name it: \
             `streamgauge topics clear {name}`"
        ),
    }
}
