//! The supervisor: a run's state machine, its stages' health, and the generations of its pipeline.

use serde::Serialize;

use crate::audit::WindowAudit;
use crate::measures::{Second, StageCounters};

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Nothing runs, and nothing ran.
    #[default]
    Idle,
    /// Topics and stages are being made.
    Preparing,
    /// Events flow, outside the figures.
    WarmingUp,
    /// Events flow and are measured.
    Running,
    /// Producers are done; what they sent is aggregated and audited.
    Draining,
    /// Played to its end.
    Completed,
    /// Ended by an error.
    Failed,
    /// Ended on request.
    Stopped,
}

/// Why an order was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The state that refused it.
    pub state: RunState,
    /// Lower case; says what to do.
    pub reason: String,
}

/// How the present (or last) run is.
#[derive(Clone, Debug, Default)]
pub struct RunStatus {
    /// Its state.
    pub state: RunState,
    /// Its id; empty when nothing ran yet.
    pub run_id: String,
    /// Its workload's name.
    pub workload: String,
    /// Events per second asked for.
    pub target_per_second: f64,
    /// Seconds since its base; negative before it.
    pub elapsed_s: f64,
    /// Seconds of warm-up and measured part together.
    pub planned_s: f64,
    /// All stages' totals.
    pub counters: StageCounters,
    /// The latest whole second.
    pub latest: Option<Second>,
    /// The window judged last.
    pub latest_window: Option<WindowAudit>,
}
