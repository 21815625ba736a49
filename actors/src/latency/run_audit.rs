//! Audits a run: its results read back against the ledger, and their latencies.

use std::sync::Arc;
use std::task::Poll;

use crate::clock::{MILLISECOND, Nanos, SharedClock};
use crate::failure::StageError;
use crate::latency::auditor::Auditor;
use crate::latency::clock_offset::ClockOffset;
use crate::latency::comparison::ScheduleComparison;
use crate::latency::result_latency::{
    in_ms, insertion_time, intended_latency_ns, result_latency_ns,
};
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::measures::run_measures::{MeasuresComplete, RunMeasures};
use crate::ports::{EventReader, MAX_BUDGET};
use crate::stage::flow::{EventsAcknowledged, ResultsComplete, WindowAcknowledged, WindowWritten};
use crate::stage::{Receive, Role, Stage, StageOrder, StageState, TURN_LIMIT, Turn};
use crate::stage_id::StageId;
use crate::stream::result::{BAD_RESULT, ResultRecord};
use crate::truth::findings::Finding;
use crate::truth::table::TruthTable;
use crate::workload::spec::RunSpec;

/// Nothing came for so long after the writer was done: what is missing will not come any more.
const MISSING_AFTER_NS: Nanos = 5_000 * MILLISECOND;

/// A run's audit, before the run has begun.
pub struct RunAuditRole {
    /// The workload.
    pub spec: Arc<RunSpec>,
    /// The run's clock.
    pub clock: SharedClock,
    /// Reads the results topic.
    pub reader: Box<dyn EventReader>,
}

impl Role for RunAuditRole {
    type Stage = RunAudit;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn begin(self, base_ns: Nanos) -> RunAudit {
        let Self { spec, clock, reader } = self;
        let auditor = Auditor::new(spec.frame(base_ns, None), spec.workload.producers);
        RunAudit {
            auditor: if spec.log_append_time { auditor } else { auditor.with_latencies_apart() },
            clock_offset: ClockOffset::default(),
            comparison: ScheduleComparison::of(&spec, base_ns),
            spec,
            clock,
            reader,
            handed_over: 0,
            complete: None,
            last_read_ns: base_ns,
            counters: StageCounters::default(),
            losses: Vec::new(),
            result_latency: LatencyHistogram::default(),
            intended: LatencyHistogram::default(),
            end_to_end: LatencyHistogram::default(),
        }
    }
}

/// The audit of a run.
pub struct RunAudit {
    spec: Arc<RunSpec>,
    clock: SharedClock,
    reader: Box<dyn EventReader>,
    auditor: Auditor,
    clock_offset: ClockOffset,
    comparison: ScheduleComparison,
    /// Results handed to the client so far.
    handed_over: u64,
    /// All results, once the writer is done.
    complete: Option<u64>,
    last_read_ns: Nanos,
    counters: StageCounters,
    /// What the results topic has lost, since the last report.
    losses: Vec<Finding>,
    result_latency: LatencyHistogram,
    intended: LatencyHistogram,
    end_to_end: LatencyHistogram,
}

impl RunAudit {
    /// Reads what came; gives how many records.
    fn read(&mut self) -> Result<usize, StageError> {
        let Self { reader, spec, clock, auditor, counters, result_latency, end_to_end, .. } = self;
        let (clock_offset, intended) = (&mut self.clock_offset, &mut self.intended);
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
                    let measured = frame.is_measured(result.window_id);
                    if let Some(insertion_ns) = insertion {
                        let place = (result.window_id, result.campaign_id);
                        let timing = clock_offset.stamped(place, record.partition, insertion_ns);
                        if let Some(timing) = timing.filter(|_| measured) {
                            intended.record(intended_latency_ns(timing.max_event_ns, insertion_ns));
                        }
                    }
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
                Ok(_) => counters.results_foreign += 1,
                Err(_) => counters.malformed.add(BAD_RESULT, 1),
            }
        })?;
        let Self { reader, counters, losses, .. } = self;
        reader.take_losses(&mut |loss| {
            counters.records_lost += loss.records;
            losses.push(Finding::of_loss(&loss));
        });
        failure.map_or(Ok(visited), Err)
    }
}

impl Stage for RunAudit {
    type Out = MeasuresComplete;

    fn id(&self) -> StageId {
        StageId::Latency
    }

    fn order(&mut self, order: StageOrder) {
        if let StageOrder::Drain { at_ns } = order {
            self.auditor.end_at(at_ns);
        }
        self.comparison.order(order);
    }

    fn turn(&mut self, now: Nanos, outbox: &mut Vec<MeasuresComplete>) -> Result<Turn, StageError> {
        let visited = self.read()?;
        if visited > 0 {
            self.last_read_ns = now;
        }
        self.auditor.judge_complete();
        let compares = visited == 0 && self.comparison.step();
        let results_read = self.counters.results_read;
        let Some(complete) = self.complete else {
            let is_busy = compares || results_read < self.handed_over;
            return Ok(if is_busy { Turn::Again } else { Turn::Park });
        };
        let all_read = results_read >= complete && visited == 0 && self.reader.lag() == 0;
        let given_up = now - self.last_read_ns > MISSING_AFTER_NS
            && self.reader.lag() == 0
            && self.reader.is_at_end() == Poll::Ready(true);
        if !all_read && !given_up {
            return Ok(Turn::Again);
        }
        if !self.auditor.acknowledged_complete() {
            // The writer is done; a producer's last counts are still on their way.
            return Ok(Turn::Park);
        }
        if self.comparison.has_time(now) && compares {
            return Ok(Turn::Again);
        }
        self.auditor.judge_rest();
        self.auditor.compared(&self.comparison);
        let measures = RunMeasures {
            audit: self.auditor.totals().clone(),
            windows: self.auditor.take_rows(),
            broker_clock: self.clock_offset.hull(),
            misalignment: None,
        };
        outbox.push(MeasuresComplete {
            measures: Some(Box::new(measures)),
            truth: TruthTable::new(),
        });
        Ok(Turn::Finished)
    }

    fn state(&mut self) -> StageState {
        self.auditor.count_judged(&mut self.counters);
        let mut findings = self.auditor.take_findings();
        findings.append(&mut self.losses);
        StageState {
            counters: self.counters.clone(),
            latencies: vec![
                (LatencyKind::ResultLatency, self.result_latency.take()),
                (LatencyKind::ResultLatencyIntended, self.intended.take()),
                (LatencyKind::EndToEnd, self.end_to_end.take()),
            ],
            findings,
            windows: self.auditor.take_judged(),
        }
    }
}

impl Receive<EventsAcknowledged> for RunAudit {
    fn receive(&mut self, message: EventsAcknowledged) {
        self.auditor.acknowledged(&message);
        self.comparison.claim(&message);
    }
}

impl Receive<WindowWritten> for RunAudit {
    fn receive(&mut self, message: WindowWritten) {
        self.handed_over += message.results;
        self.auditor.written(message);
    }
}

impl Receive<WindowAcknowledged> for RunAudit {
    fn receive(&mut self, message: WindowAcknowledged) {
        let WindowAcknowledged { window_id, mut latencies_ns, timings } = message;
        let is_stamped = self.spec.log_append_time;
        let measured = self.auditor.frame().is_measured(window_id);
        for timing in timings {
            let end_ns = if is_stamped {
                self.clock_offset.timed(window_id, timing)
            } else {
                Some(timing.acknowledged_ns)
            };
            if let Some(end_ns) = end_ns.filter(|_| measured) {
                self.intended.record(intended_latency_ns(timing.max_event_ns, end_ns));
            }
        }
        if is_stamped {
            return;
        }
        if !measured {
            latencies_ns.clear();
        }
        for &latency_ns in &latencies_ns {
            self.result_latency.record(latency_ns);
        }
        self.auditor.measured(window_id, latencies_ns.into_iter().map(in_ms));
    }
}

impl Receive<ResultsComplete> for RunAudit {
    fn receive(&mut self, message: ResultsComplete) {
        self.complete = Some(message.results);
        self.last_read_ns = self.clock.now();
    }
}
