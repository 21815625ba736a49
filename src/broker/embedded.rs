//! The embedded log: a broker inside the process, in memory, with nothing to install. It is the harness's own floor:
//! what a run measures on it is the harness itself.
//!
//! A topic's partitions are lists of batches. A writer collects records in a buffer of its own per partition and
//! appends it as one batch, stamped with the insertion time in nanoseconds; readers share the batches and visit the
//! records in place, without a lock. What every reader has passed is freed (but for a little); a topic is bounded by
//! bytes, and a full one is backpressure. A topic that nobody reads keeps its newest records.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamgauge_actors::clock::{MILLISECOND, Nanos, SharedClock};
use streamgauge_actors::ports::{
    Ack, Broker, BrokerDescription, Delivery, EventReader, EventWriter, OffsetRange, PortError, Record, Sent,
    StampedBy, StartAt, TimestampKind, TopicAdmin, TopicDescription, TopicSpec, WriterRole,
};

/// A writer appends a partition's buffer before it would hold more bytes (and at every `poll_acks`).
const BATCH_BYTES: usize = 64 * 1024;
/// How long a writer that is busy lets records wait for company.
const LINGER_NS: Nanos = MILLISECOND;
/// What a topic keeps although every reader has passed it: little enough to stay in a core's cache.
const KEPT_BYTES: u64 = 1024 * 1024;
/// Buffers that a partition keeps for its next batches.
const POOLED: usize = 16;
/// Before each record: the lengths of key and payload.
const HEADER: usize = 8;

/// Settings of the embedded log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddedSettings {
    /// What a topic holds at most, bytes; a full topic is backpressure.
    pub max_bytes: u64,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self { max_bytes: 64 * 1024 * 1024 }
    }
}

/// The embedded broker.
#[derive(Clone)]
pub struct EmbeddedBroker {
    topics: Arc<Mutex<BTreeMap<String, Arc<Topic>>>>,
    max_bytes: u64,
    clock: SharedClock,
}

struct Topic {
    name: String,
    stamped_by: StampedBy,
    replication: u16,
    partitions: Vec<Partition>,
    max_bytes: u64,
    bytes: AtomicU64,
    deleted: AtomicBool,
    /// Readers that wait, and what they wait on.
    waiting: AtomicUsize,
    door: Mutex<()>,
    bell: Condvar,
}

#[derive(Default)]
struct Partition {
    log: Mutex<Log>,
    /// Mirrors the log's end, so that it can be looked at without the lock.
    end: AtomicU64,
}

#[derive(Default)]
struct Log {
    batches: VecDeque<Arc<Batch>>,
    first: u64,
    end: u64,
    /// Per reader: its id and the offset it has passed.
    readers: Vec<(u64, u64)>,
    next_reader: u64,
    pool: Vec<Vec<u8>>,
}

/// Records as they were appended together.
struct Batch {
    first: u64,
    end: u64,
    timestamp_ns: Nanos,
    timestamp_kind: TimestampKind,
    bytes: Vec<u8>,
}

/// A poisoned lock means that another thread panicked; the data behind these locks is consistent between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl EmbeddedBroker {
    /// An empty broker whose insertion times come from `clock`.
    pub fn new(settings: &EmbeddedSettings, clock: SharedClock) -> Self {
        Self { topics: Arc::default(), max_bytes: settings.max_bytes, clock }
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>, PortError> {
        lock(&self.topics).get(name).cloned().ok_or_else(|| no_topic(name))
    }
}

fn no_topic(name: &str) -> PortError {
    PortError::fatal(format!("there is no topic `{name}` in the embedded log"))
}

impl Topic {
    fn check(&self) -> Result<(), PortError> {
        if self.deleted.load(Ordering::Relaxed) {
            return Err(PortError::fatal(format!("topic `{}` was deleted", self.name)));
        }
        Ok(())
    }

    fn partition(&self, partition: u32) -> Result<&Partition, PortError> {
        self.partitions.get(partition as usize).ok_or_else(|| {
            let (name, count) = (&self.name, self.partitions.len());
            PortError::fatal(format!("topic `{name}` has no partition {partition}: it has {count}"))
        })
    }

    /// Appends a batch; puts a buffer for the next one into `next`.
    fn append(
        &self,
        partition: u32,
        bytes: Vec<u8>,
        records: u64,
        timestamp_ns: Nanos,
        next: Option<&mut Vec<u8>>,
    ) -> Result<(), PortError> {
        let place = self.partition(partition)?;
        let mut log = lock(&place.log);
        let first = log.end;
        log.end += records;
        self.bytes.fetch_add(bytes.capacity() as u64, Ordering::Relaxed);
        let end = log.end;
        let timestamp_kind = match self.stamped_by {
            StampedBy::Log => TimestampKind::LogAppend,
            StampedBy::Client => TimestampKind::Create,
        };
        log.batches.push_back(Arc::new(Batch { first, end, timestamp_ns, timestamp_kind, bytes }));
        if log.readers.is_empty() {
            self.keep_newest(&mut log);
        }
        if let Some(next) = next {
            *next = log.pool.pop().unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES));
        }
        drop(log);
        // Another writer's later end may be here already.
        place.end.fetch_max(end, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.door));
            self.bell.notify_all();
        }
        Ok(())
    }

    /// Nobody reads: the oldest batches make room.
    fn keep_newest(&self, log: &mut Log) {
        while self.bytes.load(Ordering::Relaxed) > self.max_bytes / 2 && log.batches.len() > 1 {
            self.free_oldest(log);
        }
    }

    /// Frees what every reader has passed.
    fn free_passed(&self, log: &mut Log) {
        let Some(passed) = log.readers.iter().map(|&(_, at)| at).min() else { return };
        while log.batches.front().is_some_and(|batch| batch.end <= passed)
            && self.bytes.load(Ordering::Relaxed) > KEPT_BYTES.min(self.max_bytes / 2)
        {
            self.free_oldest(log);
        }
    }

    fn free_oldest(&self, log: &mut Log) {
        let Some(batch) = log.batches.pop_front() else { return };
        self.bytes.fetch_sub(batch.bytes.capacity() as u64, Ordering::Relaxed);
        log.first = batch.end;
        if let Ok(mut batch) = Arc::try_unwrap(batch)
            && batch.bytes.capacity() >= BATCH_BYTES
            && log.pool.len() < POOLED
        {
            batch.bytes.clear();
            log.pool.push(batch.bytes);
        }
    }
}

impl Broker for EmbeddedBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        Ok(BrokerDescription {
            kind: "embedded".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            guarantee: "exactly once".to_owned(),
            log_append_time: true,
        })
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        Ok(Box::new(self.clone()))
    }

    fn writer(&self, topic: &str, _role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        let topic = self.topic(topic)?;
        let lanes = topic.partitions.iter().map(|_| Lane::default()).collect();
        Ok(Box::new(Writer {
            topic,
            clock: Arc::clone(&self.clock),
            lanes,
            buffered: 0,
            unacknowledged: 0,
            flushed_ns: 0,
        }))
    }

    fn reader(&self, topic: &str, start: &[(u32, StartAt)]) -> Result<Box<dyn EventReader>, PortError> {
        let topic = self.topic(topic)?;
        let mut assigned = Vec::new();
        for &(id, start) in start {
            let mut log = lock(&topic.partition(id)?.log);
            let next = match start {
                StartAt::Earliest => log.first,
                StartAt::Latest => log.end,
                StartAt::Offset(offset) if offset <= log.end => offset,
                StartAt::Offset(offset) => {
                    return Err(PortError::fatal(format!(
                        "topic `{}`, partition {id}: offset {offset} is past the end, {}",
                        topic.name, log.end
                    )));
                }
            };
            let reader = log.next_reader;
            log.next_reader += 1;
            let passed = next.min(log.end);
            log.readers.push((reader, passed));
            assigned.push(Assigned { id, reader, next, paused: false, current: None });
        }
        Ok(Box::new(Reader { topic, assigned, turn: 0 }))
    }
}

/// A partition's records on their way into a batch.
#[derive(Default)]
struct Lane {
    buffer: Vec<u8>,
    tokens: Vec<u64>,
    /// Tokens at the front whose records are appended.
    appended: usize,
}

struct Writer {
    topic: Arc<Topic>,
    clock: SharedClock,
    lanes: Vec<Lane>,
    buffered: u64,
    unacknowledged: u64,
    flushed_ns: Nanos,
}

impl Writer {
    fn flush(&mut self, partition: u32, now: Nanos) -> Result<(), PortError> {
        let lane = &mut self.lanes[partition as usize];
        let records = (lane.tokens.len() - lane.appended) as u64;
        if records == 0 {
            return Ok(());
        }
        self.buffered -= lane.buffer.len() as u64;
        lane.appended = lane.tokens.len();
        if lane.buffer.len() < lane.buffer.capacity() / 2 {
            // Few records: a buffer of their size, so that a slow stream does not hold mostly empty ones.
            let bytes = lane.buffer.as_slice().to_vec();
            lane.buffer.clear();
            self.topic.append(partition, bytes, records, now, None)
        } else {
            let bytes = std::mem::take(&mut lane.buffer);
            self.topic.append(partition, bytes, records, now, Some(&mut lane.buffer))
        }
    }
}

impl EventWriter for Writer {
    fn send(&mut self, partition: u32, key: &[u8], payload: &[u8], token: u64) -> Result<Sent, PortError> {
        let Some(lane) = self.lanes.get(partition as usize) else {
            return Err(self.topic.partition(partition).err().unwrap_or_else(|| no_topic(&self.topic.name)));
        };
        let size = HEADER + key.len() + payload.len();
        if self.topic.bytes.load(Ordering::Relaxed) + self.buffered + size as u64 > self.topic.max_bytes {
            self.topic.check()?;
            if size as u64 > self.topic.max_bytes {
                let (name, max) = (&self.topic.name, self.topic.max_bytes);
                return Err(PortError::fatal(format!(
                    "topic `{name}`: a record of {size} bytes does not fit into {max} (broker.embedded.max_bytes)"
                )));
            }
            return Ok(Sent::Full);
        }
        if lane.buffer.len() + size > BATCH_BYTES && !lane.buffer.is_empty() {
            let now = self.clock.now();
            self.flush(partition, now)?;
        }
        let lane = &mut self.lanes[partition as usize];
        lane.buffer.extend_from_slice(&(key.len() as u32).to_le_bytes());
        lane.buffer.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        lane.buffer.extend_from_slice(key);
        lane.buffer.extend_from_slice(payload);
        lane.tokens.push(token);
        self.buffered += size as u64;
        self.unacknowledged += 1;
        Ok(Sent::Ok)
    }

    fn poll_acks(&mut self, budget: Duration, visit: &mut dyn FnMut(Ack)) -> Result<usize, PortError> {
        if self.unacknowledged == 0 {
            return Ok(0);
        }
        self.topic.check()?;
        let now = self.clock.now();
        // Whoever has time to wait has sent all that was due; whoever has not will soon send more.
        let flush = !budget.is_zero() || now - self.flushed_ns >= LINGER_NS;
        if flush {
            self.flushed_ns = now;
        }
        let mut visited = 0;
        for partition in 0..self.lanes.len() as u32 {
            if flush {
                self.flush(partition, now)?;
            }
            let lane = &mut self.lanes[partition as usize];
            for token in lane.tokens.drain(..lane.appended) {
                visited += 1;
                visit(Ack { partition, token, delivery: Delivery::Acknowledged });
            }
            lane.appended = 0;
        }
        self.unacknowledged -= visited as u64;
        Ok(visited)
    }

    fn in_flight(&self) -> u64 {
        self.unacknowledged
    }
}

struct Assigned {
    id: u32,
    reader: u64,
    next: u64,
    paused: bool,
    /// The batch being visited, and where its next record starts.
    current: Option<(Arc<Batch>, usize)>,
}

struct Reader {
    topic: Arc<Topic>,
    assigned: Vec<Assigned>,
    /// Where the next poll begins, so that no partition starves.
    turn: usize,
}

impl Assigned {
    /// Visits up to `limit` records of this partition.
    fn visit(&mut self, topic: &Topic, limit: usize, visit: &mut dyn FnMut(Record<'_>)) -> Result<usize, PortError> {
        let mut visited = 0;
        while visited < limit && !self.paused {
            if self.current.is_none() && !self.load(topic)? {
                break;
            }
            let Some((batch, at)) = &mut self.current else { break };
            while visited < limit && self.next < batch.end {
                let (record, after) = read_record(batch, *at, self.id, self.next);
                *at = after;
                self.next += 1;
                visited += 1;
                visit(record);
            }
            if self.next >= batch.end {
                self.current = None;
            }
        }
        Ok(visited)
    }

    /// Notes how far this reader is, and takes the batch that holds its next record, if there is one.
    fn load(&mut self, topic: &Topic) -> Result<bool, PortError> {
        let partition = topic.partition(self.id)?;
        if partition.end.load(Ordering::SeqCst) <= self.next {
            if self.next > 0 {
                self.pass(topic, &mut lock(&partition.log));
            }
            return Ok(false);
        }
        let mut log = lock(&partition.log);
        self.pass(topic, &mut log);
        if self.next < log.first {
            return Err(PortError::fatal(format!(
                "topic `{}`, partition {}: offset {} is gone, the log now begins at {}: retention removed records \
                 before they were read",
                topic.name, self.id, self.next, log.first
            )));
        }
        let at = log.batches.partition_point(|batch| batch.end <= self.next);
        let Some(batch) = log.batches.get(at).cloned() else { return Ok(false) };
        drop(log);
        let mut start = 0;
        for offset in batch.first..self.next {
            start = read_record(&batch, start, self.id, offset).1;
        }
        self.current = Some((batch, start));
        Ok(true)
    }

    fn pass(&self, topic: &Topic, log: &mut Log) {
        if let Some((_, passed)) = log.readers.iter_mut().find(|(id, _)| *id == self.reader)
            && *passed < self.next
        {
            *passed = self.next;
            topic.free_passed(log);
        }
    }
}

fn read_record(batch: &Batch, at: usize, partition: u32, offset: u64) -> (Record<'_>, usize) {
    let length = |at: usize| {
        let bytes = &batch.bytes[at..at + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
    };
    let (key, payload) = (length(at), length(at + 4));
    let body = at + HEADER;
    let after = body + key + payload;
    let record = Record {
        partition,
        offset,
        key: &batch.bytes[body..body + key],
        payload: &batch.bytes[body + key..after],
        timestamp_ns: batch.timestamp_ns,
        timestamp_kind: batch.timestamp_kind,
    };
    (record, after)
}

impl Reader {
    fn visit_some(&mut self, max: usize, visit: &mut dyn FnMut(Record<'_>)) -> Result<usize, PortError> {
        let count = self.assigned.len();
        let mut visited = 0;
        for i in 0..count {
            if visited >= max {
                break;
            }
            let at = (self.turn + i) % count;
            // A share each, so that partitions advance together.
            let share = (max - visited).div_ceil(count - i);
            visited += self.assigned[at].visit(&self.topic, share, visit)?;
        }
        self.turn = if count == 0 { 0 } else { (self.turn + 1) % count };
        Ok(visited)
    }

    fn has_more(&self) -> bool {
        self.assigned.iter().any(|assigned| {
            let end = self.topic.partitions[assigned.id as usize].end.load(Ordering::SeqCst);
            !assigned.paused && assigned.next < end
        })
    }
}

impl EventReader for Reader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let visited = self.visit_some(max_records, visit)?;
        if visited > 0 || budget.is_zero() {
            return Ok(visited);
        }
        self.topic.check()?;
        self.topic.waiting.fetch_add(1, Ordering::SeqCst);
        {
            let door = lock(&self.topic.door);
            if !self.has_more() {
                drop(self.topic.bell.wait_timeout(door, budget));
            }
        }
        self.topic.waiting.fetch_sub(1, Ordering::SeqCst);
        self.visit_some(max_records, visit)
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        let assigned = self.assigned.iter_mut().find(|assigned| assigned.id == partition);
        let name = &self.topic.name;
        let missing = || PortError::fatal(format!("topic `{name}`: partition {partition} is not assigned"));
        assigned.ok_or_else(missing)?.paused = paused;
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        let end = |id: u32| self.topic.partitions[id as usize].end.load(Ordering::SeqCst);
        self.assigned.iter().map(|assigned| end(assigned.id).saturating_sub(assigned.next)).sum()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for assigned in &self.assigned {
            let mut log = lock(&self.topic.partitions[assigned.id as usize].log);
            log.readers.retain(|&(id, _)| id != assigned.reader);
            self.topic.free_passed(&mut log);
        }
    }
}

impl TopicAdmin for EmbeddedBroker {
    fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError> {
        let mut topics = lock(&self.topics);
        if topics.contains_key(&topic.name) {
            return Err(PortError::fatal(format!("topic `{}` exists already", topic.name)));
        }
        if topic.partitions == 0 {
            return Err(PortError::fatal(format!("topic `{}`: at least one partition is needed", topic.name)));
        }
        let made = Topic {
            name: topic.name.clone(),
            stamped_by: topic.stamped_by,
            replication: topic.replication,
            partitions: (0..topic.partitions).map(|_| Partition::default()).collect(),
            max_bytes: self.max_bytes,
            bytes: AtomicU64::new(0),
            deleted: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            door: Mutex::new(()),
            bell: Condvar::new(),
        };
        topics.insert(topic.name.clone(), Arc::new(made));
        Ok(())
    }

    fn delete(&mut self, topic: &str) -> Result<(), PortError> {
        let removed = lock(&self.topics).remove(topic).ok_or_else(|| no_topic(topic))?;
        removed.deleted.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn describe(&mut self, topic: &str) -> Result<Option<TopicDescription>, PortError> {
        let Ok(topic) = self.topic(topic) else { return Ok(None) };
        let range = |partition: &Partition| {
            let log = lock(&partition.log);
            OffsetRange { first: log.first, end: log.end }
        };
        Ok(Some(TopicDescription {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(range).collect(),
            replication: topic.replication,
            stamped_by: topic.stamped_by,
        }))
    }

    fn list(&mut self) -> Result<Vec<String>, PortError> {
        Ok(lock(&self.topics).keys().cloned().collect())
    }

    fn truncate(&mut self, topic: &str) -> Result<(), PortError> {
        let topic = self.topic(topic)?;
        for partition in &topic.partitions {
            let mut log = lock(&partition.log);
            while !log.batches.is_empty() {
                topic.free_oldest(&mut log);
            }
            log.first = log.end;
        }
        Ok(())
    }
}
