//! Placeholder of the run in the foreground.

use streamgauge_actors::outcome::RunOutcome;
use streamgauge_actors::pipeline::RunPlan;
use streamgauge_actors::supervisor::RunStatus;

/// Runs a plan to its end.
///
/// # Errors
/// Always, until it is built.
pub fn run(_plan: RunPlan, _observe: &mut dyn FnMut(&RunStatus)) -> anyhow::Result<RunOutcome> {
    anyhow::bail!("runs are not built yet")
}
