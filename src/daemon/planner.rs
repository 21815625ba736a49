//! From a request to a run's plan: the settings are resolved anew for every run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use streamgauge_actors::{Broker, RunClock, RunPlan, SharedClock};

use super::server_settings::ServerSettings;
use crate::broker;
use crate::broker::topics::OwnTopics;
use crate::config::{
    self, Assignment, ByRequest, ConfigError, Layers, PRESETS, ResolvedSettings, WORKLOAD_ARGUMENT,
};
use crate::nearest::nearest;
use crate::plan::{Bound, PlannedRun, Recipe, check_whole_run};
use crate::report::ReportContext;

/// Makes the broker's adapter that settings name; connects to nothing.
pub type OpenBroker = Arc<
    dyn Fn(&ResolvedSettings, SharedClock) -> Result<Arc<dyn Broker>, ConfigError> + Send + Sync,
>;

/// The origin of what a request sets.
pub const REQUEST: &str = "request";

/// What a request says of the run that it wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRequest {
    /// A preset, or a workload of the schedule; `None`: the schedule's first.
    pub workload: Option<String>,
    /// Settings over the daemon's own, as text.
    pub set: BTreeMap<String, String>,
}

/// What the daemon keeps of a run from its order to its report.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// What was asked for.
    pub request: RunRequest,
    /// The kind of broker.
    pub broker: String,
    /// Whether the broker is the one that the daemon's own settings name.
    pub is_own_broker: bool,
    /// What the report says besides what is measured.
    pub report: ReportContext,
}

/// Resolves settings and plans runs.
pub struct Planner {
    layers: Layers,
    folder: PathBuf,
    open_broker: OpenBroker,
    current: Mutex<Arc<Current>>,
}

/// The settings in force, with the texts of the files that they came from: what is edited later is
/// not in force until it is asked for.
pub struct Current {
    layers: Layers,
    /// The daemon's own, and what every run's start from.
    pub resolved: ResolvedSettings,
    /// What reports call the scheduled workloads, in their order.
    pub workload_names: Vec<String>,
}

impl Planner {
    /// Resolves the daemon's settings for the first time.
    ///
    /// # Errors
    /// [`ConfigError`]: as in [`Layers::load`].
    pub fn new(
        layers: Layers,
        folder: PathBuf,
        open_broker: OpenBroker,
    ) -> Result<Self, ConfigError> {
        let current = Current::read(&layers, &open_broker)?;
        Ok(Self { current: Mutex::new(Arc::new(current)), layers, folder, open_broker })
    }

    /// The settings in force.
    pub fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads all layers again; on an error the old settings stay in force.
    ///
    /// # Errors
    /// [`ConfigError`]: as in [`Layers::load`].
    pub fn reload(&self) -> Result<(), ConfigError> {
        let current = Current::read(&self.layers, &self.open_broker)?;
        // What would keep the daemon from starting again is refused, too.
        ServerSettings::new(&current.resolved)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
        Ok(())
    }

    /// The broker that the daemon's own settings name, to be asked whether it is there.
    ///
    /// # Errors
    /// [`ConfigError`]: the adapter refuses its settings.
    pub fn broker(&self) -> Result<Arc<dyn Broker>, ConfigError> {
        (self.open_broker)(&self.current().resolved, Arc::new(RunClock::start()))
    }

    /// That broker, as the record of own topics knows it; `None`: its topics end with the process.
    ///
    /// # Errors
    /// [`ConfigError`]: the adapter refuses its settings.
    pub fn own_topics(&self) -> Result<Option<OwnTopics>, ConfigError> {
        let settings = &self.current().resolved.settings;
        Ok(settings.own_topics(self.broker()?, self.folder.clone(), None))
    }

    /// The workloads that a request may name: presets, then what else the schedule has.
    pub fn workloads(&self) -> Vec<String> {
        let mut names: Vec<String> = PRESETS.iter().map(|preset| preset.name.to_owned()).collect();
        for scheduled in &self.current().resolved.settings.schedule.workloads {
            if !names.contains(scheduled) {
                names.push(scheduled.clone());
            }
        }
        names
    }

    /// Plans the run that a request asks for.
    ///
    /// # Errors
    /// [`ConfigError`] with the key at fault: `workload`, or one of `set`.
    pub fn plan(&self, request: &RunRequest) -> Result<(RunPlan, RunContext), ConfigError> {
        let current = self.current();
        let scheduled = &current.resolved.settings.schedule.workloads;
        let workload = request
            .workload
            .as_deref()
            .or(scheduled.first().map(String::as_str))
            .unwrap_or("classic");
        let known = self.workloads();
        if !known.iter().any(|name| name == workload) {
            let all = known.join(", ");
            let nearest = nearest(workload, known.iter().map(String::as_str));
            let hint =
                nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
            let message = format!("`{workload}` is no workload of this daemon: it has {all}{hint}");
            return Err(ConfigError::one(REQUEST, "workload", message));
        }
        for key in request.set.keys() {
            let is_free = match config::by_request(key) {
                Some(ByRequest::Always) => true,
                Some(ByRequest::WithoutCredentials) => {
                    // A broker of the caller's own is his to name.
                    !current.resolved.settings.broker.has_credentials()
                }
                Some(ByRequest::Never) => false,
                None => broker::property(key).is_none() && !config::is_setting(key),
            };
            if !is_free {
                let message = "cannot be set by a request: set it where the daemon is configured";
                return Err(ConfigError::one(REQUEST, key, message));
            }
        }
        let resolved = resolve(&current.layers, workload, &request.set)?;
        // A clock of its own: one that runs for weeks drifts away from the broker's.
        let clock: SharedClock = Arc::new(RunClock::start());
        let (now, folder) = (clock.now(), self.folder.clone());
        let open = |resolved: &ResolvedSettings, clock| (self.open_broker)(resolved, clock);
        let settings = &resolved.settings;
        let bound = Some(settings.server.max_run_memory.0).filter(|&bytes| bytes > 0);
        let bound = bound.map(|bytes| Bound { bytes, what: "`server.max_run_memory` allows" });
        let recipe = Recipe { bound, ..Recipe::whole_run(&resolved)? };
        let PlannedRun { plan, context } = recipe.plan(clock, now, folder, open)?;
        let context = RunContext {
            request: RunRequest { workload: Some(workload.to_owned()), set: request.set.clone() },
            broker: settings.broker.kind.name().to_owned(),
            is_own_broker: settings.broker.address() == current.resolved.settings.broker.address(),
            report: context,
        };
        Ok((plan, context))
    }
}

impl Current {
    /// What reports call the workload that runs unless a request says otherwise.
    pub fn first_workload(&self) -> &str {
        self.workload_names.first().map_or("", String::as_str)
    }

    /// Every scheduled workload must make a run.
    fn read(layers: &Layers, open_broker: &OpenBroker) -> Result<Self, ConfigError> {
        let mut layers = layers.clone();
        layers.keep_texts(&[]);
        let resolved = layers.load()?;
        layers.keep_texts(&resolved.settings.schedule.workloads);
        let mut workload_names = Vec::new();
        for workload in &resolved.settings.schedule.workloads {
            let resolved = resolve(&layers, workload, &BTreeMap::new())
                .map_err(|error| scheduled(error, &resolved))?;
            open_broker(&resolved, Arc::new(RunClock::start()))?;
            workload_names.push(resolved.settings.workload.name);
        }
        Ok(Self { layers, resolved, workload_names })
    }
}

/// What is wrong with the name of a scheduled workload is wrong with the schedule.
fn scheduled(mut error: ConfigError, resolved: &ResolvedSettings) -> ConfigError {
    const KEY: &str = "schedule.workloads";
    for problem in error.problems.iter_mut().filter(|problem| problem.origin == WORKLOAD_ARGUMENT) {
        problem.message = format!("has `{}`, which {}", problem.key, problem.message);
        KEY.clone_into(&mut problem.key);
        problem.origin = resolved.origins.get(KEY).cloned().unwrap_or_default();
    }
    error
}

fn resolve(
    layers: &Layers,
    workload: &str,
    set: &BTreeMap<String, String>,
) -> Result<ResolvedSettings, ConfigError> {
    let mut layers = layers.clone();
    layers.workload = Some(workload.to_owned());
    layers.flags.extend(set.iter().map(|(key, value)| Assignment {
        origin: REQUEST.to_owned(),
        key: key.clone(),
        value: value.clone(),
    }));
    let resolved = layers.load()?;
    check_whole_run(&resolved)?;
    Ok(resolved)
}
