//! `[broker.fluvio]`: its settings, and which of them cannot be. A program built without the client
//! knows them too.

use serde::{Deserialize, Serialize};
use streamgauge_actors::{Bytes, Checks, Span};

use crate::broker::adapter::{BrokerNeeds, check_sizes, check_times, has_port};
use crate::broker::topics::RUN_SUFFIX;

/// The name in settings and reports.
pub(super) const NAME: &str = "fluvio";

/// The setting that says where the cluster is.
pub(super) const ENDPOINT: &str = "broker.fluvio.endpoint";

/// The longest topic name that Fluvio takes.
const MAX_TOPIC_NAME: usize = 63;

/// `[broker.fluvio]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FluvioSection {
    /// Where the cluster's controller (SC) listens: `host:port`.
    pub endpoint: String,
    /// How long a first answer is waited for.
    pub connect_timeout: Span,
    /// How long a topic's creation, deletion or description may take.
    pub admin_timeout: Span,
    /// How long an event may wait for company in its batch.
    pub events_linger: Span,
    /// How long a result may wait for company in its batch.
    pub results_linger: Span,
    /// Size that a batch may reach.
    pub batch_bytes: Bytes,
    /// What a writer may have in flight, in bytes.
    pub queue_bytes: Bytes,
    /// What a writer may have in flight, in records.
    pub queue_records: u32,
    /// What a reader may fetch at once, shared among its partitions (2 MiB at least for each).
    pub fetch_bytes: Bytes,
    /// How batches are compressed.
    pub compression: FluvioCompression,
    /// Encryption.
    pub tls: FluvioTlsSection,
}

/// How Fluvio's client compresses batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FluvioCompression {
    /// Not at all.
    None,
    /// gzip
    Gzip,
    /// Snappy
    Snappy,
    /// LZ4
    Lz4,
    /// Zstandard
    Zstd,
}

/// `[broker.fluvio.tls]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FluvioTlsSection {
    /// Whether connections are encrypted, and whom they trust.
    pub mode: FluvioTls,
    /// The name in the controller's certificate; a streaming unit's must hold for `UNIT'S
    /// NAME.DOMAIN`.
    pub domain: String,
    /// File of the certificate authority's certificate (PEM).
    pub ca_file: String,
    /// File of the client's certificate (PEM).
    pub cert_file: String,
    /// File of the client's key (PEM).
    pub key_file: String,
}

/// Whether connections to Fluvio are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FluvioTls {
    /// No.
    Disabled,
    /// Yes, whoever the server is.
    Anonymous,
    /// Yes, where both sides' certificates are good.
    Verified,
}

impl FluvioSection {
    /// Checks what types alone cannot.
    pub(super) fn check_section(&self, wanted: &BrokerNeeds<'_>, checks: &mut Checks) {
        checks.must(
            has_port(&self.endpoint),
            ENDPOINT,
            format!("must be host:port, but is `{}`", self.endpoint),
        );
        check_times(
            checks,
            &[
                ("broker.fluvio.connect_timeout", self.connect_timeout, 100, 600_000),
                ("broker.fluvio.admin_timeout", self.admin_timeout, 100, 600_000),
                ("broker.fluvio.events_linger", self.events_linger, 0, 60_000),
                ("broker.fluvio.results_linger", self.results_linger, 0, 60_000),
            ],
        );
        check_sizes(
            checks,
            &[
                // What the client sends at once, at most, with room for a record's own head.
                ("broker.fluvio.batch_bytes", self.batch_bytes, 1_000_000),
                ("broker.fluvio.queue_bytes", self.queue_bytes, 2_000_000_000),
                ("broker.fluvio.fetch_bytes", self.fetch_bytes, 1 << 30),
            ],
        );
        checks.must(
            self.fetch_bytes.0 >= 2 << 20,
            "broker.fluvio.fetch_bytes",
            "must be at least `2MiB`: a fetch holds a whole batch, which may have 1 MiB",
        );
        checks.must(self.queue_records > 0, "broker.fluvio.queue_records", "must be at least 1");
        check_topic_names(wanted, checks);
        if self.tls.mode == FluvioTls::Verified {
            self.tls.check_files(checks);
        }
    }
}

impl FluvioTlsSection {
    fn check_files(&self, checks: &mut Checks) {
        for (key, value) in [
            ("broker.fluvio.tls.domain", &self.domain),
            ("broker.fluvio.tls.ca_file", &self.ca_file),
            ("broker.fluvio.tls.cert_file", &self.cert_file),
            ("broker.fluvio.tls.key_file", &self.key_file),
        ] {
            checks.must(
                !value.is_empty(),
                key,
                "must not be empty where `broker.fluvio.tls.mode` is `verified`",
            );
        }
    }
}

fn check_topic_names(wanted: &BrokerNeeds<'_>, checks: &mut Checks) {
    for (key, name, longest) in [
        ("topics.prefix", wanted.prefix, MAX_TOPIC_NAME - RUN_SUFFIX),
        ("topics.events", wanted.events_topic, MAX_TOPIC_NAME),
        ("topics.results", wanted.results_topic, MAX_TOPIC_NAME),
    ] {
        checks.must(
            name.is_empty() || is_topic_name(name, longest),
            key,
            format!(
                "must be 1 to {longest} of the characters a-z, 0-9 and `-`, and neither begin nor \
                 end with `-`, on Fluvio, but is `{name}`"
            ),
        );
    }
}

/// Whether Fluvio takes the name for a topic.
fn is_topic_name(name: &str, longest: usize) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=longest).contains(&name.len())
        && name.chars().all(legal)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The defaults, as every program has them.
#[cfg(all(test, feature = "fluvio"))]
pub(super) fn defaults() -> FluvioSection {
    crate::config::Layers::default().load().unwrap().settings.broker.fluvio
}
