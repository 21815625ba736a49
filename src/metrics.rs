//! What Prometheus scrapes. Fed by the facts that the supervisor tells ([`RunFact`]), about ten a
//! second, and by the reports of finished runs; nothing here is touched per event.
//!
//! - `buckets.rs`: histograms filled from HDR histograms
//! - `exposition.rs`: every family: its name, its help, where its value comes from
//! - `process.rs`: `process_*`
//!
//! Counters of a (broker, workload) are the sum over its finished runs plus the present run's
//! totals, so that a scrape and a report can be compared to the unit.

mod buckets;
mod exposition;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};
use streamgauge_actors::{
    ArrivalKind, FailureKind, LatencyKind, RunFact, RunState, SharedClock, Verdict,
};

pub use self::buckets::{Buckets, EDGES_S};
use self::state::{Labels, OUTCOMES, Present, State, normal, quantiles};
use crate::report::Report;

/// What [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of a daemon.
#[derive(Clone)]
pub struct Metrics {
    state: Arc<Mutex<State>>,
    registry: Registry,
    clock: SharedClock,
}

impl Metrics {
    /// Metrics of a daemon that is to run these workloads on this broker. Their series exist from
    /// the start, at 0.
    pub fn new(
        broker: &str,
        workloads: &[String],
        thresholds: &[String],
        clock: SharedClock,
    ) -> Self {
        let subject =
            |workload: &str| Labels { broker: broker.to_owned(), workload: workload.to_owned() };
        let configured = subject(workloads.first().map_or("classic", String::as_str));
        let present = Present::of(configured.clone(), String::new(), RunState::Idle);
        let mut state = State {
            series: BTreeMap::new(),
            present,
            configured: configured.clone(),
            thresholds: normal(thresholds),
            broker_up: false,
        };
        for workload in workloads.iter().map(|workload| subject(workload)).chain([configured]) {
            state.series.entry(workload).or_default();
        }
        let state = Arc::new(Mutex::new(state));
        let registry = Registry::new();
        let families = Families { state: Arc::clone(&state), clock: Arc::clone(&clock) };
        registry.register(Box::new(families)).expect("the only collector of the registry");
        Self { state, registry, clock }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain numbers: whatever panicked, they are still there to be shown.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another configuration is in force for the next run.
    pub fn reconfigured(&self, broker: &str, workload: &str, thresholds: &[String]) {
        let mut state = self.lock();
        state.thresholds = normal(thresholds);
        state.configured = state.subject(broker, workload);
    }

    /// Takes what the supervisor tells. `broker`, `is_own_broker`: of the run that is accepted, its
    /// kind, and whether it is the one that [`Self::probed`] tells of.
    pub fn hear(&self, broker: &str, is_own_broker: bool, fact: &RunFact) {
        let now = self.clock.now();
        let mut state = self.lock();
        match fact {
            RunFact::Queued(_) | RunFact::Dropped(_) => {}
            RunFact::Accepted { spec, started_at_ns } => {
                state.accepted(broker, spec, *started_at_ns);
                state.present.is_own_broker = is_own_broker;
            }
            RunFact::Began { spec, .. } => {
                // Nobody asks for a rate where events go out as fast as they can.
                state.present.target = if spec.workload.arrivals == ArrivalKind::Max {
                    0.0
                } else {
                    spec.workload.rate.0
                };
                // Whoever has prepared a run has reached the broker.
                state.broker_up |= state.present.is_own_broker;
            }
            RunFact::StateChanged(run_state) => {
                state.present.state = *run_state;
                if *run_state == RunState::Draining {
                    state.present.target = 0.0;
                }
            }
            RunFact::RateChanged(rate) => state.present.target = *rate,
            RunFact::Measured(measured) => state.measured(measured, now),
            RunFact::Finished(outcome) => state.finished(outcome),
        }
    }

    /// Takes a finished run's report. `broker`: as its facts were told with; the broker may say
    /// another kind of itself.
    pub fn reported(&self, broker: &str, report: &Report) {
        let mut state = self.lock();
        let subject = state.subject(broker, &report.workload);
        let series = state.series.entry(subject).or_default();
        if let Some(at) = OUTCOMES.iter().position(|verdict| *verdict == report.verdict) {
            series.runs[at] += 1;
        }
        // A run that failed outright measured nothing to judge.
        let judged = report.thresholds.iter().filter(|_| report.ending.how != RunState::Failed);
        series.last.thresholds = judged.map(|row| (row.expression.clone(), row.passed)).collect();
        series.last.valid = report.verdict == Verdict::Pass;
        series.last.quantiles = Some(LatencyKind::ALL.map(|kind| quantiles(report, kind)));
    }

    /// Whether the broker answered when it was last asked.
    pub fn probed(&self, broker: &str, workload: &str, failure: Option<FailureKind>) {
        let mut state = self.lock();
        state.broker_up = failure.is_none();
        let subject = state.subject(broker, workload);
        if let Some(kind) = failure {
            state.broker_error(subject, "probe", kind);
        }
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// None that these metrics can cause.
    pub fn render(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// The names of all families, in order.
    pub fn names(&self) -> Vec<String> {
        self.registry.gather().iter().map(|family| family.name().to_owned()).collect()
    }
}

/// Makes every family anew for each scrape, from one consistent state.
struct Families {
    state: Arc<Mutex<State>>,
    clock: SharedClock,
}

impl Collector for Families {
    fn desc(&self) -> Vec<&Desc> {
        // The registry only uses them to refuse a second collector of the same names.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        exposition::families(&state, self.clock.now())
    }
}

#[cfg(test)]
mod tests;
