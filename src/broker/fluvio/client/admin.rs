//! Topics: made, deleted, described.

use std::future::Future;
use std::thread;
use std::time::Duration;

use fluvio::FluvioAdmin;
use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::topic::{TopicSpec as FluvioTopic, TopicStorageConfig};
use streamgauge_actors::{
    OffsetRange, PortError, Retry, StampedBy, TopicAdmin, TopicDescription, TopicSpec,
};

use super::cluster::{Cluster, POLL_PAUSE};
use super::leaders::{Leaders, partition_id};
use super::wait::complete;
use crate::broker::deadline::Deadline;

/// Segments of a bounded topic: only whole ones are ever removed.
const SEGMENTS: u64 = 4;

/// How long the controller's answer to an order is waited for.
const ANSWER_PATIENCE: Duration = Duration::from_millis(200);

/// How long an answer to questions is waited for through one connection.
const QUESTIONS_PATIENCE: Duration = Duration::from_secs(3);

/// The smallest segment worth a file of its own.
const LEAST_SEGMENT_BYTES: u64 = 1 << 20;

/// The administration of topics: see [`TopicAdmin`].
pub(super) struct FluvioTopics {
    cluster: Cluster,
}

impl FluvioTopics {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// Gives an order, and waits a moment for its answer.
    ///
    /// The controller may answer the creation of a topic before its partitions have leaders, and
    /// any order late or never, with nothing more through the same connection (seen in 0.18.2):
    /// what became of it is then looked at through another one.
    fn order(
        &mut self,
        action: &str,
        topic: &str,
        order: impl Future<Output = anyhow::Result<()>>,
    ) -> Result<(), PortError> {
        match complete(order, &Deadline::after(ANSWER_PATIENCE)) {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(self.cluster.topic_error(action, topic, &error.into())),
            None => self.cluster = Cluster::connect(&self.cluster.settings)?,
        }
        Ok(())
    }

    /// Asks questions until there is an answer, through a new connection where there was none: the
    /// controller leaves some unanswered, too, just after an order (seen in 0.18.2).
    fn persist<T>(
        &mut self,
        deadline: &Deadline,
        questions: impl Fn(&Cluster, &Deadline) -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        loop {
            match questions(
                &self.cluster,
                &Deadline::after(deadline.left().min(QUESTIONS_PATIENCE)),
            ) {
                Err(error) if error.retry != Retry::GiveUp && !deadline.passed() => {
                    tracing::debug!("asking again: {error}");
                    thread::sleep(POLL_PAUSE);
                    self.cluster = Cluster::connect(&self.cluster.settings)?;
                }
                answer => return answer,
            }
        }
    }
}

impl Cluster {
    pub(super) fn admin(&self, topic: &str, deadline: &Deadline) -> Result<FluvioAdmin, PortError> {
        complete(self.fluvio.admin(), deadline).ok_or_else(|| self.no_answer(topic))
    }

    /// The topic as the controller has it; `None`: there is none of that name.
    fn topic(&self, topic: &str, deadline: &Deadline) -> Result<Option<FluvioTopic>, PortError> {
        let admin = self.admin(topic, deadline)?;
        let found = self.ask(
            "describe",
            topic,
            deadline,
            admin.list::<FluvioTopic, _>(vec![topic.to_owned()]),
        )?;
        Ok(found.into_iter().find(|found| found.name == topic).map(|found| found.spec))
    }

    /// The number of a topic's partitions.
    pub(super) fn partitions_of(&self, topic: &str, deadline: &Deadline) -> Result<u32, PortError> {
        self.topic(topic, deadline)?
            .map(|spec| spec.partitions())
            .ok_or_else(|| self.no_such_topic(topic))
    }

    /// What a partition holds, once its leader serves it.
    pub(super) fn range(
        &self,
        leaders: &Leaders,
        partition: u32,
        deadline: &Deadline,
    ) -> Result<OffsetRange, PortError> {
        let topic = leaders.topic();
        loop {
            if let Some(range) =
                self.ask("ask for the offsets of", topic, deadline, leaders.range(partition))?
            {
                return Ok(range);
            }
            if deadline.passed() {
                return Err(PortError::again(format!(
                    "partition {partition} of topic `{topic}` has no leader that serves it: are \
                     all SPUs running?"
                )));
            }
            thread::sleep(POLL_PAUSE);
        }
    }
}

impl TopicAdmin for FluvioTopics {
    fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError> {
        let name = topic.name.as_str();
        let deadline = self.cluster.admin_deadline();
        let mut spec =
            FluvioTopic::new_computed(topic.partitions, u32::from(topic.replication), None);
        if let Some(bytes) = topic.retention_bytes {
            let segment = (bytes / SEGMENTS).clamp(LEAST_SEGMENT_BYTES, u64::from(u32::MAX)) as u32;
            spec.set_storage(TopicStorageConfig {
                segment_size: Some(segment),
                max_partition_size: Some(bytes),
            });
        }
        // The answer that says so may be lost.
        if self.persist(&deadline, |cluster, deadline| cluster.topic(name, deadline))?.is_some() {
            let endpoint = &self.cluster.settings.endpoint;
            return Err(PortError::fatal(format!(
                "topic `{name}` exists already at {endpoint}: choose another name"
            )));
        }
        let admin = self.cluster.admin(name, &deadline)?;
        let creating = admin.create(name.to_owned(), false, spec);
        self.order("create", name, creating)?;
        self.persist(&deadline, |cluster, deadline| loop {
            let leaders = Leaders::of(cluster, name, deadline)?;
            let led = leaders.partitions();
            if led == topic.partitions as usize {
                let serves = |partition| cluster.range(&leaders, partition, deadline).map(drop);
                return (0..topic.partitions).try_for_each(serves);
            }
            if deadline.passed() {
                return Err(PortError::again(format!(
                    "topic `{name}` was ordered at {}, but only {led} of its {} partition(s) got \
                     a leader in time: are \
                     enough SPUs running for {} replica(s)?",
                    cluster.settings.endpoint, topic.partitions, topic.replication
                )));
            }
            thread::sleep(POLL_PAUSE);
        })
    }

    fn delete(&mut self, topic: &str) -> Result<(), PortError> {
        let deadline = self.cluster.admin_deadline();
        if self.persist(&deadline, |cluster, deadline| cluster.topic(topic, deadline))?.is_none() {
            return Err(self.cluster.no_such_topic(topic));
        }
        let admin = self.cluster.admin(topic, &deadline)?;
        self.order("delete", topic, admin.delete::<FluvioTopic>(topic))?;
        // Until its partitions are gone, too, a topic of the same name would get them.
        self.persist(&deadline, |cluster, deadline| {
            loop {
                let admin = cluster.admin(topic, deadline)?;
                let partitions =
                    cluster.ask("delete", topic, deadline, admin.all::<PartitionSpec>())?;
                let is_left = partitions
                    .iter()
                    .any(|partition| partition_id(&partition.name, topic).is_some());
                if cluster.topic(topic, deadline)?.is_none() && !is_left {
                    return Ok(());
                }
                if deadline.passed() {
                    return Err(PortError::again(format!(
                        "topic `{topic}` is being deleted, but was not gone in time"
                    )));
                }
                thread::sleep(POLL_PAUSE);
            }
        })
    }

    fn describe(&mut self, topic: &str) -> Result<Option<TopicDescription>, PortError> {
        let deadline = self.cluster.admin_deadline();
        self.persist(&deadline, |cluster, deadline| {
            let Some(spec) = cluster.topic(topic, deadline)? else { return Ok(None) };
            let leaders = Leaders::of(cluster, topic, deadline)?;
            let partitions: Result<_, _> = (0..spec.partitions())
                .map(|partition| cluster.range(&leaders, partition, deadline))
                .collect();
            Ok(Some(TopicDescription {
                name: topic.to_owned(),
                partitions: partitions?,
                replication: spec.replicas().replication_factor().unwrap_or(1) as u16,
                stamped_by: StampedBy::Client,
            }))
        })
    }

    fn list(&mut self) -> Result<Vec<String>, PortError> {
        let deadline = self.cluster.admin_deadline();
        let topics = self.persist(&deadline, |cluster, deadline| {
            let admin = cluster.admin("*", deadline)?;
            cluster.ask("list", "*", deadline, admin.all::<FluvioTopic>())
        })?;
        Ok(topics
            .into_iter()
            .filter(|topic| !topic.spec.is_system())
            .map(|topic| topic.name)
            .collect())
    }

    fn truncate(&mut self, topic: &str) -> Result<(), PortError> {
        if self.describe(topic)?.is_none() {
            return Err(self.cluster.no_such_topic(topic));
        }
        Err(PortError::fatal(format!(
            "topic `{topic}` cannot be emptied: Fluvio deletes no records; delete the topic \
             (`fluvio topic delete \
             {topic}`) and create it again"
        )))
    }
}
