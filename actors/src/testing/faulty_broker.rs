//! A broker whose readers see a run's records with faults in them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::faults::StoredRecord;
use super::injection::Injector;
use super::sim_log::Topic;
use crate::ports::{
    Broker, BrokerDescription, EventReader, EventWriter, KnownLoss, PortError, Record, StartAt,
    TimestampKind, TopicAdmin, WriterRole,
};
use crate::workload::spec::RunSpec;

/// Wraps a broker: what is written is stored and acknowledged, and then an [`Injector`] strikes.
pub struct FaultyBroker {
    inner: Arc<dyn Broker>,
    events_topic: String,
    results_topic: String,
    injector: Arc<Mutex<Injector>>,
}

impl FaultyBroker {
    /// A broker for one run of `spec`, with these faults.
    pub fn new(inner: Arc<dyn Broker>, spec: &RunSpec, faults: Vec<super::Fault>) -> Self {
        let injector = Injector::new(
            faults,
            spec.workload.producers,
            spec.workload.window.as_nanos(),
            spec.aggregator.lateness_ns(),
        );
        Self {
            inner,
            events_topic: spec.topics.events.clone(),
            results_topic: spec.topics.results.clone(),
            injector: Arc::new(Mutex::new(injector)),
        }
    }

    /// Looks at what was injected.
    pub fn injected<T>(&self, look: impl FnOnce(&Injector) -> T) -> T {
        look(&lock(&self.injector))
    }
}

fn lock(injector: &Mutex<Injector>) -> MutexGuard<'_, Injector> {
    injector.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Broker for FaultyBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        self.inner.describe()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        self.inner.admin()
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        self.inner.writer(topic, role)
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        let inner = self.inner.reader(topic, start)?;
        let kind = match topic {
            _ if topic == self.events_topic => Topic::Events,
            _ if topic == self.results_topic => Topic::Results,
            _ => return Ok(inner),
        };
        let partitions =
            start.iter().map(|&(partition, _)| (partition, Behind::default())).collect();
        Ok(Box::new(FaultyReader { inner, kind, partitions, injector: Arc::clone(&self.injector) }))
    }
}

/// What was let through of one partition, and not visited yet.
#[derive(Default)]
struct Behind {
    records: VecDeque<StoredRecord>,
    next_offset: u64,
    timestamp_kind: Option<TimestampKind>,
    paused: bool,
}

struct FaultyReader {
    inner: Box<dyn EventReader>,
    kind: Topic,
    partitions: BTreeMap<u32, Behind>,
    injector: Arc<Mutex<Injector>>,
}

impl EventReader for FaultyReader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let Self { inner, kind, partitions, injector } = self;
        if partitions.values().all(|behind| behind.paused || behind.records.is_empty()) {
            let mut through = Vec::new();
            inner.poll(budget, max_records, &mut |record| {
                let stored = StoredRecord {
                    key: record.key.to_vec(),
                    payload: record.payload.to_vec(),
                    timestamp_ns: record.timestamp_ns,
                };
                match kind {
                    Topic::Events => lock(injector).event(record.partition, stored, &mut through),
                    Topic::Results => lock(injector).result(record.partition, stored, &mut through),
                }
                let behind = partitions.entry(record.partition).or_default();
                behind.timestamp_kind = Some(record.timestamp_kind);
                behind.records.extend(through.drain(..));
            })?;
        }
        let mut visited = 0;
        for (&partition, behind) in partitions.iter_mut().filter(|(_, behind)| !behind.paused) {
            let share = behind.records.len().min(max_records - visited);
            for record in behind.records.drain(..share) {
                visit(Record {
                    partition,
                    offset: behind.next_offset,
                    key: &record.key,
                    payload: &record.payload,
                    timestamp_ns: record.timestamp_ns,
                    timestamp_kind: behind.timestamp_kind.unwrap_or(TimestampKind::None),
                });
                behind.next_offset += 1;
            }
            visited += share;
        }
        Ok(visited)
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        self.partitions.entry(partition).or_default().paused = paused;
        self.inner.set_paused(partition, paused)
    }

    fn lag(&mut self) -> u64 {
        self.inner.lag()
            + self.partitions.values().map(|behind| behind.records.len() as u64).sum::<u64>()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        let behind =
            self.partitions.get(&partition).map_or(0, |behind| behind.records.len() as u64);
        self.inner.lag_of(partition) + behind
    }

    fn take_losses(&mut self, visit: &mut dyn FnMut(KnownLoss)) {
        self.inner.take_losses(visit);
    }
}
