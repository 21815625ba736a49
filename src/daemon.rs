//! The daemon: stays up, runs benchmarks by its schedule or on request, and remembers every run.
//!
//! ```text
//!  HTTP --StartRun, StopRun, RestartRun, SetRate--> Supervisor --RunFact--> live, metrics
//!    ^                                                 ^   '-------------> keeper thread --> history
//!    '--- reads live, history, metrics        StartRun '---- schedule, signals ---'
//! ```
//!
//! - [`planner`]: from a request to a run's plan    - [`schedule`]: when the next run starts
//! - `keeper`: the thread that files finished runs, follows the schedule and the signals
//! - `probe`: whether the broker is there

mod keeper;
pub mod planner;
mod probe;
pub mod schedule;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use streamgauge_actors::{Nanos, Refusal, RunClock, RunFact, RunPlan, SharedClock, WallClock};

use self::keeper::{Keeper, Note};
use self::planner::{OpenBroker, Planner, RunContext, RunRequest};
use crate::config::{ConfigError, Layers, Settings};
use crate::history::History;
use crate::host::Host;
use crate::http::{Server, ServerSettings};
use crate::live::Live;
use crate::metrics::Metrics;

/// What a daemon starts from.
pub struct DaemonSetup {
    /// Where its settings come from.
    pub layers: Layers,
    /// Where history, lock and the record of own topics are kept.
    pub folder: PathBuf,
    /// Makes the broker's adapter: [`Resolved::open_broker`](crate::config::Resolved::open_broker), or what a test puts in its place.
    pub open_broker: OpenBroker,
}

/// Why a daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system, or another daemon, is in the way.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

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
pub struct Shared {
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

impl Shared {
    /// Whether the daemon is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Broker and schedule.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_health(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Works on the history. Blocks for as long as the disk takes.
    pub fn with_history<T>(&self, work: impl FnOnce(&History) -> T) -> T {
        work(&self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn contexts<T>(&self, work: impl FnOnce(&mut HashMap<String, RunContext>) -> T) -> T {
        work(&mut self.contexts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Plans a run, to be ordered: what its report will need is noted before the order, for the run
    /// may be over before the order's answer comes. Reads files.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn plan(&self, request: &RunRequest) -> Result<Planned, RequestError> {
        if self.is_draining() {
            return Err(RequestError::Draining);
        }
        let (plan, context) = self.planner.plan(request)?;
        let run_id = plan.spec.run_id.clone();
        self.contexts(|contexts| contexts.insert(run_id.clone(), context));
        Ok(Planned { run_id, plan: Arc::new(plan) })
    }

    /// What the supervisor made of the order: the run's id, where it was accepted.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn ordered(
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

    /// Whether a run was ordered, and is not reported yet.
    pub fn is_ordered(&self, run_id: &str) -> bool {
        self.contexts(|contexts| contexts.contains_key(run_id))
    }

    /// What was asked for when a run was started; `None`: it is no run of this daemon, or too old.
    pub fn request_of(&self, run_id: &str) -> Option<RunRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).get(run_id).cloned()
    }
}

/// A run that is about to be ordered.
pub struct Planned {
    /// Its id.
    pub run_id: String,
    /// The plan.
    pub plan: Arc<RunPlan>,
}

/// Requests that are remembered, so that their runs can be restarted.
const KNOWN_REQUESTS: usize = 100;

/// A running daemon.
pub struct Daemon {
    shared: Arc<Shared>,
    server: Server,
    notes: Sender<Note>,
    keeper: Option<JoinHandle<()>>,
    /// Held for as long as the daemon owns the folder.
    _lock: File,
    folder: PathBuf,
}

/// The file in the state folder that tells where the daemon listens.
pub const LISTEN_FILE: &str = "listen";

impl Daemon {
    /// Starts a daemon: history opened, listening, supervisor up.
    ///
    /// # Errors
    /// [`StartError`]: a bad setting, a folder that another daemon owns, an address that is taken.
    pub fn start(setup: DaemonSetup) -> Result<Self, StartError> {
        let clock: SharedClock = Arc::new(WallClock);
        let DaemonSetup { layers, folder, open_broker } = setup;
        let planner = Planner::new(layers, folder.clone(), open_broker)?;
        let current = planner.current();
        let server_settings = ServerSettings::new(&current.resolved)?;
        let lock = own(&folder)?;
        // A daemon that was killed has left it.
        drop(fs::remove_file(folder.join(LISTEN_FILE)));
        let history = History::open(&folder)?;
        let interrupted = history.recover()?;
        if interrupted > 0 {
            tracing::warn!(
                interrupted,
                "runs of an earlier daemon never ended: they are filed as failed"
            );
        }
        let Settings { broker, thresholds, .. } = &current.resolved.settings;
        let (names, expressions) = (&current.workload_names, &thresholds.expressions);
        let timer: SharedClock = Arc::new(RunClock::start());
        let metrics = Metrics::new(broker.kind.name(), names, expressions, Arc::clone(&timer));
        let shared = Arc::new(Shared {
            planner,
            live: Live::new(Arc::clone(&timer)),
            metrics,
            history: Mutex::new(history),
            started_ns: clock.now(),
            clock,
            contexts: Mutex::default(),
            requests: Mutex::default(),
            health: Mutex::default(),
            draining: AtomicBool::new(false),
        });
        let (notes, inbox) = channel();
        let host = Host::start(hear(Arc::clone(&shared), notes.clone()))?;
        let server =
            Server::start(&server_settings, Arc::clone(&shared), host.supervisor().clone())?;
        fs::write(folder.join(LISTEN_FILE), format!("{}\n", server.address()))
            .with_context(|| format!("cannot write to `{}`", folder.display()))?;
        let keeper = Keeper::new(Arc::clone(&shared), host, notes.clone())?;
        let keeper = std::thread::Builder::new()
            .name("streamgauge-keeper".to_owned())
            .spawn(move || keeper.keep(&inbox))
            .context("no thread could be started")?;
        tracing::info!(address = %server.address(), folder = %folder.display(), "the daemon listens");
        Ok(Self { shared, server, notes, keeper: Some(keeper), _lock: lock, folder })
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }

    /// What its threads share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reads the configuration again, for the runs from now on.
    pub fn reload(&self) {
        // A keeper that is gone has nothing to reload.
        drop(self.notes.send(Note::Reload));
    }

    /// Whether the daemon still follows its schedule; it does until it is stopped.
    pub fn is_alive(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| !keeper.is_finished())
    }

    /// Takes no more orders, drains the present run, files it, and ends. Bounded: by the run's own
    /// `drain_timeout`, and what its teardown takes.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.draining.store(true, Ordering::Relaxed);
        drop(self.notes.send(Note::Stop));
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            tracing::error!("the daemon's keeper panicked");
        }
        self.server.stop();
        drop(fs::remove_file(self.folder.join(LISTEN_FILE)));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.end();
        }
    }
}

/// Makes the folder this daemon's own, for as long as the file lives.
fn own(folder: &std::path::Path) -> anyhow::Result<File> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the state folder `{}`", folder.display()))?;
    let path = folder.join("daemon.lock");
    let lock =
        File::create(&path).with_context(|| format!("cannot write to `{}`", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(anyhow!(
            "another daemon owns the state folder `{}`: stop it first, or give this one another folder (--state-dir)",
            folder.display()
        )),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock `{}`", path.display()))
        }
    }
}

/// What is done with every fact, at once and without blocking; the keeper does the rest.
fn hear(shared: Arc<Shared>, notes: Sender<Note>) -> impl FnMut(RunFact) + Send + Unpin + 'static {
    move |fact| {
        // Whichever fact names a run, its context is there from before its order until it is filed.
        let context = match &fact {
            RunFact::Accepted { spec, .. } | RunFact::Queued(spec) | RunFact::Dropped(spec) => {
                shared.contexts(|contexts| contexts.get(&spec.run_id).cloned())
            }
            _ => None,
        };
        let (broker, is_own) =
            context.map_or_else(Default::default, |of| (of.broker, of.is_own_broker));
        shared.metrics.hear(&broker, is_own, &fact);
        shared.live.hear(&broker, &fact);
        let note = match fact {
            RunFact::Accepted { spec, started_at_ns } => Note::Accepted { spec, started_at_ns },
            RunFact::Dropped(spec) => Note::Dropped(spec),
            RunFact::Finished(outcome) => Note::Finished(outcome),
            _ => return,
        };
        // A keeper that is gone files nothing any more.
        drop(notes.send(note));
    }
}

/// How often the keeper looks around when nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
