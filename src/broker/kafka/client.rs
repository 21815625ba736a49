//! What all clients of a Kafka cluster share: questions, and their end.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use streamgauge_actors::{OffsetRange, PortError};

use super::errors::{is_topic_gone, is_transient, topic_error};
use super::logs::Logs;
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

/// Asks for the offsets that a partition holds; as long as its leader is not ready, or does not
/// know it yet, again until the deadline.
pub(super) fn offsets(
    client: &Client<Logs>,
    topic: &str,
    partition: u32,
    deadline: &Deadline,
) -> Result<OffsetRange, PortError> {
    loop {
        match client.fetch_watermarks(topic, partition as i32, deadline.left()) {
            Ok((low, high)) => {
                return Ok(OffsetRange { first: low.max(0) as u64, end: high.max(0) as u64 });
            }
            Err(error)
                if deadline.passed()
                    || !error
                        .rdkafka_error_code()
                        .is_some_and(|code| is_transient(code) || is_topic_gone(code)) =>
            {
                return Err(topic_error("ask for the offsets of", topic, &error));
            }
            Err(_) => thread::sleep(POLL_PAUSE),
        }
    }
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
