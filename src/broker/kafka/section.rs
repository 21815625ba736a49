//! `[broker.kafka]`: its settings, and which of them cannot be.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use streamgauge_actors::{Bytes, Checks, SettingError, Span};

use crate::broker::adapter::{check_sizes, check_times, has_port};
use crate::secrets::{REDACTED, read_secret};

/// The table of librdkafka's own properties.
pub(super) const PROPERTIES: &str = "broker.kafka.properties";

/// A client costs four threads and three connections.
const MOST_WRITER_CLIENTS: u32 = 256;

/// The setting that says where the cluster is.
pub(super) const ADDRESSES: &str = "broker.kafka.bootstrap_servers";

/// `[broker.kafka]`
#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KafkaSection {
    /// Addresses to start from: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// How long a broker's first answer is waited for.
    pub connect_timeout: Span,
    /// How long a topic's creation, deletion or description may take.
    pub admin_timeout: Span,
    /// How long an event may wait for company in its batch.
    pub events_linger: Span,
    /// How long a result may wait for company in its batch.
    pub results_linger: Span,
    /// Size that a batch may reach.
    pub batch_bytes: Bytes,
    /// Clients that a run's producers have between them, at most.
    pub writer_clients: u32,
    /// What a client of producers may buffer, in bytes.
    pub queue_bytes: Bytes,
    /// What a client of producers may buffer, in records.
    pub queue_records: u32,
    /// What a reader may fetch ahead.
    pub prefetch_bytes: Bytes,
    /// Whether readers hold batches against their checksums.
    pub check_crcs: bool,
    /// Further properties of librdkafka. A name ending in `_file` reads its value from that file.
    #[serde(serialize_with = "without_secrets")]
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSection")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &redacted(&self.properties))
            .finish_non_exhaustive()
    }
}

fn redacted(properties: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    properties
        .iter()
        .map(|(name, value)| (name.as_str(), if is_secret_entry(name) { REDACTED } else { value }))
        .collect()
}

fn without_secrets<S: Serializer>(
    properties: &BTreeMap<String, String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    redacted(properties).serialize(to)
}

/// Whether the value of an entry of the table must never be shown; a file's name may be.
pub(super) fn is_secret_entry(name: &str) -> bool {
    !name.to_ascii_lowercase().ends_with("_file") && is_secret(name)
}

/// Whether a property's value must never be shown.
pub(super) fn is_secret(property: &str) -> bool {
    const WORDS: [&str; 6] = ["password", "secret", "token", "credential", "pem", "jaas"];
    let property = property.to_ascii_lowercase();
    WORDS.iter().any(|word| property.contains(word))
        || (property.starts_with("sasl.") && !property.starts_with("sasl.mechanism"))
        || property.starts_with("ssl.key")
}

impl KafkaSection {
    /// Checks what types alone cannot.
    pub(super) fn check_section(&self, checks: &mut Checks) {
        let addresses = || {
            self.bootstrap_servers.split(',').map(str::trim).filter(|address| !address.is_empty())
        };
        checks.must(
            addresses().next().is_some(),
            ADDRESSES,
            "must not be empty: give at least one broker as host:port",
        );
        let odd = addresses().find(|address| !has_port(address)).map(str::to_owned);
        checks.must(
            odd.is_none(),
            ADDRESSES,
            format!("must be host:port, but has `{}`", odd.unwrap_or_default()),
        );
        check_times(
            checks,
            &[
                ("broker.kafka.connect_timeout", self.connect_timeout, 100, 600_000),
                ("broker.kafka.admin_timeout", self.admin_timeout, 100, 600_000),
                ("broker.kafka.events_linger", self.events_linger, 0, 60_000),
                ("broker.kafka.results_linger", self.results_linger, 0, 60_000),
            ],
        );
        check_sizes(
            checks,
            &[
                ("broker.kafka.batch_bytes", self.batch_bytes, 2_000_000_000),
                ("broker.kafka.queue_bytes", self.queue_bytes, 2_000_000_000),
                ("broker.kafka.prefetch_bytes", self.prefetch_bytes, 2_000_000_000),
            ],
        );
        checks.must(self.queue_records > 0, "broker.kafka.queue_records", "must be at least 1");
        checks.must(
            (1..=MOST_WRITER_CLIENTS).contains(&self.writer_clients),
            "broker.kafka.writer_clients",
            format!("must be 1 to {MOST_WRITER_CLIENTS}, but is {}", self.writer_clients),
        );
    }

    /// The properties with those read from files in place.
    ///
    /// # Errors
    /// The setting whose file cannot be read.
    pub(crate) fn resolved_properties(&self) -> Result<BTreeMap<String, String>, SettingError> {
        let read = |(name, value): (&String, &String)| match name.strip_suffix("_file") {
            None => Ok((name.clone(), value.clone())),
            Some(property) => match read_secret(value) {
                Ok(text) => Ok((property.to_owned(), text)),
                Err(error) => Err(SettingError::new(
                    format!("{PROPERTIES}.{name}"),
                    format!(
                        "names a file that cannot be read: {value}: {error}; check path and \
                         permissions"
                    ),
                )),
            },
        };
        self.properties.iter().map(read).collect()
    }

    /// How the record of own topics knows the cluster: whatever the order of its addresses.
    pub(super) fn sorted_address(&self) -> String {
        let mut addresses: Vec<&str> = self.bootstrap_servers.split(',').map(str::trim).collect();
        addresses.sort_unstable();
        format!("kafka://{}", addresses.join(","))
    }
}

/// The defaults, as every program has them.
#[cfg(test)]
pub(super) fn defaults() -> KafkaSection {
    crate::config::Layers::default().load().unwrap().settings.broker.kafka
}
