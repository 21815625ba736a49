//! What a run is made from: the workload, the stages, and what they stand on.

use std::sync::Arc;

use crate::clock::SharedClock;
use crate::ports::{Broker, DeadLettersFactory};
use crate::truth::table::KnownTruth;
use crate::workload::mode::Mode;
use crate::workload::spec::RunSpec;

/// A run to be made: the workload, the stages, and what they stand on.
#[derive(Clone)]
pub struct RunPlan {
    /// The workload.
    pub spec: RunSpec,
    /// Which stages.
    pub mode: Mode,
    /// The broker of its events.
    pub events_broker: Arc<dyn Broker>,
    /// The broker of its results: the same one, as a rule.
    pub results_broker: Arc<dyn Broker>,
    /// The run's clock.
    pub clock: SharedClock,
    /// Whether the events topic is made for this run; otherwise it must be there.
    pub create_events_topic: bool,
    /// Whether the results topic is made for this run; otherwise it must be there.
    pub create_results_topic: bool,
    /// What a partition of a made events topic keeps at most, bytes.
    pub events_retention_bytes: Option<u64>,
    /// Whether topics made for this run outlive it.
    pub keep_topics: bool,
    /// What the results of another processor are audited against ([`Mode::Latency`]).
    pub truth: Option<Arc<KnownTruth>>,
    /// Where malformed records go.
    pub dead_letters: DeadLettersFactory,
}
