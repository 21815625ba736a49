//! Where the events go: one adapter per kind of broker, behind the ports of `streamgauge_actors`;
//! and the choice among them that the settings make.

pub mod dead_letters;
mod deadline;
pub mod embedded;
#[cfg(feature = "fluvio")]
pub mod fluvio;
pub mod kafka;
mod remark;
pub mod topics;

use std::path::PathBuf;
use std::sync::Arc;

use streamgauge_actors::{Broker, SharedClock};

use self::embedded::{EmbeddedBroker, EmbeddedSettings};
use self::kafka::{KafkaBroker, KafkaSettings, Wanted};
pub use self::remark::{Remark, Weight};
use self::topics::{OwnTopics, TopicRecord};
use crate::config::{BrokerKind, ConfigError, KafkaSection, Resolved, Settings};
use crate::report::Versions;

/// Makes the broker's adapter; connects to nothing yet. The embedded log takes insertion times from
/// `clock`.
///
/// # Errors
/// [`ConfigError`]: the adapter refuses its settings.
pub fn open(resolved: &Resolved, clock: SharedClock) -> Result<Arc<dyn Broker>, ConfigError> {
    let broker = &resolved.settings.broker;
    Ok(match broker.kind {
        BrokerKind::Embedded => {
            let settings = EmbeddedSettings { max_bytes: broker.embedded.max_bytes.0 };
            Arc::new(EmbeddedBroker::new(&settings, clock))
        }
        BrokerKind::Kafka | BrokerKind::Redpanda => Arc::new(open_kafka(resolved)?),
        BrokerKind::Fluvio => open_fluvio(resolved)?,
    })
}

/// What is to be said of a cluster besides its description, for `doctor`; changes nothing.
///
/// # Errors
/// [`ConfigError`]: the adapter refuses its settings.
pub fn examine(resolved: &Resolved) -> Result<Vec<Remark>, ConfigError> {
    let settings = &resolved.settings;
    if !settings.broker.kind.speaks_kafka() {
        return Ok(Vec::new());
    }
    let wanted =
        Wanted { kind: settings.broker.kind.name(), replication: settings.topics.replication };
    Ok(open_kafka(resolved)?.examine(&wanted).unwrap_or_else(|error| {
        vec![Remark::bad("cluster", Weight::Fail, error.message, "look at the broker's own log")]
    }))
}

fn open_kafka(resolved: &Resolved) -> Result<KafkaBroker, ConfigError> {
    let broker = &resolved.settings.broker;
    let group = resolved.settings.aggregator.group.clone();
    let topics = &resolved.settings.topics;
    let given_topics =
        [&topics.events, &topics.results].into_iter().filter(|name| !name.is_empty()).cloned();
    let settings = KafkaSettings {
        group: Some(group).filter(|g| !g.is_empty()),
        given_topics: given_topics.collect(),
        ..kafka_settings(&broker.kafka)?
    };
    KafkaBroker::new(settings).map_err(|error| refused(resolved, &error.message))
}

#[cfg(feature = "fluvio")]
fn open_fluvio(resolved: &Resolved) -> Result<Arc<dyn Broker>, ConfigError> {
    let broker = self::fluvio::FluvioBroker::new(resolved.settings.broker.fluvio.clone());
    let key = "broker.fluvio.tls";
    let origin = resolved.origins.get("broker.fluvio.tls.mode").map_or("settings", String::as_str);
    Ok(Arc::new(broker.map_err(|error| {
        ConfigError::one(origin, key, format!("is refused: {}", error.message))
    })?))
}

/// The versions of this program and of its clients' libraries.
pub fn versions() -> Versions {
    Versions::new(Some(self::kafka::client_version()), fluvio_version())
}

/// The version of Fluvio's client library; `None`: built without it.
pub fn fluvio_version() -> Option<String> {
    #[cfg(feature = "fluvio")]
    return Some(self::fluvio::CLIENT_VERSION.to_owned());
    #[cfg(not(feature = "fluvio"))]
    None
}

#[cfg(not(feature = "fluvio"))]
fn open_fluvio(resolved: &Resolved) -> Result<Arc<dyn Broker>, ConfigError> {
    let origin = resolved.origins.get("broker.kind").map_or("settings", String::as_str);
    let message = "is `fluvio`, which this program was built without: build it with `cargo build --release --features \
                   fluvio`";
    Err(ConfigError::one(origin, "broker.kind", message))
}

/// What the adapter has against its settings, with where they were set: a property that the message
/// names, or all.
fn refused(resolved: &Resolved, message: &str) -> ConfigError {
    const PROPERTIES: &str = "broker.kafka.properties.";
    let is_named = |path: &str| {
        path.strip_prefix(PROPERTIES).is_some_and(|name| message.contains(&format!("`{name}`")))
    };
    let key = resolved
        .origins
        .keys()
        .find(|path| is_named(path))
        .map_or("broker.kafka.bootstrap_servers", String::as_str);
    let origin = resolved.origins.get(key).map_or("settings", String::as_str);
    ConfigError::one(origin, key, format!("is refused: {message}"))
}

/// The same broker, with every topic that is made recorded, and all others safe from deletion.
pub fn guard(
    broker: Arc<dyn Broker>,
    settings: &Settings,
    folder: PathBuf,
    run_id: Option<&str>,
) -> Arc<dyn Broker> {
    if settings.broker.kind == BrokerKind::Embedded {
        // Its topics end with the process.
        return broker;
    }
    let record = TopicRecord::in_folder(folder);
    let prefix = settings.topics.prefix.clone();
    Arc::new(OwnTopics::new(broker, record, address(settings), prefix, run_id.map(str::to_owned)))
}

/// How the record of own topics knows the broker.
pub fn address(settings: &Settings) -> String {
    match settings.broker.kind {
        BrokerKind::Embedded => "embedded".to_owned(),
        BrokerKind::Kafka | BrokerKind::Redpanda => {
            let mut addresses: Vec<&str> =
                settings.broker.kafka.bootstrap_servers.split(',').map(str::trim).collect();
            addresses.sort_unstable();
            format!("kafka://{}", addresses.join(","))
        }
        BrokerKind::Fluvio => format!("fluvio://{}", settings.broker.fluvio.endpoint),
    }
}

fn kafka_settings(kafka: &KafkaSection) -> Result<KafkaSettings, ConfigError> {
    Ok(KafkaSettings {
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        properties: kafka.resolved_properties()?,
        connect_timeout_ms: kafka.connect_timeout.as_millis() as u32,
        admin_timeout_ms: kafka.admin_timeout.as_millis() as u32,
        events_linger_ms: kafka.events_linger.as_millis() as u32,
        results_linger_ms: kafka.results_linger.as_millis() as u32,
        batch_bytes: kafka.batch_bytes.0 as u32,
        queue_bytes: kafka.queue_bytes.0,
        queue_records: kafka.queue_records,
        prefetch_bytes: kafka.prefetch_bytes.0,
        group: None,
        given_topics: Vec::new(),
    })
}
