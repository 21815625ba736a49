//! Apache Kafka, and what speaks its protocol (Redpanda), through librdkafka.
//!
//! ```text
//! KafkaSection --settings--> KafkaBroker --+--> writer.rs   EventWriter: a share in a producer
//! section.rs   settings.rs   cluster.rs    +--> reader.rs   EventReader: one assigned consumer
//!              refusals                    +--> admin.rs    TopicAdmin: topics, offsets, deletion
//!
//! client.rs, errors.rs: what clients share    native.rs, native/: all unsafe code    logs.rs
//! api_versions.rs, version.rs -> abilities.rs (lack.rs): what the broker is, and can do
//! examination.rs: doctor's questions    group.rs: offsets for lag tools
//! topic_watch.rs: whether a topic is still there    question.rs: asked on a thread of its own
//! ```
//!
//! Every client is destroyed on a thread of its own, which its owner waits for only so long:
//! librdkafka may block while a broker does not answer.

mod abilities;
mod admin;
mod api_versions;
mod client;
mod cluster;
mod errors;
mod examination;
mod group;
mod lack;
mod logs;
#[allow(unsafe_code, reason = "librdkafka's batch interfaces have no safe wrapper")]
mod native;
mod question;
mod reader;
mod section;
mod settings;
mod topic_watch;
mod version;
mod writer;

use std::sync::Arc;

use streamgauge_actors::{Broker, Checks, SettingError, SharedClock};

pub use self::cluster::KafkaBroker;
pub use self::section::KafkaSection;
use self::section::{ADDRESSES, PROPERTIES};
pub use self::settings::KafkaSettings;
use super::adapter::{
    Adapter, AddressSetting, BrokerNeeds, ClientLibrary, KindName, MemoryPart, Profile,
    PropertyTable, RunSize,
};
use super::remark::{Remark, Weight};

/// What is known of Kafka without asking one.
pub(super) const PROFILE: Profile = Profile {
    names: &[
        KindName { name: "kafka", about: "Kafka, or what speaks its protocol." },
        KindName {
            name: "redpanda",
            about: "Redpanda: Kafka's protocol and settings, its own properties.",
        },
    ],
    section: "broker.kafka",
    address: Some(AddressSetting {
        key: ADDRESSES,
        flag: "bootstrap-servers",
        about: "Kafka's addresses, separated by commas",
    }),
    properties: Some(PropertyTable { key: PROPERTIES, is_secret: section::is_secret_entry }),
    unmeasured: &["bootstrap_servers", "connect_timeout", "admin_timeout"],
    topic_separator: '.',
    client: Some(ClientLibrary { name: "librdkafka", version: || Some(cluster::client_version()) }),
    quiet: &[],
    unreachable_fix: "start the broker, or check `broker.kafka.bootstrap_servers`",
    refused_fix: "check the client's permissions (ACLs) on topics",
};

/// A client, with its threads.
const CLIENT_BYTES: u64 = 4 << 20;
/// What a client knows of a partition.
const CLIENT_PARTITION_BYTES: u64 = 16 << 10;

impl Adapter for KafkaSection {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn check(&self, _wanted: &BrokerNeeds<'_>, checks: &mut Checks) {
        self.check_section(checks);
    }

    fn open(
        &self,
        wanted: &BrokerNeeds<'_>,
        _: SharedClock,
    ) -> Result<Arc<dyn Broker>, SettingError> {
        Ok(Arc::new(self.cluster(wanted)?))
    }

    fn memory(&self, size: &RunSize) -> Vec<MemoryPart> {
        let clients = size.producers.min(u64::from(self.writer_clients));
        // A record in a client's queue has a head of the client's own.
        let queue = self.queue_bytes.0 / 4 * 5;
        let readers = size.aggregators + 1;
        vec![
            MemoryPart {
                settings: &["broker.kafka.queue_bytes", "broker.kafka.writer_clients"],
                bytes: size.event_bytes.min(clients * queue) + size.result_bytes.min(queue),
            },
            MemoryPart {
                settings: &["broker.kafka.prefetch_bytes", "aggregator.count"],
                bytes: size.event_bytes.min(readers * self.prefetch_bytes.0),
            },
            MemoryPart { settings: &[], bytes: (clients + readers + 1) * CLIENT_BYTES },
            MemoryPart {
                settings: &["topics.partitions", "broker.kafka.writer_clients"],
                bytes: (clients + 2) * size.partitions * CLIENT_PARTITION_BYTES,
            },
        ]
    }

    fn address(&self) -> String {
        self.sorted_address()
    }

    fn has_credentials(&self) -> bool {
        !self.properties.is_empty()
    }

    fn examine(&self, wanted: &BrokerNeeds<'_>) -> Result<Vec<Remark>, SettingError> {
        Ok(self.cluster(wanted)?.examine(wanted).unwrap_or_else(|error| {
            let fix = "look at the broker's own log";
            vec![Remark::bad("cluster", Weight::Fail, error.message, fix)]
        }))
    }
}

impl KafkaSection {
    fn cluster(&self, wanted: &BrokerNeeds<'_>) -> Result<KafkaBroker, SettingError> {
        let given = [wanted.events_topic, wanted.results_topic].map(str::to_owned);
        let settings = KafkaSettings {
            group: Some(wanted.group.to_owned()).filter(|group| !group.is_empty()),
            given_topics: given.into_iter().filter(|name| !name.is_empty()).collect(),
            ..KafkaSettings::new(self)?
        };
        KafkaBroker::new(settings).map_err(|error| self.refused(&error.message))
    }

    /// What librdkafka has against the settings: against a property that the message names, or all.
    fn refused(&self, message: &str) -> SettingError {
        let named = self.properties.keys().find(|name| message.contains(&format!("`{name}`")));
        let key = named.map_or_else(|| ADDRESSES.to_owned(), |name| format!("{PROPERTIES}.{name}"));
        SettingError::new(key, format!("is refused: {message}"))
    }
}
