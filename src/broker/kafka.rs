//! Placeholder of the Kafka adapter.

use std::collections::BTreeMap;

use streamgauge_actors::ports::{
    Broker, BrokerDescription, EventReader, EventWriter, PortError, StartAt, TopicAdmin, WriterRole,
};

/// How to reach a Kafka cluster.
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct KafkaSettings {
    pub bootstrap_servers: String,
    pub properties: BTreeMap<String, String>,
    pub connect_timeout_ms: u32,
    pub admin_timeout_ms: u32,
    pub events_linger_ms: u32,
    pub results_linger_ms: u32,
    pub batch_bytes: u32,
    pub queue_bytes: u64,
    pub queue_records: u32,
    pub prefetch_bytes: u64,
}

/// A Kafka cluster.
pub struct KafkaBroker {
    settings: KafkaSettings,
}

impl KafkaBroker {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`PortError`].
    pub fn new(settings: KafkaSettings) -> Result<Self, PortError> {
        Ok(Self { settings })
    }

    fn absent<T>(&self) -> Result<T, PortError> {
        Err(PortError::again(format!("no broker answers at {}", self.settings.bootstrap_servers)))
    }
}

impl Broker for KafkaBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        self.absent()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        self.absent()
    }

    fn writer(&self, _: &str, _: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        self.absent()
    }

    fn reader(&self, _: &str, _: &[(u32, StartAt)]) -> Result<Box<dyn EventReader>, PortError> {
        self.absent()
    }
}
