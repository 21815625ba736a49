//! What all clients of a Kafka cluster share: questions, and their end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use streamgauge_actors::{OffsetRange, PortError};

use super::errors::{is_topic_gone, is_transient, topic_error};
use super::logs::Logs;
use super::native::offsets::offsets_for_times;
use super::settings::KafkaSettings;
use crate::broker::deadline::Deadline;

/// The pause before a broker is asked again for what it did not have ready.
pub(super) const POLL_PAUSE: Duration = Duration::from_millis(20);

/// Metadata of the whole cluster. (Asking for one topic could create it, and would make the client
/// remember it.)
pub(super) fn metadata(
    settings: &KafkaSettings,
    client: &Client<Logs>,
    deadline: &Deadline,
) -> Result<Metadata, PortError> {
    client
        .fetch_metadata(None, deadline.left())
        .map_err(|error| unreachable_error(settings, client.context(), &error))
}

fn unreachable_error(settings: &KafkaSettings, logs: &Logs, error: &KafkaError) -> PortError {
    let reason = logs.last_error().unwrap_or_else(|| error.to_string());
    PortError::again(format!(
        "no broker answers at {}: is it running, and is the port right? (within {} ms: {reason})",
        settings.section.bootstrap_servers,
        settings.connect_timeout().as_millis()
    ))
}

/// Waits for a topic to appear, since brokers learn of a new one at different times; returns its
/// number of partitions.
pub(super) fn partitions_of(
    settings: &KafkaSettings,
    client: &Client<Logs>,
    topic: &str,
    deadline: &Deadline,
) -> Result<u32, PortError> {
    let mut is_missing = false;
    loop {
        let metadata = match metadata(settings, client, deadline) {
            // The last question had no time left for its answer.
            Err(_) if is_missing && deadline.passed() => {
                return Err(no_such_topic(settings, topic));
            }
            answer => answer?,
        };
        if let Some(found) = metadata.topics().iter().find(|found| found.name() == topic)
            && found.error().is_none()
            && !found.partitions().is_empty()
        {
            return Ok(found.partitions().len() as u32);
        }
        if deadline.passed() {
            return Err(no_such_topic(settings, topic));
        }
        is_missing = true;
        thread::sleep(POLL_PAUSE);
    }
}

/// Asks for the offsets that partitions hold, all at once; those whose leaders are not ready, or do
/// not know them yet, again until the deadline.
pub(super) fn offsets_of(
    client: &Client<Logs>,
    topic: &str,
    partitions: impl IntoIterator<Item = u32>,
    deadline: &Deadline,
) -> Result<BTreeMap<u32, OffsetRange>, PortError> {
    let mut missing: BTreeSet<u32> = partitions.into_iter().collect();
    let mut found = BTreeMap::new();
    while !missing.is_empty() {
        let first = ask_offsets(client, topic, &missing, Offset::Beginning, deadline);
        let end = first.and_then(|first| {
            Ok((first, ask_offsets(client, topic, &missing, Offset::End, deadline)?))
        });
        let reason = match end {
            Ok((Answers { offsets: first, reason }, end)) => {
                for (&partition, &first) in &first {
                    if let Some(&end) = end.offsets.get(&partition) {
                        missing.remove(&partition);
                        found.insert(partition, OffsetRange { first, end: end.max(first) });
                    }
                }
                reason.or(end.reason)
            }
            Err(error) => Some(error),
        };
        let Some(reason) = reason else { continue };
        let code = reason.rdkafka_error_code();
        let is_passing = code.is_some_and(|code| is_transient(code) || is_topic_gone(code));
        if deadline.passed() || !is_passing {
            let error = topic_error("ask for the offsets of", topic, &reason);
            // It names the address that a broker gave of itself, where that is out of reach.
            let last = client.context().last_error();
            let last = last.map_or_else(String::new, |last| format!(": {last}"));
            let message =
                format!("{} (within `broker.kafka.connect_timeout`{last})", error.message);
            return Err(PortError { message, ..error });
        }
        thread::sleep(POLL_PAUSE);
    }
    Ok(found)
}

/// Asks for the offsets that one partition holds: see [`offsets_of`].
pub(super) fn offsets(
    client: &Client<Logs>,
    topic: &str,
    partition: u32,
    deadline: &Deadline,
) -> Result<OffsetRange, PortError> {
    let found = offsets_of(client, topic, [partition], deadline)?;
    found.into_values().next().ok_or_else(|| PortError::again("a question without an answer"))
}

/// What leaders answered: offsets by partition, and why some are missing.
#[derive(Default)]
struct Answers {
    offsets: BTreeMap<u32, u64>,
    reason: Option<KafkaError>,
}

fn ask_offsets(
    client: &Client<Logs>,
    topic: &str,
    partitions: &BTreeSet<u32>,
    time: Offset,
    deadline: &Deadline,
) -> KafkaResult<Answers> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for &partition in partitions {
        list.add_partition_offset(topic, partition as i32, time)?;
    }
    offsets_for_times(client, &mut list, deadline.left())?;
    let mut answers = Answers::default();
    for element in list.elements() {
        match (element.error(), element.offset()) {
            (Ok(()), Offset::Offset(offset)) => {
                answers.offsets.insert(element.partition() as u32, offset.max(0) as u64);
            }
            (Ok(()), _) => {}
            (Err(error), _) => answers.reason = Some(error),
        }
    }
    Ok(answers)
}

pub(super) fn no_such_topic(settings: &KafkaSettings, topic: &str) -> PortError {
    PortError::fatal(format!(
        "there is no topic `{topic}` at {}: create it, or check its name",
        settings.section.bootstrap_servers
    ))
}

/// How long an owner waits for its client to be destroyed.
const DISPOSAL_PATIENCE: Duration = Duration::from_secs(1);

/// Drops a client on a thread of its own, and waits for that only so long.
fn dispose<T: Send + 'static>(client: T) {
    let (done, wait) = mpsc::channel();
    let spawned = thread::Builder::new().name("kafka-dispose".to_owned()).spawn(move || {
        drop(client);
        let _ = done.send(());
    });
    match spawned {
        Ok(_) if wait.recv_timeout(DISPOSAL_PATIENCE).is_err() => {
            tracing::warn!("a Kafka client is still being closed in the background");
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!("no thread to close a Kafka client on, it was closed in place: {error}");
        }
    }
}

/// What is dropped through [`dispose`].
pub(super) struct Disposable<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Disposable<T> {
    pub(super) fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> std::ops::Deref for Disposable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("present until dropped")
    }
}

impl<T: Send + 'static> std::ops::DerefMut for Disposable<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("present until dropped")
    }
}

impl<T: Send + 'static> Drop for Disposable<T> {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            dispose(client);
        }
    }
}
