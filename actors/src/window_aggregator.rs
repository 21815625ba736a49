//! WindowAggregator: counts the events of its partitions in event-time windows.
//!
//! Owns: a reader of some partitions of the events topic, and those partitions' windows
//! (`window_aggregator/panes.rs`). Receives: orders, and [`WindowsMerged`] from the result writer. Sends:
//! [`PanesClosed`] to the result writer.
//!
//! What it counts is a function of each partition's log alone. A partition too far ahead of the
//! merge is paused.

pub(crate) mod panes;
pub(crate) mod serials;

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::warn;

use crate::clock::{Nanos, SECOND, SharedClock};
use crate::failure::StageError;
use crate::measures::counters::StageCounters;
use crate::measures::histograms::{LatencyHistogram, LatencyKind};
use crate::ports::{DeadLetters, EventReader, MAX_BUDGET, PROGRESS_KEY, Record};
use crate::stage::drain::Drain;
use crate::stage::flow::{PanesClosed, WindowsMerged};
use crate::stage::{Order, Receive, Stage, StageState, TURN_LIMIT, Turn};
use crate::stage_id::StageId;
use crate::stream::event::{DecodedEvent, decode_event};
use crate::stream::progress::{FINISHED, ProgressRecord};
use crate::truth::findings::{Finding, FindingKind, MAX_FINDINGS};
use crate::window_aggregator::panes::{CampaignSlots, Offered, PartitionWindows, WindowShape};
use crate::window_aggregator::serials::Arrival;
use crate::workload::mode::Aggregate;
use crate::workload::spec::RunSpec;

/// An event further ahead of its record's timestamp is malformed (`future`): no window is opened
/// for it.
const FUTURE_LIMIT_NS: Nanos = 86_400 * 1_000_000_000;

/// Different campaign ids that aggregation of a foreign topic tells apart.
pub const CAMPAIGN_LIMIT: usize = 1_000_000;

/// Records that share one reading of the clock: it costs a fifth of a record, and in their time
/// nothing shows.
const RECORDS_PER_CLOCK_READ: u32 = 64;

/// How long a partition may be silent before the log says what that means.
const SILENCE_TOLD_NS: Nanos = 10 * SECOND;

/// One partition as it is read.
struct Partition {
    id: u32,
    windows: PartitionWindows,
    /// What the result writer was told.
    told_before: i64,
    last_record_ns: Nanos,
    paused: bool,
    /// Whether its silence was spoken of.
    silence_told: bool,
}

/// All but the reader, so that records can be visited in place.
struct Counting {
    spec: Arc<RunSpec>,
    clock: SharedClock,
    foreign: bool,
    partitions: Vec<Partition>,
    /// Partition id -> index into `partitions`.
    index: Vec<usize>,
    slots: CampaignSlots,
    measure_from_ns: Nanos,
    /// When the present batch came.
    now: Nanos,
    counters: StageCounters,
    event_latency: LatencyHistogram,
    findings: Vec<Finding>,
    dead_letters: Box<dyn DeadLetters>,
    some_closed: bool,
}

/// The aggregator's logic.
pub struct WindowAggregator {
    id: u32,
    reader: Box<dyn EventReader>,
    clock: SharedClock,
    aggregate: Option<Aggregate>,
    owned: Vec<u32>,
    counting: Option<Counting>,
    unborn: Option<(CampaignSlots, Box<dyn DeadLetters>)>,
    spec: Arc<RunSpec>,
    merged_before: i64,
    first_closed: Option<i64>,
    last_record_ns: Nanos,
    /// Whether the distance to the merge is to be looked at again.
    merge_moved: bool,
    /// Of a foreign topic; our own producers end theirs themselves.
    drain: Drain,
}

impl WindowAggregator {
    /// Aggregator `id`, owning the partitions `owned` through `reader`; `aggregate` says how a
    /// foreign topic is read.
    pub fn new(
        id: u32,
        spec: Arc<RunSpec>,
        clock: SharedClock,
        owned: Vec<u32>,
        reader: Box<dyn EventReader>,
        dead_letters: Box<dyn DeadLetters>,
        aggregate: Option<Aggregate>,
    ) -> Self {
        let slots = match aggregate {
            None => CampaignSlots::Bounded(spec.workload.campaigns),
            Some(Aggregate { campaigns: Some(campaigns), .. }) => CampaignSlots::Bounded(campaigns),
            Some(_) => CampaignSlots::unrestricted(CAMPAIGN_LIMIT),
        };
        Self {
            id,
            reader,
            clock,
            aggregate,
            owned,
            counting: None,
            unborn: Some((slots, dead_letters)),
            spec,
            merged_before: i64::MIN,
            first_closed: None,
            last_record_ns: 0,
            merge_moved: false,
            drain: Drain::default(),
        }
    }

    fn begin(&mut self, base_ns: Nanos) {
        let Some((slots, dead_letters)) = self.unborn.take() else { return };
        let shape = WindowShape {
            base_ns: self.aggregate.map_or(base_ns, |aggregate| aggregate.base_event_time_ns),
            window_ns: self.spec.workload.window.as_nanos(),
            allowed_lateness_ns: self.spec.aggregator.lateness_ns(),
        };
        // Events of other programs have one anonymous producer per partition.
        let producers = if self.aggregate.is_some() { 1 } else { self.spec.workload.producers };
        let partitions: Vec<Partition> = self
            .owned
            .iter()
            .map(|&id| Partition {
                id,
                windows: PartitionWindows::new(shape, producers),
                told_before: i64::MIN,
                last_record_ns: base_ns,
                paused: false,
                silence_told: false,
            })
            .collect();
        let mut index = vec![usize::MAX; self.owned.iter().max().map_or(0, |&id| id as usize + 1)];
        partitions.iter().enumerate().for_each(|(i, partition)| index[partition.id as usize] = i);
        self.last_record_ns = base_ns;
        self.counting = Some(Counting {
            foreign: self.aggregate.is_some(),
            partitions,
            index,
            slots,
            measure_from_ns: if self.aggregate.is_some() {
                Nanos::MIN
            } else {
                base_ns + self.spec.workload.warmup_ns()
            },
            now: base_ns,
            counters: StageCounters::default(),
            event_latency: LatencyHistogram::default(),
            findings: Vec::new(),
            dead_letters,
            some_closed: false,
            spec: Arc::clone(&self.spec),
            clock: Arc::clone(&self.clock),
        });
    }

    /// Pauses what is too far ahead of the merge, resumes what no longer is.
    fn hold_back(&mut self) -> Result<(), StageError> {
        let Some(counting) = &mut self.counting else { return Ok(()) };
        // What was there is read then, however far it is ahead.
        let is_drained = self.aggregate.is_some() && self.drain.is_asked();
        for partition in &mut counting.partitions {
            let closed_before = partition.windows.closed_before();
            let ahead = if is_drained || closed_before == i64::MIN || closed_before == i64::MAX {
                false
            } else {
                let first = *self.first_closed.get_or_insert(closed_before);
                closed_before.saturating_sub(self.merged_before.max(first))
                    > i64::from(self.spec.aggregator.max_open_windows)
            };
            if ahead != partition.paused {
                self.reader.set_paused(partition.id, ahead)?;
                partition.paused = ahead;
            }
        }
        Ok(())
    }

    /// Closes by processing time what was idle for too long; ends the reading where that was asked
    /// for.
    fn close_idle(&mut self, now: Nanos, outbox: &mut Vec<PanesClosed>) -> bool {
        let (Some(counting), Some(aggregate)) = (&mut self.counting, self.aggregate) else {
            return false;
        };
        let until_idle = aggregate.follow.until_idle_ns;
        let idle_ns = now - self.last_record_ns;
        if until_idle.is_some_and(|limit| idle_ns >= limit) && self.reader.lag() == 0 {
            counting.close_all(outbox);
            return true;
        }
        // A paused partition waits for those that have nothing more: its own rest must not keep
        // them open.
        let some_paused = counting.partitions.iter().any(|partition| partition.paused);
        for partition in counting.partitions.iter_mut().filter(|partition| !partition.paused) {
            let silent = |limit: &Nanos| now - partition.last_record_ns >= *limit;
            let progress =
                match (until_idle.filter(silent), aggregate.idle_timeout_ns.filter(silent)) {
                    (Some(_), _) if some_paused => FINISHED,
                    (_, Some(_)) => now,
                    _ => continue,
                };
            if self.reader.lag_of(partition.id) == 0 {
                partition.windows.advance_all(progress);
                counting.counters.idle_closed += partition.tell(&counting.slots, false, outbox);
            }
        }
        false
    }
}

impl Partition {
    /// Tells the result writer what closed; gives how many panes.
    fn tell(&mut self, slots: &CampaignSlots, by_log: bool, outbox: &mut Vec<PanesClosed>) -> u64 {
        let closed_before = self.windows.closed_before();
        if closed_before == self.told_before {
            return 0;
        }
        self.told_before = closed_before;
        let panes = self.windows.take_closed(slots);
        let count = panes.len() as u64;
        outbox.push(PanesClosed { partition: self.id, closed_before, panes, by_log });
        count
    }
}

impl Counting {
    #[inline]
    fn visit(&mut self, record: Record<'_>) {
        self.counters.consumed_bytes += record.payload.len() as u64;
        let at = self.index[record.partition as usize];
        if !record.key.is_empty() && record.key == PROGRESS_KEY {
            self.progress(at, record);
            return;
        }
        let event = match decode_event(record.payload) {
            Ok(event) => event,
            Err(malformed) => return self.malformed(record, malformed.reason()),
        };
        if event.event_time_ns.saturating_sub(record.timestamp_ns) > FUTURE_LIMIT_NS
            && record.timestamp_ns > 0
        {
            return self.malformed(record, "future");
        }
        self.partitions[at].last_record_ns = self.now;
        if self.foreign {
            let Some(slot) = self.slots.slot(event.campaign_id) else {
                return self.malformed(record, "unknown_campaign");
            };
            self.consume(at, 0, slot, &event);
        } else {
            self.own(at, record, &event);
        }
    }

    /// An event of a run of ours: guarded by its serial.
    fn own(&mut self, at: usize, record: Record<'_>, event: &DecodedEvent) {
        let Some(serial) = event.serial.filter(|serial| {
            serial.run_tag == self.spec.run_tag
                && u32::from(serial.producer) < self.spec.workload.producers
        }) else {
            self.counters.strangers += 1;
            return;
        };
        let producer = usize::from(serial.producer);
        let Some(slot) = self.slots.slot(event.campaign_id) else {
            return self.malformed(record, "unknown_campaign");
        };
        let windows = &mut self.partitions[at].windows;
        if windows.is_stale(producer, serial.generation) {
            self.counters.stale += 1;
            return;
        }
        match windows.observe_serial(producer, serial.generation, serial.n) {
            Arrival::InOrder => {}
            Arrival::Reordered => {
                self.counters.events_reordered += 1;
                self.find(FindingKind::EventReordered, at, producer, event);
            }
            Arrival::Duplicate => {
                self.counters.consumed += 1;
                self.counters.events_duplicated += 1;
                return self.find(FindingKind::EventDuplicated, at, producer, event);
            }
        }
        self.consume(at, producer, slot, event);
    }

    #[inline]
    fn consume(&mut self, at: usize, producer: usize, slot: u32, event: &DecodedEvent) {
        let time = event.event_time_ns;
        self.counters.consumed += 1;
        if time >= self.measure_from_ns {
            self.counters.consumed_measured += 1;
            self.counters.last_consumed_ns = self.now;
            if time > self.now {
                // It came in while the batch was being visited.
                self.now = self.clock.now();
            }
            // Others write any time at all.
            self.event_latency.record(self.now.saturating_sub(time));
        }
        let windows = &mut self.partitions[at].windows;
        let before = windows.closed_before();
        if let Offered::Late(needed) = windows.offer(producer, time, slot, event.produce_time_ms) {
            self.counters.late += 1;
            self.counters.late_needed_ns = needed.max(self.counters.late_needed_ns);
            self.find(FindingKind::EventLate, at, producer, event);
        } else if windows.closed_before() != before {
            self.some_closed = true;
        }
    }

    #[cold]
    fn progress(&mut self, at: usize, record: Record<'_>) {
        let Some(progress) = ProgressRecord::from_json(record.payload) else {
            return self.malformed(record, "bad_progress");
        };
        if self.foreign
            || progress.run != self.spec.run_tag
            || progress.producer >= self.spec.workload.producers
        {
            return;
        }
        let partition = &mut self.partitions[at];
        partition.windows.observe_progress(
            progress.producer as usize,
            progress.generation,
            progress.progress(),
        );
        self.some_closed = true;
    }

    #[cold]
    fn malformed(&mut self, record: Record<'_>, reason: &'static str) {
        *self.counters.malformed.entry(reason).or_default() += 1;
        self.dead_letters.keep(record, reason);
    }

    #[cold]
    fn find(&mut self, kind: FindingKind, at: usize, producer: usize, event: &DecodedEvent) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                kind,
                window_id: Some(if self.foreign {
                    self.window_id(at, event)
                } else {
                    event.window_id
                }),
                campaign_id: Some(event.campaign_id),
                producer: (!self.foreign).then_some(producer as u32),
                partition: Some(self.partitions[at].id),
                count: 1,
            });
        }
    }

    fn window_id(&self, at: usize, event: &DecodedEvent) -> i64 {
        self.partitions[at].windows.shape().id(event.event_time_ns)
    }

    fn tell(&mut self, by_log: bool, outbox: &mut Vec<PanesClosed>) {
        for partition in &mut self.partitions {
            partition.tell(&self.slots, by_log, outbox);
        }
    }

    fn close_all(&mut self, outbox: &mut Vec<PanesClosed>) {
        self.partitions.iter_mut().for_each(|partition| partition.windows.advance_all(FINISHED));
        self.tell(false, outbox);
    }

    fn all_closed(&self) -> bool {
        self.partitions.iter().all(|partition| partition.windows.closed_before() == i64::MAX)
    }

    fn lost(&self) -> (u64, Vec<Finding>) {
        let mut findings = Vec::new();
        for partition in &self.partitions {
            for (producer, count) in
                partition.windows.lost().enumerate().filter(|&(_, count)| count > 0)
            {
                findings.push(Finding {
                    kind: FindingKind::EventLost,
                    window_id: None,
                    campaign_id: None,
                    producer: Some(producer as u32),
                    partition: Some(partition.id),
                    count,
                });
            }
        }
        (findings.iter().map(|finding| finding.count).sum(), findings)
    }
}

impl WindowAggregator {
    /// A silent partition holds back every window for as long as nothing ends its silence: says so,
    /// once.
    fn tell_silence(&mut self) {
        let waits_for_ever = self.aggregate.is_some_and(|aggregate| {
            aggregate.idle_timeout_ns.is_none() && aggregate.follow.until_idle_ns.is_none()
        });
        let Some(counting) = self.counting.as_mut().filter(|_| waits_for_ever) else { return };
        let now = self.clock.now();
        for partition in &mut counting.partitions {
            if !partition.silence_told && now - partition.last_record_ns >= SILENCE_TOLD_NS {
                partition.silence_told = true;
                warn!(
                    topic = self.spec.topics.events,
                    partition = partition.id,
                    "a silent partition holds back every window, and so all results; with aggregator.idle_timeout \
                     its windows close by processing time"
                );
            }
        }
    }
}

impl Stage for WindowAggregator {
    type Out = PanesClosed;

    fn id(&self) -> StageId {
        StageId::WindowAggregator(self.id)
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Begin { base_ns } => self.begin(base_ns),
            Order::Drain { .. } => {
                self.drain.ask();
                self.merge_moved = true;
            }
            Order::SetRate { .. } => {}
        }
    }

    fn turn(&mut self, now: Nanos, outbox: &mut Vec<PanesClosed>) -> Result<Turn, StageError> {
        let Some(counting) = &mut self.counting else { return Ok(Turn::Park) };
        let mut unread = 0;
        let visited = self.reader.poll(MAX_BUDGET, TURN_LIMIT, &mut |record| {
            // After the wait, and then once for a few records that came together.
            if unread == 0 {
                counting.now = counting.clock.now();
                unread = RECORDS_PER_CLOCK_READ;
            }
            unread -= 1;
            self.drain.read(record.partition);
            counting.visit(record);
        })?;
        if visited > 0 {
            self.last_record_ns = counting.now;
        }
        if std::mem::take(&mut counting.some_closed) {
            counting.tell(true, outbox);
            self.merge_moved = true;
        }
        if std::mem::take(&mut self.merge_moved) {
            self.hold_back()?;
        }
        if self.aggregate.is_some()
            && self.drain.is_done(visited, &mut *self.reader, self.owned.iter().copied())
        {
            let counting = self.counting.as_mut().expect("begun");
            counting.close_all(outbox);
            return Ok(Turn::Finished);
        }
        if visited == 0 {
            if self.close_idle(now, outbox) {
                return Ok(Turn::Finished);
            }
            let counting = self.counting.as_mut().expect("begun");
            if self.aggregate.is_none() && counting.all_closed() && self.reader.lag() == 0 {
                counting.findings.extend(counting.lost().1);
                return Ok(Turn::Finished);
            }
        }
        Ok(Turn::Again)
    }

    fn state(&mut self) -> StageState {
        self.tell_silence();
        let Some(counting) = &mut self.counting else { return StageState::default() };
        counting.counters.lag = self.reader.lag();
        counting.counters.events_lost = if counting.foreign { 0 } else { counting.lost().0 };
        let watermarks = counting.partitions.iter().map(|p| (p.id, p.windows.watermark()));
        counting.counters.watermarks = watermarks.collect::<BTreeMap<_, _>>();
        StageState {
            counters: counting.counters.clone(),
            latencies: vec![(LatencyKind::EventLatency, counting.event_latency.take())],
            findings: std::mem::take(&mut counting.findings),
            ..StageState::default()
        }
    }
}

impl Receive<WindowsMerged> for WindowAggregator {
    fn receive(&mut self, message: WindowsMerged) {
        self.merged_before = message.merged_before.max(self.merged_before);
        self.merge_moved = true;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::MILLISECOND;
    use crate::ports::{PortError, StartAt, TimestampKind};
    use crate::testing::{NoDeadLetters, SimClock, small_spec};
    use crate::workload::mode::Follow;

    const BASE: Nanos = 1_700_000_000 * SECOND;

    /// A topic that another program fills.
    struct Fed {
        /// Event times still to be read, per partition.
        left: Vec<Vec<Nanos>>,
        paused: Vec<bool>,
        endless: bool,
    }

    impl EventReader for Fed {
        fn poll(
            &mut self,
            _budget: Duration,
            _max_records: usize,
            visit: &mut dyn FnMut(Record<'_>),
        ) -> Result<usize, PortError> {
            let mut visited = 0;
            for (partition, times) in
                self.left.iter_mut().enumerate().filter(|(at, _)| !self.paused[*at])
            {
                let Some(time) = times.pop() else { continue };
                if self.endless {
                    times.push(time + 1);
                }
                let event = format!(
                    r#"{{"user_id":"u","page_id":"p","ad_id":"a","ad_type":"image","event_type":"view",
                    "event_time_ns":{time},"window_id":0,"ip_address":"1.2.3.4","campaign_id":1,"produce_time":{}}}"#,
                    time / MILLISECOND
                );
                visited += 1;
                visit(Record {
                    partition: partition as u32,
                    offset: 0,
                    key: b"",
                    payload: event.as_bytes(),
                    timestamp_ns: time,
                    timestamp_kind: TimestampKind::Create,
                });
            }
            Ok(visited)
        }

        fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
            self.paused[partition as usize] = paused;
            Ok(())
        }

        fn lag(&mut self) -> u64 {
            self.left.iter().map(|times| times.len() as u64).sum()
        }

        fn lag_of(&mut self, partition: u32) -> u64 {
            self.left[partition as usize].len() as u64
        }
    }

    fn foreign(
        left: Vec<Vec<Nanos>>,
        endless: bool,
        until_idle_ns: Option<Nanos>,
    ) -> WindowAggregator {
        let spec = Arc::new(small_spec("foreign").with(|spec| {
            spec.aggregator.max_open_windows = 2;
        }));
        let owned: Vec<u32> = (0..left.len() as u32).collect();
        let reader = Fed { paused: vec![false; left.len()], left, endless };
        let aggregate = Aggregate {
            follow: Follow { from: StartAt::Earliest, until_idle_ns },
            base_event_time_ns: 0,
            campaigns: None,
            idle_timeout_ns: None,
        };
        let clock = Arc::new(SimClock::at(BASE));
        let dead_letters = Box::new(NoDeadLetters);
        let mut stage = WindowAggregator::new(
            0,
            spec,
            clock,
            owned,
            Box::new(reader),
            dead_letters,
            Some(aggregate),
        );
        stage.order(Order::Begin { base_ns: BASE });
        stage
    }

    /// Takes turns, 1 ms each, until it has finished; merges what closes as the result writer does.
    fn finish(stage: &mut WindowAggregator, partitions: usize) -> Option<u64> {
        let mut closed_before = vec![i64::MIN; partitions];
        let (mut now, mut counted) = (BASE, 0);
        for _ in 0..10_000 {
            now += MILLISECOND;
            let mut outbox = Vec::new();
            let turn = stage.turn(now, &mut outbox).unwrap();
            for message in outbox {
                closed_before[message.partition as usize] = message.closed_before;
                counted += message
                    .panes
                    .iter()
                    .flat_map(|pane| &pane.entries)
                    .map(|entry| entry.count)
                    .sum::<u64>();
            }
            if turn == Turn::Finished {
                return Some(counted);
            }
            stage.receive(WindowsMerged { merged_before: *closed_before.iter().min().unwrap() });
        }
        None
    }

    /// The full partition is paused for being ahead of the empty one, which must close although
    /// that has a rest.
    #[test]
    fn an_empty_partition_does_not_hold_up_a_full_one_for_ever() {
        let times = (0..20).rev().map(|window| BASE + window * 200 * MILLISECOND).collect();
        let mut stage = foreign(vec![times, Vec::new()], false, Some(100 * MILLISECOND));
        assert_eq!(finish(&mut stage, 2), Some(20));
    }

    #[test]
    fn a_topic_that_others_go_on_filling_is_drained_all_the_same() {
        let mut stage = foreign(vec![vec![BASE, BASE]], true, None);
        stage.order(Order::Drain { at_ns: BASE });
        assert!(finish(&mut stage, 1).is_some_and(|counted| counted < 10));
    }
}
