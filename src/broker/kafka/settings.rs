//! What clients are made with, and which of librdkafka's own properties may be added to it.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use streamgauge_actors::{PortError, SettingError, WriterRole};

use super::section::{KafkaSection, is_secret};
use super::topic_watch::HELD_BACK_MS;

/// How to reach a Kafka (or Redpanda) cluster, and what a run asks of it.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Its section of the settings, properties from files in place.
    pub section: KafkaSection,
    /// A consumer group whose offsets tell lag tools how far the readers are; `None`: none is
    /// named.
    pub group: Option<String>,
    /// Topics that others made and a run is to use: what their properties mean for it is said
    /// beforehand.
    pub given_topics: Vec<String>,
}

/// Properties that are refused, each with the reason. A trailing `*` stands for any ending.
const REFUSED: &[(&str, &str)] = &[
    ("acks", "an event counts as acknowledged only once every in-sync replica has it"),
    (
        "request.required.acks",
        "an event counts as acknowledged only once every in-sync replica has it",
    ),
    ("enable.idempotence", "without it a retry could store an event twice or out of order"),
    ("enable.gapless.guarantee", "a failed delivery is reported and ends the generation"),
    ("max.in.flight*", "it is part of the idempotent writer's ordering"),
    ("retries", "the client keeps trying; a stopped broker is backpressure"),
    ("message.send.max.retries", "the client keeps trying; a stopped broker is backpressure"),
    ("message.timeout.ms", "the client keeps trying; a stopped broker is backpressure"),
    ("delivery.timeout.ms", "the client keeps trying; a stopped broker is backpressure"),
    ("delivery.report.only.error", "every record's fate is counted"),
    ("partitioner", "every record is sent to a partition that the program chose"),
    ("transactional.id", "the program derives it from the run"),
    ("transaction.timeout.ms", "the program chooses it with the transactional id"),
    ("isolation.level", "readers see committed records only"),
    ("auto.offset.reset", "a missing offset is a loss, which must be reported and not skipped"),
    ("allow.auto.create.topics", "a deleted topic must be noticed, not made again"),
    ("enable.auto.commit", "positions are kept in checkpoints, not in the broker"),
    ("auto.commit.*", "positions are kept in checkpoints, not in the broker"),
    ("enable.auto.offset.store", "positions are kept in checkpoints, not in the broker"),
    ("offset.store.*", "positions are kept in checkpoints, not in the broker"),
    ("enable.partition.eof", "the end of a partition is no event here"),
    ("group.*", "readers are assigned their partitions, and join no group"),
    ("partition.assignment.strategy", "readers are assigned their partitions, and join no group"),
    ("bootstrap.servers", "use the setting `broker.kafka.bootstrap_servers`"),
    ("metadata.broker.list", "use the setting `broker.kafka.bootstrap_servers`"),
    (
        "linger.ms",
        "use the settings `broker.kafka.events_linger` and `broker.kafka.results_linger`",
    ),
    (
        "queue.buffering.max.ms",
        "use the settings `broker.kafka.events_linger` and `broker.kafka.results_linger`",
    ),
    ("queue.buffering.max.kbytes", "use the setting `queue_bytes`"),
    ("queue.buffering.max.messages", "use the setting `queue_records`"),
    ("batch.size", "use the setting `batch_bytes`"),
    ("queued.max.messages.kbytes", "use the setting `prefetch_bytes`"),
    ("check.crcs", "use the setting `broker.kafka.check_crcs`"),
    ("statistics.interval.ms", "nothing here reads them"),
    ("log.queue", "the client's log goes to the program's own"),
    ("log_level", "use the program's own log filter, for the target `librdkafka`"),
    ("plugin.library.paths", "no foreign code is loaded into the program"),
    ("test.mock.*", "a simulated broker would be reported as a real one"),
];

fn refusal(property: &str) -> Option<&'static str> {
    let property = property.to_ascii_lowercase();
    REFUSED.iter().find_map(|(pattern, reason)| {
        let hit = match pattern.strip_suffix('*') {
            Some(start) => property.starts_with(start),
            None => property == *pattern,
        };
        hit.then_some(*reason)
    })
}

impl KafkaSettings {
    /// The settings of a section alone.
    ///
    /// # Errors
    /// The setting whose file cannot be read.
    pub fn new(section: &KafkaSection) -> Result<Self, SettingError> {
        let properties = section.resolved_properties()?;
        let section = KafkaSection { properties, ..section.clone() };
        Ok(Self { section, group: None, given_topics: Vec::new() })
    }

    /// Checks addresses and properties against what the program needs and what librdkafka knows.
    pub(super) fn check(&self) -> Result<(), PortError> {
        if self.section.bootstrap_servers.split(',').all(|address| address.trim().is_empty()) {
            return Err(PortError::fatal(
                "`broker.kafka.bootstrap_servers` is empty: give at least one broker as host:port",
            ));
        }
        for property in self.section.properties.keys() {
            if let Some(reason) = refusal(property) {
                return Err(PortError::fatal(format!(
                    "the Kafka property `{property}` cannot be set here: {reason}"
                )));
            }
        }
        for config in [self.admin(), self.consumer(), self.producer(WriterRole::Events, true)] {
            config.create_native_config().map_err(|error| config_error(&error))?;
        }
        Ok(())
    }

    /// The addresses to start from, taken apart; those that cannot be are left to librdkafka.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (String, u16)> {
        self.section.bootstrap_servers.split(',').filter_map(|address| {
            let (host, port) = address.trim().rsplit_once(':')?;
            let host = host.rsplit('/').next().unwrap_or(host).trim_matches(['[', ']']);
            Some((host.to_owned(), port.parse().ok()?))
        })
    }

    /// Whether brokers can be asked without librdkafka.
    pub(super) fn is_plaintext(&self) -> bool {
        self.section
            .properties
            .get("security.protocol")
            .is_none_or(|protocol| protocol.eq_ignore_ascii_case("plaintext"))
    }

    /// How long a broker's first answer is waited for.
    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.section.connect_timeout.as_millis())
    }

    /// How long a topic's creation, deletion or description may take.
    pub(super) fn admin_timeout(&self) -> Duration {
        Duration::from_millis(self.section.admin_timeout.as_millis())
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let debug = self.section.properties.contains_key("debug");
        config.set_log_level(if debug { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        config.set("client.id", "streamgauge");
        config.extend(self.section.properties.clone());
        config.set("bootstrap.servers", &self.section.bootstrap_servers);
        config.set("allow.auto.create.topics", "false");
        self.set_default(
            &mut config,
            &[
                // Partitions that move are found this soon.
                ("topic.metadata.refresh.interval.ms", "5000"),
                ("topic.metadata.propagation.max.ms", &HELD_BACK_MS.to_string()),
            ],
        );
        config
    }

    /// The configuration of clients that only ask.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.common();
        // The end of a partition is its high watermark here, whatever transactions are open.
        config.set("isolation.level", "read_uncommitted");
        config
    }

    /// The configuration of a writer's client. One that is not `idempotent` sends one request at a
    /// time: a second one could overtake the first while that is tried again.
    pub(super) fn producer(&self, role: WriterRole, idempotent: bool) -> ClientConfig {
        let linger = match role {
            WriterRole::Events => self.section.events_linger,
            WriterRole::Results => self.section.results_linger,
        };
        let mut config = self.common();
        config
            .set("enable.idempotence", idempotent.to_string())
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("linger.ms", linger.as_millis().to_string())
            .set("batch.size", self.section.batch_bytes.0.to_string())
            .set("queue.buffering.max.kbytes", kib(self.section.queue_bytes.0))
            .set("queue.buffering.max.messages", self.section.queue_records.to_string());
        if !idempotent {
            config.set("max.in.flight.requests.per.connection", "1");
        }
        config
    }

    /// The configuration of a reader's client.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("enable.auto.commit", "false")
            .set("auto.commit.enable", "false") // The same, for partitions outside of groups.
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", self.section.check_crcs.to_string())
            .set("queued.max.messages.kbytes", kib(self.section.prefetch_bytes.0));
        self.set_default(
            &mut config,
            &[
                // How long fetching rests once the cap on what is fetched ahead was reached: the
                // default, a second, would starve a reader that empties 16 MiB in a tenth of that.
                ("fetch.queue.backoff.ms", "2"),
                // A missing leader must not cost half a second after a restart.
                ("fetch.error.backoff.ms", "100"),
            ],
        );
        config
    }

    /// Sets what the settings' own properties leave open.
    fn set_default(&self, config: &mut ClientConfig, defaults: &[(&str, &str)]) {
        for (property, value) in defaults {
            if !self.section.properties.contains_key(*property) {
                config.set(*property, *value);
            }
        }
    }
}

fn kib(bytes: u64) -> String {
    bytes.div_ceil(1024).max(1).to_string()
}

/// What librdkafka has against a property, without its value where that is a secret (the client's
/// own message has it).
pub(super) fn config_error(error: &KafkaError) -> PortError {
    let KafkaError::ClientConfig(kind, reason, property, _) = error else {
        return PortError::fatal(format!("cannot make a Kafka client: {error}"));
    };
    if *kind == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN {
        return PortError::fatal(format!(
            "unknown Kafka property `{property}`: librdkafka has none of that name"
        ));
    }
    let reason = if is_secret(property) { "its value is not accepted" } else { reason };
    let hint = if reason.contains("not available at build time") || property.starts_with("ssl.") {
        " (TLS and SASL need a program built with the feature `kafka-security`)"
    } else {
        ""
    };
    PortError::fatal(format!("the Kafka property `{property}` cannot be set: {reason}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::kafka::section::defaults;
    use crate::secrets::REDACTED;

    fn with(property: &str, value: &str) -> KafkaSettings {
        let properties = [(property.to_owned(), value.to_owned())].into();
        KafkaSettings::new(&KafkaSection { properties, ..defaults() }).unwrap()
    }

    #[test]
    fn addresses_are_taken_apart() {
        let bootstrap_servers = "a:1, PLAINTEXT://b:2,[::1]:3,nonsense".to_owned();
        let section = KafkaSection { bootstrap_servers, ..defaults() };
        let settings = KafkaSettings::new(&section).unwrap();
        let addresses: Vec<_> = settings.addresses().collect();
        assert_eq!(addresses, [("a".to_owned(), 1), ("b".to_owned(), 2), ("::1".to_owned(), 3)]);
    }

    #[test]
    fn defaults_are_accepted() {
        KafkaSettings::new(&defaults()).unwrap().check().unwrap();
        with("compression.type", "zstd").check().unwrap();
    }

    #[test]
    fn every_refusal_names_property_and_reason() {
        for (pattern, reason) in REFUSED {
            let property = pattern.replace('*', "x");
            let error = with(&property, "1").check().unwrap_err();
            assert!(error.message.contains(&property) && error.message.contains(reason), "{error}");
        }
        assert!(with("ACKS", "1").check().unwrap_err().message.contains("in-sync"));
    }

    #[test]
    fn unknown_and_invalid_properties_are_named() {
        let error = with("compression.tipe", "zstd").check().unwrap_err();
        assert!(error.message.contains("unknown Kafka property `compression.tipe`"), "{error}");
        let error = with("compression.type", "brotli").check().unwrap_err();
        assert!(
            error.message.contains("`compression.type`") && error.message.contains("brotli"),
            "{error}"
        );
    }

    #[test]
    fn secrets_are_never_shown() {
        for property in
            ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"]
        {
            let settings = with(property, "hunter2");
            let shown = format!(
                "{settings:?} {settings:#?} {} {:?}",
                serde_json::to_string(&settings.section).unwrap(),
                settings.check()
            );
            assert!(!shown.contains("hunter2") && shown.contains(REDACTED), "{shown}");
        }
    }
}
