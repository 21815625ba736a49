//! From settings to a run's plan.

use std::sync::Arc;

use streamgauge_actors::{Broker, Mode, RunPlan, RunSpec, SharedClock};

use crate::broker::dead_letters;
use crate::config::{ConfigError, Resolved, Settings};

/// Refuses settings that make no whole run.
///
/// # Errors
/// [`ConfigError`] with the key and where it was set.
pub fn check_whole_run(resolved: &Resolved) -> Result<(), ConfigError> {
    if resolved.settings.workload.progress_records {
        return Ok(());
    }
    let key = "workload.progress_records";
    let origin = resolved.origins.get(key).map_or("settings", String::as_str);
    let message = "must be true in a run, whose windows close by them: for other programs' consumers, use \
                   `streamgauge produce --no-progress-records`";
    Err(ConfigError::one(origin, key, message))
}

/// The plan of a run of `spec`, which came from `settings`, on `broker`.
pub fn plan(
    settings: &Settings,
    spec: RunSpec,
    mode: Mode,
    broker: Arc<dyn Broker>,
    clock: SharedClock,
) -> RunPlan {
    let (produces, writes_results) = (mode.produces(), mode.writes_results());
    RunPlan {
        create_events_topic: produces && settings.topics.events.is_empty(),
        create_results_topic: writes_results && settings.topics.results.is_empty(),
        // What is produced, or aggregated, alone is made for somebody else to read.
        keep_topics: settings.topics.keep || mode != Mode::Run,
        dead_letters: dead_letters::factory(&broker, &clock, spec.topics.replication),
        events_retention_bytes: Some(settings.topics.retention_bytes.0).filter(|&bytes| bytes > 0),
        truth: None,
        clock,
        mode,
        events_broker: Arc::clone(&broker),
        results_broker: broker,
        spec,
    }
}
