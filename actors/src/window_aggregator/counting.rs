//! Counting: from an event to its pane.

use std::sync::Arc;

use crate::clock::{Nanos, SharedClock};
use crate::measures::backlog::BehindSchedule;
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::ports::{DeadLetters, KnownLoss, Record};
use crate::stage::flow::PanesClosed;
use crate::stream::event::{DecodeError, DecodedEvent, EventDecoder, EventFormat};
use crate::stream::progress::FINISHED;
use crate::stream::value::Oddities;
use crate::truth::findings::{Finding, FindingKind, MAX_FINDINGS};
use crate::window_aggregator::panes::{OfferOutcome, PartitionWindows, WindowShape};
use crate::window_aggregator::slots::CampaignSlots;
use crate::workload::spec::RunSpec;

/// One partition as it is read.
pub struct Partition {
    /// Its id in the topic.
    pub id: u32,
    /// Its windows.
    pub windows: PartitionWindows,
    /// How far its windows are announced to the result writer.
    announced_before: i64,
    /// Whether its reading rests for being too far ahead of the merge.
    pub paused: bool,
    /// Whether it has been silent for so long that nobody waits for it.
    pub is_idle: bool,
    announced_idle: bool,
}

impl Partition {
    /// Tells the result writer what closed; gives how many panes.
    pub fn tell(
        &mut self,
        slots: &CampaignSlots,
        by_log: bool,
        outbox: &mut Vec<PanesClosed>,
    ) -> u64 {
        let closed_before = self.windows.closed_before();
        let is_idle = self.is_idle;
        if closed_before == self.announced_before && is_idle == self.announced_idle {
            return 0;
        }
        (self.announced_before, self.announced_idle) = (closed_before, is_idle);
        let panes = self.windows.take_closed(slots);
        let count = panes.len() as u64;
        outbox.push(PanesClosed { partition: self.id, closed_before, panes, by_log, is_idle });
        count
    }
}

/// All of an aggregator but its reader, so that records can be visited in place.
pub struct Counting {
    /// The workload.
    pub spec: Arc<RunSpec>,
    clock: SharedClock,
    /// The partitions that the aggregator owns.
    pub partitions: Vec<Partition>,
    /// Partition id -> index into `partitions`.
    index: Vec<usize>,
    /// The places of campaigns in a pane.
    pub slots: CampaignSlots,
    base_ns: Nanos,
    measure_from_ns: Nanos,
    /// When the present batch came.
    pub now: Nanos,
    /// What was counted so far.
    pub counters: StageCounters,
    /// Intended time -> consumed.
    pub event_latency: LatencyHistogram,
    /// What was found wrong since the last report.
    pub findings: Vec<Finding>,
    dead_letters: Box<dyn DeadLetters>,
    decoder: EventDecoder,
    /// Whether some window may have closed since the result writer was told last.
    pub some_closed: bool,
}

/// What counting starts with.
pub struct CountingStart {
    /// When the run begins.
    pub base_ns: Nanos,
    /// How windows lie in time.
    pub shape: WindowShape,
    /// Producers that are told apart in a partition.
    pub producers: u32,
    /// The places of campaigns in a pane.
    pub slots: CampaignSlots,
    /// How events are written.
    pub format: EventFormat,
    /// Events before this time are no part of the figures.
    pub measure_from_ns: Nanos,
}

impl Counting {
    /// Nothing counted yet in the partitions `owned`.
    pub fn new(
        spec: Arc<RunSpec>,
        clock: SharedClock,
        owned: &[u32],
        dead_letters: Box<dyn DeadLetters>,
        start: CountingStart,
    ) -> Self {
        let CountingStart { base_ns, shape, producers, slots, format, measure_from_ns } = start;
        let partition = |&id: &u32| Partition {
            id,
            windows: PartitionWindows::new(shape, producers),
            announced_before: i64::MIN,
            paused: false,
            is_idle: false,
            announced_idle: false,
        };
        let mut index = vec![usize::MAX; owned.iter().max().map_or(0, |&id| id as usize + 1)];
        owned.iter().enumerate().for_each(|(at, &id)| index[id as usize] = at);
        Self {
            spec,
            clock,
            partitions: owned.iter().map(partition).collect(),
            index,
            slots,
            base_ns,
            measure_from_ns,
            now: base_ns,
            counters: StageCounters::default(),
            event_latency: LatencyHistogram::default(),
            findings: Vec::new(),
            dead_letters,
            decoder: EventDecoder::new(format),
            some_closed: false,
        }
    }

    /// Reads the clock for the records that come next.
    pub fn read_clock(&mut self) {
        self.now = self.clock.now();
    }

    /// The present time.
    pub fn present(&self) -> Nanos {
        self.clock.now()
    }

    /// A record was read; gives its partition's index.
    #[inline]
    pub fn note(&mut self, record: &Record<'_>) -> usize {
        self.counters.consumed_bytes += record.payload.len() as u64;
        self.index[record.partition as usize]
    }

    /// The event of a record; `None`: it is none, and is counted as what it is.
    #[inline]
    pub fn decode(&mut self, record: Record<'_>) -> Option<DecodedEvent> {
        let mut odd = Oddities::default();
        let decoded = self.decoder.decode(record.payload, &mut odd);
        if odd != Oddities::default() {
            self.note_oddities(odd);
        }
        match decoded {
            Ok(event) => Some(event),
            Err(error) => {
                self.refuse(record, &error);
                None
            }
        }
    }

    #[cold]
    fn note_oddities(&mut self, odd: Oddities) {
        self.counters.note_oddities(odd);
    }

    #[cold]
    fn refuse(&mut self, record: Record<'_>, error: &DecodeError) {
        if record.payload.is_empty() {
            self.counters.tombstones += 1;
        } else {
            self.set_aside(record, error.reason());
        }
    }

    /// The slot of the event's campaign; `None`: there is none, and the record is set aside.
    #[inline]
    pub fn slot(&mut self, record: Record<'_>, event: &DecodedEvent) -> Option<u32> {
        let slot = self.slots.slot(event.campaign_id);
        if slot.is_none() {
            self.set_aside(record, "unknown_campaign");
        }
        slot
    }

    /// Adds an event to its pane; false: it is late.
    #[inline]
    pub fn add(&mut self, at: usize, producer: usize, slot: u32, event: &DecodedEvent) -> bool {
        self.note_event(event);
        let windows = &mut self.partitions[at].windows;
        let before = windows.closed_before();
        let (time, produce_ms) = (event.event_time_ns, event.produce_time_ms);
        let outcome = windows.offer(producer, time, slot, produce_ms);
        self.some_closed |= windows.closed_before() != before;
        self.is_counted(outcome)
    }

    /// The same, but its time moves the producer's progress to `progress` only.
    #[cold]
    pub fn add_unconfirmed(
        &mut self,
        at: usize,
        producer: usize,
        slot: u32,
        event: &DecodedEvent,
        progress: Nanos,
    ) -> bool {
        self.note_event(event);
        let windows = &mut self.partitions[at].windows;
        let before = windows.closed_before();
        let (time, produce_ms) = (event.event_time_ns, event.produce_time_ms);
        let outcome = windows.count(producer, time, slot, produce_ms);
        windows.advance(producer, progress);
        self.some_closed |= windows.closed_before() != before;
        self.is_counted(outcome)
    }

    #[inline]
    fn note_event(&mut self, event: &DecodedEvent) {
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
    }

    #[inline]
    fn is_counted(&mut self, outcome: OfferOutcome) -> bool {
        let OfferOutcome::Late(needed) = outcome else { return true };
        self.counters.late += 1;
        self.counters.late_needed_ns = needed.max(self.counters.late_needed_ns);
        false
    }

    /// Keeps a record that is no readable event.
    #[cold]
    pub fn set_aside(&mut self, record: Record<'_>, reason: &'static str) {
        self.counters.malformed.add_at(reason, record.partition, record.offset);
        self.dead_letters.keep(record, reason);
    }

    /// Nothing more will be read.
    pub fn finish(&mut self) {
        self.counters.letters_lost = self.dead_letters.finish();
    }

    /// Keeps an event whose clock is ahead of all others.
    #[cold]
    pub fn set_ahead_aside(&mut self, record: Record<'_>, ahead_ns: Nanos) {
        self.counters.ahead += 1;
        self.counters.most_ahead_ns = ahead_ns.max(self.counters.most_ahead_ns);
        self.set_aside(record, "ahead");
    }

    /// Files an event that is not as it should be.
    #[cold]
    pub fn find(
        &mut self,
        kind: FindingKind,
        at: usize,
        campaign_id: u64,
        window_id: i64,
        producer: Option<u32>,
    ) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                kind,
                window_id: Some(window_id),
                campaign_id: Some(campaign_id),
                producer,
                partition: Some(self.partitions[at].id),
                count: 1,
            });
        }
    }

    /// Files what the log has lost, as the reader knows.
    pub fn find_loss(&mut self, loss: &KnownLoss) {
        self.counters.records_lost += loss.records;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding::of_loss(loss));
        }
    }

    /// Tells the result writer of every window that has closed.
    pub fn tell(&mut self, by_log: bool, outbox: &mut Vec<PanesClosed>) {
        for partition in &mut self.partitions {
            partition.tell(&self.slots, by_log, outbox);
        }
    }

    /// Closes every window: nothing more will be read.
    pub fn close_all(&mut self, outbox: &mut Vec<PanesClosed>) {
        self.partitions.iter_mut().for_each(|partition| partition.windows.advance_all(FINISHED));
        self.tell(false, outbox);
    }

    /// How far the least event-time progress over the partitions is behind; `None`: all are done.
    pub(crate) fn behind(&self, now: Nanos) -> Option<BehindSchedule> {
        let least = self.partitions.iter().map(|partition| partition.windows.least_progress());
        let least = least.min().filter(|&least| least != FINISHED)?;
        let behind_ns = now.saturating_sub(least.max(self.base_ns));
        let is_begun = least > self.base_ns;
        Some(if is_begun {
            BehindSchedule::Exactly(behind_ns)
        } else {
            BehindSchedule::AtLeast(behind_ns)
        })
    }

    /// Whether every window is closed.
    pub fn is_closed(&self) -> bool {
        self.partitions.iter().all(|partition| partition.windows.closed_before() == i64::MAX)
    }
}
