//! Creates, deletes and describes topics.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigEntry, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use streamgauge_actors::{
    OffsetRange, PortError, StampedBy, TopicAdmin, TopicDescription, TopicSpec,
};

use super::abilities::{Abilities, DESCRIBE_CONFIGS, Evidence, Kind};
use super::api_versions;
use super::client::{Disposable, POLL_PAUSE, metadata, no_such_topic, offsets_of};
use super::errors::{code_of, topic_error};
use super::lack::{KafkaLack, WRITE_CACHING};
use super::logs::Logs;
use super::settings::{KafkaSettings, config_error};
use crate::broker::deadline::Deadline;

/// Retention works on whole segments, so a topic that must stay small gets at least this many.
const SEGMENTS_PER_PARTITION: u64 = 4;
/// Kafka refuses smaller segments.
const LEAST_SEGMENT_BYTES: u64 = 1 << 20;
/// Kafka's own default.
const GREATEST_SEGMENT_BYTES: u64 = 1 << 30;

/// Administration of a Kafka cluster's topics: see [`TopicAdmin`].
pub(super) struct KafkaAdmin {
    client: Disposable<AdminClient<Logs>>,
    settings: KafkaSettings,
    /// What the cluster can do, once that is known.
    abilities: Option<Abilities>,
}

impl KafkaAdmin {
    pub(super) fn connect(
        settings: &KafkaSettings,
        abilities: Option<Abilities>,
    ) -> Result<Self, PortError> {
        let client = AdminClient::from_config_and_context(&settings.admin(), Logs::new());
        let client = client.map(Disposable::new).map_err(|error| config_error(&error))?;
        Ok(Self { client, settings: settings.clone(), abilities })
    }

    /// Finds out what the cluster is; changes nothing.
    pub(super) fn look(&self, deadline: &Deadline) -> Result<Abilities, PortError> {
        let client = self.client.inner();
        let metadata = metadata(&self.settings, client, deadline)?;
        let mut evidence = Evidence {
            cluster_id: client.fetch_cluster_id(deadline.left()).filter(|id| !id.is_empty()),
            ..Evidence::default()
        };
        if self.settings.is_plaintext() {
            evidence.offered = api_versions::of_any(self.settings.addresses(), deadline);
        }
        if evidence.is_open() && evidence.may_answer(DESCRIBE_CONFIGS) {
            let names = |found: Option<Vec<ConfigEntry>>| {
                found.map(|entries| entries.into_iter().map(|entry| entry.name).collect())
            };
            if let Some(broker) = metadata.brokers().first() {
                evidence.broker_settings =
                    names(self.settings_of(&ResourceSpecifier::Broker(broker.id()), deadline));
            }
            if let Some(topic) = metadata
                .topics()
                .iter()
                .map(MetadataTopic::name)
                .find(|name| !name.starts_with("__"))
            {
                evidence.topic_properties =
                    names(self.settings_of(&ResourceSpecifier::Topic(topic), deadline));
            }
        }
        let mut abilities = Abilities::of(&evidence).map_err(|missing| {
            PortError::fatal(format!(
                "the broker at {} does not answer what every run needs: {missing}; use one that \
                 does",
                self.settings.section.bootstrap_servers
            ))
        })?;
        if abilities.kind == Kind::Redpanda {
            let given = self.settings.given_topics.iter();
            let cached = given.filter(|topic| self.caches_writes(topic, deadline)).cloned();
            abilities.lacks.extend(cached.map(|topic| KafkaLack::WaitingForDisk { topic }));
        }
        Ok(abilities)
    }

    /// How many brokers there are, and the settings of the first; those are empty where they are
    /// not shown.
    pub(super) fn brokers(
        &self,
        deadline: &Deadline,
    ) -> Result<(usize, Vec<ConfigEntry>), PortError> {
        let metadata = metadata(&self.settings, self.client.inner(), deadline)?;
        let first = metadata.brokers().first().map(|broker| ResourceSpecifier::Broker(broker.id()));
        let settings =
            first.and_then(|broker| self.settings_of(&broker, deadline)).unwrap_or_default();
        Ok((metadata.brokers().len(), settings))
    }

    fn known_abilities(&mut self) -> Result<&Abilities, PortError> {
        if self.abilities.is_none() {
            let deadline = Deadline::after(self.settings.connect_timeout());
            self.abilities = Some(self.look(&deadline)?);
        }
        Ok(self.abilities.as_ref().expect("just looked"))
    }

    fn caches_writes(&self, topic: &str, deadline: &Deadline) -> bool {
        let found =
            self.settings_of(&ResourceSpecifier::Topic(topic), deadline).unwrap_or_default();
        found
            .iter()
            .any(|entry| entry.name == WRITE_CACHING && entry.value.as_deref() == Some("true"))
    }

    /// The settings of a broker or a topic; `None`: they are not shown.
    fn settings_of(
        &self,
        resource: &ResourceSpecifier<'_>,
        deadline: &Deadline,
    ) -> Option<Vec<ConfigEntry>> {
        let results =
            block_on(self.client.describe_configs([resource], &options(deadline)), deadline);
        let found = results.ok()?.into_iter().next()?.ok()?;
        Some(found.entries)
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.settings.admin_timeout())
    }

    /// The connect time-out for the first answer, then the deadline of the whole operation.
    fn find(&self, topic: &str) -> Result<Option<Found>, PortError> {
        let deadline = Deadline::after(self.settings.connect_timeout());
        let metadata = metadata(&self.settings, self.client.inner(), &deadline)?;
        Ok(metadata.topics().iter().find(|found| found.name() == topic).and_then(Found::of))
    }

    fn existing(&self, topic: &str) -> Result<Found, PortError> {
        self.find(topic)?.ok_or_else(|| no_such_topic(&self.settings, topic))
    }

    fn wait_until(
        &self,
        topic: &str,
        what: &str,
        deadline: &Deadline,
        reached: impl Fn(Option<&Found>) -> bool,
    ) -> Result<(), PortError> {
        loop {
            if reached(self.find(topic)?.as_ref()) {
                return Ok(());
            }
            if deadline.passed() {
                let limit = self.settings.admin_timeout().as_millis();
                return Err(PortError::again(format!(
                    "topic `{topic}` is still not {what} after {limit} ms"
                )));
            }
            thread::sleep(POLL_PAUSE);
        }
    }

    fn ranges(
        &self,
        topic: &str,
        partitions: u32,
        deadline: &Deadline,
    ) -> Result<Vec<OffsetRange>, PortError> {
        let client = self.client.inner();
        Ok(offsets_of(client, topic, 0..partitions, deadline)?.into_values().collect())
    }

    fn stamped_by(&self, topic: &str, deadline: &Deadline) -> Result<StampedBy, PortError> {
        let resource = [ResourceSpecifier::Topic(topic)];
        let results =
            block_on(self.client.describe_configs(&resource, &options(deadline)), deadline);
        let results = results.map_err(|error| topic_error("describe", topic, &error))?;
        for result in results {
            let resource = match result {
                Ok(resource) => resource,
                Err(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                    tracing::warn!(
                        "topic `{topic}`: its configuration may not be read (the right \
                         DescribeConfigs); whether its log stamps insertion times, its records tell"
                    );
                    return Ok(StampedBy::Log);
                }
                Err(code) => {
                    return Err(topic_error("describe", topic, &KafkaError::AdminOp(code)));
                }
            };
            if let Some(entry) = resource.get("message.timestamp.type") {
                let log = entry.value.as_deref() == Some("LogAppendTime");
                return Ok(if log { StampedBy::Log } else { StampedBy::Client });
            }
        }
        Ok(StampedBy::Client)
    }
}

/// What metadata says of a topic.
struct Found {
    partitions: u32,
    replication: u16,
    /// Every partition has a leader.
    led: bool,
}

impl Found {
    fn of(topic: &MetadataTopic) -> Option<Self> {
        let error = topic.error().map(code_of);
        if error == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
            return None;
        }
        let partitions = topic.partitions();
        Some(Self {
            partitions: partitions.len() as u32,
            replication: partitions.first().map_or(0, |first| first.replicas().len()) as u16,
            led: error.is_none()
                && partitions.iter().all(|one| one.leader() >= 0 && one.error().is_none()),
        })
    }
}

fn options(deadline: &Deadline) -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(deadline.left()))
        .operation_timeout(Some(deadline.left()))
}

fn first_result(results: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> KafkaResult<()> {
    match results.into_iter().next() {
        Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
        _ => Ok(()),
    }
}

impl TopicAdmin for KafkaAdmin {
    fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError> {
        let name = topic.name.as_str();
        // The first answer is bounded by the connect time-out, the rest by the admin's.
        if self.find(name)?.is_some() {
            return Err(exists_already(name));
        }
        let deadline = self.deadline();
        let kind = self.known_abilities()?.kind;
        let (retention_bytes, segment_bytes) = match topic.retention_bytes {
            Some(bytes) => (bytes.to_string(), segment_bytes(bytes).to_string()),
            None => (String::new(), String::new()),
        };
        let replication = TopicReplication::Fixed(i32::from(topic.replication));
        let mut new = NewTopic::new(name, topic.partitions as i32, replication);
        new = new.set(
            "message.timestamp.type",
            match topic.stamped_by {
                StampedBy::Log => "LogAppendTime",
                StampedBy::Client => "CreateTime",
            },
        );
        if topic.retention_bytes.is_some() {
            new = new.set("retention.bytes", &retention_bytes).set("segment.bytes", &segment_bytes);
        }
        if kind == Kind::Redpanda {
            // An acknowledgement has to mean the same from run to run, whatever the cluster's
            // default is.
            new = new.set(WRITE_CACHING, "false");
        }
        block_on(self.client.create_topics(&[new], &options(&deadline)), &deadline)
            .and_then(first_result)
            .map_err(|error| match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::TopicAlreadyExists) => exists_already(name),
                _ => topic_error("create", name, &error),
            })?;
        let ready = |found: Option<&Found>| {
            found.is_some_and(|found| found.led && found.partitions == topic.partitions)
        };
        self.wait_until(name, "ready", &deadline, ready)?;
        // A broker shows a partition's leader a little before the leader takes requests.
        self.ranges(name, topic.partitions, &deadline).map(|_| ())
    }

    fn delete(&mut self, topic: &str) -> Result<(), PortError> {
        self.existing(topic)?;
        let deadline = self.deadline();
        block_on(self.client.delete_topics(&[topic], &options(&deadline)), &deadline)
            .and_then(first_result)
            .map_err(|error| match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                    no_such_topic(&self.settings, topic)
                }
                _ => topic_error("delete", topic, &error),
            })?;
        self.wait_until(topic, "gone", &deadline, |found| found.is_none())
    }

    fn describe(&mut self, topic: &str) -> Result<Option<TopicDescription>, PortError> {
        let Some(found) = self.find(topic)? else { return Ok(None) };
        let log_stamps = self.known_abilities()?.log_append_time();
        let deadline = self.deadline();
        Ok(Some(TopicDescription {
            name: topic.to_owned(),
            partitions: self.ranges(topic, found.partitions, &deadline)?,
            replication: found.replication,
            // Others keep the property, and do not heed it.
            stamped_by: if log_stamps {
                self.stamped_by(topic, &deadline)?
            } else {
                StampedBy::Client
            },
        }))
    }

    fn list(&mut self) -> Result<Vec<String>, PortError> {
        let deadline = Deadline::after(self.settings.connect_timeout());
        let metadata = metadata(&self.settings, self.client.inner(), &deadline)?;
        let mut names: Vec<String> = metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .filter(|name| !name.starts_with("__"))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn truncate(&mut self, topic: &str) -> Result<(), PortError> {
        let found = self.existing(topic)?;
        if !self.known_abilities()?.deletes_records {
            return Err(PortError::fatal(format!(
                "topic `{topic}` cannot be emptied: this broker cannot be trusted to delete \
                 records; delete the topic by the \
                 broker's own tools, and create it again"
            )));
        }
        let deadline = self.deadline();
        let fail = |error: KafkaError| topic_error("truncate", topic, &error);
        let mut ends = TopicPartitionList::with_capacity(found.partitions as usize);
        for partition in 0..found.partitions as i32 {
            // `End` is the high watermark, whatever it is when the broker gets to it.
            ends.add_partition_offset(topic, partition, Offset::End).map_err(fail)?;
        }
        let result = block_on(self.client.delete_records(&ends, &options(&deadline)), &deadline)
            .map_err(fail)?;
        for element in result.elements() {
            element.error().map_err(fail)?;
        }
        Ok(())
    }
}

fn exists_already(topic: &str) -> PortError {
    PortError::fatal(format!("topic `{topic}` exists already: delete it, or choose another name"))
}

fn segment_bytes(retention_bytes: u64) -> u64 {
    (retention_bytes / SEGMENTS_PER_PARTITION).clamp(LEAST_SEGMENT_BYTES, GREATEST_SEGMENT_BYTES)
}

/// Wakes the thread that waits for an answer.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer of the admin client (which has a thread of its own) on this thread.
fn block_on<T>(
    answer: impl Future<Output = KafkaResult<T>>,
    deadline: &Deadline,
) -> KafkaResult<T> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut answer = pin!(answer);
    loop {
        if let Poll::Ready(result) = answer.as_mut().poll(&mut context) {
            return result;
        }
        if deadline.passed() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        }
        thread::park_timeout(deadline.left());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn segments_are_a_part_of_what_is_kept() {
        assert_eq!(segment_bytes(1), LEAST_SEGMENT_BYTES);
        assert_eq!(segment_bytes(400 << 20), 100 << 20);
        assert_eq!(segment_bytes(u64::MAX), GREATEST_SEGMENT_BYTES);
    }

    #[test]
    fn an_answer_from_another_thread_is_waited_for_and_a_missing_one_is_not() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let answer = std::future::poll_fn(move |context| {
            if let Ok(value) = receiver.try_recv() {
                return Poll::Ready(Ok(value));
            }
            let (waker, sender) = (context.waker().clone(), sender.clone());
            thread::spawn(move || {
                let _ = sender.send(7);
                waker.wake();
            });
            Poll::Pending
        });
        assert_eq!(block_on(answer, &Deadline::after(Duration::from_secs(10))).unwrap(), 7);
        let never = std::future::pending::<KafkaResult<()>>();
        assert!(block_on(never, &Deadline::after(Duration::from_millis(20))).is_err());
    }
}
