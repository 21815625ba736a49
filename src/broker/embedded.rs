//! The embedded log: a broker inside the process, in memory, with nothing to install. It is the
//! harness's own floor: what a run measures on it is the harness itself.
//!
//! A topic's partitions are lists of batches. A writer collects records in a buffer of its own per
//! partition and appends it as one batch, stamped with the insertion time in nanoseconds; readers
//! share the batches and visit the records in place, without a lock. What every reader has passed
//! is freed (but for a little); a topic is bounded by bytes, and a full one is backpressure. A
//! topic that nobody reads keeps its newest records.

mod log;
mod reader;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde::{Deserialize, Serialize};
use streamgauge_actors::{
    Broker, BrokerDescription, Bytes, Checks, EventReader, EventWriter, OffsetRange, PortError,
    SettingError, SharedClock, StartAt, TopicAdmin, TopicDescription, TopicSpec, WriterRole,
};

use self::log::{StoredPartition, TopicLog, lock, no_topic};
use self::reader::Reader;
use self::writer::Writer;
use super::adapter::{Adapter, BrokerNeeds, KindName, MemoryPart, Profile, RunSize};

/// `[broker.embedded]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EmbeddedSection {
    /// What a topic may hold in memory.
    pub max_bytes: Bytes,
}

/// What is known of the embedded log beforehand.
pub(super) const PROFILE: Profile = Profile {
    names: &[KindName { name: NAME, about: "A log in this process." }],
    section: "broker.embedded",
    address: None,
    properties: None,
    unmeasured: &[],
    topic_separator: '.',
    client: None,
    quiet: &[],
    unreachable_fix: FIX,
    refused_fix: FIX,
};

/// The name in settings and reports.
const NAME: &str = "embedded";

/// The buffer that a writer keeps for a partition where little is sent: it holds what came within a
/// few milliseconds.
const LANE_BYTES: u64 = 6 << 10;
/// All buffers of a writer where much is sent.
const TURN_BYTES: u64 = 256 << 10;

/// What to do about a log in this process that does not answer.
const FIX: &str = "report it: a log in this process always answers";

impl Adapter for EmbeddedSection {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn check(&self, _: &BrokerNeeds<'_>, checks: &mut Checks) {
        checks.must(
            self.max_bytes.0 >= 1 << 20,
            "broker.embedded.max_bytes",
            "must be at least `1MiB`",
        );
    }

    fn open(
        &self,
        _: &BrokerNeeds<'_>,
        clock: SharedClock,
    ) -> Result<Arc<dyn Broker>, SettingError> {
        Ok(Arc::new(EmbeddedBroker::new(self.max_bytes.0, clock)))
    }

    fn memory(&self, size: &RunSize) -> Vec<MemoryPart> {
        let most = self.max_bytes.0;
        vec![
            MemoryPart {
                settings: &["broker.embedded.max_bytes"],
                bytes: size.event_bytes.min(most).saturating_add(size.result_bytes.min(most)),
            },
            // Buffers of writers, whose full ones are what a turn sends.
            MemoryPart {
                settings: &["workload.producers"],
                bytes: size.event_bytes.min(size.producers.saturating_mul(TURN_BYTES)),
            },
            MemoryPart {
                settings: &["topics.partitions", "workload.producers"],
                bytes: (size.producers * size.partitions).saturating_mul(LANE_BYTES),
            },
        ]
    }

    fn address(&self) -> String {
        NAME.to_owned()
    }
}

/// The embedded broker.
#[derive(Clone)]
pub struct EmbeddedBroker {
    topics: Arc<Mutex<BTreeMap<String, Arc<TopicLog>>>>,
    max_bytes: u64,
    clock: SharedClock,
}

impl EmbeddedBroker {
    /// An empty broker whose topics hold at most so many bytes each, and whose insertion times come
    /// from `clock`.
    pub fn new(max_bytes: u64, clock: SharedClock) -> Self {
        Self { topics: Arc::default(), max_bytes, clock }
    }

    fn topic(&self, name: &str) -> Result<Arc<TopicLog>, PortError> {
        lock(&self.topics).get(name).cloned().ok_or_else(|| no_topic(name))
    }
}

impl Broker for EmbeddedBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        Ok(BrokerDescription {
            kind: NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            // It lives and ends with its process.
            cluster_id: None,
            guarantee: "exactly once".to_owned(),
            log_append_time: true,
            limitations: Vec::new(),
        })
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        Ok(Box::new(self.clone()))
    }

    fn writer(&self, topic: &str, _role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        Ok(Box::new(Writer::new(self.topic(topic)?, Arc::clone(&self.clock))))
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        Ok(Box::new(Reader::open(self.topic(topic)?, start)?))
    }
}

impl TopicAdmin for EmbeddedBroker {
    fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError> {
        let mut topics = lock(&self.topics);
        if topics.contains_key(&topic.name) {
            return Err(PortError::fatal(format!("topic `{}` exists already", topic.name)));
        }
        if topic.partitions == 0 {
            return Err(PortError::fatal(format!(
                "topic `{}`: at least one partition is needed",
                topic.name
            )));
        }
        let made = TopicLog {
            name: topic.name.clone(),
            stamped_by: topic.stamped_by,
            replication: topic.replication,
            partitions: (0..topic.partitions).map(|_| StoredPartition::default()).collect(),
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
        let range = |partition: &StoredPartition| {
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
