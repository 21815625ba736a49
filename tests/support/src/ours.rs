//! Our sides of a comparison with a bare client: the ports, and the whole program.

use std::hint::black_box;
use std::time::Duration;

use streamgauge_actors::{Ack, Broker, Delivery, Sent, StampedBy, StartAt, TopicSpec, WriterRole};

use crate::side_by_side::Figures;

/// What is written where no real events are.
pub const PAYLOAD: [u8; 330] = [b'x'; 330];
/// The wait of one look at the client.
pub const BUDGET: Duration = Duration::from_millis(1);
/// Records between two looks at the acknowledgements: about what falls due in a millisecond at full
/// speed.
pub const TURN: u64 = 1000;

/// The topic that all sides use.
pub struct Ours<'a> {
    /// Where the topic lies.
    pub broker: &'a dyn Broker,
    /// Its name.
    pub topic: String,
    /// How many it has, numbered from 0.
    pub partitions: u32,
    /// What names the broker to the program.
    pub address: [&'a str; 2],
    /// Where the built program is.
    pub program: &'a str,
}

impl Ours<'_> {
    /// Creates the topic.
    pub fn create(&self) {
        let spec = TopicSpec {
            name: self.topic.clone(),
            partitions: self.partitions,
            replication: 1,
            stamped_by: StampedBy::Client,
            retention_bytes: None,
        };
        self.broker.admin().expect("admin").create(&spec).expect("a topic");
    }

    /// Deletes the topic.
    pub fn delete(&self) {
        self.broker.admin().expect("admin").delete(&self.topic).expect("deletion");
    }

    /// Writes so many records through the port.
    pub fn produce(&self, records: u64) {
        let mut writer = self.broker.writer(&self.topic, WriterRole::Events).expect("a writer");
        let mut acknowledged = 0;
        let mut visit = |ack: Ack| {
            assert_eq!(ack.delivery, Delivery::Acknowledged);
            acknowledged += 1;
        };
        for n in 0..records {
            let partition = (n % u64::from(self.partitions)) as u32;
            while writer.send(partition, b"", &PAYLOAD, n).expect("a queue") == Sent::Full {
                writer.poll_acks(BUDGET, &mut visit).expect("a broker");
            }
            if n % TURN == 0 {
                writer.poll_acks(Duration::ZERO, &mut visit).expect("a broker");
            }
        }
        while writer.in_flight() > 0 {
            writer.poll_acks(BUDGET, &mut visit).expect("a broker");
        }
        assert_eq!(acknowledged, records);
    }

    /// Reads so many records through the port.
    pub fn drain(&self, records: u64) {
        let start: Vec<_> =
            (0..self.partitions).map(|partition| (partition, StartAt::Earliest)).collect();
        let mut reader = self.broker.reader(&self.topic, &start).expect("a reader");
        let (mut bytes, mut read) = (0, 0);
        while read < records {
            read += reader
                .poll(BUDGET, 4096, &mut |record| bytes += record.payload.len())
                .expect("records") as u64;
        }
        black_box(bytes);
    }

    /// Writes about so many real events with the program, at a rate that leaves no doubt that all
    /// of them fall due.
    pub fn write_events(&self, records: u64, most_per_second: u64) {
        let seconds = records.div_ceil(most_per_second);
        let (rate, duration) = ((records / seconds).to_string(), format!("{seconds}s"));
        self.run("produce", &["--arrivals", "uniform", "--rate", &rate, "--duration", &duration]);
    }

    /// The program writing real events as fast as it may.
    pub fn program_produces(&self) -> Figures {
        let report =
            self.run("produce", &["--arrivals", "max", "--producers", "1", "--duration", "4s"]);
        Figures::of(&report, &report["throughput"]["produced_per_second"])
    }

    /// The program aggregating all that is in the topic.
    pub fn program_drains(&self) -> Figures {
        let report = self.run("aggregate", &["--from", "earliest", "--until-idle", "2s"]);
        Figures::of(&report, &report["drain"]["per_second"])
    }

    /// Runs the program's `command` on the bench's topic, with windows of a second; gives its
    /// report.
    fn run(&self, command: &str, arguments: &[&str]) -> serde_json::Value {
        let output = std::process::Command::new(self.program)
            .arg(command)
            .args(self.address)
            .args(["--events-topic", &self.topic, "--window", "1s", "-o", "json", "-q"])
            .args(if command == "produce" { &["--warmup", "0s"][..] } else { &[] })
            .args(arguments)
            .output()
            .expect("the program runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        // Whether it was late, or kept up, is not what a bench asks.
        let is_right = [0, 5, 99].map(serde_json::Value::from).contains(&report["exit_code"]);
        assert!(is_right, "{}", report["reasons"]);
        report
    }
}
