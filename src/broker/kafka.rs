//! Apache Kafka, and what speaks its protocol (Redpanda), through librdkafka.
//!
//! ```text
//! KafkaBroker --settings--> ClientConfig --+--> writer.rs   EventWriter: one idempotent producer, batched reports
//!   (settings.rs: refusals, secrets)       +--> reader.rs   EventReader: one assigned consumer, batched reading
//!                                          +--> admin.rs    TopicAdmin: topics, offsets, deletion of records
//! native.rs: all unsafe code         logs.rs: librdkafka's log -> tracing    group.rs: offsets for lag tools
//! api_versions.rs, version.rs -> abilities.rs: what the broker is, and can do    examination.rs: doctor's questions
//! ```
//!
//! Every client is destroyed on a thread of its own, which its owner waits for only so long:
//! librdkafka may block while a broker does not answer.

mod abilities;
mod admin;
mod api_versions;
mod examination;
mod group;
mod logs;
#[allow(unsafe_code, reason = "librdkafka's batch interfaces have no safe wrapper")]
mod native;
mod reader;
mod settings;
mod version;
mod writer;

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use streamgauge_actors::{
    Broker, BrokerDescription, EventReader, EventWriter, OffsetRange, PortError, StartAt,
    TopicAdmin, WriterRole,
};

use super::deadline::Deadline;
use super::remark::Remark;

use self::abilities::Abilities;
pub use examination::Wanted;
pub use settings::{KafkaSettings, REDACTED, is_secret};

/// How long a topic that the metadata does not show yet is looked for: brokers learn of a new one
/// at different times.
const TOPIC_PATIENCE: Duration = Duration::from_millis(500);

/// The pause before a broker is asked again for what it did not have ready.
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// A Kafka cluster, as a maker of ports.
#[derive(Debug)]
pub struct KafkaBroker {
    settings: KafkaSettings,
    /// As the cluster last described itself.
    abilities: Mutex<Option<Abilities>>,
}

/// The version of the client library, librdkafka.
pub fn client_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

impl KafkaBroker {
    /// Checks the settings; connects to nothing yet.
    ///
    /// # Errors
    /// [`PortError`] when an address is missing, or a property is refused, unknown or invalid.
    /// Secrets are not shown.
    pub fn new(settings: KafkaSettings) -> Result<Self, PortError> {
        settings.check()?;
        Ok(Self { settings, abilities: Mutex::new(None) })
    }

    fn connect_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.settings.connect_timeout_ms))
    }
}

impl KafkaBroker {
    /// Connects, and finds out what is there; changes nothing.
    fn look(&self) -> Result<Abilities, PortError> {
        let deadline = Deadline::after(self.connect_timeout());
        let client = admin::KafkaAdmin::connect(&self.settings, None)?;
        let abilities = client.look(&deadline)?;
        *self.known() = Some(abilities.clone());
        Ok(abilities)
    }

    /// What `doctor` has to say of the cluster and of what a run would ask of it. Changes nothing.
    ///
    /// # Errors
    /// [`PortError`] when the cluster cannot be reached.
    pub fn examine(&self, wanted: &Wanted) -> Result<Vec<Remark>, PortError> {
        let deadline = Deadline::after(self.connect_timeout());
        let abilities = self.look()?;
        let admin = admin::KafkaAdmin::connect(&self.settings, Some(abilities.clone()))?;
        examination::examine(&admin, &abilities, &self.settings, wanted, &deadline)
    }

    /// What it was when it was last looked at; if it never was, it is now.
    fn abilities(&self) -> Result<Abilities, PortError> {
        let known = self.known().clone();
        known.map_or_else(|| self.look(), Ok)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Abilities>> {
        self.abilities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker for KafkaBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        let abilities = self.look()?;
        Ok(BrokerDescription {
            kind: abilities.name().to_owned(),
            version: abilities.version.clone().unwrap_or_else(|| "unknown".to_owned()),
            guarantee: abilities.guarantee().to_owned(),
            log_append_time: abilities.log_append_time(),
            limitations: abilities.limitations,
        })
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        // A broker that does not answer yet is no error here; it is one when something is asked of
        // it.
        Ok(Box::new(admin::KafkaAdmin::connect(&self.settings, self.known().clone())?))
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        let idempotent = self.abilities()?.idempotent;
        Ok(Box::new(writer::KafkaWriter::open(&self.settings, topic, role, idempotent)?))
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        Ok(Box::new(reader::KafkaReader::open(&self.settings, topic, start)?))
    }
}

/// Metadata of the whole cluster. (Asking for one topic could create it, and would make the client
/// remember it.)
fn metadata(
    settings: &KafkaSettings,
    client: &Client<logs::Logs>,
    deadline: &Deadline,
) -> Result<Metadata, PortError> {
    client
        .fetch_metadata(None, deadline.left())
        .map_err(|error| unreachable_error(settings, client.context(), &error))
}

fn unreachable_error(settings: &KafkaSettings, logs: &logs::Logs, error: &KafkaError) -> PortError {
    let reason = logs.last_error().unwrap_or_else(|| error.to_string());
    PortError::again(format!(
        "no broker answers at {}: is it running, and is the port right? (within {} ms: {reason})",
        settings.bootstrap_servers, settings.connect_timeout_ms
    ))
}

/// Waits a little for a topic to appear, and returns its number of partitions.
fn partitions_of(
    settings: &KafkaSettings,
    client: &Client<logs::Logs>,
    topic: &str,
    deadline: &Deadline,
) -> Result<u32, PortError> {
    let patience = Deadline::after(TOPIC_PATIENCE);
    loop {
        let metadata = metadata(settings, client, deadline)?;
        if let Some(found) = metadata.topics().iter().find(|found| found.name() == topic)
            && found.error().is_none()
            && !found.partitions().is_empty()
        {
            return Ok(found.partitions().len() as u32);
        }
        if patience.passed() || deadline.passed() {
            return Err(no_such_topic(settings, topic));
        }
        thread::sleep(POLL_PAUSE);
    }
}

/// Asks for the offsets that a partition holds; as long as its leader is not ready, again until the
/// deadline.
fn offsets(
    client: &Client<logs::Logs>,
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
                if deadline.passed() || !error.rdkafka_error_code().is_some_and(is_transient) =>
            {
                return Err(topic_error("ask for the offsets of", topic, &error));
            }
            Err(_) => thread::sleep(POLL_PAUSE),
        }
    }
}

fn no_such_topic(settings: &KafkaSettings, topic: &str) -> PortError {
    PortError::fatal(format!(
        "there is no topic `{topic}` at {}: create it, or check its name",
        settings.bootstrap_servers
    ))
}

/// What a failed call on a topic means.
fn topic_error(action: &str, topic: &str, error: &KafkaError) -> PortError {
    let code = error.rdkafka_error_code();
    let detail = match code {
        Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => {
            "the broker does not answer such requests (`streamgauge doctor` says what it lacks)"
                .to_owned()
        }
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    let message = format!("cannot {action} topic `{topic}`: {detail}");
    match code {
        Some(code) if is_transient(code) => PortError::again(message),
        _ => PortError::fatal(message),
    }
}

/// Errors that librdkafka itself goes on trying after.
fn is_transient(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::KafkaStorageError
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NotController
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
            | Code::ThrottlingQuotaExceeded
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::Retry
    )
}

/// Errors that say that the topic is not there (any more).
fn is_topic_gone(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
    )
}

fn code_of(error: RDKafkaRespErr) -> RDKafkaErrorCode {
    error.into()
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
            tracing::warn!("no thread to close a Kafka client on, it was closed in place: {error}")
        }
    }
}

/// What is dropped through [`dispose`].
struct Disposed<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Disposed<T> {
    fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> std::ops::Deref for Disposed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("present until dropped")
    }
}

impl<T: Send + 'static> std::ops::DerefMut for Disposed<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("present until dropped")
    }
}

impl<T: Send + 'static> Drop for Disposed<T> {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            dispose(client);
        }
    }
}
