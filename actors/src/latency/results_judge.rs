//! Judges the results of any other processor, against the truth where it is given.
//!
//! Such a processor may write a result again and again as it grows: the last update counts, and
//! only at the end is it known which one that is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;

use crate::clock::{MILLISECOND, Nanos};
use crate::failure::StageError;
use crate::latency::auditor::Auditor;
use crate::latency::result_latency::{in_ms, insertion_time, result_latency_ns};
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::measures::run_measures::{MeasuresComplete, RunMeasures};
use crate::ports::{EventReader, MAX_BUDGET};
use crate::stage::drain::Remainder;
use crate::stage::{Role, Stage, StageOrder, StageState, TURN_LIMIT, Turn};
use crate::stage_id::StageId;
use crate::stream::result::{BAD_RESULT, ResultRecord};
use crate::truth::findings::{Finding, WindowAudit};
use crate::truth::table::TruthTable;
use crate::workload::frame::WindowFrame;
use crate::workload::mode::Follow;
use crate::workload::spec::RunSpec;

/// A judge of others' results, before its run has begun.
pub struct ResultsJudgeRole {
    /// The workload.
    pub spec: Arc<RunSpec>,
    /// Reads the results topic.
    pub reader: Box<dyn EventReader>,
    /// Partitions of the results topic.
    pub partitions: u32,
    /// How far it is read.
    pub follow: Follow,
    /// What the results are audited against; `None`: their latencies alone are measured.
    pub truth: Option<Arc<TruthTable>>,
}

impl Role for ResultsJudgeRole {
    type Stage = ResultsJudge;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn begin(self, base_ns: Nanos) -> ResultsJudge {
        ResultsJudge {
            role: self,
            latest: BTreeMap::new(),
            last_read_ns: base_ns,
            remainder: Remainder::default(),
            counters: StageCounters::default(),
            result_latency: LatencyHistogram::default(),
            findings: Vec::new(),
            windows: Vec::new(),
        }
    }
}

/// The judge of others' results.
pub struct ResultsJudge {
    role: ResultsJudgeRole,
    /// By window and campaign.
    latest: BTreeMap<(i64, u64), Update>,
    last_read_ns: Nanos,
    remainder: Remainder,
    counters: StageCounters,
    result_latency: LatencyHistogram,
    findings: Vec<Finding>,
    windows: Vec<WindowAudit>,
}

/// A result as it was written last.
struct Update {
    result: ResultRecord,
    /// `None`: the log stamps no insertion time, and whoever wrote it knows when it was
    /// acknowledged.
    latency_ns: Option<Nanos>,
}

impl ResultsJudge {
    /// Reads what came; gives how many records.
    fn read(&mut self) -> Result<usize, StageError> {
        let Self { role: ResultsJudgeRole { reader, spec, .. }, .. } = self;
        let (latest, remainder, counters) =
            (&mut self.latest, &mut self.remainder, &mut self.counters);
        let mut failure = None;
        let visited = reader.poll(MAX_BUDGET, TURN_LIMIT, &mut |record| {
            remainder.read(record.partition);
            let insertion = match insertion_time(&record, spec) {
                Ok(insertion) => insertion,
                Err(error) => return failure = Some(error),
            };
            let Ok(result) = ResultRecord::from_json(record.payload) else {
                counters.malformed.add(BAD_RESULT, 1);
                return;
            };
            counters.results_read += 1;
            let key = (result.window_id, result.campaign_id);
            let latency_ns = insertion.map(|at| result_latency_ns(&result, at));
            let replaced = latest.insert(key, Update { result, latency_ns });
            counters.result_updates += u64::from(replaced.is_some());
        })?;
        let (counters, findings) = (&mut self.counters, &mut self.findings);
        self.role.reader.take_losses(&mut |loss| {
            counters.records_lost += loss.records;
            findings.push(Finding::of_loss(&loss));
        });
        failure.map_or(Ok(visited), Err)
    }

    /// All is read: measures the last update of every result, and audits it.
    fn judge(&mut self) -> MeasuresComplete {
        let latest = std::mem::take(&mut self.latest);
        for latency_ns in latest.values().filter_map(|update| update.latency_ns) {
            self.result_latency.record(latency_ns);
        }
        let Some(truth) = &self.role.truth else {
            return MeasuresComplete::default();
        };
        let frame = frame_of(latest.values().map(|update| &update.result), &self.role.spec);
        let mut auditor = Auditor::with_truth(frame, truth);
        for update in latest.values() {
            auditor.result(&update.result, update.latency_ns.map(in_ms));
        }
        auditor.judge_rest();
        auditor.count_judged(&mut self.counters);
        self.findings.append(&mut auditor.take_findings());
        let windows = auditor.take_rows();
        self.windows.clone_from(&windows);
        let measures = RunMeasures { audit: auditor.totals().clone(), windows, broker_clock: None };
        MeasuresComplete { measures: Some(Box::new(measures)), truth: TruthTable::new() }
    }
}

/// Windows lie where the results say, and nothing tells of a start or an end that cut one short.
fn frame_of<'a>(
    mut results: impl Iterator<Item = &'a ResultRecord>,
    spec: &RunSpec,
) -> WindowFrame {
    let Some(result) = results.find(|result| result.window_end > result.window_start) else {
        return WindowFrame::unscheduled(0, spec.workload.window.as_nanos());
    };
    let window_ns =
        result.window_end.saturating_sub(result.window_start).saturating_mul(MILLISECOND);
    let start_ns = result.window_start.saturating_mul(MILLISECOND);
    let base_ns = start_ns.saturating_sub(result.window_id.saturating_mul(window_ns));
    WindowFrame::unscheduled(base_ns, window_ns)
}

impl Stage for ResultsJudge {
    type Out = MeasuresComplete;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn order(&mut self, order: StageOrder) {
        match order {
            StageOrder::Drain { .. } => self.remainder.ask(),
            StageOrder::GiveUp | StageOrder::SetRate { .. } => {}
        }
    }

    fn turn(&mut self, now: Nanos, outbox: &mut Vec<MeasuresComplete>) -> Result<Turn, StageError> {
        let visited = self.read()?;
        if visited > 0 {
            self.last_read_ns = now;
        }
        let silent_ns = now - self.last_read_ns;
        let ResultsJudgeRole { reader, partitions, follow, .. } = &mut self.role;
        let idle = follow.until_idle_ns.is_some_and(|limit| silent_ns >= limit);
        let drained = self.remainder.is_done(visited, &mut **reader, 0..*partitions);
        let is_read = |reader: &mut dyn EventReader| {
            reader.lag() == 0 && reader.is_at_end() == Poll::Ready(true)
        };
        if drained || (visited == 0 && idle && is_read(&mut **reader)) {
            outbox.push(self.judge());
            return Ok(Turn::Finished);
        }
        Ok(Turn::Again)
    }

    fn state(&mut self) -> StageState {
        StageState {
            counters: self.counters.clone(),
            latencies: vec![(LatencyKind::ResultLatency, self.result_latency.take())],
            findings: std::mem::take(&mut self.findings),
            windows: std::mem::take(&mut self.windows),
        }
    }
}
