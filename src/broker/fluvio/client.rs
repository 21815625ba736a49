//! Fluvio, through its own client.
//!
//! ```text
//! FluvioBroker --settings--> Cluster (a connection for each port) --+--> writer.rs  EventWriter
//!                            cluster.rs                             +--> reader.rs  EventReader
//!                                                                   +--> admin.rs   TopicAdmin
//! partition.rs: one partition as it is read    stream.rs: its chunks    leaders.rs: who serves
//! batch.rs: batches as they are stored    wait.rs: futures driven from a port's own thread
//! tls.rs: TLS for all of these
//! outage.rs: partitions that cannot be read or written at present    ends.rs: where they end
//! ```
//!
//! What Fluvio lacks, every report says: no idempotent producer (a record whose acknowledgement was
//! lost is sent again, and may be stored twice), no insertion time of the log's own, no deletion of
//! records.

mod admin;
mod batch;
mod cluster;
mod ends;
mod leaders;
mod outage;
mod partition;
mod reader;
mod stream;
mod tls;
mod wait;
mod writer;

use std::fmt;

use fluvio::metadata::spu::SpuSpec;
use streamgauge_actors::{
    Broker, BrokerDescription, Capability, EventReader, EventWriter, Limitation, PortError,
    StartAt, TopicAdmin, WriterRole,
};

use self::cluster::Cluster;
use super::section::{FluvioSection, NAME};

/// What is not acknowledged is sent again.
const GUARANTEE: &str = "at least once";

/// Something that Fluvio lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FluvioLack {
    IdempotentProducer,
    RecordDeletion,
}

/// What a run on Fluvio must do without.
const LACKS: [FluvioLack; 2] = [FluvioLack::IdempotentProducer, FluvioLack::RecordDeletion];

impl fmt::Display for FluvioLack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdempotentProducer => {
                "no idempotent producer: a record whose acknowledgement is lost is sent again, and \
                 may be stored twice; the audit tells"
            }
            Self::RecordDeletion => {
                "no deletion of records: a topic that is kept cannot be emptied, only deleted"
            }
        })
    }
}

impl From<&FluvioLack> for Limitation {
    fn from(lack: &FluvioLack) -> Self {
        let lacks = match lack {
            FluvioLack::IdempotentProducer => Capability::IdempotentWriter,
            FluvioLack::RecordDeletion => Capability::RecordDeletion,
        };
        Self { lacks, sentence: lack.to_string() }
    }
}

/// The version of the client library, the crate `fluvio`.
pub(super) const CLIENT_VERSION: &str = "0.50.1";

/// A Fluvio cluster, as a maker of ports.
#[derive(Debug)]
pub struct FluvioBroker {
    settings: FluvioSection,
}

impl FluvioBroker {
    /// Checks the settings; connects to nothing yet.
    ///
    /// # Errors
    /// [`PortError`] when a file of `[broker.fluvio.tls]` cannot be read or used.
    pub fn new(settings: FluvioSection) -> Result<Self, PortError> {
        tls::connector(&settings.tls)?;
        Ok(Self { settings })
    }
}

impl Broker for FluvioBroker {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        let cluster = Cluster::connect(&self.settings)?;
        let endpoint = &self.settings.endpoint;
        // (A client that is dropped before it was asked anything leaves its connection open: seen
        // in 0.50.1.)
        let deadline = cluster.connect_deadline();
        let admin = cluster.admin("*", &deadline)?;
        let units = cluster.ask("list the units of", "*", &deadline, admin.all::<SpuSpec>())?;
        if !units.iter().any(|unit| unit.status.is_online()) {
            return Err(PortError::again(format!(
                "the Fluvio controller (SC) at {endpoint} has no streaming unit (SPU) online: \
                 start one, and register it"
            )));
        }
        Ok(BrokerDescription {
            kind: NAME.to_owned(),
            version: cluster.fluvio.platform_version().to_string(),
            // Nothing in its protocol tells one cluster from another.
            cluster_id: None,
            guarantee: GUARANTEE.to_owned(),
            log_append_time: false,
            limitations: LACKS.iter().map(Limitation::from).collect(),
        })
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        Ok(Box::new(admin::FluvioTopics::new(Cluster::connect(&self.settings)?)))
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        let writers = self.writers(topic, role, 1)?;
        let writer = writers.into_iter().next();
        writer.ok_or_else(|| PortError::fatal("one writer was asked for, and none came"))
    }

    fn writers(
        &self,
        topic: &str,
        role: WriterRole,
        count: u32,
    ) -> Result<Vec<Box<dyn EventWriter>>, PortError> {
        let cluster = Cluster::connect(&self.settings)?;
        let writers = writer::FluvioWriter::open(&cluster, topic, role, count)?;
        Ok(writers.into_iter().map(|writer| Box::new(writer) as Box<dyn EventWriter>).collect())
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        Ok(Box::new(reader::FluvioReader::open(&Cluster::connect(&self.settings)?, topic, start)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fluvio::section::{FluvioTls, defaults};

    #[test]
    fn the_client_is_of_the_version_that_reports_say() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"fluvio\"\nversion = \"{CLIENT_VERSION}\"\n")));
    }

    #[test]
    fn files_that_cannot_be_read_are_named_before_anything_is_reached() {
        let mut settings = defaults();
        settings.tls.mode = FluvioTls::Verified;
        settings.tls.ca_file = "/no/such.pem".to_owned();
        let error = FluvioBroker::new(settings).unwrap_err();
        assert!(
            error.message.contains("ca_file") && error.message.contains("/no/such.pem"),
            "{error}"
        );
    }
}
