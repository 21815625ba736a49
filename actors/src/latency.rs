//! Latency: reads the results back, judges every count against the ledger, and measures what only a
//! reader can.
//!
//! Owns: the ledger (`truth/ledger.rs`), the auditor (`latency/audit.rs`), a reader of the results topic.
//! Receives: [`Acknowledged`] from the producers, [`WindowWritten`], [`WindowAcknowledged`] and
//! [`ResultsComplete`] from the result writer. Sends: [`Measured`] to the supervisor (as a
//! `RunMeasured`), once, when both sides are complete.

pub(crate) mod audit;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::{MILLISECOND, Nanos, SharedClock, to_millis};
use crate::failure::StageError;
use crate::latency::audit::Auditor;
use crate::measures::counters::StageCounters;
use crate::measures::histograms::{LatencyHistogram, LatencyKind};
use crate::measures::run_measures::{Measured, RunMeasures};
use crate::ports::{EventReader, MAX_BUDGET, Record, TimestampKind};
use crate::stage::drain::Drain;
use crate::stage::flow::{Acknowledged, ResultsComplete, WindowAcknowledged, WindowWritten};
use crate::stage::{Order, Receive, Stage, StageState, TURN_LIMIT, Turn};
use crate::stage_id::StageId;
use crate::stream::result::ResultRecord;
use crate::truth::findings::{AuditTotals, Finding, WindowAudit};
use crate::truth::ledger::Ledger;
use crate::truth::table::TruthTable;
use crate::workload::frame::WindowFrame;
use crate::workload::mode::Follow;
use crate::workload::spec::RunSpec;

/// Nothing came for so long after the writer was done: what is missing will not come any more.
const MISSING_AFTER_NS: Nanos = 5_000 * MILLISECOND;

/// What the latency actor does.
pub enum LatencyTask {
    /// Audits a run: results read back against the ledger.
    Audit(Box<dyn EventReader>),
    /// Keeps the ledger of producers that run alone.
    KeepTruth,
    /// Judges the results of any other processor in a topic of so many partitions, against the
    /// truth where it is known.
    Judge(Box<dyn EventReader>, u32, Follow, Option<Arc<TruthTable>>),
}

/// The latency actor's logic.
pub struct Latency {
    spec: Arc<RunSpec>,
    clock: SharedClock,
    work: Work,
    begun: Option<Nanos>,
    /// Of results that others write.
    drain: Drain,
    counters: StageCounters,
    result_latency: LatencyHistogram,
    end_to_end: LatencyHistogram,
    /// Of an audit that is over, not told yet.
    last: Told,
}

/// What the auditor found since the last report.
#[derive(Default)]
struct Told {
    findings: Vec<Finding>,
    windows: Vec<WindowAudit>,
}

impl Told {
    fn take(auditor: &mut Auditor) -> Self {
        Self { findings: auditor.take_findings(), windows: auditor.take_judged() }
    }
}

enum Work {
    Audit(Box<Audit>),
    KeepTruth(Ledger),
    Judge(Box<Judge>),
}

struct Audit {
    reader: Box<dyn EventReader>,
    auditor: Option<Auditor>,
    early: Vec<Early>,
    /// Results handed to the client so far, and all of them once the writer is done.
    handed_over: u64,
    complete: Option<u64>,
    last_read_ns: Nanos,
}

/// A message that came before the run began.
enum Early {
    Acknowledged(Acknowledged),
    Written(WindowWritten),
    WindowAcknowledged(WindowAcknowledged),
}

/// Results of another processor: of several updates of one result, the last one counts.
struct Judge {
    reader: Box<dyn EventReader>,
    partitions: u32,
    follow: Follow,
    truth: Option<Arc<TruthTable>>,
    /// By window and campaign.
    latest: BTreeMap<(i64, u64), JudgedResult>,
    last_read_ns: Nanos,
}

struct JudgedResult {
    record: ResultRecord,
    /// `None`: the log stamps no insertion time, and whoever wrote it knows when it was
    /// acknowledged.
    result_latency_ns: Option<Nanos>,
}

impl Latency {
    /// The latency actor of a run.
    pub fn new(spec: Arc<RunSpec>, clock: SharedClock, task: LatencyTask) -> Self {
        let work = match task {
            LatencyTask::Audit(reader) => Work::Audit(Box::new(Audit {
                reader,
                auditor: None,
                early: Vec::new(),
                handed_over: 0,
                complete: None,
                last_read_ns: 0,
            })),
            LatencyTask::KeepTruth => Work::KeepTruth(Ledger::new(spec.workload.producers)),
            LatencyTask::Judge(reader, partitions, follow, truth) => Work::Judge(Box::new(Judge {
                reader,
                partitions,
                follow,
                truth,
                latest: BTreeMap::new(),
                last_read_ns: 0,
            })),
        };
        Self {
            spec,
            clock,
            work,
            begun: None,
            drain: Drain::default(),
            counters: StageCounters::default(),
            result_latency: LatencyHistogram::default(),
            end_to_end: LatencyHistogram::default(),
            last: Told::default(),
        }
    }

    fn audit_turn(&mut self, now: Nanos, outbox: &mut Vec<Measured>) -> Result<Turn, StageError> {
        let Self {
            work: Work::Audit(audit),
            spec,
            clock,
            counters,
            result_latency,
            end_to_end,
            ..
        } = self
        else {
            return Ok(Turn::Finished);
        };
        let Audit { reader, auditor: Some(auditor), handed_over, complete, last_read_ns, .. } =
            &mut **audit
        else {
            return Ok(Turn::Park);
        };
        let mut failure = None;
        let mut read_at = None;
        let visited = reader.poll(MAX_BUDGET, TURN_LIMIT, &mut |record| {
            // Read after the wait, once for all that came together.
            let now = *read_at.get_or_insert_with(|| clock.now());
            let insertion = match insertion_time(&record, spec) {
                Ok(insertion) => insertion,
                Err(error) => return failure = Some(error),
            };
            match ResultRecord::from_json(record.payload) {
                Ok(result) if result.run_id == spec.run_id => {
                    counters.results_read += 1;
                    let frame = auditor.frame();
                    let measured =
                        !frame.is_partial(result.window_id) && !frame.is_warmup(result.window_id);
                    let latency_ns =
                        insertion.filter(|_| measured).map(|at| result_latency_ns(&result, at));
                    if measured {
                        end_to_end.record(now.saturating_sub(frame.end(result.window_id)));
                    }
                    if let Some(latency_ns) = latency_ns {
                        result_latency.record(latency_ns);
                    }
                    auditor.result(&result, latency_ns.map(in_ms));
                }
                Ok(_) => counters.strangers += 1,
                Err(_) => *counters.malformed.entry("bad_result").or_default() += 1,
            }
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        if visited > 0 {
            *last_read_ns = now;
        }
        auditor.judge_complete();
        let Some(complete) = *complete else {
            return Ok(if counters.results_read < *handed_over { Turn::Again } else { Turn::Park });
        };
        let all_read = counters.results_read >= complete && visited == 0 && reader.lag() == 0;
        let given_up = now - *last_read_ns > MISSING_AFTER_NS;
        if !all_read && !given_up {
            return Ok(Turn::Again);
        }
        if !auditor.acknowledged_complete() {
            // The writer is done; a producer's last counts are still on their way.
            return Ok(Turn::Park);
        }
        if let Some(auditor) = audit.auditor.take() {
            outbox.push(self.audited(auditor));
        }
        Ok(Turn::Finished)
    }

    /// What the audit found, for the supervisor.
    fn audited(&mut self, mut auditor: Auditor) -> Measured {
        auditor.judge_rest();
        self.last = Told::take(&mut auditor);
        self.count_judged(auditor.totals());
        let measures =
            RunMeasures { audit: auditor.totals().clone(), windows: auditor.take_table() };
        Measured { measures: Some(Box::new(measures)), truth: TruthTable::new() }
    }

    fn count_judged(&mut self, totals: &AuditTotals) {
        self.counters.windows_judged = totals.windows;
        self.counters.windows_incorrect = totals.windows - totals.windows_exact;
    }

    fn truth_turn(&mut self, outbox: &mut Vec<Measured>) -> Turn {
        match &mut self.work {
            Work::KeepTruth(ledger) if ledger.complete_before() == i64::MAX => {
                let windows: Vec<i64> = ledger.windows().collect();
                let truth = windows.into_iter().map(|id| (id, ledger.take(id))).collect();
                outbox.push(Measured { measures: None, truth });
                Turn::Finished
            }
            _ => Turn::Park,
        }
    }

    fn judge_turn(&mut self, now: Nanos, outbox: &mut Vec<Measured>) -> Result<Turn, StageError> {
        let Self { work: Work::Judge(judge), spec, counters, drain, .. } = self else {
            return Ok(Turn::Finished);
        };
        let Judge { reader, latest, .. } = &mut **judge;
        let mut failure = None;
        let visited = reader.poll(MAX_BUDGET, TURN_LIMIT, &mut |record| {
            drain.read(record.partition);
            let insertion = match insertion_time(&record, spec) {
                Ok(insertion) => insertion,
                Err(error) => return failure = Some(error),
            };
            let Ok(record) = ResultRecord::from_json(record.payload) else {
                *counters.malformed.entry("bad_result").or_default() += 1;
                return;
            };
            counters.results_read += 1;
            let key = (record.window_id, record.campaign_id);
            let result_latency_ns = insertion.map(|at| result_latency_ns(&record, at));
            let judged = JudgedResult { record, result_latency_ns };
            counters.result_updates += u64::from(latest.insert(key, judged).is_some());
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        if visited > 0 {
            judge.last_read_ns = now;
        }
        let idle =
            judge.follow.until_idle_ns.is_some_and(|limit| now - judge.last_read_ns >= limit);
        let drained = drain.is_done(visited, &mut *judge.reader, 0..judge.partitions);
        if drained || (visited == 0 && idle && judge.reader.lag() == 0) {
            let message = self.judged();
            outbox.push(message);
            return Ok(Turn::Finished);
        }
        Ok(Turn::Again)
    }
}

impl Latency {
    /// Only at the end is the last update of every result known.
    fn judged(&mut self) -> Measured {
        let Work::Judge(judge) = &mut self.work else {
            return Measured::default();
        };
        let latest = std::mem::take(&mut judge.latest);
        let truth = judge.truth.take();
        for latency_ns in latest.values().filter_map(|judged| judged.result_latency_ns) {
            self.result_latency.record(latency_ns);
        }
        let Some(truth) = truth else {
            return Measured::default();
        };
        // Windows lie where the results say, and nothing tells of a start or an end that cut one
        // short.
        let told = latest
            .values()
            .map(|judged| &judged.record)
            .find(|record| record.window_end > record.window_start);
        let (base_ns, window_ns) =
            told.map_or((0, self.spec.workload.window.as_nanos()), |record| {
                let window_ns = record
                    .window_end
                    .saturating_sub(record.window_start)
                    .saturating_mul(MILLISECOND);
                let start_ns = record.window_start.saturating_mul(MILLISECOND);
                (start_ns.saturating_sub(record.window_id.saturating_mul(window_ns)), window_ns)
            });
        let frame =
            WindowFrame { base_ns, window_ns, measure_from_ns: Nanos::MIN, end_ns: Nanos::MAX };
        let mut auditor = Auditor::with_truth(frame, &truth);
        for judged in latest.values() {
            auditor.result(&judged.record, judged.result_latency_ns.map(in_ms));
        }
        self.audited(auditor)
    }
}

/// The log's own time of a result, nanoseconds; `None`: this broker's log stamps none.
fn insertion_time(record: &Record<'_>, spec: &RunSpec) -> Result<Option<Nanos>, StageError> {
    match record.timestamp_kind {
        _ if !spec.log_append_time => Ok(None),
        TimestampKind::LogAppend => Ok(Some(record.timestamp_ns)),
        TimestampKind::Create | TimestampKind::None => Err(StageError::own(format!(
            "topic `{}`, partition {}, offset {}: the record's timestamp is not the log's own; set \
             message.timestamp.type=LogAppendTime on the topic and run again",
            spec.topics.results, record.partition, record.offset
        ))),
    }
}

fn in_ms(latency_ns: Nanos) -> f64 {
    latency_ns as f64 / MILLISECOND as f64
}

/// From the greatest `produce_time` to the insertion, in whole milliseconds (both sides have no
/// finer step).
fn result_latency_ns(result: &ResultRecord, insertion_ns: Nanos) -> Nanos {
    to_millis(insertion_ns).saturating_sub(result.max_produce_time).saturating_mul(MILLISECOND)
}

impl Stage for Latency {
    type Out = Measured;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Begin { base_ns } => {
                self.begun = Some(base_ns);
                match &mut self.work {
                    Work::Audit(audit) => {
                        let mut auditor = Auditor::new(
                            self.spec.frame(base_ns, None),
                            self.spec.workload.producers,
                        );
                        if !self.spec.log_append_time {
                            auditor = auditor.with_latencies_apart();
                        }
                        for early in audit.early.drain(..) {
                            match early {
                                Early::Acknowledged(message) => auditor.acknowledged(&message),
                                Early::Written(message) => auditor.written(message),
                                Early::WindowAcknowledged(message) => {
                                    take_latencies(&mut auditor, &mut self.result_latency, message);
                                }
                            }
                        }
                        audit.auditor = Some(auditor);
                        audit.last_read_ns = base_ns;
                    }
                    Work::Judge(judge) => judge.last_read_ns = base_ns,
                    Work::KeepTruth(_) => {}
                }
            }
            Order::Drain { at_ns } => {
                self.drain.ask();
                if let Work::Audit(audit) = &mut self.work
                    && let Some(auditor) = &mut audit.auditor
                {
                    auditor.end_at(at_ns);
                }
            }
            Order::SetRate { .. } => {}
        }
    }

    fn turn(&mut self, now: Nanos, outbox: &mut Vec<Measured>) -> Result<Turn, StageError> {
        if self.begun.is_none() {
            return Ok(Turn::Park);
        }
        match &self.work {
            Work::Audit(_) => self.audit_turn(now, outbox),
            Work::KeepTruth(_) => Ok(self.truth_turn(outbox)),
            Work::Judge(_) => self.judge_turn(now, outbox),
        }
    }

    fn state(&mut self) -> StageState {
        let mut told = std::mem::take(&mut self.last);
        if let Work::Audit(audit) = &mut self.work
            && let Some(auditor) = &mut audit.auditor
        {
            told = Told::take(auditor);
            let totals = auditor.totals().clone();
            self.count_judged(&totals);
        }
        StageState {
            counters: self.counters.clone(),
            latencies: vec![
                (LatencyKind::ResultLatency, self.result_latency.take()),
                (LatencyKind::EndToEnd, self.end_to_end.take()),
            ],
            findings: told.findings,
            windows: told.windows,
        }
    }
}

impl Receive<Acknowledged> for Latency {
    fn receive(&mut self, message: Acknowledged) {
        match &mut self.work {
            Work::Audit(audit) => match &mut audit.auditor {
                Some(auditor) => auditor.acknowledged(&message),
                None => audit.early.push(Early::Acknowledged(message)),
            },
            Work::KeepTruth(ledger) => {
                ledger.record(message.producer, message.complete_before, &message.windows)
            }
            Work::Judge(_) => {}
        }
    }
}

impl Receive<WindowWritten> for Latency {
    fn receive(&mut self, message: WindowWritten) {
        if let Work::Audit(audit) = &mut self.work {
            audit.handed_over += message.results;
            match &mut audit.auditor {
                Some(auditor) => auditor.written(message),
                None => audit.early.push(Early::Written(message)),
            }
        }
    }
}

impl Receive<WindowAcknowledged> for Latency {
    fn receive(&mut self, message: WindowAcknowledged) {
        let Work::Audit(audit) = &mut self.work else { return };
        match &mut audit.auditor {
            Some(auditor) => take_latencies(auditor, &mut self.result_latency, message),
            None => audit.early.push(Early::WindowAcknowledged(message)),
        }
    }
}

fn take_latencies(
    auditor: &mut Auditor,
    result_latency: &mut LatencyHistogram,
    message: WindowAcknowledged,
) {
    let WindowAcknowledged { window_id, mut latencies_ns } = message;
    let frame = auditor.frame();
    if frame.is_partial(window_id) || frame.is_warmup(window_id) {
        latencies_ns.clear();
    }
    for &latency_ns in &latencies_ns {
        result_latency.record(latency_ns);
    }
    auditor.measured(window_id, latencies_ns.into_iter().map(in_ms));
}

impl Receive<ResultsComplete> for Latency {
    fn receive(&mut self, message: ResultsComplete) {
        if let Work::Audit(audit) = &mut self.work {
            audit.complete = Some(message.results);
            audit.last_read_ns = self.clock.now();
        }
    }
}
