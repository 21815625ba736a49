//! `[schedule]`: when the daemon starts runs by itself.

use serde::{Deserialize, Serialize};
use streamgauge_actors::{Checks, Span};

/// When the daemon starts runs by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScheduleMode {
    /// Never.
    OnRequest,
    /// One after the other.
    Continuous,
    /// One every so often.
    Every,
}

/// `[schedule]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScheduleSection {
    /// When runs are started.
    pub mode: ScheduleMode,
    /// From the start of one run to the start of the next (`every`).
    pub every: Span,
    /// What is run, in turn: presets and workload files.
    pub workloads: Vec<String>,
    /// How often the broker is asked whether it is there.
    pub probe_interval: Span,
    /// How long the daemon waits after a broker's first failure; twice as long after each further
    /// one.
    pub retry_min: Span,
    /// How long it waits at most.
    pub retry_max: Span,
}

impl ScheduleSection {
    /// Checks what types alone cannot.
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.must(
            !self.workloads.is_empty(),
            "schedule.workloads",
            "must have at least one, as [\"classic\"]",
        );
        for (key, span) in [
            ("schedule.every", self.every),
            ("schedule.probe_interval", self.probe_interval),
            ("schedule.retry_min", self.retry_min),
        ] {
            checks.must(
                span.as_millis() >= 100,
                key,
                format!("must be at least `100ms`, but is `{span}`"),
            );
        }
        checks.must(
            self.retry_max >= self.retry_min,
            "schedule.retry_max",
            "must not be shorter than `schedule.retry_min`",
        );
    }
}
