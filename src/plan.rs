//! The one road to a run: from resolved settings to the run's plan, and to what its report says
//! besides what is measured. The commands that make runs, a matrix and the daemon all take it.

mod budget;
mod machine_memory;

use std::path::PathBuf;
use std::sync::Arc;

use streamgauge_actors::{
    AutoSpan, Broker, KnownTruth, Mode, Nanos, RunPlan, RunSpec, SharedClock,
};

pub use self::budget::Bound;
use crate::broker::dead_letters;
use crate::broker::topics::MadeFor;
use crate::config::{self, ConfigError, ResolvedSettings, shell_quoted};
use crate::report::{Host, ReportContext, Resources, Versions};

/// What a run is made from.
pub struct Recipe<'a> {
    /// The settings.
    pub resolved: &'a ResolvedSettings,
    /// The stages.
    pub mode: Mode,
    /// Arguments of the command that are no settings, for the line that makes the run again.
    pub arguments: Vec<String>,
    /// What the results of another processor are audited against.
    pub truth: Option<Arc<KnownTruth>>,
    /// What the run may take in memory, besides what the machine has for it.
    pub bound: Option<Bound>,
}

/// A run that can be ordered, and what its report will say besides what is measured.
pub struct PlannedRun {
    /// What the supervisor needs.
    pub plan: RunPlan,
    /// What the report needs; the resources follow at the run's end.
    pub context: ReportContext,
}

/// Refuses settings that make no whole run.
///
/// # Errors
/// [`ConfigError`] with the key and where it was set.
pub fn check_whole_run(resolved: &ResolvedSettings) -> Result<(), ConfigError> {
    if resolved.settings.workload.progress_records {
        return Ok(());
    }
    let key = "workload.progress_records";
    let origin = resolved.origins.get(key).map_or("settings", String::as_str);
    let message = "must be true in a run, whose windows close by them: for other programs' \
                   consumers, use `streamgauge produce --no-progress-records`";
    Err(ConfigError::one(origin, key, message))
}

impl<'a> Recipe<'a> {
    /// A run of all stages.
    ///
    /// # Errors
    /// As [`check_whole_run`].
    pub fn whole_run(resolved: &'a ResolvedSettings) -> Result<Self, ConfigError> {
        check_whole_run(resolved)?;
        Ok(Self { resolved, mode: Mode::Run, arguments: Vec::new(), truth: None, bound: None })
    }

    /// Plans the run, under an id of its own. `process_started_ns`: on the run's clock, as in
    /// [`ReportContext`]; `folder`: where the record of own topics is kept; `open`: makes the
    /// broker's adapter.
    ///
    /// # Errors
    /// A bad setting, more than there is memory for, or whatever `open` refuses.
    pub fn plan<E: From<ConfigError>>(
        &self,
        clock: SharedClock,
        process_started_ns: Nanos,
        folder: PathBuf,
        open: impl FnOnce(&ResolvedSettings, SharedClock) -> Result<Arc<dyn Broker>, E>,
    ) -> Result<PlannedRun, E> {
        let settings = &self.resolved.settings;
        let context = ReportContext {
            config: settings.to_json(),
            rerun: self.rerun(),
            process_started_ns,
            resources: Resources::default(),
            host: Host::describe(),
            versions: Versions::of_program(),
            thresholds: settings.thresholds()?,
            stopped_by_signal: None,
        };
        let spec = self.spec(clock.now())?;
        let bounds: Vec<Bound> = self.bound.into_iter().chain(budget::of_machine()).collect();
        budget::check(&spec, self.mode, self.resolved, &bounds)?;
        let opened = open(self.resolved, Arc::clone(&clock))?;
        let (produces, writes_results) = (self.mode.produces(), self.mode.writes_results());
        let topics = &settings.topics;
        // What is produced, or aggregated, alone is made for somebody else to read.
        let keep_topics = topics.keep || self.mode != Mode::Run;
        let made_for = MadeFor { run_id: spec.run_id.clone(), keep: keep_topics };
        let broker = settings.guard(opened, folder, Some(made_for));
        let plan = RunPlan {
            create_events_topic: produces && topics.events.is_empty(),
            create_results_topic: writes_results && topics.results.is_empty(),
            keep_topics,
            dead_letters: dead_letters::factory(&broker, &clock, spec.topics.replication),
            events_retention_bytes: Some(topics.retention_bytes.0).filter(|&bytes| bytes > 0),
            truth: self.truth.clone(),
            mode: self.mode,
            clock,
            events_broker: Arc::clone(&broker),
            results_broker: broker,
            spec,
        };
        Ok(PlannedRun { plan, context })
    }

    /// The workload of a run that starts now.
    fn spec(&self, now: Nanos) -> Result<RunSpec, ConfigError> {
        let settings = &self.resolved.settings;
        let mut spec = settings.run_spec(&config::run_id(now, config::random_bits()))?;
        if let Mode::Aggregate(_) = self.mode {
            // Events of other programs are out of order by a window at most, unless told otherwise.
            let lateness = settings.aggregator.allowed_lateness.or(settings.workload.window);
            spec.aggregator.allowed_lateness = AutoSpan::Fixed(lateness);
        }
        Ok(spec)
    }

    /// The command line that makes the run again.
    fn rerun(&self) -> String {
        let settings = match self.mode {
            Mode::Run => self.resolved.rerun_arguments(),
            Mode::Produce | Mode::Aggregate(_) | Mode::Latency(_) => self.resolved.set_arguments(),
        };
        let own = self.arguments.iter().map(|argument| shell_quoted(argument));
        let words = ["streamgauge".to_owned(), self.mode.name().to_owned(), settings];
        let words = words.into_iter().chain(own).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }
}
