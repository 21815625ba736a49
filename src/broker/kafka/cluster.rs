//! A Kafka cluster, as a maker of ports.

use std::sync::{Mutex, MutexGuard, PoisonError};

use streamgauge_actors::{
    Broker, BrokerDescription, EventReader, EventWriter, Limitation, PortError, StartAt,
    TopicAdmin, WriterRole,
};

use super::abilities::Abilities;
use super::admin::KafkaAdmin;
use super::examination;
use super::reader::KafkaReader;
use super::settings::KafkaSettings;
use super::writer::KafkaWriter;
use crate::broker::adapter::BrokerNeeds;
use crate::broker::deadline::Deadline;
use crate::broker::remark::Remark;

/// A Kafka cluster, as a maker of ports.
#[derive(Debug)]
pub struct KafkaBroker {
    settings: KafkaSettings,
    /// As the cluster last described itself.
    abilities: Mutex<Option<Abilities>>,
}

/// The version of the client library, librdkafka.
pub(super) fn client_version() -> String {
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

    /// Connects, and finds out what is there; changes nothing.
    fn look(&self) -> Result<Abilities, PortError> {
        let deadline = Deadline::after(self.settings.connect_timeout());
        let client = KafkaAdmin::connect(&self.settings, None)?;
        let abilities = client.look(&deadline)?;
        *self.last_seen() = Some(abilities.clone());
        Ok(abilities)
    }

    /// What `doctor` has to say of the cluster and of what a run would ask of it. Changes nothing.
    ///
    /// # Errors
    /// [`PortError`] when the cluster cannot be reached.
    pub fn examine(&self, wanted: &BrokerNeeds<'_>) -> Result<Vec<Remark>, PortError> {
        let deadline = Deadline::after(self.settings.connect_timeout());
        let abilities = self.look()?;
        let admin = KafkaAdmin::connect(&self.settings, Some(abilities.clone()))?;
        examination::examine(&admin, &abilities, &self.settings, wanted, &deadline)
    }

    /// What it was when it was last looked at; if it never was, it is now.
    fn abilities(&self) -> Result<Abilities, PortError> {
        let seen = self.last_seen().clone();
        seen.map_or_else(|| self.look(), Ok)
    }

    fn last_seen(&self) -> MutexGuard<'_, Option<Abilities>> {
        self.abilities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker for KafkaBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        let abilities = self.look()?;
        Ok(BrokerDescription {
            kind: abilities.name().to_owned(),
            version: abilities.version.clone().unwrap_or_else(|| "unknown".to_owned()),
            cluster_id: abilities.cluster_id.clone(),
            guarantee: abilities.guarantee().to_owned(),
            log_append_time: abilities.log_append_time(),
            limitations: abilities.lacks.iter().map(Limitation::from).collect(),
        })
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        // A broker that does not answer yet is no error here; it is one when something is asked of
        // it.
        Ok(Box::new(KafkaAdmin::connect(&self.settings, self.last_seen().clone())?))
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        Ok(self.writers(topic, role, 1)?.remove(0))
    }

    fn writers(
        &self,
        topic: &str,
        role: WriterRole,
        count: u32,
    ) -> Result<Vec<Box<dyn EventWriter>>, PortError> {
        let idempotent = self.abilities()?.idempotent;
        let writers = KafkaWriter::open(&self.settings, topic, role, idempotent, count)?;
        Ok(writers.into_iter().map(|writer| Box::new(writer) as Box<dyn EventWriter>).collect())
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        Ok(Box::new(KafkaReader::open(&self.settings, topic, start)?))
    }
}
