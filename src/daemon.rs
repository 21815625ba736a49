//! The daemon: stays up, runs benchmarks by its schedule or on request, and remembers every run.
//!
//! ```text
//!  HTTP --StartRun, StopRun, RestartRun, SetRate--> Supervisor --RunFact--> live, metrics
//!    ^                                                 ^   '----------> keeper thread --> history
//!    '--- reads live, history, metrics        StartRun '---- schedule, signals ---'
//! ```
//!
//! - [`planner`]: from a request to a run's plan    - [`schedule`]: when the next run starts
//! - [`SharedState`]: what its threads share; [`Endpoint`]: where callers reach it
//! - `keeper`: the thread that files finished runs, follows the schedule and the signals
//! - `probe`: whether the broker is there
//! - [`host`]: the system that the supervisor lives in; [`foreground`]: one run in it, waited for
//! - [`signals`], [`service`]: what the system asks of the process, and is told by it

mod endpoint;
pub mod foreground;
pub mod host;
mod keeper;
pub mod planner;
mod probe;
pub mod schedule;
mod server_settings;
pub mod service;
mod shared;
pub mod signals;

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use streamgauge_actors::{RunClock, RunFact, SharedClock, WallClock};

pub use self::endpoint::{Endpoint, OpenEndpoint};
use self::host::ActorHost;
use self::keeper::{Keeper, Note};
use self::planner::{OpenBroker, Planner};
pub use self::server_settings::ServerSettings;
pub use self::shared::{Health, RequestError, SharedState};
use crate::config::{ConfigError, Layers, Settings};
use crate::history::History;
use crate::live::Live;
use crate::metrics::Metrics;

/// What a daemon starts from.
pub struct DaemonSetup {
    /// Where its settings come from.
    pub layers: Layers,
    /// Where history, lock and the record of own topics are kept.
    pub folder: PathBuf,
    /// Makes the broker's adapter:
    /// [`open_broker`](crate::config::ResolvedSettings::open_broker), or what a test puts in its
    /// place.
    pub open_broker: OpenBroker,
    /// Opens the door for callers: `http::open`.
    pub open_endpoint: OpenEndpoint,
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

/// A running daemon.
pub struct Daemon {
    shared: Arc<SharedState>,
    endpoint: Box<dyn Endpoint>,
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
        let DaemonSetup { layers, folder, open_broker, open_endpoint } = setup;
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
        let live = Live::new(timer);
        let shared = Arc::new(SharedState::new(planner, live, metrics, history, clock));
        let (notes, inbox) = channel();
        let host = ActorHost::start(hear(Arc::clone(&shared), notes.clone()))?;
        let endpoint =
            open_endpoint(&server_settings, Arc::clone(&shared), host.supervisor().clone())?;
        fs::write(folder.join(LISTEN_FILE), format!("{}\n", endpoint.address()))
            .with_context(|| format!("cannot write to `{}`", folder.display()))?;
        let keeper = Keeper::new(Arc::clone(&shared), host, notes.clone())?;
        let keeper = std::thread::Builder::new()
            .name("streamgauge-keeper".to_owned())
            .spawn(move || keeper.keep(&inbox))
            .context("no thread could be started")?;
        let address = endpoint.address();
        tracing::info!(%address, folder = %folder.display(), "the daemon listens");
        Ok(Self { shared, endpoint, notes, keeper: Some(keeper), _lock: lock, folder })
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.endpoint.address()
    }

    /// What its threads share.
    pub fn shared(&self) -> &Arc<SharedState> {
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
        self.shared.drain();
        drop(self.notes.send(Note::Stop));
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            tracing::error!("the daemon's keeper panicked");
        }
        self.endpoint.stop();
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
            "another daemon owns the state folder `{}`: stop it first, or give this one another \
             folder (--state-dir)",
            folder.display()
        )),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock `{}`", path.display()))
        }
    }
}

/// What is done with every fact, at once and without blocking; the keeper does the rest.
fn hear(
    shared: Arc<SharedState>,
    notes: Sender<Note>,
) -> impl FnMut(RunFact) + Send + Unpin + 'static {
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
