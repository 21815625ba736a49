//! Placeholder of the embedded log.

use streamgauge_actors::ports::{
    Broker, BrokerDescription, EventReader, EventWriter, PortError, StartAt, TopicAdmin, WriterRole,
};

/// The embedded log.
#[derive(Debug)]
pub struct EmbeddedBroker;

impl EmbeddedBroker {
    /// A log that holds at most `max_bytes` bytes.
    pub fn new(_max_bytes: u64) -> Self {
        Self
    }
}

fn absent<T>() -> Result<T, PortError> {
    Err(PortError::fatal("the embedded log is not built yet"))
}

impl Broker for EmbeddedBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        Ok(BrokerDescription {
            kind: "embedded".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            guarantee: "exactly once".to_owned(),
            log_append_time: true,
        })
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        absent()
    }

    fn writer(&self, _: &str, _: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        absent()
    }

    fn reader(&self, _: &str, _: &[(u32, StartAt)]) -> Result<Box<dyn EventReader>, PortError> {
        absent()
    }
}
