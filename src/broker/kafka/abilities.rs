//! What a broker that speaks Kafka's protocol can do, and what a run must do without on it.
//!
//! Told without touching anything: by the requests that it says it answers, by its cluster's id,
//! and by the names of its settings. What none of these tells, `doctor` finds out by writing and
//! reading a topic of its own.

use super::api_versions::ApiVersions;
use super::lack::KafkaLack;
use super::version::release;

/// What results get from an idempotent writer that can be relied on, and from any other. (Results
/// are deterministic.)
const EFFECTIVELY_ONCE: &str = "effectively once";
const AT_LEAST_ONCE: &str = "at least once";

/// The keys of requests in Kafka's protocol.
const CREATE_TOPICS: u16 = 19;
const DELETE_TOPICS: u16 = 20;
const DELETE_RECORDS: u16 = 21;
const INIT_PRODUCER_ID: u16 = 22;
pub(super) const DESCRIBE_CONFIGS: u16 = 32;

/// Requests that the program can do without, each with what is lacking where it is not answered.
const OPTIONAL: [(u16, KafkaLack); 5] = [
    (CREATE_TOPICS, KafkaLack::CreateTopics),
    (DELETE_TOPICS, KafkaLack::DeleteTopics),
    (DELETE_RECORDS, KafkaLack::DeleteRecords),
    (INIT_PRODUCER_ID, KafkaLack::InitProducerId),
    (DESCRIBE_CONFIGS, KafkaLack::DescribeConfigs),
];

/// Requests that no run can do without.
const NEEDED: [(u16, &str); 4] =
    [(0, "Produce"), (1, "Fetch"), (2, "ListOffsets"), (3, "Metadata")];

/// What wrote the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Apache Kafka, or what cannot be told from it.
    Kafka,
    Redpanda,
    /// Another program that speaks its protocol.
    Other,
}

/// What was seen of a broker.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The cluster's id. Redpanda's own ones begin with `redpanda.`, but can be replaced.
    pub(super) cluster_id: Option<String>,
    /// What it offers; `None`: it was not asked (the listener is encrypted), or did not answer.
    pub(super) offered: Option<ApiVersions>,
    /// The names of the broker's own settings; `None`: they were not asked for, or may not be seen.
    pub(super) broker_settings: Option<Vec<String>>,
    /// The names of some topic's properties; `None`: there was none, or they may not be seen.
    pub(super) topic_properties: Option<Vec<String>>,
}

/// What Redpanda calls its clusters and its own topic properties.
const REDPANDA: &str = "redpanda.";

impl Evidence {
    /// Whether what is known at first is not enough to tell what wrote the broker.
    pub(super) fn is_open(&self) -> bool {
        let releases =
            self.offered.as_ref().is_some_and(|offered| offered.metadata_version.is_some());
        !releases && !self.has_redpandas_id()
    }

    /// Whether it says that it answers this request, or was not asked.
    pub(super) fn may_answer(&self, key: u16) -> bool {
        self.offered.as_ref().is_none_or(|offered| offered.keys.contains(&key))
    }

    fn has_redpandas_id(&self) -> bool {
        self.cluster_id.as_ref().is_some_and(|id| id.starts_with(REDPANDA))
    }

    fn kind(&self) -> Kind {
        let any = |names: &Option<Vec<String>>, is: &dyn Fn(&str) -> bool| {
            names.as_ref().is_some_and(|names| names.iter().any(|name| is(name)))
        };
        if self.has_redpandas_id()
            || any(&self.topic_properties, &|name| name.starts_with(REDPANDA))
        {
            return Kind::Redpanda;
        }
        let shown = self.broker_settings.is_some() || !self.may_answer(DESCRIBE_CONFIGS);
        if shown && self.is_doubtful() { Kind::Other } else { Kind::Kafka }
    }

    /// Whether nothing shows that it is Apache Kafka.
    fn is_doubtful(&self) -> bool {
        // Kafka before KRaft knows no `metadata.version`, but has this setting.
        let stamps =
            |names: &Vec<String>| names.iter().any(|name| name == "log.message.timestamp.type");
        self.is_open() && !self.broker_settings.as_ref().is_some_and(stamps)
    }
}

/// What a broker can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) kind: Kind,
    /// What the cluster calls itself; `None`: it does not say.
    pub(super) cluster_id: Option<String>,
    /// `None`: it does not say.
    pub(super) version: Option<String>,
    /// Whether it takes an idempotent producer. Without that, librdkafka's would wait for one for
    /// ever.
    pub(super) idempotent: bool,
    /// Whether a topic's records can be deleted.
    pub(super) deletes_records: bool,
    pub(super) lacks: Vec<KafkaLack>,
}

impl Abilities {
    /// What the evidence says.
    ///
    /// # Errors
    /// The names of the requests that no run can do without, where it does not answer some.
    pub(super) fn of(evidence: &Evidence) -> Result<Self, String> {
        let kind = evidence.kind();
        let mut lacking = Vec::new();
        let mut idempotent = kind != Kind::Other;
        let mut version = None;
        if let Some(offered) = &evidence.offered {
            let lacks = |key: u16| !evidence.may_answer(key);
            let missing: Vec<&str> =
                NEEDED.iter().filter(|(key, _)| lacks(*key)).map(|(_, name)| *name).collect();
            if !missing.is_empty() {
                return Err(missing.join(", "));
            }
            lacking
                .extend(OPTIONAL.into_iter().filter(|(key, _)| lacks(*key)).map(|(_, lack)| lack));
            // One that nothing is known of may list the request, and break over what follows: Tansu
            // 0.6 on SQLite.
            idempotent = !lacks(INIT_PRODUCER_ID) && kind != Kind::Other;
            version = offered.metadata_version.map(release);
        }
        let mut deletes_records = evidence.may_answer(DELETE_RECORDS);
        match kind {
            Kind::Kafka if evidence.is_doubtful() => lacking.push(KafkaLack::Identity),
            Kind::Kafka => {}
            Kind::Redpanda => lacking.push(KafkaLack::SignOfDeveloperMode),
            Kind::Other => {
                if std::mem::take(&mut deletes_records) {
                    lacking.push(KafkaLack::ReliableDeleteRecords);
                }
                let cluster_id = evidence.cluster_id.clone();
                lacking.push(KafkaLack::KnownImplementation { cluster_id });
            }
        }
        let cluster_id = evidence.cluster_id.clone();
        Ok(Self { kind, cluster_id, version, idempotent, deletes_records, lacks: lacking })
    }

    /// The name in reports.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Kafka | Kind::Other => "kafka",
            Kind::Redpanda => "redpanda",
        }
    }

    /// The delivery guarantee of results.
    pub(super) fn guarantee(&self) -> &'static str {
        if self.idempotent { EFFECTIVELY_ONCE } else { AT_LEAST_ONCE }
    }

    /// Whether a topic's log stamps its records when asked to. Where nothing vouches for that,
    /// latencies end at the acknowledgement instead.
    pub(super) fn log_append_time(&self) -> bool {
        self.kind != Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(keys: impl IntoIterator<Item = u16>, metadata_version: Option<u16>) -> Evidence {
        let offered = ApiVersions { keys: keys.into_iter().collect(), metadata_version };
        Evidence { offered: Some(offered), ..Evidence::default() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn kafka_that_offers_everything_has_no_limitation() {
        let kafka = Abilities::of(&offers(0..=68, Some(27))).unwrap();
        assert_eq!(
            (kafka.name(), kafka.version.as_deref(), kafka.guarantee()),
            ("kafka", Some("4.1"), "effectively once")
        );
        assert!(kafka.log_append_time() && kafka.lacks.is_empty(), "{kafka:?}");
    }

    #[test]
    fn what_cannot_be_asked_is_taken_for_kafka_and_said() {
        let kafka = Abilities::of(&Evidence::default()).unwrap();
        assert_eq!(
            (kafka.kind, kafka.version.as_deref(), kafka.idempotent),
            (Kind::Kafka, None, true)
        );
        assert_eq!(kafka.lacks, [KafkaLack::Identity]);
        // Settings that may not be seen are no sign of anything.
        assert_eq!(Abilities::of(&offers(0..=68, None)).unwrap().kind, Kind::Kafka);
    }

    #[test]
    fn kafka_before_kraft_is_told_by_its_settings() {
        let evidence = Evidence {
            broker_settings: Some(names(&["log.dirs", "log.message.timestamp.type"])),
            ..offers(0..=60, None)
        };
        let kafka = Abilities::of(&evidence).unwrap();
        assert!(kafka.kind == Kind::Kafka && kafka.lacks.is_empty(), "{kafka:?}");
    }

    #[test]
    fn redpanda_is_told_by_its_id_or_by_its_topics() {
        let by_id = Evidence { cluster_id: Some("redpanda.7c0e".into()), ..offers(0..=60, None) };
        let by_topic = Evidence {
            cluster_id: Some("mine".into()),
            broker_settings: Some(names(&["log.dirs"])),
            topic_properties: Some(names(&["cleanup.policy", "redpanda.remote.read"])),
            ..offers(0..=60, None)
        };
        for evidence in [by_id, by_topic] {
            let redpanda = Abilities::of(&evidence).unwrap();
            assert_eq!((redpanda.name(), redpanda.guarantee()), ("redpanda", "effectively once"));
            assert!(
                redpanda.log_append_time() && redpanda.lacks == [KafkaLack::SignOfDeveloperMode],
                "{redpanda:?}"
            );
        }
    }

    #[test]
    fn another_implementation_is_trusted_with_nothing_it_cannot_show() {
        let evidence = Evidence {
            cluster_id: Some("tansu_cluster".into()),
            broker_settings: Some(names(&[])),
            topic_properties: Some(names(&["cleanup.policy"])),
            ..offers(0..=60, None)
        };
        let other = Abilities::of(&evidence).unwrap();
        assert_eq!(
            (other.name(), other.guarantee(), other.idempotent),
            ("kafka", "at least once", false)
        );
        assert!(
            !other.deletes_records && other.lacks[0] == KafkaLack::ReliableDeleteRecords,
            "{other:?}"
        );
        assert!(
            !other.log_append_time() && other.lacks[1].to_string().contains("`tansu_cluster`"),
            "{other:?}"
        );
    }

    #[test]
    fn every_request_that_is_missing_is_said() {
        for (key, lack) in OPTIONAL {
            let kafka =
                Abilities::of(&offers((0..=68).filter(|&each| each != key), Some(27))).unwrap();
            assert_eq!(kafka.lacks, [lack]);
            let guarantee =
                if key == INIT_PRODUCER_ID { "at least once" } else { "effectively once" };
            assert_eq!(kafka.guarantee(), guarantee);
        }
        for (key, name) in NEEDED {
            assert_eq!(
                Abilities::of(&offers((0..=68).filter(|&each| each != key), None)),
                Err(name.to_owned())
            );
        }
    }
}
