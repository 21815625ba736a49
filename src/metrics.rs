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
mod process;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};
use streamgauge_actors::{
    ArrivalKind, Ending, FailureKind, LatencyHistogram, LatencyKind, Nanos, RunFact, RunOutcome,
    RunSpec, RunState, SECOND, SharedClock, StageCounters, StageId, StageMeasured, Verdict,
};

pub use self::buckets::{Buckets, EDGES_S};
pub use self::process::ProcessUsage;
use crate::config::Threshold;
use crate::report::Report;

/// What [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Different (broker, workload) pairs; what comes beyond is counted under the workload `other`.
const MAX_SUBJECTS: usize = 100;

/// Seconds that a latency quantile looks back, besides the one that is still open.
const RECENT_S: Nanos = 10;

/// Where a failure of the broker was met, besides the stages: before a run, and between runs.
const PLACES: [&str; 2] = ["prepare", "probe"];

/// The metrics of a daemon.
#[derive(Clone)]
pub struct Metrics {
    state: Arc<Mutex<State>>,
    registry: Registry,
    clock: SharedClock,
}

/// The labels that all of a run's metrics have.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    broker: String,
    workload: String,
}

/// What is known of one (broker, workload).
#[derive(Default)]
struct Series {
    /// Totals of the finished runs.
    finished: StageCounters,
    latencies: [Buckets; LatencyKind::COUNT],
    /// Runs by outcome, in the order of [`OUTCOMES`].
    runs: [u64; 4],
    /// Failures of the broker, by place and kind.
    broker_errors: BTreeMap<(&'static str, &'static str), u64>,
    last: LastRun,
}

/// The verdicts, as `runs_total` names them.
const OUTCOMES: [Verdict; 4] =
    [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Aborted];

/// The quantiles shown, with their labels.
const QUANTILES: [(&str, f64); 6] =
    [("0.5", 0.5), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99), ("0.999", 0.999), ("1", 1.0)];

/// The last run of a (broker, workload).
#[derive(Default)]
struct LastRun {
    valid: bool,
    /// Seconds, per latency and quantile; `None`: not measured.
    quantiles: Option<[[Option<f64>; QUANTILES.len()]; LatencyKind::COUNT]>,
    started_at_s: f64,
    thresholds: BTreeMap<String, bool>,
}

/// The run that is under way, or was the last one.
struct Present {
    subject: Subject,
    run_id: String,
    /// Whether its broker is the one that is asked whether it is there.
    is_own_broker: bool,
    state: RunState,
    target: f64,
    totals: StageCounters,
    /// Nanoseconds that the slowest partition's watermark was behind when it was told.
    watermark_lag: BTreeMap<u32, Nanos>,
    mailboxes: BTreeMap<StageId, u64>,
    supervisor_mailbox: u64,
    /// Samples by second of the clock, the latest last.
    recent: VecDeque<(Nanos, [LatencyHistogram; LatencyKind::COUNT])>,
}

struct State {
    series: BTreeMap<Subject, Series>,
    present: Present,
    /// What runs unless a request says otherwise.
    configured: Subject,
    thresholds: BTreeSet<String>,
    broker_up: bool,
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
            |workload: &str| Subject { broker: broker.to_owned(), workload: workload.to_owned() };
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

/// Expressions as reports write them, each once.
fn normal(thresholds: &[String]) -> BTreeSet<String> {
    let text = |expression: &String| {
        Threshold::parse(expression)
            .map_or_else(|_| expression.clone(), |threshold| threshold.text().to_owned())
    };
    thresholds.iter().map(text).collect()
}

fn quantiles(report: &Report, kind: LatencyKind) -> [Option<f64>; QUANTILES.len()] {
    report.latency.get(kind).map_or([None; QUANTILES.len()], |figures| {
        [
            figures.p50_ms,
            figures.p90_ms,
            figures.p95_ms,
            figures.p99_ms,
            figures.p999_ms,
            figures.max_ms,
        ]
        .map(|ms| ms.map(|ms| ms / 1000.0))
    })
}

impl State {
    /// The pair under which such a run is counted.
    fn subject(&mut self, broker: &str, workload: &str) -> Subject {
        let subject = Subject { broker: broker.to_owned(), workload: workload.to_owned() };
        if self.series.contains_key(&subject) || self.series.len() < MAX_SUBJECTS {
            self.series.entry(subject.clone()).or_default();
            return subject;
        }
        let other = Subject { workload: "other".to_owned(), ..subject };
        self.series.entry(other.clone()).or_default();
        other
    }

    fn accepted(&mut self, broker: &str, spec: &RunSpec, started_at_ns: Nanos) {
        let subject = self.subject(broker, &spec.workload.name);
        if let Some(series) = self.series.get_mut(&subject) {
            series.last.started_at_s = started_at_ns as f64 / SECOND as f64;
        }
        self.settle();
        self.present = Present::of(subject, spec.run_id.clone(), RunState::Preparing);
    }

    fn measured(&mut self, measured: &StageMeasured, now: Nanos) {
        let Some(series) = self.series.get_mut(&self.present.subject) else { return };
        let present = &mut self.present;
        present.totals.clone_from(&measured.totals);
        present.mailboxes.insert(measured.stage, measured.mailbox);
        present.supervisor_mailbox = measured.supervisor_mailbox;
        if matches!(measured.stage, StageId::WindowAggregator(_)) {
            // Watermarks are on the run's clock.
            let run_now = measured.at_ns;
            let lag = |at: Nanos| {
                if at == Nanos::MIN || at == Nanos::MAX { 0 } else { (run_now - at).max(0) }
            };
            present.watermark_lag =
                measured.totals.watermarks.iter().map(|(&p, &at)| (p, lag(at))).collect();
        }
        let second = now.div_euclid(SECOND);
        if present.recent.back().is_none_or(|(latest, _)| *latest != second) {
            present.recent.push_back((second, Default::default()));
        }
        present.forget_before(second - RECENT_S);
        let stepped = measured.clock_stepped;
        for (kind, samples) in
            measured.latencies.iter().filter(|(kind, _)| !kind.is_spoiled(stepped))
        {
            let place = *kind as usize;
            series.latencies[place].add(samples);
            if let Some((_, recent)) = present.recent.back_mut() {
                recent[place].merge(samples);
            }
        }
    }

    fn finished(&mut self, outcome: &RunOutcome) {
        let subject = self.present.subject.clone();
        if let Ending::Failed { stage, kind, .. } = &outcome.ending
            && FailureKind::BROKERS.contains(kind)
        {
            self.broker_error(subject.clone(), stage.map_or("prepare", StageId::actor), *kind);
            self.broker_up &= *kind != FailureKind::Connection || !self.present.is_own_broker;
        }
        self.present.totals.clone_from(&outcome.counters);
        self.settle();
        let present = &mut self.present;
        present.state = outcome.ending.state();
        present.target = 0.0;
        present.mailboxes.clear();
        present.watermark_lag.clear();
    }

    /// The present run's totals become a finished one's.
    fn settle(&mut self) {
        let totals = std::mem::take(&mut self.present.totals);
        if let Some(series) = self.series.get_mut(&self.present.subject) {
            series.finished.add(&totals);
        }
    }

    fn broker_error(&mut self, subject: Subject, place: &'static str, kind: FailureKind) {
        let errors = &mut self.series.entry(subject).or_default().broker_errors;
        *errors.entry((place, kind.name())).or_default() += 1;
    }
}

impl Present {
    fn of(subject: Subject, run_id: String, state: RunState) -> Self {
        Self {
            subject,
            run_id,
            is_own_broker: false,
            state,
            target: 0.0,
            totals: StageCounters::default(),
            watermark_lag: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            supervisor_mailbox: 0,
            recent: VecDeque::new(),
        }
    }

    fn forget_before(&mut self, second: Nanos) {
        while self.recent.front().is_some_and(|(oldest, _)| *oldest < second) {
            self.recent.pop_front();
        }
    }

    /// The samples of the last ten seconds, of one latency.
    fn recent(&self, kind: LatencyKind, now: Nanos) -> LatencyHistogram {
        let from = now.div_euclid(SECOND) - RECENT_S;
        let mut merged = LatencyHistogram::default();
        for (_, samples) in self.recent.iter().filter(|(second, _)| *second >= from) {
            merged.merge(&samples[kind as usize]);
        }
        merged
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
