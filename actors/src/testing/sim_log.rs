//! A log in memory, with ports that behave as badly as a real broker's may: full queues, batches
//! that linger and interleave, slow acknowledgements that come in bursts, small reads, partitions
//! that stall. All by the dice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::dice::Dice;
use super::faults::StoredRecord;
use super::injection::Injector;
use super::sim_clock::SimClock;
use crate::clock::{Clock, MILLISECOND, Nanos};
use crate::ports::{
    Ack, Delivery, EventReader, EventWriter, PortError, Record, Sent, TimestampKind,
};

/// Acknowledged later than this is slow.
const SLOW_ACK_NS: Nanos = 20 * MILLISECOND;

/// One of a run's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The events.
    Events,
    /// The results.
    Results,
}

/// How badly the log behaves.
#[derive(Clone, Copy, Debug)]
pub struct Stress {
    /// Records in flight that a writer takes at most.
    pub capacity: u64,
    /// A send finds the client full once in so many times; 0: never by chance.
    pub full_once_in: u64,
    /// For how long it then stays full, at most.
    pub full_ns: Nanos,
    /// Longest time that a batch lingers.
    pub linger_ns: Nanos,
    /// Longest time from insertion to acknowledgement.
    pub ack_ns: Nanos,
    /// A partition stalls once in so many reads; 0: never.
    pub stall_once_in: u64,
    /// For how long it then stalls, at most.
    pub stall_ns: Nanos,
    /// Records that a read gives at most, of each partition.
    pub read_limit: u64,
}

/// How often each stress came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StressCounts {
    /// Records refused because the client was full.
    pub full: u64,
    /// Acknowledgements later than 20 ms.
    pub slow_acks: u64,
    /// Batches of one writer appended between two of another's in a partition.
    pub interleaved: u64,
    /// Partitions stalled.
    pub stalls: u64,
    /// Partitions paused by their reader's owner.
    pub pauses: u64,
}

struct State {
    clock: Arc<SimClock>,
    dice: Dice,
    stress: Stress,
    counts: StressCounts,
    injector: Injector,
    events: Vec<Vec<StoredRecord>>,
    results: Vec<Vec<StoredRecord>>,
    /// Per events partition: who appended last.
    last_writer: Vec<u64>,
    writers: u64,
}

/// The log: clones share it.
#[derive(Clone)]
pub struct SimLog(Arc<Mutex<State>>);

impl SimLog {
    /// An empty log with `partitions` partitions of events and one of results.
    pub fn new(
        clock: Arc<SimClock>,
        dice: Dice,
        stress: Stress,
        injector: Injector,
        partitions: u32,
    ) -> Self {
        let events = vec![Vec::new(); partitions as usize];
        Self(Arc::new(Mutex::new(State {
            clock,
            dice,
            stress,
            counts: StressCounts::default(),
            injector,
            last_writer: vec![0; events.len()],
            events,
            results: vec![Vec::new()],
            writers: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A writer to a topic.
    pub fn writer(&self, topic: Topic) -> SimWriter {
        let mut state = self.state();
        state.writers += 1;
        let partitions = state.topic(topic).iter().map(|_| WriterPartition::default()).collect();
        SimWriter {
            log: self.clone(),
            id: state.writers,
            topic,
            partitions,
            in_flight: 0,
            full_until: Nanos::MIN,
        }
    }

    /// A reader of some partitions of a topic, from their beginning.
    pub fn reader(&self, topic: Topic, partitions: &[u32]) -> SimReader {
        let positions = partitions.iter().map(|&id| ReadPosition {
            id,
            next: 0,
            paused: false,
            stalled_until: Nanos::MIN,
        });
        SimReader { log: self.clone(), topic, positions: positions.collect() }
    }

    /// How often each stress came about.
    pub fn counts(&self) -> StressCounts {
        self.state().counts
    }

    /// Looks at what was injected.
    pub fn injected<T>(&self, look: impl FnOnce(&Injector) -> T) -> T {
        look(&self.state().injector)
    }

    /// The records of the results topic, as readers see them.
    pub fn results(&self) -> Vec<StoredRecord> {
        self.state().results.concat()
    }
}

impl State {
    fn topic(&self, topic: Topic) -> &[Vec<StoredRecord>] {
        match topic {
            Topic::Events => &self.events,
            Topic::Results => &self.results,
        }
    }

    fn append(&mut self, topic: Topic, partition: u32, record: StoredRecord) {
        let at = partition as usize;
        match topic {
            Topic::Events => self.injector.event(partition, record, &mut self.events[at]),
            Topic::Results => self.injector.result(partition, record, &mut self.results[at]),
        }
    }
}

/// One partition, as a writer sees it.
#[derive(Default)]
struct WriterPartition {
    buffered: VecDeque<(StoredRecord, u64)>,
    flush_at: Nanos,
    /// When each record in the log is acknowledged, with its token.
    acks: VecDeque<(Nanos, u64)>,
    last_ack_at: Nanos,
}

/// Writes to a [`SimLog`].
pub struct SimWriter {
    log: SimLog,
    id: u64,
    topic: Topic,
    partitions: Vec<WriterPartition>,
    in_flight: u64,
    full_until: Nanos,
}

impl SimWriter {
    /// Appends some of what has lingered long enough.
    fn flush(&mut self, now: Nanos) {
        let mut state = self.log.state();
        for (partition, place) in self.partitions.iter_mut().enumerate() {
            if place.buffered.is_empty() || now < place.flush_at {
                continue;
            }
            let batch = 1 + state.dice.below(place.buffered.len() as u64) as usize;
            let (linger, slowness) = (state.stress.linger_ns, state.stress.ack_ns);
            let slowest = if state.dice.once_in(4) { slowness } else { slowness / 16 };
            let ack_at = place.last_ack_at.max(now + state.dice.between(0, slowest));
            for (mut record, token) in place.buffered.drain(..batch) {
                record.timestamp_ns = now;
                state.append(self.topic, partition as u32, record);
                place.acks.push_back((ack_at, token));
            }
            place.last_ack_at = ack_at;
            place.flush_at = now + state.dice.between(0, linger);
            if ack_at - now > SLOW_ACK_NS {
                state.counts.slow_acks += batch as u64;
            }
            if self.topic == Topic::Events {
                let before = std::mem::replace(&mut state.last_writer[partition], self.id);
                state.counts.interleaved += u64::from(before != self.id && before != 0);
            }
        }
    }
}

impl EventWriter for SimWriter {
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
        let mut state = self.log.state();
        let now = state.clock.now();
        let (once_in, longest) = (state.stress.full_once_in, state.stress.full_ns);
        if state.dice.once_in(once_in) {
            self.full_until = now + state.dice.between(1, longest);
        }
        if now < self.full_until || self.in_flight >= state.stress.capacity {
            state.counts.full += 1;
            return Ok(Sent::Full);
        }
        let record = StoredRecord { key: key.to_vec(), payload: payload.to_vec(), timestamp_ns: 0 };
        self.partitions[partition as usize].buffered.push_back((record, token));
        self.in_flight += 1;
        Ok(Sent::Ok)
    }

    fn poll_acks(
        &mut self,
        _budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        let now = self.log.state().clock.now();
        self.flush(now);
        let mut visited = 0;
        for (partition, place) in self.partitions.iter_mut().enumerate() {
            while let Some(&(at, token)) = place.acks.front()
                && at <= now
            {
                place.acks.pop_front();
                visited += 1;
                visit(Ack { partition: partition as u32, token, delivery: Delivery::Acknowledged });
            }
        }
        self.in_flight -= visited as u64;
        Ok(visited)
    }

    fn in_flight(&self) -> u64 {
        self.in_flight
    }
}

struct ReadPosition {
    id: u32,
    next: usize,
    paused: bool,
    stalled_until: Nanos,
}

/// Reads a [`SimLog`].
pub struct SimReader {
    log: SimLog,
    topic: Topic,
    positions: Vec<ReadPosition>,
}

impl EventReader for SimReader {
    fn poll(
        &mut self,
        _budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let state = &mut *self.log.state();
        let now = state.clock.now();
        let first = state.dice.below(self.positions.len() as u64) as usize;
        let mut visited = 0;
        for i in 0..self.positions.len() {
            let at = (first + i) % self.positions.len();
            let positions = &mut self.positions[at];
            let end = state.topic(self.topic)[positions.id as usize].len();
            if positions.paused || now < positions.stalled_until || positions.next == end {
                continue;
            }
            if state.dice.once_in(state.stress.stall_once_in) {
                positions.stalled_until = now + state.dice.between(1, state.stress.stall_ns);
                state.counts.stalls += 1;
                continue;
            }
            let share = 1 + state.dice.below(state.stress.read_limit) as usize;
            let until = end.min(positions.next + share.min(max_records - visited));
            let records = &state.topic(self.topic)[positions.id as usize][positions.next..until];
            for (offset, record) in (positions.next as u64..).zip(records) {
                visit(Record {
                    partition: positions.id,
                    offset,
                    key: &record.key,
                    payload: &record.payload,
                    timestamp_ns: record.timestamp_ns,
                    timestamp_kind: TimestampKind::LogAppend,
                });
            }
            visited += records.len();
            positions.next = until;
        }
        Ok(visited)
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        for positions in self.positions.iter_mut().filter(|positions| positions.id == partition) {
            positions.paused = paused;
            self.log.state().counts.pauses += u64::from(paused);
        }
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        let state = self.log.state();
        let topic = state.topic(self.topic);
        self.positions
            .iter()
            .map(|positions| (topic[positions.id as usize].len() - positions.next) as u64)
            .sum()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        let state = self.log.state();
        let end = state.topic(self.topic)[partition as usize].len();
        let positions = self.positions.iter().find(|positions| positions.id == partition);
        positions.map_or(0, |positions| (end - positions.next) as u64)
    }
}
