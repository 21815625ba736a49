//! What a run has that must be ended on a thread of its own, because that may block.

use std::time::Duration;

use tracing::warn;

use crate::run::pipeline::Pipeline;
use crate::run::plan::RunPlan;
use crate::run::prepare::RunBasis;

/// Ports and threads of the present run.
#[derive(Default)]
pub(crate) enum Machinery {
    /// Nothing, yet or any more.
    #[default]
    Nothing,
    /// Ports of a run that was stopped before they were of use.
    Unused(RunBasis),
    /// The stages.
    Running(Pipeline),
}

impl Machinery {
    /// Ends it, whatever it takes. Blocks.
    pub(crate) fn end(self, plan: &RunPlan, patience: Duration) {
        match self {
            Self::Nothing => {}
            Self::Unused(basis) => drop(basis),
            Self::Running(pipeline) => {
                for stage in pipeline.stop(patience) {
                    warn!(
                        run_id = plan.spec.run_id,
                        %stage,
                        "the stage is frozen: its thread and its ports are left behind"
                    );
                }
            }
        }
    }
}
