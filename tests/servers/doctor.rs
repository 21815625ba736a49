//! `doctor` on brokers of Kafka's protocol: what it says of a real one, and of one that lacks a
//! request.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::door;
use crate::support::lab::Lab;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::Value;
use streamgauge::broker::kafka::KafkaBroker;
use streamgauge_actors::{
    Broker as _, Capability, Clock as _, Delivery, Retry, RunClock, SECOND, Sent, StartAt,
    WriterRole,
};

/// Keys of requests in Kafka's protocol.
const INIT_PRODUCER_ID: u16 = 22;
const FETCH: u16 = 1;

fn health<'a>(findings: &'a Value, check: &str) -> Vec<&'a str> {
    let rows = findings.as_array().unwrap().iter().filter(|row| row["check"] == check);
    rows.map(|row| row["health"].as_str().unwrap()).collect()
}

fn text(findings: &Value, check: &str) -> String {
    let row = findings.as_array().unwrap().iter().find(|row| row["check"] == check).unwrap();
    format!("{} {}", row["found"], row["fix"])
}

#[test]
fn a_fit_cluster_is_tried_and_left_as_it_was() {
    let Some(mut lab) = Lab::new("doctor-fit") else { return };
    let (code, findings) = lab.report(&["doctor"]);
    assert_eq!(code, Some(0), "{findings}");
    let checks = [
        "replicas",
        "disk",
        "writing",
        "reading",
        "reading from the middle",
        "offsets",
        "insertion time",
        "emptying",
    ];
    for check in checks {
        assert_eq!(health(&findings, check), ["ok"], "{check}: {findings}");
    }
    assert_eq!(
        (health(&findings, "kind"), health(&findings, "limitation")),
        (vec![], vec![]),
        "{findings}"
    );
    assert!(lab.names().is_empty());
    let prefix = lab.prefix.clone();
    let left = lab.admin().list().unwrap();
    assert!(!left.iter().any(|name| name.starts_with(&prefix)), "{left:?}");
}

#[test]
fn what_a_cluster_would_refuse_is_named_with_the_fix() {
    let Some(lab) = Lab::new("doctor-unfit") else { return };
    let (code, findings) = lab.report(&[
        "doctor",
        "--set",
        "topics.replication=3",
        "--set",
        "broker.kafka.batch_bytes=2MiB",
    ]);
    assert_eq!(code, Some(1), "{findings}");
    assert_eq!(health(&findings, "replicas"), ["fail"]);
    assert!(text(&findings, "replicas").contains("lower `topics.replication` to 1"), "{findings}");
    assert!(
        text(&findings, "batches").contains("`broker.kafka.batch_bytes` to 1048588"),
        "{findings}"
    );
    assert_eq!(health(&findings, "trial topic"), ["fail"], "{findings}");
}

#[test]
fn kafka_under_the_name_of_redpanda_is_called_kafka() {
    let Some(lab) = Lab::new("doctor-kind") else { return };
    let findings = lab.json(&["doctor", "--broker", "redpanda"]);
    assert_eq!(health(&findings, "kind"), ["warn"], "{findings}");
    assert!(text(&findings, "kind").contains("set `broker.kind` to `kafka`"), "{findings}");
    assert!(text(&findings, "broker").contains("kafka "), "{findings}");
}

#[test]
fn a_broker_of_another_make_is_trusted_with_nothing() {
    let (_cluster, servers) = mock();
    let description = broker(&servers).describe().unwrap();
    assert_eq!((description.kind.as_str(), description.version.as_str()), ("kafka", "unknown"));
    assert_eq!(
        (description.guarantee.as_str(), description.log_append_time),
        ("at least once", false)
    );
    for lacking in
        ["CreateTopics", "DeleteTopics", "DeleteRecords", "DescribeConfigs", "no Apache Kafka"]
    {
        assert!(
            description.limitations.iter().any(|said| said.sentence.contains(lacking)),
            "{lacking}: {description:?}"
        );
    }
    let error = broker(&servers).admin().unwrap().truncate("t").unwrap_err();
    assert!(
        error.message.contains("`t` cannot be emptied") && error.retry == Retry::GiveUp,
        "{error}"
    );
}

#[test]
fn without_idempotent_producers_a_plain_one_writes_and_the_report_says_so() {
    let (cluster, servers) = mock();
    // Whoever asks for an idempotent producer all the same is refused for good.
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 100];
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &refusals);
    let as_kafka = door::to(&servers, door::as_kafka);
    assert_eq!(broker(&as_kafka).describe().unwrap().guarantee, "effectively once");
    let keys = BTreeSet::from([INIT_PRODUCER_ID]);
    let without = move |version, answer: &[u8]| {
        door::without(&door::as_kafka(version, answer), version, &keys)
    };
    let broker = broker(&door::to(&servers, without));
    let description = broker.describe().unwrap();
    assert_eq!(description.guarantee, "at least once");
    let said =
        description.limitations.iter().any(|said| said.lacks == Capability::IdempotentWriter);
    assert!(said, "{description:?}");

    let mut writer = broker.writer("t", WriterRole::Events).unwrap();
    let deadline = deadline();
    for n in 0..1000_u64 {
        assert_eq!(writer.send(0, b"", &n.to_be_bytes(), n).unwrap(), Sent::Ok);
    }
    while writer.in_flight() > 0 {
        writer
            .poll_acks(BUDGET, &mut |ack| assert_eq!(ack.delivery, Delivery::Acknowledged))
            .unwrap();
        assert!(
            RunClock::start().now() < deadline,
            "{} records are not acknowledged",
            writer.in_flight()
        );
    }
    let mut reader = broker.reader("t", &[(0, StartAt::Earliest)]).unwrap();
    let mut read = Vec::new();
    while read.len() < 1000 {
        reader.poll(BUDGET, 1000, &mut |record| read.push(record.payload.to_vec())).unwrap();
        assert!(RunClock::start().now() < deadline, "{} records came", read.len());
    }
    assert!(read.iter().zip(0_u64..).all(|(payload, n)| payload[..] == n.to_be_bytes()));
}

#[test]
fn a_broker_without_what_every_run_needs_is_refused() {
    let (_cluster, servers) = mock();
    let error = broker(&hide(&servers, &[FETCH])).describe().unwrap_err();
    assert!(error.message.contains("Fetch") && error.retry == Retry::GiveUp, "{error}");
}

const BUDGET: Duration = Duration::from_millis(1);

fn deadline() -> i64 {
    RunClock::start().now() + 60 * SECOND
}

fn broker(bootstrap_servers: &str) -> KafkaBroker {
    let settings = streamgauge_support::kafka::settings_at(bootstrap_servers);
    streamgauge_support::kafka::broker_with(&settings)
}

/// A simulated cluster of one broker with the topic `t` of one partition: it knows no topics'
/// administration.
fn mock() -> (MockCluster<'static, DefaultProducerContext>, String) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    (cluster, servers)
}

/// The address of the same broker, whose answer to who asks what it answers lacks these keys.
fn hide(servers: &str, keys: &[u16]) -> String {
    let keys: BTreeSet<u16> = keys.iter().copied().collect();
    door::to(servers, move |version, answer| door::without(answer, version, &keys))
}
