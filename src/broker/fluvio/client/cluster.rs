//! A connection to a cluster, and what its errors mean.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use fluvio::dataplane::link::ErrorCode;
use fluvio::{Fluvio, FluvioClusterConfig};
use streamgauge_actors::{PortError, Span};

use super::tls;
use super::wait::complete;
use crate::broker::deadline::Deadline;
use crate::broker::fluvio::section::FluvioSection;

/// A connection to the cluster's controller, with what every port asks through it.
pub(super) struct Cluster {
    pub(super) fluvio: Fluvio,
    pub(super) settings: FluvioSection,
}

impl Cluster {
    pub(super) fn connect(settings: &FluvioSection) -> Result<Self, PortError> {
        let timeout = millis(settings.connect_timeout);
        match complete(Self::reach(settings.clone()), &Deadline::after(timeout)) {
            None => Err(unreachable(settings, &"no answer")),
            Some(cluster) => cluster,
        }
    }

    /// Connects, for as long as it takes.
    pub(super) async fn reach(settings: FluvioSection) -> Result<Self, PortError> {
        let connector = tls::connector(&settings.tls)?;
        match Fluvio::connect_with_connector(connector, &cluster_config(&settings)).await {
            Ok(fluvio) => Ok(Self { fluvio, settings }),
            Err(error) => Err(unreachable(&settings, &format!("{error:#}"))),
        }
    }

    pub(super) fn connect_deadline(&self) -> Deadline {
        Deadline::after(millis(self.settings.connect_timeout))
    }

    pub(super) fn admin_deadline(&self) -> Deadline {
        Deadline::after(millis(self.settings.admin_timeout))
    }

    /// Waits for the answer to a question about a topic.
    pub(super) fn ask<T, E: Into<Unanswered>>(
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

    pub(super) fn no_answer(&self, topic: &str) -> PortError {
        let endpoint = &self.settings.endpoint;
        PortError::again(format!(
            "the Fluvio cluster at {endpoint} gave no answer about topic `{topic}` in time"
        ))
    }

    pub(super) fn topic_error(&self, action: &str, topic: &str, cause: &Unanswered) -> PortError {
        match cause {
            Unanswered::NoTopic => self.no_such_topic(topic),
            Unanswered::Other(reason) => {
                PortError::fatal(format!("cannot {action} topic `{topic}`: {reason}"))
            }
            Unanswered::Connection(reason) => {
                PortError::reconnect(format!("cannot {action} topic `{topic}`: {reason}"))
            }
        }
    }

    pub(super) fn no_such_topic(&self, topic: &str) -> PortError {
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
pub(super) enum Unanswered {
    NoTopic,
    Connection(String),
    Other(String),
}

impl From<anyhow::Error> for Unanswered {
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

impl From<fluvio_socket::SocketError> for Unanswered {
    fn from(error: fluvio_socket::SocketError) -> Self {
        Self::Connection(error.to_string())
    }
}

fn unreachable(settings: &FluvioSection, reason: &dyn Display) -> PortError {
    PortError::again(format!(
        "no Fluvio controller (SC) answers at {}: is it running, is the port right, and is \
         `broker.fluvio.tls.mode` what \
         it expects? (within {} ms: {reason})",
        settings.endpoint,
        settings.connect_timeout.as_millis()
    ))
}

fn cluster_config(settings: &FluvioSection) -> FluvioClusterConfig {
    let mut config = FluvioClusterConfig::new(&settings.endpoint);
    config.client_id = Some("streamgauge".to_owned());
    config
}

pub(super) fn millis(span: Span) -> Duration {
    Duration::from_millis(span.as_millis())
}

/// The pause before a cluster is asked again for what it did not have ready.
pub(super) const POLL_PAUSE: Duration = Duration::from_millis(20);

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
            connection
                .into_iter()
                .all(|error| matches!(Unanswered::from(error), Unanswered::Connection(_)))
        );
        let gone = [
            fluvio::FluvioError::TopicNotFound("t".to_owned()).into(),
            ErrorCode::TopicNotFound.into(),
        ];
        assert!(
            gone.into_iter()
                .all(|error: anyhow::Error| matches!(Unanswered::from(error), Unanswered::NoTopic))
        );
        assert!(matches!(Unanswered::from(anyhow::anyhow!("not permitted")), Unanswered::Other(_)));
    }
}
