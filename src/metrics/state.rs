//! What is known of the runs, as the families show it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use streamgauge_actors::{
    Backlog, Ending, FailureKind, LatencyHistogram, LatencyKind, Nanos, RunOutcome, RunSpec,
    RunState, SECOND, StageCounters, StageId, StageMeasured, Verdict,
};

use super::buckets::Buckets;
use crate::config::Threshold;
use crate::report::Report;

/// Different (broker, workload) pairs; what comes beyond is counted under the workload `other`.
pub(super) const MAX_SUBJECTS: usize = 100;

/// Seconds that a latency quantile looks back, besides the one that is still open.
pub(super) const RECENT_S: Nanos = 10;

/// Where a failure of the broker was met, besides the stages: before a run, and between runs.
pub(super) const PLACES: [&str; 2] = ["prepare", "probe"];

/// The labels that all of a run's metrics have.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels {
    pub(super) broker: String,
    pub(super) workload: String,
}

/// What is known of one (broker, workload).
#[derive(Default)]
pub(super) struct Series {
    /// Totals of the finished runs.
    pub(super) finished: StageCounters,
    pub(super) latencies: [Buckets; LatencyKind::COUNT],
    /// Runs by outcome, in the order of [`OUTCOMES`].
    pub(super) runs: [u64; 4],
    /// Failures of the broker, by place and kind.
    pub(super) broker_errors: BTreeMap<(&'static str, &'static str), u64>,
    pub(super) last: LastRun,
}

/// The verdicts, as `runs_total` names them.
pub(super) const OUTCOMES: [Verdict; 4] =
    [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Aborted];

/// The quantiles shown, with their labels.
pub(super) const QUANTILES: [(&str, f64); 6] =
    [("0.5", 0.5), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99), ("0.999", 0.999), ("1", 1.0)];

/// The last run of a (broker, workload).
#[derive(Default)]
pub(super) struct LastRun {
    pub(super) valid: bool,
    /// Seconds, per latency and quantile; `None`: not measured.
    pub(super) quantiles: Option<[[Option<f64>; QUANTILES.len()]; LatencyKind::COUNT]>,
    pub(super) started_at_s: f64,
    pub(super) thresholds: BTreeMap<String, bool>,
}

/// The run that is under way, or was the last one.
pub(super) struct Present {
    pub(super) subject: Labels,
    pub(super) run_id: String,
    /// Whether its broker is the one that is asked whether it is there.
    pub(super) is_own_broker: bool,
    pub(super) state: RunState,
    pub(super) target: f64,
    pub(super) totals: StageCounters,
    /// Of each aggregator's partitions the least watermark.
    watermarks: BTreeMap<StageId, Nanos>,
    /// How far the slowest partition's watermark was behind when one was told last.
    pub(super) watermark_lag_ns: Nanos,
    /// How far the reading was behind in the latest second, and where events stood.
    pub(super) behind_s: f64,
    pub(super) backlog: Backlog,
    pub(super) mailboxes: BTreeMap<StageId, u64>,
    pub(super) supervisor_mailbox: u64,
    /// Samples by second of the clock, the latest last.
    pub(super) recent: VecDeque<(Nanos, [LatencyHistogram; LatencyKind::COUNT])>,
}

pub(super) struct State {
    pub(super) series: BTreeMap<Labels, Series>,
    pub(super) present: Present,
    /// What runs unless a request says otherwise.
    pub(super) configured: Labels,
    pub(super) thresholds: BTreeSet<String>,
    pub(super) broker_up: bool,
}

/// Expressions as reports write them, each once.
pub(super) fn normal(thresholds: &[String]) -> BTreeSet<String> {
    let text = |expression: &String| {
        Threshold::parse(expression)
            .map_or_else(|_| expression.clone(), |threshold| threshold.text().to_owned())
    };
    thresholds.iter().map(text).collect()
}

pub(super) fn quantiles(report: &Report, kind: LatencyKind) -> [Option<f64>; QUANTILES.len()] {
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
    pub(super) fn subject(&mut self, broker: &str, workload: &str) -> Labels {
        let subject = Labels { broker: broker.to_owned(), workload: workload.to_owned() };
        if self.series.contains_key(&subject) || self.series.len() < MAX_SUBJECTS {
            self.series.entry(subject.clone()).or_default();
            return subject;
        }
        let other = Labels { workload: "other".to_owned(), ..subject };
        self.series.entry(other.clone()).or_default();
        other
    }

    pub(super) fn accepted(&mut self, broker: &str, spec: &RunSpec, started_at_ns: Nanos) {
        let subject = self.subject(broker, &spec.workload.name);
        if let Some(series) = self.series.get_mut(&subject) {
            series.last.started_at_s = started_at_ns as f64 / SECOND as f64;
        }
        self.settle();
        self.present = Present::of(subject, spec.run_id.clone(), RunState::Preparing);
    }

    pub(super) fn measured(&mut self, measured: &StageMeasured, now: Nanos) {
        let Some(series) = self.series.get_mut(&self.present.subject) else { return };
        let present = &mut self.present;
        present.totals.clone_from(&measured.totals);
        present.mailboxes.insert(measured.stage, measured.mailbox);
        present.supervisor_mailbox = measured.supervisor_mailbox;
        let is_open = |at: &Nanos| *at != Nanos::MIN && *at != Nanos::MAX;
        let least = measured.watermarks.values().copied().filter(is_open).min();
        match least {
            Some(least) => present.watermarks.insert(measured.stage, least),
            None => present.watermarks.remove(&measured.stage),
        };
        // Watermarks are on the run's clock.
        let least = present.watermarks.values().min();
        present.watermark_lag_ns = least.map_or(0, |least| (measured.at_ns - least).max(0));
        if let Some(latest) = measured.seconds.last() {
            present.behind_s = latest.behind_ms.unwrap_or(0.0) / 1000.0;
            present.backlog = latest.backlog;
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

    pub(super) fn finished(&mut self, outcome: &RunOutcome) {
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
        present.watermarks.clear();
        present.watermark_lag_ns = 0;
        (present.behind_s, present.backlog) = (0.0, Backlog::default());
    }

    /// The present run's totals become a finished one's.
    pub(super) fn settle(&mut self) {
        let totals = std::mem::take(&mut self.present.totals);
        if let Some(series) = self.series.get_mut(&self.present.subject) {
            series.finished.add(&totals);
        }
    }

    pub(super) fn broker_error(&mut self, subject: Labels, place: &'static str, kind: FailureKind) {
        let errors = &mut self.series.entry(subject).or_default().broker_errors;
        *errors.entry((place, kind.name())).or_default() += 1;
    }
}

impl Present {
    pub(super) fn of(subject: Labels, run_id: String, state: RunState) -> Self {
        Self {
            subject,
            run_id,
            is_own_broker: false,
            state,
            target: 0.0,
            totals: StageCounters::default(),
            watermarks: BTreeMap::new(),
            watermark_lag_ns: 0,
            behind_s: 0.0,
            backlog: Backlog::default(),
            mailboxes: BTreeMap::new(),
            supervisor_mailbox: 0,
            recent: VecDeque::new(),
        }
    }

    pub(super) fn forget_before(&mut self, second: Nanos) {
        while self.recent.front().is_some_and(|(oldest, _)| *oldest < second) {
            self.recent.pop_front();
        }
    }

    /// The samples of the last ten seconds, of one latency.
    pub(super) fn recent(&self, kind: LatencyKind, now: Nanos) -> LatencyHistogram {
        let from = now.div_euclid(SECOND) - RECENT_S;
        let mut merged = LatencyHistogram::default();
        for (_, samples) in self.recent.iter().filter(|(second, _)| *second >= from) {
            merged.merge(&samples[kind as usize]);
        }
        merged
    }
}
