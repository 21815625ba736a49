//! The program in a folder of its own, on the tests' Kafka, with topics of its own; and a writer
//! and a reader that are not the program's.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;
use streamgauge_actors::{Broker as _, StampedBy, StartAt, TimestampKind, TopicAdmin, TopicSpec};
use tempfile::TempDir;

use streamgauge_support::kafka::{self, ProxiedKafka};

/// The program, and the topics it may use. Topics made through it, and what the program made of
/// them, go with it.
pub(crate) struct Lab {
    folder: TempDir,
    /// Where the program finds the Kafka.
    servers: String,
    /// Where this does.
    direct: &'static str,
    pub prefix: String,
    admin: Box<dyn TopicAdmin>,
}

/// A record as another program reads it.
pub(crate) struct Found {
    pub key: String,
    pub payload: Vec<u8>,
    pub timestamp_kind: TimestampKind,
}

impl Lab {
    /// `None` without a Kafka; the test is then skipped.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let servers = kafka::bootstrap_servers()?;
        Some(Self::at(name, servers, servers))
    }

    /// The same behind a proxy; what the test itself reads and writes does not pass it.
    pub(crate) fn proxied(name: &str) -> Option<(Self, ProxiedKafka)> {
        let kafka = kafka::proxied()?;
        Some((Self::at(name, &kafka.proxy.address(), kafka.servers), kafka))
    }

    fn at(name: &str, servers: &str, direct: &'static str) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            servers: servers.to_owned(),
            prefix: format!("cli-{name}-{}", std::process::id()),
            admin: kafka::broker_with(&kafka::settings_at(direct)).admin().unwrap(),
            direct,
        }
    }

    /// The same Kafka's address, by another name.
    pub(crate) fn other_address(&self) -> String {
        self.servers.replace("127.0.0.1", "localhost")
    }

    /// Where the program works.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A topic that somebody else made; its name begins with the prefix.
    pub(crate) fn topic(&mut self, name: &str, partitions: u32, stamped_by: StampedBy) -> String {
        let name = format!("{}.{name}", self.prefix);
        let spec = TopicSpec {
            name: name.clone(),
            partitions,
            replication: 1,
            stamped_by,
            retention_bytes: None,
        };
        self.admin.create(&spec).unwrap();
        name
    }

    pub(crate) fn admin(&mut self) -> &mut dyn TopicAdmin {
        &mut *self.admin
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_at(&self.servers, arguments)
    }

    /// The program, at another address of the same Kafka.
    pub(crate) fn command_at(&self, servers: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
        command
            .env_clear()
            .env("XDG_STATE_HOME", self.folder.path())
            .env("STREAMGAUGE__TOPICS__PREFIX", &self.prefix)
            // A verdict must not depend on how busy the machine is.
            .env("STREAMGAUGE__WORKLOAD__SEND_DELAY_LIMIT", "1h")
            // Nor does it take five seconds.
            .env("STREAMGAUGE__WORKLOAD__LEAST_JUDGED", "0s")
            .current_dir(self.folder.path())
            .args(arguments)
            .args(["--bootstrap-servers", servers]);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts the program and does not wait for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The exit code, and the JSON report or list.
    #[track_caller]
    pub(crate) fn report(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        let report = serde_json::from_slice(&output.stdout);
        (
            output.status.code(),
            report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))),
        )
    }

    /// The same of a call that has to succeed.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let (code, report) = self.report(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {report}");
        report
    }

    /// The names that the program lists as its own.
    pub(crate) fn names(&self) -> Vec<String> {
        let rows = self.json(&["topics", "list"]);
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["topic"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Settings for a client that is not the program's.
    pub(crate) fn foreign_client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.direct);
        config
    }

    /// Another program's writer: some records with keys and headers, in compressed batches.
    pub(crate) fn write<'a>(
        &self,
        topic: &str,
        compression: &str,
        records: impl IntoIterator<Item = (i32, Option<&'a [u8]>)>,
    ) {
        let mut config = self.foreign_client();
        config
            .set("compression.type", compression)
            .set("message.max.bytes", "20000000")
            .set("linger.ms", "5");
        let producer: BaseProducer = config.create().unwrap();
        for (i, (partition, payload)) in records.into_iter().enumerate() {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
            if let Some(payload) = payload {
                record = record.payload(payload);
            }
            if i % 3 == 0 {
                let headers =
                    OwnedHeaders::new().insert(Header { key: "trace", value: Some("00-ab") });
                record = record.key(b"user-7").headers(headers);
            }
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(20)).unwrap();
    }

    /// All records of a topic.
    pub(crate) fn read(&mut self, topic: &str) -> Vec<Found> {
        let partitions = self
            .admin
            .describe(topic)
            .unwrap()
            .unwrap_or_else(|| panic!("no topic {topic}"))
            .partitions;
        let start: Vec<_> =
            (0..partitions.len() as u32).map(|partition| (partition, StartAt::Earliest)).collect();
        let broker = kafka::broker_with(&kafka::settings_at(self.direct));
        let mut reader = broker.reader(topic, &start).unwrap();
        let mut found = Vec::new();
        while reader.lag() > 0 {
            let visit = &mut |record: streamgauge_actors::Record<'_>| {
                found.push(Found {
                    key: String::from_utf8(record.key.to_vec()).unwrap(),
                    payload: record.payload.to_vec(),
                    timestamp_kind: record.timestamp_kind,
                });
            };
            reader.poll(Duration::from_millis(10), 10_000, visit).unwrap();
        }
        found
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let Ok(names) = self.admin.list() else { return };
        let own = format!("{}.", self.prefix);
        for name in names.iter().filter(|name| name.starts_with(&own)) {
            drop(self.admin.delete(name));
        }
    }
}
