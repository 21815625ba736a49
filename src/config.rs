//! The settings: what there is to set (`config/default.toml` has every default), and what it means
//! for a run.
//!
//! ```text
//! default.toml < /etc/streamgauge/config.toml < --config < WORKLOAD < environment < flags
//!        layers.rs: merged, unknown keys refused --> Settings --> check.rs: nothing impossible --> RunSpec
//! ```

mod check;
mod daemon;
mod layers;
mod matrix;
mod presets;
mod problem;
mod show;
mod threshold;
mod units;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamgauge_actors::{ArrivalKind, BurstCorrelation, Mmpp, Nanos, RunSpec, SECOND};

pub use self::daemon::{
    HistorySection, ScheduleMode, ScheduleSection, ServerSection, ThresholdsSection,
};
pub use self::layers::{Assignment, Layers, Resolved, SYSTEM_FILE};
pub(crate) use self::layers::{WORKLOAD_ARGUMENT, is_setting, setting_keys};
pub use self::matrix::MatrixSection;
pub(crate) use self::matrix::{choices, is_list_setting, is_property, refused_in_matrix};
pub use self::presets::{PRESETS, Preset, preset};
pub use self::problem::{ConfigError, Problem};
pub(crate) use self::show::{
    at, check_token, is_secret_setting, read_secret, shell_quoted, toml_value,
};
pub use self::threshold::Threshold;
pub use self::units::{AutoSpan, Bytes, Rate, Span};

/// The commented defaults, TOML.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The setting that holds thresholds.
const THRESHOLDS: &str = "thresholds.expressions";

/// The JSON Schema of a configuration file.
pub const SCHEMA: &str = include_str!("../schemas/config.schema.json");

/// Every setting, resolved.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the events go.
    pub broker: BrokerSection,
    /// Names and shape of the topics.
    pub topics: TopicsSection,
    /// What is produced.
    pub workload: WorkloadSection,
    /// How it is aggregated.
    pub aggregator: AggregatorSection,
    /// How results are written.
    pub result_writer: ResultWriterSection,
    /// When a run is given up.
    pub supervisor: SupervisorSection,
    /// What a run must satisfy.
    pub thresholds: ThresholdsSection,
    /// Where the daemon listens.
    pub server: ServerSection,
    /// What `matrix` varies.
    pub matrix: MatrixSection,
    /// When the daemon starts runs by itself.
    pub schedule: ScheduleSection,
    /// How long runs are kept.
    pub history: HistorySection,
    /// What is logged.
    pub log: LogSection,
}

/// The kinds of brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// A log in this process.
    Embedded,
    /// Kafka, or what speaks its protocol.
    Kafka,
    /// Redpanda: Kafka's protocol and settings, its own properties.
    Redpanda,
    /// Fluvio.
    Fluvio,
}

impl BrokerKind {
    /// The name in reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka => "kafka",
            Self::Redpanda => "redpanda",
            Self::Fluvio => "fluvio",
        }
    }

    /// Whether `[broker.kafka]` holds its settings.
    pub fn speaks_kafka(self) -> bool {
        matches!(self, Self::Kafka | Self::Redpanda)
    }

    /// What stands between the parts of the names of own topics: Fluvio's names have no dots.
    pub fn topic_separator(self) -> char {
        if self == Self::Fluvio { '-' } else { '.' }
    }
}

/// `[broker]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BrokerSection {
    /// Which broker.
    pub kind: BrokerKind,
    /// A Kafka (or Redpanda) cluster.
    pub kafka: KafkaSection,
    /// A Fluvio cluster.
    pub fluvio: FluvioSection,
    /// The log in this process.
    pub embedded: EmbeddedSection,
}

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
    /// What a writer may buffer, in bytes.
    pub queue_bytes: Bytes,
    /// What a writer may buffer, in records.
    pub queue_records: u32,
    /// What a reader may fetch ahead.
    pub prefetch_bytes: Bytes,
    /// Further properties of librdkafka. A name ending in `_file` reads its value from that file.
    pub properties: BTreeMap<String, String>,
}

impl std::fmt::Debug for KafkaSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSection")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

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

/// `[broker.embedded]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EmbeddedSection {
    /// What a topic may hold in memory.
    pub max_bytes: Bytes,
}

/// `[topics]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TopicsSection {
    /// What the names of the program's own topics begin with.
    pub prefix: String,
    /// Partitions of the events topic.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replication: u16,
    /// Whether a run's topics outlive it.
    pub keep: bool,
    /// What a partition of the events topic may keep at most; 0: the broker's own default.
    pub retention_bytes: Bytes,
    /// An events topic to use as it is; empty: made for each run.
    pub events: String,
    /// A results topic to use as it is; empty: made for each run.
    pub results: String,
}

/// The name of an arrival process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArrivalName {
    /// Evenly spaced.
    Uniform,
    /// Exponential gaps.
    Poisson,
    /// Exponential gaps, scaled so that each second holds exactly `rate` events.
    PoissonNormalized,
    /// Bursts: a two-state Markov-modulated Poisson process.
    Mmpp,
    /// Bursts, state and count drawn once a second.
    MmppWindowed,
    /// As fast as the broker takes them.
    Max,
}

/// Whether the producers burst together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BurstName {
    /// Each producer has its own state.
    Independent,
    /// All producers share the path of the states.
    Shared,
}

/// `[workload]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WorkloadSection {
    /// A name for reports.
    pub name: String,
    /// Producers.
    pub producers: u32,
    /// Events per second over all producers.
    pub rate: Rate,
    /// How the events are spread over time.
    pub arrivals: ArrivalName,
    /// Whether all producers burst together.
    pub burst_correlation: BurstName,
    /// Length of the measured part.
    pub duration: Span,
    /// Length of the warm-up before it.
    pub warmup: Span,
    /// Length of a tumbling window.
    pub window: Span,
    /// Campaigns.
    pub campaigns: u32,
    /// Ads of each campaign.
    pub ads_per_campaign: u32,
    /// Exponent of the Zipf distribution over campaigns; 0: all equally often.
    pub zipf_exponent: f64,
    /// Values of an event's `ad_type`.
    pub ad_types: Vec<String>,
    /// Values of an event's `event_type`.
    pub event_types: Vec<String>,
    /// Everything random derives from it.
    pub seed: u64,
    /// Whether progress records are written.
    pub progress_records: bool,
    /// Longest silence of a producer on a partition before it writes one.
    pub progress_interval: Span,
    /// Delay past which an event counts as late sent.
    pub send_delay_limit: Span,
    /// Share of late sent events past which the run is generator-limited or broker-limited.
    pub send_delay_share: f64,
    /// The bursts of `mmpp` and `mmpp_windowed`.
    pub mmpp: MmppSection,
}

/// `[workload.mmpp]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MmppSection {
    /// The burst state's rate over the calm state's.
    pub rate_ratio: f64,
    /// Switches per second from calm to burst.
    pub q12: f64,
    /// Switches per second from burst to calm.
    pub q21: f64,
}

/// `[aggregator]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AggregatorSection {
    /// Aggregators; 0: one per partition, at most one per core.
    pub count: u32,
    /// How far events may run behind a partition's watermark.
    pub allowed_lateness: AutoSpan,
    /// Windows that a partition may be ahead of the slowest one before its reader pauses.
    pub max_open_windows: u32,
    /// A partition silent for so long closes its windows by processing time; 0: never.
    pub idle_timeout: Span,
    /// A consumer group whose offsets are committed for lag tools; empty: none.
    pub group: String,
}

/// `[result_writer]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResultWriterSection {
    /// Results handed to the client in one turn, at most.
    pub batch: u32,
}

/// `[supervisor]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SupervisorSection {
    /// A stage silent for longer has frozen.
    pub heartbeat_timeout: Span,
    /// How long draining may take.
    pub drain_timeout: Span,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// A level, or directives as in `RUST_LOG`.
    pub level: String,
    /// How a line is written.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text.
    Human,
    /// One JSON object a line.
    Json,
}

impl WorkloadSection {
    /// The arrival process.
    pub fn arrival_kind(&self) -> ArrivalKind {
        let MmppSection { rate_ratio, q12, q21 } = self.mmpp;
        let mmpp = Mmpp { rate_ratio, q12, q21 };
        match self.arrivals {
            ArrivalName::Uniform => ArrivalKind::Uniform,
            ArrivalName::Poisson => ArrivalKind::Poisson,
            ArrivalName::PoissonNormalized => ArrivalKind::PoissonNormalized,
            ArrivalName::Mmpp => ArrivalKind::Mmpp(mmpp),
            ArrivalName::MmppWindowed => ArrivalKind::MmppWindowed(mmpp),
            ArrivalName::Max => ArrivalKind::Max,
        }
    }

    /// Whether the producers burst together.
    pub fn bursts(&self) -> BurstCorrelation {
        match self.burst_correlation {
            BurstName::Independent => BurstCorrelation::Independent,
            BurstName::Shared => BurstCorrelation::Shared,
        }
    }

    /// The Zipf exponent over campaigns; `None`: uniform.
    pub fn zipf(&self) -> Option<f64> {
        (self.zipf_exponent > 0.0).then_some(self.zipf_exponent)
    }

    /// The warm-up in nanoseconds, rounded up to whole windows.
    pub fn warmup_ns(&self) -> Nanos {
        let window_ns = self.window.as_nanos().max(1);
        (self.warmup.as_nanos() + window_ns - 1) / window_ns * window_ns
    }
}

impl Settings {
    /// What a run's report must satisfy.
    ///
    /// # Errors
    /// [`ConfigError`] when an expression cannot be read; [`Layers::load`] has checked it before.
    pub fn thresholds(&self) -> Result<Vec<Threshold>, ConfigError> {
        let refused = |message| ConfigError::one("settings", THRESHOLDS, message);
        let expressions = self.thresholds.expressions.iter();
        expressions
            .map(|text| {
                Threshold::parse(text).map_err(|message| refused(threshold_refusal(&message)))
            })
            .collect()
    }

    /// The run that these settings describe. Topics without a name of their own are named after the
    /// run.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting is impossible; [`Layers::load`] has checked it before.
    pub fn run_spec(&self, run_id: &str) -> Result<RunSpec, ConfigError> {
        check::check(self, &BTreeMap::new())?;
        let Self { topics, workload, aggregator, .. } = self;
        let topic = |named: &str, what: &str| {
            if named.is_empty() { self.own_topic(&[run_id, what]) } else { named.to_owned() }
        };
        let events_topic = topic(&topics.events, "events");
        Ok(RunSpec {
            run_id: run_id.to_owned(),
            run_tag: run_tag(run_id),
            workload: workload.name.clone(),
            seed: workload.seed,
            producers: workload.producers,
            aggregators: self.aggregators(cores()),
            partitions: topics.partitions,
            replication: topics.replication,
            rate: workload.rate.0,
            arrivals: workload.arrival_kind(),
            burst_correlation: workload.bursts(),
            duration_ns: workload.duration.as_nanos(),
            warmup_ns: workload.warmup_ns(),
            window_ns: workload.window.as_nanos(),
            campaigns: workload.campaigns,
            ads_per_campaign: workload.ads_per_campaign,
            zipf_exponent: workload.zipf(),
            ad_types: workload.ad_types.clone(),
            event_types: workload.event_types.clone(),
            allowed_lateness_ns: aggregator.allowed_lateness.or(Span::default()).as_nanos(),
            progress_interval_ns: workload.progress_interval.as_nanos(),
            progress_records: workload.progress_records,
            max_open_windows: aggregator.max_open_windows,
            result_batch: self.result_writer.batch,
            malformed_topic: format!(
                "{events_topic}{}malformed",
                self.broker.kind.topic_separator()
            ),
            events_topic,
            results_topic: topic(&topics.results, "results"),
            // Known once the broker is reached.
            log_append_time: true,
            send_delay_limit_ns: workload.send_delay_limit.as_nanos(),
            send_delay_share: workload.send_delay_share,
            heartbeat_timeout_ns: self.supervisor.heartbeat_timeout.as_nanos(),
            drain_timeout_ns: self.supervisor.drain_timeout.as_nanos(),
        })
    }

    /// The name of a topic of the program's own: the prefix, then the parts.
    pub fn own_topic(&self, parts: &[&str]) -> String {
        let separator = self.broker.kind.topic_separator().to_string();
        [&[self.topics.prefix.as_str()], parts].concat().join(&separator)
    }

    /// How many aggregators there will be: at least 1, at most one per partition of a topic made
    /// for the run. (A topic that is there already may have more.)
    fn aggregators(&self, cores: u32) -> u32 {
        let wanted = if self.aggregator.count == 0 { cores } else { self.aggregator.count };
        let most = if self.topics.events.is_empty() { self.topics.partitions } else { u32::MAX };
        wanted.clamp(1, most)
    }
}

/// What follows the key where an expression is refused.
fn threshold_refusal(message: &str) -> String {
    format!("has an expression that cannot be read: {message}")
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}

/// A run id from the time (nanoseconds since the Unix epoch) and some random bits:
/// `20261123-031522-7f3a`. Sorts by time.
pub fn run_id(now: Nanos, random: u64) -> String {
    let since = std::time::Duration::from_secs((now / SECOND).max(0) as u64);
    let text = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string();
    let digits: String =
        text.replace('T', "-").chars().filter(|&c| c == '-' || c.is_ascii_digit()).collect();
    // 2026-11-23-031522
    let (date, time) = digits.rsplit_once('-').unwrap_or((&digits, ""));
    format!("{}-{time}-{:04x}", date.replace('-', ""), random & 0xffff)
}

/// 48 bits that mark a run's events, from its id: FNV-1a (Fowler, Noll and Vo), folded.
pub fn run_tag(run_id: &str) -> u64 {
    let hash = run_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    (hash >> 48 ^ hash) & ((1 << 48) - 1)
}

/// 64 random bits from the system, to tell runs of the same second apart.
pub fn random_bits() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
