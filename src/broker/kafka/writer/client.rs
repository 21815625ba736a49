//! The client behind writers: one producer (idempotent where the broker can), its queue divided
//! among its writers, and the delivery reports sorted by writer.
//!
//! A writer's number travels with every record, above its token. Whoever looks for reports takes
//! them for all; the others find theirs in their boxes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use streamgauge_actors::{PortError, TOKEN_LIMIT, WriterRole};

use super::super::client::{Disposable, partitions_of};
use super::super::logs::Logs;
use super::super::native::{DeliveryReport, NativeProducer};
use super::super::settings::{KafkaSettings, config_error};
use super::super::topic_watch::TopicWatch;
use crate::broker::deadline::Deadline;

/// Where a writer's number begins in what travels with a record.
const NUMBER_SHIFT: u32 = TOKEN_LIMIT.trailing_zeros();

/// A client that one writer has, or several share.
pub(super) struct WriterClient {
    pub(super) producer: Disposable<NativeProducer>,
    pub(super) topic: String,
    pub(super) partitions: u32,
    /// What each writer may have in flight; one that has the client for itself is told by the
    /// client.
    pub(super) share: Share,
    /// Held by who takes the reports.
    watch: Mutex<TopicWatch>,
    is_topic_gone: AtomicBool,
    /// By writer.
    boxes: Vec<ReportBox>,
}

/// A writer's part of the client's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Share {
    /// Whether a record fits in, with which so many bytes are in flight. One at least does.
    #[inline]
    pub(super) fn has_room(self, records: u64, bytes_with_it: u64) -> bool {
        records == 0 || (records < self.records && bytes_with_it <= self.bytes)
    }

    /// The part of one of so many writers.
    fn of(settings: &KafkaSettings, writers: u64) -> Self {
        if writers == 1 {
            return Self { records: u64::MAX, bytes: u64::MAX };
        }
        let section = &settings.section;
        Self {
            records: (u64::from(section.queue_records) / writers).max(1),
            bytes: section.queue_bytes.0 / writers,
        }
    }
}

/// Reports that another writer took.
#[derive(Default)]
struct ReportBox {
    is_filled: AtomicBool,
    reports: Mutex<Vec<DeliveryReport>>,
}

impl WriterClient {
    /// The clients of `count` writers to a topic, as few as the settings allow; each writer's, and
    /// its number there.
    pub(super) fn open(
        settings: &KafkaSettings,
        topic: &str,
        role: WriterRole,
        idempotent: bool,
        count: u32,
    ) -> Result<Vec<(Arc<Self>, u32)>, PortError> {
        let deadline = Deadline::after(settings.connect_timeout());
        let clients = count.min(settings.section.writer_clients);
        let config = settings.producer(role, idempotent);
        let make = |_| NativeProducer::new(&config, topic, Logs::new()).map(Disposable::new);
        // All connect at the same time; then each is waited for.
        let producers: Vec<_> =
            (0..clients).map(make).collect::<Result<_, _>>().map_err(|e| config_error(&e))?;
        let mut shared = Vec::with_capacity(producers.len());
        for (at, producer) in (0..clients).zip(producers) {
            let partitions = partitions_of(settings, producer.client(), topic, &deadline)?;
            let writers = (count - at).div_ceil(clients);
            shared.push(Arc::new(Self {
                producer,
                topic: topic.to_owned(),
                partitions,
                share: Share::of(settings, u64::from(writers)),
                watch: Mutex::new(TopicWatch::new(topic, settings.connect_timeout())),
                is_topic_gone: AtomicBool::new(false),
                boxes: (0..writers).map(|_| ReportBox::default()).collect(),
            }));
        }
        let place = |index| (Arc::clone(&shared[(index % clients) as usize]), index / clients);
        Ok((0..count).map(place).collect())
    }

    /// Copies one record of a writer into the client's queue.
    #[inline]
    pub(super) fn send(
        &self,
        writer: u32,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<(), RDKafkaErrorCode> {
        debug_assert!(token < TOKEN_LIMIT, "that is the port's contract");
        self.producer.send(
            partition as i32,
            key,
            payload,
            u64::from(writer) << NUMBER_SHIFT | token,
        )
    }

    /// Visits a writer's reports that are there, after waiting up to `timeout_ms` for something to
    /// come. Returns how many were visited. `spare` is empty before and after.
    pub(super) fn take_reports(
        &self,
        writer: u32,
        timeout_ms: i32,
        spare: &mut Vec<DeliveryReport>,
        visit: &mut dyn FnMut(&DeliveryReport),
    ) -> usize {
        let own = &self.boxes[writer as usize];
        let mut watch = match self.watch.try_lock() {
            Ok(watch) => watch,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(Duration::from_millis(timeout_ms as u64));
                return own.empty(spare, visit);
            }
        };
        // Another may have put some there until just now; what is taken next comes behind them.
        let mut visited = own.empty(spare, visit);
        let mut timeout_ms = if visited == 0 { timeout_ms } else { 0 };
        let mut is_sign = false;
        let mut sort = |report: &DeliveryReport| {
            is_sign |= report.error.is_none();
            let to = (report.opaque >> NUMBER_SHIFT) as u32;
            if to == writer {
                visited += 1;
                visit(report);
            } else {
                self.boxes[to as usize].put(*report);
            }
        };
        while self.producer.poll(timeout_ms, &mut sort) {
            timeout_ms = 0;
        }
        if watch.look(is_sign, self.producer.client()) {
            self.is_topic_gone.store(true, Ordering::Relaxed);
        }
        visited
    }

    /// Whether the topic was deleted.
    pub(super) fn is_topic_gone(&self) -> bool {
        self.is_topic_gone.load(Ordering::Relaxed)
    }
}

impl ReportBox {
    fn lock(&self) -> MutexGuard<'_, Vec<DeliveryReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, report: DeliveryReport) {
        let mut reports = self.lock();
        reports.push(report);
        self.is_filled.store(true, Ordering::Release);
    }

    /// Visits what is in it. Returns how many reports that were.
    fn empty(
        &self,
        spare: &mut Vec<DeliveryReport>,
        visit: &mut dyn FnMut(&DeliveryReport),
    ) -> usize {
        if !self.is_filled.load(Ordering::Acquire) {
            return 0;
        }
        let mut reports = self.lock();
        std::mem::swap(&mut *reports, spare);
        self.is_filled.store(false, Ordering::Release);
        drop(reports);
        let count = spare.len();
        spare.drain(..).for_each(|report| visit(&report));
        count
    }
}

/// The token of a record, as its writer knows it.
pub(super) fn token_of(report: &DeliveryReport) -> u64 {
    report.opaque & (TOKEN_LIMIT - 1)
}
