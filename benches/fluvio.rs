//! What the Fluvio ports cost against the client used bare: same settings, same process, in turns.
//!
//! ```text
//! export STREAMGAUGE_TEST_FLUVIO=host:port
//! cargo bench --bench fluvio -- produce [--records N] [--rounds N] [--partitions N]
//! cargo bench --bench fluvio -- drain   [--records N] [--rounds N] [--partitions N]
//! ```
//!
//! Both put the whole program beside them, as `benches/kafka.rs` does. The bare loops are those of
//! the client's own documentation: `send`, then `wait` with a bounded number of records under way;
//! a stream of records, partition by partition. What the bare streams leave out where a fetch ends
//! in the middle of a batch is printed.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fluvio::consumer::{ConsumerConfigExt, RetryMode};
use fluvio::{
    DeliverySemantic, Fluvio, FluvioClusterConfig, Isolation, Offset, Partitioner,
    PartitionerConfig, RecordKey, RetryPolicy, TopicProducerConfigBuilder,
};
use fluvio_future::task::run_block_on;
use futures_util::StreamExt as _;
use streamgauge::broker::fluvio::{FluvioBroker, FluvioSection};
use streamgauge_actors::Broker as _;

use streamgauge_support::ours::{Ours, PAYLOAD};
use streamgauge_support::side_by_side::{Side, compare};

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let option = |name: &str, default: u64| {
        let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
        value.map_or(default, |value| value.parse().expect("a number"))
    };
    let command = arguments.first().map(String::as_str);
    if !matches!(command, Some("produce" | "drain")) {
        println!(
            "usage: cargo bench --bench fluvio -- produce|drain [--records N] [--rounds N] \
             [--partitions N]"
        );
        return;
    }
    let Some(settings) = streamgauge_support::fluvio::settings() else { return };
    let bench = Bench {
        broker: FluvioBroker::new(settings.clone()).expect("valid settings"),
        settings,
        topics: Cell::new(0),
        partitions: option("--partitions", 2) as u32,
    };
    println!("broker: {:?}", bench.broker.describe().expect("a broker"));
    match command {
        Some("produce") => bench.produce(option("--records", 400_000), option("--rounds", 5)),
        _ => bench.drain(option("--records", 400_000), option("--rounds", 5)),
    }
}

struct Bench {
    settings: FluvioSection,
    broker: FluvioBroker,
    /// Topics used before.
    topics: Cell<u32>,
    partitions: u32,
}

/// Every record to the next partition.
struct InTurn(AtomicU32);

impl Partitioner for InTurn {
    fn partition(&self, config: &PartitionerConfig, _key: Option<&[u8]>, _value: &[u8]) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) % config.partition_count
    }
}

impl Bench {
    fn topic(&self) -> String {
        format!("streamgauge-bench-{}-{}", std::process::id(), self.topics.get())
    }

    fn ours(&self) -> Ours<'_> {
        Ours {
            broker: &self.broker,
            topic: self.topic(),
            partitions: self.partitions,
            address: ["--fluvio-endpoint", &self.settings.endpoint],
            program: env!("CARGO_BIN_EXE_streamgauge"),
        }
    }

    /// (A topic made anew under a name that was just deleted may lose its leader: seen in 0.18.2.)
    fn delete(&self) {
        self.ours().delete();
        self.topics.set(self.topics.get() + 1);
    }

    fn produce(&self, records: u64, rounds: u64) {
        self.ours().create();
        self.ours().produce(records / 4);
        let sides = vec![
            Side::new("bare client", |records| self.produce_bare(records)),
            Side::new("port", |records| self.ours().produce(records)),
            Side::program("streamgauge", || self.ours().program_produces()),
        ];
        compare(sides, records, rounds, || {
            // Nothing can be deleted from a topic here.
            self.delete();
            self.ours().create();
        });
        self.delete();
    }

    fn drain(&self, records: u64, rounds: u64) {
        self.ours().create();
        self.ours().write_events(records, 40_000);
        let topic = self
            .broker
            .admin()
            .expect("admin")
            .describe(&self.topic())
            .expect("a broker")
            .expect("made above");
        let ends: Vec<u64> = topic.partitions.iter().map(|range| range.end).collect();
        let records = ends.iter().sum();
        let sides = vec![
            Side::new("bare client", |_| self.drain_bare(&ends)),
            Side::new("port", |records| self.ours().drain(records)),
            Side::program("streamgauge", || self.ours().program_drains()),
        ];
        compare(sides, records, rounds, || ());
        self.delete();
    }

    /// With the settings that the port uses for events, by default.
    fn produce_bare(&self, records: u64) {
        let once = RetryPolicy {
            max_retries: 0,
            timeout: Duration::from_mins(1),
            ..RetryPolicy::default()
        };
        let config = TopicProducerConfigBuilder::default()
            .batch_size(self.settings.batch_bytes.0 as usize)
            .batch_queue_size(usize::MAX)
            .linger(Duration::from_millis(self.settings.events_linger.as_millis()))
            .partitioner(Arc::new(InTurn(AtomicU32::new(0))))
            .timeout(Duration::from_mins(1))
            .isolation(Isolation::ReadCommitted)
            .delivery_semantic(DeliverySemantic::AtLeastOnce(once))
            .build()
            .expect("a configuration");
        // What the port has in flight, at most.
        let most = (self.settings.queue_bytes.0 as usize / PAYLOAD.len())
            .min(self.settings.queue_records as usize);
        run_block_on(async {
            let producer =
                self.connect().await.topic_producer_with_config(self.topic(), config).await;
            let producer = producer.expect("a producer");
            let mut under_way = VecDeque::new();
            for _ in 0..records {
                if under_way.len() >= most {
                    let output: fluvio::ProduceOutput = under_way.pop_front().expect("not empty");
                    output.wait().await.expect("stored");
                }
                under_way.push_back(
                    producer.send(RecordKey::NULL, &PAYLOAD[..]).await.expect("a queue"),
                );
            }
            for output in under_way {
                output.wait().await.expect("stored");
            }
        });
    }

    async fn connect(&self) -> Fluvio {
        let config = FluvioClusterConfig::new(&self.settings.endpoint);
        Fluvio::connect_with_config(&config).await.expect("a cluster")
    }

    fn drain_bare(&self, ends: &[u64]) {
        let read: u64 = run_block_on(async {
            let fluvio = self.connect().await;
            let (mut read, mut bytes) = (0, 0);
            for (partition, &end) in (0..).zip(ends) {
                let config = ConsumerConfigExt::builder()
                    .topic(self.topic())
                    .partition(partition)
                    .offset_start(Offset::beginning())
                    .isolation(Isolation::ReadCommitted)
                    .retry_mode(RetryMode::Disabled)
                    .build()
                    .expect("a configuration");
                let mut records = fluvio.consumer_with_config(config).await.expect("a consumer");
                while let Some(record) = records.next().await {
                    let record = record.expect("a record");
                    bytes += record.value().len();
                    read += 1;
                    if record.offset() as u64 + 1 >= end {
                        break;
                    }
                }
            }
            black_box(bytes);
            read
        });
        let stored: u64 = ends.iter().sum();
        if read < stored {
            println!("the bare client left out {} of {stored} records", stored - read);
        }
    }
}
