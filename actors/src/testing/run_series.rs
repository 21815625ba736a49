//! What the supervisor keeps of its stages' reports.

use crate::clock::Nanos;
use crate::measures::collector::Collector;
use crate::measures::series::Second;
use crate::stage::StageState;
use crate::stage_id::StageId;

/// The series of a run, put together from what its stages tell.
#[derive(Clone, Debug)]
pub struct RunSeries(Collector);

impl RunSeries {
    /// Of a run that begins at `base_ns` with a target of so many events per second.
    pub fn new(base_ns: Nanos, target: f64) -> Self {
        Self(Collector::new(base_ns, Some(target)))
    }

    /// Takes what a stage tells, about once a second and at last.
    pub fn add(&mut self, stage: StageId, at_ns: Nanos, is_last: bool, told: StageState) {
        let StageState { counters, latencies, .. } = told;
        self.0.add(stage, at_ns, is_last, counters, &latencies);
    }

    /// All rows.
    pub fn finish(self) -> Vec<Second> {
        self.0.finish().0
    }
}
