//! Orders from outside to the supervisor, and its answers. An order is answered once whoever
//! listens has heard what it led to.

use std::sync::Arc;

use actix::prelude::*;
use serde::Deserialize;

use crate::measures::counters::StageCounters;
use crate::measures::series::Second;
use crate::run::plan::RunPlan;
use crate::run::states::RunState;
use crate::truth::findings::WindowAudit;

/// HTTP, ctl or the command line -> Supervisor: start this run. Answer: accepted, or refused with a
/// reason.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct StartRun {
    /// What to run, on which broker.
    pub plan: Arc<RunPlan>,
}

/// How a run is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// Producers stop; everything sent is still aggregated, audited and reported.
    #[default]
    Drain,
    /// Everything stops at once; what was measured so far is reported, unaudited.
    Abandon,
}

/// HTTP, ctl or a signal -> Supervisor: stop the present run.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<(), Refusal>")]
pub struct StopRun {
    /// Only this run, which may have ended by now, or one that waits for the present one's end;
    /// `None`: whatever runs.
    pub run_id: Option<String>,
    /// How.
    pub mode: StopMode,
}

/// HTTP or ctl -> Supervisor: stop what runs, then start this plan as a new run.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct RestartRun {
    /// Only this run is stopped, where one is under way; `None`: whatever runs.
    pub run_id: Option<String>,
    /// How the present run is stopped.
    pub mode: StopMode,
    /// What runs next.
    pub plan: Arc<RunPlan>,
}

/// HTTP or ctl -> Supervisor -> every producer: the total rate from now on.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<(), Refusal>")]
pub struct SetRate {
    /// Only in this run; `None`: in whatever runs.
    pub run_id: Option<String>,
    /// Events per second over all producers.
    pub events_per_second: f64,
}

/// Anyone -> Supervisor: how is the run?
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "RunStatus")]
pub struct GetStatus;

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
    /// Runs that are over, and whose topics are still being deleted.
    pub leaving: usize,
}
