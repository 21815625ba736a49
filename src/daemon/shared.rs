//! What the daemon's threads share, and what callers may ask of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use streamgauge_actors::{Nanos, Refusal, RunPlan, SharedClock};

use super::planner::{Planner, RunContext, RunRequest};
use crate::config::ConfigError;
use crate::history::History;
use crate::live::Live;
use crate::metrics::Metrics;

/// Why a run that was asked for does not start.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A setting is at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The supervisor refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The daemon is about to end.
    #[error("the daemon is draining: it takes no more orders")]
    Draining,
    /// The supervisor is gone.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// Whether the broker is there, and what the schedule is up to.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Whether the broker answered when it was last asked; `None`: not asked yet.
    pub broker_up: Option<bool>,
    /// What it said instead.
    pub broker_error: Option<String>,
    /// The workload of the next run that starts by itself.
    pub next_workload: Option<String>,
    /// When it starts.
    pub next_start_ns: Option<Nanos>,
}

/// What the daemon's threads share.
pub struct SharedState {
    /// Plans runs.
    pub planner: Planner,
    /// Runs that are not reported yet.
    pub live: Live,
    /// What Prometheus scrapes.
    pub metrics: Metrics,
    /// Every run that was.
    pub history: Mutex<History>,
    /// When the daemon started.
    pub started_ns: Nanos,
    /// The wall clock.
    pub clock: SharedClock,
    contexts: Mutex<HashMap<String, RunContext>>,
    /// By run; ids sort by time.
    requests: Mutex<BTreeMap<String, RunRequest>>,
    health: Mutex<Health>,
    draining: AtomicBool,
}

impl SharedState {
    pub(super) fn new(
        planner: Planner,
        live: Live,
        metrics: Metrics,
        history: History,
        clock: SharedClock,
    ) -> Self {
        Self {
            planner,
            live,
            metrics,
            history: Mutex::new(history),
            started_ns: clock.now(),
            clock,
            contexts: Mutex::default(),
            requests: Mutex::default(),
            health: Mutex::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// Takes no more orders from now on.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the daemon is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Broker and schedule.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change_health(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Works on the history. Blocks for as long as the disk takes.
    pub fn with_history<T>(&self, work: impl FnOnce(&History) -> T) -> T {
        work(&self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn contexts<T>(
        &self,
        work: impl FnOnce(&mut HashMap<String, RunContext>) -> T,
    ) -> T {
        work(&mut self.contexts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Plans a run, to be ordered: what its report will need is noted before the order, for the run
    /// may be over before the order's answer comes. Reads files.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn plan(&self, request: &RunRequest) -> Result<Arc<RunPlan>, RequestError> {
        if self.is_draining() {
            return Err(RequestError::Draining);
        }
        let (plan, context) = self.planner.plan(request)?;
        self.contexts(|contexts| contexts.insert(plan.spec.run_id.clone(), context));
        Ok(Arc::new(plan))
    }

    /// Takes what the supervisor made of the order: gives the run's id, where it was accepted.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn confirm(
        &self,
        run_id: String,
        answer: Option<Result<(), Refusal>>,
    ) -> Result<String, RequestError> {
        match answer {
            Some(Ok(())) => {
                let request = self.contexts(|contexts| {
                    contexts.get(&run_id).map(|context| context.request.clone())
                });
                let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
                requests.extend(request.map(|request| (run_id.clone(), request)));
                while requests.len() > KNOWN_REQUESTS {
                    requests.pop_first();
                }
                Ok(run_id)
            }
            refused => {
                self.contexts(|contexts| contexts.remove(&run_id));
                let refusal = refused.and_then(Result::err);
                Err(refusal.map_or_else(
                    || anyhow!("the supervisor is gone").into(),
                    RequestError::Refused,
                ))
            }
        }
    }

    /// What was asked for when a run was started; `None`: it is no run of this daemon, or too old.
    pub fn request_of(&self, run_id: &str) -> Option<RunRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).get(run_id).cloned()
    }
}

/// Requests that are remembered, so that their runs can be restarted.
const KNOWN_REQUESTS: usize = 100;
