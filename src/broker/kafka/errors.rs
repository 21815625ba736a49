//! What librdkafka's errors mean.

use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use streamgauge_actors::PortError;

/// What a failed call on a topic means.
pub(super) fn topic_error(action: &str, topic: &str, error: &KafkaError) -> PortError {
    let code = error.rdkafka_error_code();
    let detail = match code {
        Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => {
            "the broker does not answer such requests (`streamgauge doctor` says what it lacks)"
                .to_owned()
        }
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    let message = format!("cannot {action} topic `{topic}`: {detail}");
    match code {
        Some(code) if is_transient(code) => PortError::again(message),
        _ => PortError::fatal(message),
    }
}

/// Errors that librdkafka itself goes on trying after.
pub(super) fn is_transient(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::KafkaStorageError
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NotController
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
            | Code::ThrottlingQuotaExceeded
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::Retry
    )
}

/// Errors that say that the topic is not there (any more).
pub(super) fn is_topic_gone(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
    )
}

pub(super) fn code_of(error: RDKafkaRespErr) -> RDKafkaErrorCode {
    error.into()
}
