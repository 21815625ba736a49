//! Fluvio, through its own client.
//!
//! ```text
//! FluvioBroker --settings--> Fluvio (a connection for each port) --+--> writer.rs  EventWriter: requests to leaders
//!                                                                  +--> reader.rs  EventReader: stream.rs per partition
//! leaders.rs: the leaders, and what a partition holds              +--> admin.rs   TopicAdmin: topics
//! batch.rs: batches as they are stored                wait.rs: futures driven from a port's own thread
//! outage.rs: partitions that cannot be read or written at present       ends.rs: where partitions end
//! ```
//!
//! What Fluvio lacks, every report says: no idempotent producer (a record whose acknowledgement was
//! lost is sent again, and may be stored twice), no insertion time of the log's own, no deletion of
//! records.

mod admin;
mod batch;
mod ends;
mod leaders;
mod outage;
mod reader;
mod stream;
mod wait;
mod writer;

use std::fmt::Display;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use fluvio::config::{TlsPaths, TlsPolicy};
use fluvio::dataplane::link::ErrorCode;
use fluvio::metadata::spu::SpuSpec;
use fluvio::{Fluvio, FluvioClusterConfig};
use fluvio_future::net::DomainConnector;
use fluvio_future::rust_tls::{ConnectorBuilder, TlsDomainConnector};
use streamgauge_actors::{
    Broker, BrokerDescription, EventReader, EventWriter, PortError, StartAt, TopicAdmin, WriterRole,
};

use self::wait::complete;
use crate::broker::deadline::Deadline;
use crate::config::{FluvioSection, FluvioTls};
use crate::units::Span;

/// What is not acknowledged is sent again.
const GUARANTEE: &str = "at least once";

/// What a run on Fluvio must do without.
const LIMITATIONS: [&str; 2] = [
    "no idempotent producer: a record whose acknowledgement is lost is sent again, and may be stored twice; the audit \
     tells",
    "no deletion of records: a topic that is kept cannot be emptied, only deleted",
];

/// The version of the client library, the crate `fluvio`.
pub const CLIENT_VERSION: &str = "0.50.1";

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
        tls_connector(&cluster_config(&settings)?)?;
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
                "the Fluvio controller (SC) at {endpoint} has no streaming unit (SPU) online: start one, and register it"
            )));
        }
        Ok(BrokerDescription {
            kind: "fluvio".to_owned(),
            version: cluster.fluvio.platform_version().to_string(),
            guarantee: GUARANTEE.to_owned(),
            log_append_time: false,
            limitations: LIMITATIONS.map(str::to_owned).to_vec(),
        })
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        Ok(Box::new(admin::FluvioTopics::new(Cluster::connect(&self.settings)?)))
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        Ok(Box::new(writer::FluvioWriter::open(&Cluster::connect(&self.settings)?, topic, role)?))
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        Ok(Box::new(reader::FluvioReader::open(&Cluster::connect(&self.settings)?, topic, start)?))
    }
}

/// A connection to the cluster's controller, with what every port asks through it.
struct Cluster {
    fluvio: Fluvio,
    settings: FluvioSection,
}

impl Cluster {
    fn connect(settings: &FluvioSection) -> Result<Self, PortError> {
        let timeout = millis(settings.connect_timeout);
        match complete(Self::reach(settings.clone()), &Deadline::after(timeout)) {
            None => Err(unreachable(settings, &"no answer")),
            Some(cluster) => cluster,
        }
    }

    /// Connects, for as long as it takes.
    async fn reach(settings: FluvioSection) -> Result<Self, PortError> {
        let config = cluster_config(&settings)?;
        match Fluvio::connect_with_connector(tls_connector(&config)?, &config).await {
            Ok(fluvio) => Ok(Self { fluvio, settings }),
            Err(error) => Err(unreachable(&settings, &format!("{error:#}"))),
        }
    }

    fn connect_deadline(&self) -> Deadline {
        Deadline::after(millis(self.settings.connect_timeout))
    }

    fn admin_deadline(&self) -> Deadline {
        Deadline::after(millis(self.settings.admin_timeout))
    }

    /// Waits for the answer to a question about a topic.
    fn ask<T, E: Into<Cause>>(
        &self,
        action: &str,
        topic: &str,
        deadline: &Deadline,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, PortError> {
        match complete(future, deadline) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(self.topic_error(action, topic, &error.into())),
            None => Err(self.no_answer(topic)),
        }
    }

    fn no_answer(&self, topic: &str) -> PortError {
        let endpoint = &self.settings.endpoint;
        PortError::again(format!(
            "the Fluvio cluster at {endpoint} gave no answer about topic `{topic}` in time"
        ))
    }

    fn topic_error(&self, action: &str, topic: &str, cause: &Cause) -> PortError {
        match cause {
            Cause::NoTopic => self.no_such_topic(topic),
            Cause::Other(reason) => {
                PortError::fatal(format!("cannot {action} topic `{topic}`: {reason}"))
            }
            Cause::Connection(reason) => {
                PortError::reconnect(format!("cannot {action} topic `{topic}`: {reason}"))
            }
        }
    }

    fn no_such_topic(&self, topic: &str) -> PortError {
        let endpoint = &self.settings.endpoint;
        PortError::fatal(format!(
            "there is no topic `{topic}` at {endpoint}: create it, or check its name"
        ))
    }
}

/// A client whose connection is just taking something in does not hear that it is dropped (0.50.1),
/// and leaves task and connection behind: what comes first, the controller's lists, has come after
/// this time.
const LAST_WORDS: Duration = Duration::from_millis(3);

impl Drop for Cluster {
    fn drop(&mut self) {
        std::thread::sleep(LAST_WORDS);
    }
}

/// Why a question was not answered.
enum Cause {
    NoTopic,
    Connection(String),
    Other(String),
}

impl From<anyhow::Error> for Cause {
    fn from(error: anyhow::Error) -> Self {
        use fluvio::FluvioError;
        let reason = format!("{error:#}");
        match error.downcast_ref::<FluvioError>() {
            Some(FluvioError::TopicNotFound(_) | FluvioError::PartitionNotFound(..)) => {
                Self::NoTopic
            }
            Some(FluvioError::Socket(_) | FluvioError::Io(_) | FluvioError::SPUNotFound(_)) => {
                Self::Connection(reason)
            }
            _ if error.is::<fluvio_socket::SocketError>() || error.is::<std::io::Error>() => {
                Self::Connection(reason)
            }
            _ => match error.downcast_ref::<ErrorCode>() {
                Some(ErrorCode::TopicNotFound) => Self::NoTopic,
                _ => Self::Other(reason),
            },
        }
    }
}

impl From<fluvio_socket::SocketError> for Cause {
    fn from(error: fluvio_socket::SocketError) -> Self {
        Self::Connection(error.to_string())
    }
}

fn unreachable(settings: &FluvioSection, reason: &dyn Display) -> PortError {
    PortError::again(format!(
        "no Fluvio controller (SC) answers at {}: is it running, is the port right, and is `broker.fluvio.tls.mode` what \
         it expects? (within {} ms: {reason})",
        settings.endpoint,
        settings.connect_timeout.as_millis()
    ))
}

fn tls_connector(config: &FluvioClusterConfig) -> Result<DomainConnector, PortError> {
    // (This chooses the cryptography for the process, too.)
    let connector = DomainConnector::try_from(config.tls.clone()).map_err(|error| {
        PortError::fatal(format!("the files of `broker.fluvio.tls` cannot be used: {error:#}"))
    })?;
    if config.tls != TlsPolicy::Anonymous {
        return Ok(connector);
    }
    // The client's own anonymous connector takes host and port for the server's name, and refuses
    // it (0.50.1).
    let tls = ConnectorBuilder::with_safe_defaults().no_cert_verification().build();
    Ok(Box::new(TlsDomainConnector::new(tls, "localhost".to_owned())))
}

fn cluster_config(settings: &FluvioSection) -> Result<FluvioClusterConfig, PortError> {
    let tls = &settings.tls;
    let policy = match tls.mode {
        FluvioTls::Disabled => TlsPolicy::Disabled,
        FluvioTls::Anonymous => TlsPolicy::Anonymous,
        FluvioTls::Verified => {
            for (key, path) in [
                ("ca_file", &tls.ca_file),
                ("cert_file", &tls.cert_file),
                ("key_file", &tls.key_file),
            ] {
                if let Err(error) = std::fs::File::open(path) {
                    return Err(PortError::fatal(format!(
                        "`broker.fluvio.tls.{key}` names a file that cannot be read: {path}: {error}"
                    )));
                }
            }
            TlsPolicy::from(TlsPaths {
                domain: tls.domain.clone(),
                key: PathBuf::from(&tls.key_file),
                cert: PathBuf::from(&tls.cert_file),
                ca_cert: PathBuf::from(&tls.ca_file),
            })
        }
    };
    let mut config = FluvioClusterConfig::new(&settings.endpoint).with_tls(policy);
    config.client_id = Some("streamgauge".to_owned());
    Ok(config)
}

fn millis(span: Span) -> Duration {
    Duration::from_millis(span.as_millis())
}

/// The pause before a cluster is asked again for what it did not have ready.
const POLL_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_new_connection_may_mend_is_told_from_what_nothing_mends() {
        let connection = [
            anyhow::Error::from(fluvio_socket::SocketError::SocketClosed),
            std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into(),
            fluvio::FluvioError::SPUNotFound(1).into(),
        ];
        assert!(
            connection.into_iter().all(|error| matches!(Cause::from(error), Cause::Connection(_)))
        );
        let gone = [
            fluvio::FluvioError::TopicNotFound("t".to_owned()).into(),
            ErrorCode::TopicNotFound.into(),
        ];
        assert!(
            gone.into_iter()
                .all(|error: anyhow::Error| matches!(Cause::from(error), Cause::NoTopic))
        );
        assert!(matches!(Cause::from(anyhow::anyhow!("not permitted")), Cause::Other(_)));
    }

    #[test]
    fn the_client_is_of_the_version_that_reports_say() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"fluvio\"\nversion = \"{CLIENT_VERSION}\"\n")));
    }

    #[test]
    fn files_that_cannot_be_read_are_named_before_anything_is_reached() {
        let defaults = crate::config::Layers::default().load().unwrap().settings.broker.fluvio;
        let mut settings = defaults;
        settings.tls.mode = FluvioTls::Verified;
        settings.tls.ca_file = "/no/such.pem".to_owned();
        let error = FluvioBroker::new(settings).unwrap_err();
        assert!(
            error.message.contains("ca_file") && error.message.contains("/no/such.pem"),
            "{error}"
        );
    }
}
