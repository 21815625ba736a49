//! Asks the broker whether it is there, on a thread of its own: a connection attempt may block for
//! seconds.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use streamgauge_actors::{FailureKind, PortError};

use super::planner::Planner;
use super::shared::SharedState;

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
                while tell(probe(&shared.planner)) {
                    let interval: Duration = shared
                        .planner
                        .current()
                        .resolved
                        .settings
                        .schedule
                        .probe_interval
                        .duration();
                    if asked.recv_timeout(interval) == Err(RecvTimeoutError::Disconnected) {
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

fn probe(planner: &Planner) -> BrokerHealth {
    let answer = match planner.broker() {
        Ok(broker) => broker.describe().map(drop),
        Err(error) => Err(PortError::fatal(error.to_string())),
    };
    BrokerHealth { failure: answer.err().map(|error| (FailureKind::of(&error), error.message)) }
}
