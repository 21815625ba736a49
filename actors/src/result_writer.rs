//! ResultWriter: merges the panes of all partitions, and writes one result per window and campaign.
//!
//! Owns: the merge (`result_writer/merge.rs`) and a writer of the results topic. Receives:
//! [`PanesClosed`] from the aggregators. Sends: [`WindowWritten`], [`WindowAcknowledged`] (where
//! the log stamps no insertion time) and at last [`ResultsComplete`] to the latency actor,
//! [`WindowsMerged`] to the aggregators.

pub(crate) mod merge;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{MILLISECOND, Nanos, SharedClock, to_millis};
use crate::failure::StageError;
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::ports::{Delivery, EventWriter, MAX_BUDGET, Sent};
use crate::result_writer::merge::{Merge, MergedWindow};
use crate::stage::flow::{
    Follower, PanesClosed, ResultTiming, ResultsComplete, WindowAcknowledged, WindowWritten,
    WindowsMerged,
};
use crate::stage::{Receive, Role, Stage, StageOrder, StageState, Turn};
use crate::stage_id::StageId;
use crate::stream::result::ResultRecord;
use crate::workload::frame::WindowFrame;
use crate::workload::spec::RunSpec;

/// Token bit of a result whose window the log itself closed.
const BY_LOG: u64 = 1;

/// What the result writer sends.
#[derive(Debug)]
pub enum WriterOut {
    /// To the latency actor.
    Written(WindowWritten),
    /// To the latency actor.
    Acknowledged(WindowAcknowledged),
    /// To every aggregator.
    Merged(WindowsMerged),
    /// To the latency actor.
    Complete(ResultsComplete),
}

/// A result on its way to the client.
struct Outgoing {
    record: ResultRecord,
    by_log: bool,
    max_event_ns: Nanos,
    /// End of its window, if its close latency counts for the figures.
    measured_end_ns: Option<Nanos>,
}

/// The result writer, before its run has begun.
pub struct ResultWriterRole {
    /// The workload.
    pub spec: Arc<RunSpec>,
    /// The run's clock.
    pub clock: SharedClock,
    /// Writes to the results topic.
    pub writer: Box<dyn EventWriter>,
    /// Partitions of the results topic.
    pub partitions: u32,
    /// What the windows of a foreign topic are aligned on; `None`: on the run's base.
    pub base_event_time_ns: Option<Nanos>,
}

/// Results that share one reading of the clock: far less than a millisecond's.
const RESULTS_PER_CLOCK_READ: u32 = 32;

impl Role for ResultWriterRole {
    type Stage = ResultWriter;

    fn id(&self) -> StageId {
        StageId::ResultWriter
    }

    fn begin(self, base_ns: Nanos) -> ResultWriter {
        let Self { spec, clock, writer, partitions, base_event_time_ns } = self;
        ResultWriter {
            merge: Merge::new(spec.topics.partitions),
            frame: spec.frame(base_ns, base_event_time_ns),
            spec,
            clock,
            writer,
            partitions: partitions.max(1),
            queue: VecDeque::new(),
            unacknowledged: PendingResults::default(),
            announced_before: i64::MIN,
            announced_follow: Follower::NOTHING,
            counters: StageCounters::default(),
            close_latency: LatencyHistogram::default(),
        }
    }
}

/// The result writer's logic.
pub struct ResultWriter {
    spec: Arc<RunSpec>,
    clock: SharedClock,
    writer: Box<dyn EventWriter>,
    /// Partitions of the results topic.
    partitions: u32,
    merge: Merge,
    frame: WindowFrame,
    queue: VecDeque<Outgoing>,
    unacknowledged: PendingResults,
    announced_before: i64,
    announced_follow: Follower,
    counters: StageCounters,
    close_latency: LatencyHistogram,
}

/// Results whose acknowledgement is waited for.
#[derive(Default)]
struct PendingResults {
    /// By token.
    results: BTreeMap<u64, PendingResult>,
    next_token: u64,
    /// How many results of each window are waited for, and what came of its others.
    windows: BTreeMap<i64, (u64, WindowAcknowledged)>,
}

/// A result on its way.
struct PendingResult {
    window_id: i64,
    campaign_id: u64,
    max_produce_ms: i64,
    max_event_ns: Nanos,
    handed_ns: Nanos,
}

impl PendingResults {
    /// A window's results will be sent.
    fn expect(&mut self, window_id: i64, results: u64) {
        let latencies_ns = Vec::with_capacity(results as usize);
        let timings = Vec::with_capacity(results as usize);
        let none_yet = WindowAcknowledged { window_id, latencies_ns, timings };
        self.windows.insert(window_id, (results, none_yet));
    }

    fn sent(&mut self, outgoing: &Outgoing, handed_ns: Nanos) {
        let Outgoing { record, max_event_ns, .. } = outgoing;
        let pending = PendingResult {
            window_id: record.window_id,
            campaign_id: record.campaign_id,
            max_produce_ms: record.max_produce_time,
            max_event_ns: *max_event_ns,
            handed_ns,
        };
        self.results.insert(self.next_token, pending);
        self.next_token += 1;
    }

    /// The window, if this was the last acknowledgement that it waited for.
    fn acknowledged(&mut self, token: u64, now: Nanos) -> Option<WindowAcknowledged> {
        let PendingResult { window_id, campaign_id, max_produce_ms, max_event_ns, handed_ns } =
            self.results.remove(&token)?;
        let (missing, window) = self.windows.get_mut(&window_id)?;
        let latency_ms = to_millis(now).saturating_sub(max_produce_ms);
        window.latencies_ns.push(latency_ms.saturating_mul(MILLISECOND));
        let acknowledged_ns = now;
        window.timings.push(ResultTiming { campaign_id, handed_ns, acknowledged_ns, max_event_ns });
        *missing -= 1;
        if *missing > 0 {
            return None;
        }
        self.windows.remove(&window_id).map(|(_, window)| window)
    }
}

impl ResultWriter {
    fn take_window(&mut self, window: &MergedWindow, outbox: &mut Vec<WriterOut>) {
        let frame = &self.frame;
        let (start, end) = (frame.end(window.window_id - 1), frame.end(window.window_id));
        #[cfg(feature = "planted-bugs")]
        let end = if crate::planted::planted(crate::planted::Bug::ShiftedBounds) {
            end + MILLISECOND
        } else {
            end
        };
        let measured = window.by_log && frame.is_measured(window.window_id);
        self.counters.windows_closed += 1;
        for campaign in &window.campaigns {
            if window.by_log {
                self.counters.results_events += campaign.count;
            }
            self.queue.push_back(Outgoing {
                record: ResultRecord {
                    run_id: self.spec.run_id.clone(),
                    window_id: window.window_id,
                    window_start: to_millis(start),
                    window_end: to_millis(end),
                    campaign_id: campaign.campaign_id,
                    count: campaign.count,
                    max_produce_time: campaign.max_produce_ms,
                },
                by_log: window.by_log,
                max_event_ns: campaign.max_event_ns,
                measured_end_ns: measured.then_some(end),
            });
        }
        self.unacknowledged.expect(window.window_id, window.campaigns.len() as u64);
        outbox.push(WriterOut::Written(WindowWritten {
            window_id: window.window_id,
            results: window.campaigns.len() as u64,
            by_producer: window
                .campaigns
                .iter()
                .map(|c| (c.campaign_id, c.by_producer.clone()))
                .collect(),
        }));
    }

    /// Hands queued results to the client; false: it is full.
    fn send(&mut self) -> Result<bool, StageError> {
        let mut now = self.clock.now();
        for sent in 0..self.spec.result_writer.batch {
            let Some(outgoing) = self.queue.front() else { break };
            if sent % RESULTS_PER_CLOCK_READ == RESULTS_PER_CLOCK_READ - 1 {
                now = self.clock.now();
            }
            let record = &outgoing.record;
            let partition = (record.campaign_id % u64::from(self.partitions)) as u32;
            let token = self.unacknowledged.next_token << 1 | u64::from(outgoing.by_log);
            if self.writer.send(partition, record.key().as_bytes(), &record.to_json(), token)?
                == Sent::Full
            {
                return Ok(false);
            }
            self.unacknowledged.sent(outgoing, now);
            if let Some(end) = outgoing.measured_end_ns {
                self.close_latency.record(now.saturating_sub(end));
            }
            self.queue.pop_front();
        }
        Ok(true)
    }

    fn take_acks(
        &mut self,
        budget: Duration,
        outbox: &mut Vec<WriterOut>,
    ) -> Result<(), StageError> {
        let Self { writer, counters, clock, spec, unacknowledged, .. } = self;
        let mut failure = None;
        let mut now = None;
        writer.poll_acks(budget, &mut |ack| match ack.delivery {
            Delivery::Acknowledged => {
                let now = *now.get_or_insert_with(|| clock.now());
                counters.results_written += 1;
                if ack.token & BY_LOG != 0 {
                    counters.last_result_ns = now;
                }
                outbox.extend(
                    unacknowledged.acknowledged(ack.token >> 1, now).map(WriterOut::Acknowledged),
                );
            }
            Delivery::Rejected(why) | Delivery::Unknown(why) => {
                failure.get_or_insert(why);
            }
        })?;
        match failure {
            Some(why) => {
                Err(StageError::delivery(format!("topic `{}`: {why}", spec.topics.results)))
            }
            None => Ok(()),
        }
    }
}

impl Stage for ResultWriter {
    type Out = WriterOut;

    fn id(&self) -> StageId {
        StageId::ResultWriter
    }

    fn order(&mut self, order: StageOrder) {
        match order {
            StageOrder::Drain { at_ns } => self.frame.end_at(at_ns),
            StageOrder::GiveUp | StageOrder::SetRate { .. } => {}
        }
    }

    fn turn(&mut self, _now: Nanos, outbox: &mut Vec<WriterOut>) -> Result<Turn, StageError> {
        while self.queue.len() < self.spec.result_writer.batch as usize {
            let Some(window) = self.merge.next_window() else { break };
            self.take_window(&window, outbox);
        }
        let closed_before = self.merge.closed_before();
        let follow = self.merge.follower();
        if closed_before > self.announced_before || follow != self.announced_follow {
            (self.announced_before, self.announced_follow) = (closed_before, follow);
            let merged = WindowsMerged { merged_before: closed_before, follow };
            outbox.push(WriterOut::Merged(merged));
        }
        let taken = self.send()?;
        let waits = !taken || self.queue.is_empty();
        let in_flight = self.writer.in_flight() > 0;
        self.take_acks(if waits && in_flight { MAX_BUDGET } else { Duration::ZERO }, outbox)?;
        if !self.queue.is_empty() || self.writer.in_flight() > 0 {
            return Ok(if waits && !in_flight { Turn::Rest } else { Turn::Again });
        }
        if self.merge.has_ready() {
            // The queue was full of results when the window was due, and has been emptied since: no
            // message will come.
            return Ok(Turn::Again);
        }
        if closed_before == i64::MAX && self.merge.is_empty() {
            outbox.push(WriterOut::Complete(ResultsComplete {
                results: self.counters.results_written,
            }));
            return Ok(Turn::Finished);
        }
        Ok(Turn::Park)
    }

    fn state(&mut self) -> StageState {
        StageState {
            counters: self.counters.clone(),
            latencies: vec![(LatencyKind::CloseLatency, self.close_latency.take())],
            ..StageState::default()
        }
    }
}

impl Receive<PanesClosed> for ResultWriter {
    fn receive(&mut self, message: PanesClosed) {
        self.merge.set(message);
    }
}
