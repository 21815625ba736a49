//! A run's preparation, on a thread of its own, and what ends what it made: both may block for as
//! long as a broker may take to answer.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::warn;

use crate::failure::caught;
use crate::ports::{BrokerDescription, PortError};
use crate::run::abandonment::Abandonment;
use crate::run::pipeline::{Pipeline, Reports};
use crate::run::plan::RunPlan;
use crate::run::prepare::prepare;
use crate::run::topics::delete_topics;
use crate::workload::spec::RunSpec;

/// What a run is prepared from, as far as others need it.
#[derive(Clone)]
pub(crate) struct Preparation {
    /// The run.
    pub plan: Arc<RunPlan>,
    /// Whether it is still wanted.
    pub abandonment: Arc<Abandonment>,
}

/// A run that can begin.
pub(crate) struct PreparedRun {
    /// The workload, with the topics' real partition count.
    pub spec: Arc<RunSpec>,
    /// The broker of the events.
    pub broker: BrokerDescription,
    /// The stages, which wait.
    pub pipeline: Pipeline,
}

impl Preparation {
    /// Nothing is made yet.
    pub(crate) fn new(plan: Arc<RunPlan>) -> Self {
        Self { plan, abandonment: Arc::default() }
    }

    /// Makes topics and ports, and starts the stages within `system`. Blocks.
    ///
    /// # Errors
    /// [`PortError`]: as [`prepare`], or that a stage cannot be started, or that the run is wanted
    /// no more.
    pub(crate) fn run(&self, system: System, reports: &Reports) -> Result<PreparedRun, PortError> {
        let basis = prepare(&self.plan, &self.abandonment)?;
        let (spec, broker) = (Arc::clone(&basis.spec), basis.broker.clone());
        self.abandonment.check()?;
        System::set_current(system);
        // An arbiter panics where it gets no thread or no descriptor.
        let pipeline = caught(|| Pipeline::start(&self.plan, basis, reports))
            .map_err(|error| PortError::fatal(error.cause))?;
        Ok(PreparedRun { spec, broker, pipeline })
    }

    /// Ends the stages, whatever it takes, and deletes the topics that were made. Blocks. A stage
    /// that shows no life for `patience` is left behind. Gives what could not be cleaned up.
    pub(crate) fn undo(&self, pipeline: Option<Pipeline>, patience: Duration) -> Option<String> {
        for stage in pipeline.into_iter().flat_map(|pipeline| pipeline.stop(patience)) {
            warn!(
                run_id = self.plan.spec.run_id,
                %stage,
                "the stage is frozen: its thread and its ports are left behind"
            );
        }
        if !self.abandonment.may_have_topics() {
            return None;
        }
        delete_topics(&self.plan).err().map(|error| error.message)
    }
}
