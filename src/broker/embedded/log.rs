//! A topic of the embedded log: partitions of batches, bounded by bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use streamgauge_actors::{Nanos, PortError, Record, StampedBy, TimestampKind};

/// The size of a batch's buffer.
pub(super) const BATCH_BYTES: usize = 64 * 1024;
/// Before each record: the lengths of key and payload.
pub(super) const HEADER: usize = 8;
/// What a topic keeps although every reader has passed it: little enough to stay in a core's cache.
const KEPT_BYTES: u64 = 1024 * 1024;
/// Buffers that a partition keeps for its next batches.
const POOLED: usize = 16;

pub(super) struct TopicLog {
    pub(super) name: String,
    pub(super) stamped_by: StampedBy,
    pub(super) replication: u16,
    pub(super) partitions: Vec<StoredPartition>,
    pub(super) max_bytes: u64,
    pub(super) bytes: AtomicU64,
    pub(super) deleted: AtomicBool,
    /// Readers that wait, and what they wait on.
    pub(super) waiting: AtomicUsize,
    pub(super) door: Mutex<()>,
    pub(super) bell: Condvar,
}

#[derive(Default)]
pub(super) struct StoredPartition {
    pub(super) log: Mutex<Log>,
    /// Mirrors the log's end, so that it can be looked at without the lock.
    pub(super) end: AtomicU64,
}

#[derive(Default)]
pub(super) struct Log {
    pub(super) batches: VecDeque<Arc<Batch>>,
    pub(super) first: u64,
    pub(super) end: u64,
    /// Per reader: its id and the offset it has passed.
    pub(super) readers: Vec<(u64, u64)>,
    pub(super) next_reader: u64,
    pub(super) pool: Vec<Vec<u8>>,
}

/// Records as they were appended together.
pub(super) struct Batch {
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) timestamp_ns: Nanos,
    pub(super) timestamp_kind: TimestampKind,
    pub(super) bytes: Vec<u8>,
}

/// A poisoned lock means that another thread panicked; the data behind these locks is consistent
/// between statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl TopicLog {
    pub(super) fn check(&self) -> Result<(), PortError> {
        if self.deleted.load(Ordering::Relaxed) {
            return Err(PortError::fatal(format!("topic `{}` was deleted", self.name)));
        }
        Ok(())
    }

    pub(super) fn partition(&self, partition: u32) -> Result<&StoredPartition, PortError> {
        self.partitions.get(partition as usize).ok_or_else(|| {
            let (name, count) = (&self.name, self.partitions.len());
            PortError::fatal(format!("topic `{name}` has no partition {partition}: it has {count}"))
        })
    }

    /// Appends a batch; puts a buffer for the next one into `next`.
    pub(super) fn append(
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
    pub(super) fn keep_newest(&self, log: &mut Log) {
        while self.bytes.load(Ordering::Relaxed) > self.max_bytes / 2 && log.batches.len() > 1 {
            self.free_oldest(log);
        }
    }

    /// Frees what every reader has passed.
    pub(super) fn free_passed(&self, log: &mut Log) {
        let Some(passed) = log.readers.iter().map(|&(_, at)| at).min() else { return };
        while log.batches.front().is_some_and(|batch| batch.end <= passed)
            && self.bytes.load(Ordering::Relaxed) > KEPT_BYTES.min(self.max_bytes / 2)
        {
            self.free_oldest(log);
        }
    }

    pub(super) fn free_oldest(&self, log: &mut Log) {
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

impl Batch {
    /// The record that starts at byte `at`, and where the next one starts.
    pub(super) fn record(&self, at: usize, partition: u32, offset: u64) -> (Record<'_>, usize) {
        let length = |at: usize| {
            let bytes = &self.bytes[at..at + 4];
            u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
        };
        let (key, payload) = (length(at), length(at + 4));
        let body = at + HEADER;
        let after = body + key + payload;
        let record = Record {
            partition,
            offset,
            key: &self.bytes[body..body + key],
            payload: &self.bytes[body + key..after],
            timestamp_ns: self.timestamp_ns,
            timestamp_kind: self.timestamp_kind,
        };
        (record, after)
    }
}

/// What is said of a topic that is not there.
pub(super) fn no_topic(name: &str) -> PortError {
    PortError::fatal(format!("there is no topic `{name}` in the embedded log"))
}
