//! What brokers that speak Kafka's protocol lack, each with what that means for a run.

use std::fmt;

use streamgauge_actors::{Capability, Limitation};

/// Something that a broker lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KafkaLack {
    /// `CreateTopics` is not answered.
    CreateTopics,
    /// `DeleteTopics` is not answered.
    DeleteTopics,
    /// `DeleteRecords` is not answered.
    DeleteRecords,
    /// `DeleteRecords` is listed, and not relied on. Tansu 0.6 lists the request, and hangs up on
    /// it; its storage in `SQLite` never answers anybody again.
    ReliableDeleteRecords,
    /// `InitProducerId` is not answered.
    InitProducerId,
    /// `DescribeConfigs` is not answered.
    DescribeConfigs,
    /// Neither `ApiVersions` nor the settings were answered: over TLS or SASL the former is not
    /// asked for.
    Identity,
    /// It is known to be neither Apache Kafka nor Redpanda.
    KnownImplementation {
        /// What it calls its cluster.
        cluster_id: Option<String>,
    },
    /// Redpanda does not show whether it waits for its disk (`rpk redpanda mode development`:
    /// Redpanda's documentation).
    SignOfDeveloperMode,
    /// This topic's records are acknowledged from memory.
    WaitingForDisk {
        /// The topic.
        topic: String,
    },
}

/// Redpanda's topic property that lets a broker acknowledge before the disk has a record.
pub(super) const WRITE_CACHING: &str = "write.caching";

impl KafkaLack {
    fn capability(&self) -> Capability {
        match self {
            Self::CreateTopics => Capability::TopicCreation,
            Self::DeleteTopics => Capability::TopicDeletion,
            Self::DeleteRecords | Self::ReliableDeleteRecords => Capability::RecordDeletion,
            Self::InitProducerId => Capability::IdempotentWriter,
            Self::DescribeConfigs => Capability::SettingDescription,
            Self::Identity | Self::KnownImplementation { .. } => Capability::Identity,
            Self::SignOfDeveloperMode | Self::WaitingForDisk { .. } => Capability::Durability,
        }
    }
}

impl fmt::Display for KafkaLack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateTopics => {
                "no creation of topics (CreateTopics): make them by the broker's own tools, and \
                 name them in `topics.events` and `topics.results`"
            }
            Self::DeleteTopics => "no deletion of topics (DeleteTopics): topics made for runs stay",
            Self::DeleteRecords => {
                "no deletion of records (DeleteRecords): a topic that is kept cannot be emptied, \
                 only deleted"
            }
            Self::ReliableDeleteRecords => {
                "no deletion of records: the broker lists DeleteRecords, but is not asked, since \
                 other implementations have broken over it; a topic that is kept cannot be \
                 emptied, only deleted"
            }
            Self::InitProducerId => {
                "no idempotent producer (InitProducerId): a plain one with acks=all writes \
                 instead, one request at a time; a record whose acknowledgement is lost is stored \
                 twice"
            }
            Self::DescribeConfigs => {
                "no description of settings (DescribeConfigs): who stamps a topic's records is \
                 not known beforehand"
            }
            Self::Identity => {
                "nothing shows what implementation it is (it told neither which requests it \
                 answers nor its settings): taken for Apache Kafka, idempotent producers, \
                 insertion times and all"
            }
            Self::SignOfDeveloperMode => {
                "no sign of developer mode over Kafka's protocol: a broker in that mode never \
                 waits for its disk, and its figures say nothing about one that does"
            }
            Self::KnownImplementation { cluster_id } => {
                let id = cluster_id.as_ref();
                let id = id.map_or_else(String::new, |id| format!(" (cluster id `{id}`)"));
                return write!(
                    f,
                    "no Apache Kafka and no Redpanda{id}: its insertion times and idempotent \
                     producers are not relied on; result_latency ends at the acknowledgement, a \
                     plain producer with acks=all writes, one request at a time, and a record \
                     whose \
                     acknowledgement is lost may be stored twice"
                );
            }
            Self::WaitingForDisk { topic } => {
                return write!(
                    f,
                    "no waiting for the disk: write caching is on for topic `{topic}` (its \
                     property `{WRITE_CACHING}`)"
                );
            }
        })
    }
}

impl From<&KafkaLack> for Limitation {
    fn from(lack: &KafkaLack) -> Self {
        Self { lacks: lack.capability(), sentence: lack.to_string() }
    }
}
