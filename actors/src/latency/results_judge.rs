//! Judges the results of any other processor, against the truth where it is given.
//!
//! Such a processor may write a result again and again as it grows: the last update counts, and
//! only at the end is it known which one that is.

mod alignment;

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::warn;

use crate::clock::Nanos;
use crate::failure::StageError;
use crate::latency::auditor::Auditor;
use crate::latency::result_latency::{in_ms, insertion_time, result_latency_ns};
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::measures::run_measures::{MeasuresComplete, RunMeasures};
use crate::ports::{EventReader, MAX_BUDGET};
use crate::stage::drain::{EndAnswer, QuietEnd, Remainder};
use crate::stage::{Role, Stage, StageOrder, StageState, TURN_LIMIT, Turn};
use crate::stage_id::StageId;
use crate::stream::result::{ResultFormat, ResultRecord};
use crate::stream::value::Oddities;
use crate::truth::findings::{Finding, WindowAudit};
use crate::truth::table::{KnownTruth, TruthTable};
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
    pub truth: Option<Arc<KnownTruth>>,
}

impl Role for ResultsJudgeRole {
    type Stage = ResultsJudge;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn begin(self, base_ns: Nanos) -> ResultsJudge {
        let window_ns = self.spec.workload.window.as_nanos();
        let (truth_base_ns, window_ns) =
            self.truth.as_ref().map_or((0, window_ns), |truth| (truth.base_ns, truth.window_ns));
        ResultsJudge {
            format: ResultFormat::new(self.spec.input.clone(), truth_base_ns, window_ns),
            role: self,
            latest: BTreeMap::new(),
            last_read_ns: base_ns,
            remainder: Remainder::default(),
            end: QuietEnd::default(),
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
    format: ResultFormat,
    /// By the run that results name.
    latest: BTreeMap<String, Updates>,
    last_read_ns: Nanos,
    remainder: Remainder,
    end: QuietEnd,
    counters: StageCounters,
    result_latency: LatencyHistogram,
    findings: Vec<Finding>,
    windows: Vec<WindowAudit>,
}

/// Results as they were written last, by window and campaign.
type Updates = BTreeMap<(i64, u64), Update>;

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
        let Self { role, format, latest, remainder, counters, .. } = self;
        let ResultsJudgeRole { reader, spec, .. } = role;
        let mut failure = None;
        let visited = reader.poll(MAX_BUDGET, TURN_LIMIT, &mut |record| {
            remainder.read(record.partition);
            let insertion = match insertion_time(&record, spec) {
                Ok(insertion) => insertion,
                Err(error) => return failure = Some(error),
            };
            if record.payload.is_empty() {
                counters.tombstones += 1;
                return;
            }
            let mut odd = Oddities::default();
            let result = match format.decode(record.payload, &mut odd) {
                Ok(result) => result,
                Err(reason) => {
                    if counters.malformed.of(reason) == 0 {
                        let shown = record.beginning();
                        let (partition, offset) = (record.partition, record.offset);
                        warn!(reason, partition, offset, "no readable result: {shown:?}");
                    }
                    counters.malformed.add_at(reason, record.partition, record.offset);
                    return;
                }
            };
            counters.note_oddities(odd);
            if let Some(unit) = format.suspected_unit(&result, record.timestamp_ns) {
                counters.suspects.add("max_produce_time", unit.name());
            }
            counters.results_read += 1;
            let updates = match latest.get_mut(&result.run_id) {
                Some(updates) => updates,
                None => latest.entry(result.run_id.clone()).or_default(),
            };
            let key = (result.window_id, result.campaign_id);
            let latency_ns = insertion.map(|at| result_latency_ns(&result, at));
            let counts = (result.count, result.max_produce_time);
            let before = updates.insert(key, Update { result, latency_ns });
            if let Some(Update { result, .. }) = before {
                let is_repeat = (result.count, result.max_produce_time) == counts;
                counters.result_repeats += u64::from(is_repeat);
                counters.result_updates += u64::from(!is_repeat);
            }
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
        let mut latest = std::mem::take(&mut self.latest);
        for latency_ns in latest.values().flat_map(BTreeMap::values).filter_map(|it| it.latency_ns)
        {
            self.result_latency.record(latency_ns);
        }
        let Some(truth) = &self.role.truth else {
            return MeasuresComplete::default();
        };
        // A processor names itself, or the producers' run, or nobody. Of several the one is audited
        // that is the producers', or else has most results.
        let rank = |(run, results): &(&String, &Updates)| (**run == truth.run_id, results.len());
        let audited = latest.iter().max_by_key(rank).map(|(run, _)| run.clone());
        let own = audited.and_then(|run| latest.remove(&run)).unwrap_or_default();
        let foreign: usize = latest.values().map(BTreeMap::len).sum();
        self.counters.results_foreign += foreign as u64;
        let results = own.values().map(|update| &update.result);
        let misalignment = alignment::misalignment(results.clone(), truth);
        let frame = WindowFrame::unscheduled(truth.base_ns, truth.window_ns);
        let mut auditor = Auditor::with_truth(frame, &truth.windows);
        for update in own.values() {
            auditor.result(&update.result, update.latency_ns.map(in_ms));
        }
        auditor.judge_rest();
        auditor.count_judged(&mut self.counters);
        self.findings.append(&mut auditor.take_findings());
        let windows = auditor.take_rows();
        self.windows.clone_from(&windows);
        let audit = auditor.totals().clone();
        let measures = RunMeasures { audit, windows, broker_clock: None, misalignment };
        MeasuresComplete { measures: Some(Box::new(measures)), truth: TruthTable::new() }
    }
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
        let drained = self.remainder.is_done(now, visited, &mut **reader, 0..*partitions);
        let topic = &self.role.spec.topics.results;
        let patience_ns = self.role.spec.supervisor.drain_timeout.as_nanos();
        let end = if drained {
            EndAnswer::AtEnd
        } else if visited == 0 && idle {
            self.end.ask(now, &mut *self.role.reader, topic, patience_ns)
        } else {
            self.end.forget();
            EndAnswer::NotYet
        };
        if end != EndAnswer::NotYet {
            self.counters.ends_unknown += u64::from(end == EndAnswer::Unknown);
            outbox.push(self.judge());
            return Ok(Turn::Finished);
        }
        Ok(Turn::Again)
    }

    fn state(&mut self) -> StageState {
        self.counters.held_back = self.role.reader.held_back();
        StageState {
            counters: self.counters.clone(),
            latencies: vec![(LatencyKind::ResultLatency, self.result_latency.take())],
            findings: std::mem::take(&mut self.findings),
            windows: std::mem::take(&mut self.windows),
        }
    }
}
