//! What Kafka's adapter promises beyond the common contract: clear errors, refusals, and the faults
//! that Kafka has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use streamgauge::broker::kafka::{KafkaBroker, KafkaSection, KafkaSettings};
use streamgauge_actors::{
    Ack, Broker, Clock as _, Delivery, EventReader, EventWriter, KnownLoss, LossKind, PortError,
    Retry, RunClock, SECOND, Sent, Span, StampedBy, StartAt, TopicSpec, WriterRole,
};

const BUDGET: Duration = Duration::from_millis(1);

#[test]
fn an_unreachable_broker_is_an_error_in_time() {
    // A port that was free a moment ago.
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().to_string();
    let connect_timeout = Span::from_nanos(SECOND);
    let settings =
        KafkaSection { connect_timeout, ..streamgauge_support::kafka::settings_at(&address) };
    let broker = streamgauge_support::kafka::broker_with(&settings);
    let clock = RunClock::start();
    let start = clock.now();
    let errors = [
        broker.describe().expect_err("nobody is there"),
        broker.writer("t", WriterRole::Events).err().expect("nobody is there"),
        broker.reader("t", &[(0, StartAt::Earliest)]).err().expect("nobody is there"),
        broker.admin().unwrap().list().expect_err("nobody is there"),
    ];
    // A second each, and what it takes to close each client.
    assert!(clock.now() - start < 12 * SECOND, "{} ms", (clock.now() - start) / 1_000_000);
    for error in errors {
        let expected =
            format!("no broker answers at {address}: is it running, and is the port right?");
        assert!(error.message.starts_with(&expected), "{error}");
        assert_eq!(error.retry, Retry::Again);
    }
}

#[test]
fn properties_that_would_break_a_promise_are_refused() {
    for property in
        ["acks", "enable.idempotence", "isolation.level", "transactional.id", "message.timeout.ms"]
    {
        let error = with_property(property, "1").expect_err("refused");
        assert!(error.message.contains(&format!("`{property}` cannot be set here: ")), "{error}");
        assert_eq!(error.retry, Retry::GiveUp);
    }
    assert!(with_property("no.such.thing", "1").unwrap_err().message.contains("no.such.thing"));
    assert!(with_property("socket.keepalive.enable", "true").is_ok());
}

#[test]
fn secrets_are_redacted_everywhere() {
    for property in
        ["sasl.password", "sasl.jaas.config", "ssl.key.password", "ssl.keystore.password"]
    {
        let section = section_with(property, "hunter2");
        let settings = KafkaSettings::new(&section).unwrap();
        let mut shown = format!("{settings:?}{}", serde_json::to_string(&section).unwrap());
        match KafkaBroker::new(settings) {
            Ok(broker) => write!(shown, "{broker:?}").unwrap(),
            Err(error) => write!(shown, "{error} {error:?}").unwrap(),
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

fn section_with(property: &str, value: &str) -> KafkaSection {
    let properties = BTreeMap::from([(property.to_owned(), value.to_owned())]);
    KafkaSection { properties, ..streamgauge_support::kafka::settings_at("127.0.0.1:9092") }
}

fn with_property(property: &str, value: &str) -> Result<KafkaBroker, PortError> {
    KafkaBroker::new(KafkaSettings::new(&section_with(property, value)).unwrap())
}

#[test]
fn a_broker_says_what_it_is() {
    let Some(broker) = streamgauge_support::kafka::broker() else { return };
    let description = broker.describe().unwrap();
    assert_eq!((description.kind.as_str(), description.log_append_time), ("kafka", true));
    assert!(
        description.version.starts_with(|first: char| first.is_ascii_digit()),
        "{}",
        description.version
    );
}

#[test]
fn a_topic_deleted_under_a_reader_is_named() {
    let Some(topic) = Topic::new("deleted-under-reader") else { return };
    write(topic.writer().as_mut(), 100);
    let mut reader = topic.reader(StartAt::Earliest);
    read(reader.as_mut(), 100);
    topic.delete();
    let error = error_of(reader.as_mut());
    assert!(error.message.contains(&topic.name) && error.message.contains("deleted"), "{error}");
    assert_eq!(error.retry, Retry::GiveUp);
}

#[test]
fn a_topic_deleted_under_a_writer_is_named_and_not_made_again() {
    let Some(topic) = Topic::new("deleted-under-writer") else { return };
    let mut writer = topic.writer();
    write(writer.as_mut(), 100);
    topic.delete();
    let clock = RunClock::start();
    let deadline = clock.now() + 60 * SECOND;
    let (mut sent, mut acknowledged, mut failed) = (0, 0, 0);
    let error = loop {
        assert!(clock.now() < deadline, "no error in 60 s");
        match writer.send(0, b"", b"after", sent) {
            Ok(Sent::Ok) => sent += 1,
            Ok(Sent::Full) => {}
            Err(error) => break error,
        }
        let visited = writer.poll_acks(BUDGET, &mut |ack| match ack.delivery {
            Delivery::Acknowledged => acknowledged += 1,
            Delivery::Rejected(_) | Delivery::Unknown(_) => failed += 1,
        });
        if let Err(error) = visited {
            break error;
        }
    };
    assert!(error.message.contains(&topic.name) && error.message.contains("deleted"), "{error}");
    assert_eq!(error.retry, Retry::GiveUp);
    assert_eq!(acknowledged, 0, "stored where there is no topic?");
    assert!(sent > 0);
    assert_eq!(failed + writer.in_flight(), sent);
    assert_eq!(topic.broker.admin().unwrap().describe(&topic.name).unwrap(), None);
}

#[test]
fn records_that_retention_removed_unread_are_reported() {
    let Some(topic) = Topic::new("removed") else { return };
    let mut writer = topic.writer();
    write(writer.as_mut(), 1000);
    let mut admin = topic.broker.admin().unwrap();
    // Whoever starts at an offset that is gone learns of it at once.
    admin.truncate(&topic.name).unwrap();
    let error = topic
        .broker
        .reader(&topic.name, &[(0, StartAt::Offset(0))])
        .err()
        .expect("offset 0 is gone");
    assert!(error.message.contains("retention removed unread records"), "{error}");
    // And whoever falls behind, too: pausing drops what was fetched ahead.
    let mut reader = topic.reader(StartAt::Earliest);
    write(writer.as_mut(), 10);
    read(reader.as_mut(), 10);
    reader.set_paused(0, true).unwrap();
    write(writer.as_mut(), 1000);
    admin.truncate(&topic.name).unwrap();
    reader.set_paused(0, false).unwrap();
    // Whoever falls behind learns what is lost, and reads on behind it.
    write(writer.as_mut(), 20);
    assert_eq!(read(reader.as_mut(), 20).len(), 20);
    let removed = KnownLoss { partition: 0, first: 1010, records: 1000, kind: LossKind::Removed };
    assert_eq!(losses_of(reader.as_mut()), [removed]);
    assert_eq!(losses_of(reader.as_mut()), [], "it is told once");
    until_lag_ends(reader.as_mut());
}

#[test]
fn a_log_that_ends_before_its_reader_has_lost_what_was_read() {
    let Some(topic) = Topic::new("cut") else { return };
    write(topic.writer().as_mut(), 100);
    let mut reader = topic.reader(StartAt::Earliest);
    read(reader.as_mut(), 100);
    // Nobody cuts a healthy log: a new topic of the same name is as good as one that was cut to
    // nothing.
    topic.delete();
    topic.create();
    let clock = RunClock::start();
    let deadline = clock.now() + 60 * SECOND;
    let losses = loop {
        assert!(clock.now() < deadline, "the reader learns of nothing in 60 s");
        assert_eq!(reader.poll(BUDGET, 10, &mut |_| {}).unwrap(), 0);
        let losses = losses_of(reader.as_mut());
        if !losses.is_empty() {
            break losses;
        }
    };
    assert_eq!(losses, [KnownLoss { partition: 0, first: 0, records: 100, kind: LossKind::Cut }]);
    write(topic.writer().as_mut(), 30);
    assert_eq!(read(reader.as_mut(), 30).len(), 30, "what takes the offsets of lost records");
    until_lag_ends(reader.as_mut());
}

fn losses_of(reader: &mut dyn EventReader) -> Vec<KnownLoss> {
    let mut losses = Vec::new();
    reader.take_losses(&mut |loss| losses.push(loss));
    losses
}

/// A broker that was just started may not know its topics for a moment.
#[test]
fn a_topic_that_seems_to_be_gone_is_asked_for_again() {
    let (cluster, _) = mock();
    let mut settings = streamgauge_support::kafka::settings_at(&cluster.bootstrap_servers());
    let often = ("topic.metadata.refresh.interval.ms".to_owned(), "100".to_owned());
    settings.properties.extend([often]);
    let broker = streamgauge_support::kafka::broker_with(&settings);
    let mut writer = broker.writer("t", WriterRole::Events).unwrap();
    let mut reader = broker.reader("t", &[(0, StartAt::Earliest)]).unwrap();
    write(writer.as_mut(), 10);
    read(reader.as_mut(), 10);
    cluster.topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let clock = RunClock::start();
    let until = clock.now() + 4 * SECOND;
    let (mut sent, mut came) = (0, 0);
    while clock.now() < until {
        sent += u64::from(writer.send(0, b"", b"waits", sent).unwrap() == Sent::Ok);
        writer.poll_acks(BUDGET, &mut expect_acknowledged).unwrap();
        came += reader.poll(BUDGET, 10, &mut |_| {}).unwrap() as u64;
    }
    cluster.topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    settle(writer.as_mut());
    assert_eq!(came + read(reader.as_mut(), (sent - came) as usize).len() as u64, sent);
}

#[test]
fn readers_see_committed_records_only_and_their_lag_ends() {
    let Some(topic) = Topic::new("transactions") else { return };
    let mut reader = topic.reader(StartAt::Earliest);
    let producer: BaseProducer = ClientConfig::new()
        .set(
            "bootstrap.servers",
            streamgauge_support::kafka::bootstrap_servers().expect("found above"),
        )
        .set("transactional.id", &topic.name)
        .create()
        .unwrap();
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).unwrap();
    let transaction = |payload: &'static str, commit: bool| {
        producer.begin_transaction().unwrap();
        for _ in 0..10 {
            producer
                .send(BaseRecord::<(), str>::to(&topic.name).partition(0).payload(payload))
                .unwrap();
        }
        producer.flush(patience).unwrap();
        if commit {
            producer.commit_transaction(patience).unwrap();
        } else {
            producer.abort_transaction(patience).unwrap();
        }
    };
    for _ in 1..=3 {
        transaction("aborted", false);
        transaction("committed", true);
        transaction("aborted", false);
        let read = read(reader.as_mut(), 10);
        assert!(read.iter().all(|payload| payload == b"committed"));
        // Markers and aborted records are no records that somebody could still read.
        until_lag_ends(reader.as_mut());
    }
}

fn until_lag_ends(reader: &mut dyn EventReader) {
    let clock = RunClock::start();
    let deadline = clock.now() + 30 * SECOND;
    while reader.lag() > 0 {
        assert!(clock.now() < deadline, "lag stays at {}", reader.lag());
        assert_eq!(reader.poll(BUDGET, 10, &mut |_| {}).unwrap(), 0);
    }
}

#[test]
fn passing_errors_of_a_broker_are_retried_in_order() {
    let (cluster, broker) = mock();
    let mut writer = broker.writer("t", WriterRole::Events).unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    write(writer.as_mut(), 1000);
    cluster.request_errors(
        RDKafkaApiKey::Fetch,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    let mut reader = broker.reader("t", &[(0, StartAt::Earliest)]).unwrap();
    let read = read(reader.as_mut(), 1000);
    assert!(read.iter().zip(0_u64..).all(|(payload, n)| payload[..] == n.to_be_bytes()));
}

#[test]
fn a_stopped_broker_is_backpressure_and_a_writer_to_it_goes_promptly() {
    let (cluster, _) = mock();
    let settings = streamgauge_support::kafka::settings_at(&cluster.bootstrap_servers());
    let broker =
        streamgauge_support::kafka::broker_with(&KafkaSection { queue_records: 1000, ..settings });
    let mut writer = broker.writer("t", WriterRole::Events).unwrap();
    write(writer.as_mut(), 1);
    cluster.broker_down(1).unwrap();
    let mut sent = 0;
    while writer.send(0, b"", b"waits", sent).unwrap() == Sent::Ok {
        sent += 1;
    }
    assert_eq!((sent, writer.in_flight()), (1000, 1000));
    // Waiting waits, instead of spinning or failing.
    let clock = RunClock::start();
    let start = clock.now();
    for _ in 0..100 {
        assert_eq!(writer.poll_acks(Duration::from_millis(2), &mut |_| {}).unwrap(), 0);
    }
    assert!(clock.now() - start > SECOND / 10);
    let start = clock.now();
    drop(writer);
    assert!(clock.now() - start < 3 * SECOND, "{} ms", (clock.now() - start) / 1_000_000);

    // One that is kept goes on when the broker is back.
    cluster.broker_up(1).unwrap();
    let mut writer = broker.writer("t", WriterRole::Events).unwrap();
    cluster.broker_down(1).unwrap();
    for n in 0..1000 {
        assert_eq!(writer.send(0, b"", b"waits", n).unwrap(), Sent::Ok);
    }
    cluster.broker_up(1).unwrap();
    settle(writer.as_mut());
}

#[test]
fn a_record_too_large_is_refused_by_name_and_the_writer_lives_on() {
    let (_cluster, broker) = mock();
    let mut writer = broker.writer("t", WriterRole::Events).unwrap();
    let error = writer.send(0, b"", &vec![0; 2_000_000], 0).unwrap_err();
    assert!(
        error.message.contains("`t`") && error.message.contains("message.max.bytes"),
        "{error}"
    );
    write(writer.as_mut(), 10);
}

#[test]
fn who_shares_a_client_has_a_full_queue_of_its_own() {
    let (cluster, _) = mock();
    let settings = streamgauge_support::kafka::settings_at(&cluster.bootstrap_servers());
    let settings = KafkaSection { queue_records: 1000, writer_clients: 1, ..settings };
    let broker = streamgauge_support::kafka::broker_with(&settings);
    let mut writers = broker.writers("t", WriterRole::Events, 10).unwrap();
    cluster.broker_down(1).unwrap();
    for writer in &mut writers {
        let mut sent = 0;
        while writer.send(0, b"", b"waits", sent).unwrap() == Sent::Ok {
            sent += 1;
        }
        assert_eq!((sent, writer.in_flight()), (100, 100), "an equal part each");
    }
    cluster.broker_up(1).unwrap();
    // The first takes nobody else's acknowledgements, whoever takes the reports from the client.
    for writer in &mut writers {
        settle(writer.as_mut());
    }
}

/// A simulated cluster of one broker with the topic `t` of one partition, that calls itself Kafka:
/// what writes to it is idempotent.
fn mock() -> (MockCluster<'static, DefaultProducerContext>, KafkaBroker) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let bootstrap_servers =
        crate::support::door::to(&cluster.bootstrap_servers(), crate::support::door::as_kafka);
    let broker = streamgauge_support::kafka::broker_with(&streamgauge_support::kafka::settings_at(
        &bootstrap_servers,
    ));
    (cluster, broker)
}

/// A topic of one partition of a test's own, deleted when the test is over.
struct Topic {
    broker: KafkaBroker,
    name: String,
}

impl Topic {
    fn new(label: &str) -> Option<Self> {
        let broker = streamgauge_support::kafka::broker()?;
        let topic = Self { broker, name: format!("kafka-{label}-{}", std::process::id()) };
        topic.create();
        Some(topic)
    }

    fn create(&self) {
        let spec = TopicSpec {
            name: self.name.clone(),
            partitions: 1,
            replication: 1,
            stamped_by: StampedBy::Log,
            retention_bytes: None,
        };
        self.broker.admin().unwrap().create(&spec).unwrap();
    }

    fn delete(&self) {
        self.broker.admin().unwrap().delete(&self.name).unwrap();
    }

    fn writer(&self) -> Box<dyn EventWriter> {
        self.broker.writer(&self.name, WriterRole::Results).unwrap()
    }

    fn reader(&self, at: StartAt) -> Box<dyn EventReader> {
        self.broker.reader(&self.name, &[(0, at)]).unwrap()
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let _ = self.broker.admin().and_then(|mut admin| admin.delete(&self.name));
    }
}

/// Writes numbered records and waits for the acknowledgements.
fn write(writer: &mut dyn EventWriter, records: u64) {
    for n in 0..records {
        while writer.send(0, b"", &n.to_be_bytes(), n).unwrap() == Sent::Full {
            writer.poll_acks(BUDGET, &mut expect_acknowledged).unwrap();
        }
    }
    settle(writer);
}

fn settle(writer: &mut dyn EventWriter) {
    let clock = RunClock::start();
    let deadline = clock.now() + 60 * SECOND;
    while writer.in_flight() > 0 {
        assert!(
            clock.now() < deadline,
            "{} records are not acknowledged after 60 s",
            writer.in_flight()
        );
        writer.poll_acks(BUDGET, &mut expect_acknowledged).unwrap();
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a visitor's signature")]
fn expect_acknowledged(ack: Ack) {
    assert_eq!(ack.delivery, Delivery::Acknowledged);
}

/// The payloads of exactly so many records.
fn read(reader: &mut dyn EventReader, records: usize) -> Vec<Vec<u8>> {
    let clock = RunClock::start();
    let deadline = clock.now() + 60 * SECOND;
    let mut read = vec![];
    while read.len() < records {
        assert!(clock.now() < deadline, "{} of {records} records in 60 s", read.len());
        reader.poll(BUDGET, records, &mut |record| read.push(record.payload.to_vec())).unwrap();
    }
    assert_eq!(read.len(), records);
    read
}

/// The error that a reader comes to.
fn error_of(reader: &mut dyn EventReader) -> PortError {
    let clock = RunClock::start();
    let deadline = clock.now() + 60 * SECOND;
    loop {
        assert!(clock.now() < deadline, "no error in 60 s");
        if let Err(error) = reader.poll(BUDGET, 1000, &mut |_| {}) {
            return error;
        }
    }
}

#[test]
fn a_groups_offsets_tell_lag_tools_how_far_a_reader_is() {
    let Some(section) = streamgauge_support::kafka::settings() else { return };
    let mut settings = KafkaSettings::new(&section).unwrap();
    let group = format!("lag-tools-{}", std::process::id());
    settings.group = Some(group.clone());
    let broker = KafkaBroker::new(settings.clone()).unwrap();
    let Some(topic) = Topic::new("group") else { return };
    write(topic.writer().as_mut(), 10);
    let mut reader = broker.reader(&topic.name, &[(0, StartAt::Earliest)]).unwrap();
    let tool: rdkafka::consumer::BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.section.bootstrap_servers)
        .set("group.id", &group)
        .create()
        .unwrap();
    let mut asked = rdkafka::TopicPartitionList::new();
    asked.add_partition(&topic.name, 0);
    let clock = RunClock::start();
    let deadline = clock.now() + 30 * SECOND;
    loop {
        for _ in 0..300 {
            reader.poll(BUDGET, 100, &mut |_| {}).unwrap();
        }
        let committed = tool.committed_offsets(asked.clone(), Duration::from_secs(5));
        let offset = committed.ok().and_then(|list| list.elements()[0].offset().to_raw());
        if offset == Some(10) {
            break;
        }
        assert!(clock.now() < deadline, "committed: {offset:?}");
    }
}
