//! What the Kafka ports cost against librdkafka used bare: same settings, same process, in turns.
//!
//! ```text
//! cargo bench --bench kafka -- produce [--records N] [--rounds N] [--partitions N]
//! cargo bench --bench kafka -- drain   [--records N] [--rounds N] [--partitions N]
//! cargo bench --bench kafka -- paced   [--rate N] [--seconds N] [--partitions N]
//! ```
//!
//! `produce` and `drain` put the whole program beside both (`streamgauge produce --arrivals max`
//! with one producer, `streamgauge aggregate --from earliest`: its own figures, from the start of
//! its process). They print records per second and processor seconds per million records of each
//! side, and their ratio; `paced` writes and reads at a fixed rate through the ports, and prints
//! what share of a core that takes. The broker is the one of the integration tests
//! (`STREAMGAUGE_TEST_KAFKA`, or one started for the bench).

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::ffi::CString;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::bindings as raw;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaType;
use streamgauge::broker::kafka::KafkaBroker;
use streamgauge_actors::{
    Broker as _, Clock as _, MILLISECOND, RunClock, SECOND, Sent, StartAt, WriterRole,
};

use streamgauge_support::kafka;
use streamgauge_support::ours::{BUDGET, Ours, PAYLOAD, TURN};
use streamgauge_support::side_by_side::{Side, compare, processor_seconds};

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let option = |name: &str, default: u64| {
        let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
        value.map_or(default, |value| value.parse().expect("a number"))
    };
    let command = arguments.first().map(String::as_str);
    if !matches!(command, Some("produce" | "drain" | "paced")) {
        println!(
            "usage: cargo bench --bench kafka -- produce|drain|paced [--records N] [--rounds N] ..."
        );
        return;
    }
    let Some(broker) = kafka::broker() else { return };
    let bench = Bench {
        address: kafka::bootstrap_servers().expect("found above").to_owned(),
        broker,
        topic: format!("bench-{}", std::process::id()),
        partitions: option("--partitions", 6) as u32,
    };
    println!("broker: {:?}", bench.broker.describe().expect("a broker"));
    match command {
        Some("produce") => bench.produce(option("--records", 2_000_000), option("--rounds", 5)),
        Some("drain") => bench.drain(option("--records", 2_000_000), option("--rounds", 5)),
        _ => bench.paced(option("--rate", 40_000), option("--seconds", 10)),
    }
}

struct Bench {
    address: String,
    broker: KafkaBroker,
    topic: String,
    partitions: u32,
}

impl Bench {
    fn ours(&self) -> Ours<'_> {
        Ours {
            broker: &self.broker,
            topic: self.topic.clone(),
            partitions: self.partitions,
            address: ["--bootstrap-servers", &self.address],
            program: env!("CARGO_BIN_EXE_streamgauge"),
        }
    }

    fn produce(&self, records: u64, rounds: u64) {
        let ours = self.ours();
        ours.create();
        // The first records of a topic and of a JVM are slow.
        ours.produce(records / 4);
        let sides = vec![
            Side::new("BaseProducer", |records| self.produce_base(records)),
            Side::new("raw librdkafka", |records| self.produce_raw(records)),
            Side::new("port", |records| ours.produce(records)),
            Side::program("streamgauge", || ours.program_produces()),
        ];
        compare(sides, records, rounds, || {
            self.broker.admin().expect("admin").truncate(&self.topic).expect("truncation");
        });
        ours.delete();
    }

    fn drain(&self, records: u64, rounds: u64) {
        let ours = self.ours();
        ours.create();
        ours.write_events(records, 200_000);
        let topic = self
            .broker
            .admin()
            .expect("admin")
            .describe(&self.topic)
            .expect("a broker")
            .expect("made above");
        let records = topic.partitions.iter().map(|range| range.end - range.first).sum();
        let sides = vec![
            Side::new("raw librdkafka", |records| self.drain_raw(records)),
            Side::new("port", |records| ours.drain(records)),
            Side::program("streamgauge", || ours.program_drains()),
        ];
        compare(sides, records, rounds, || ());
        ours.delete();
    }

    /// The settings that the port uses for events, by default.
    fn producer_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.address)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.kbytes", "65536")
            .set("queue.buffering.max.messages", "1000000");
        config
    }

    fn produce_base(&self, records: u64) {
        let producer: BaseProducer = self.producer_config().create().expect("a producer");
        for n in 0..records {
            let partition = (n % u64::from(self.partitions)) as i32;
            let mut record =
                BaseRecord::<[u8], [u8]>::to(&self.topic).partition(partition).payload(&PAYLOAD);
            while let Err((error, again)) = producer.send(record) {
                assert!(
                    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                    "{error}"
                );
                producer.poll(BUDGET);
                record = again;
            }
            if n % TURN == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(Duration::from_mins(1)).expect("everything delivered");
    }

    #[allow(unsafe_code, reason = "the bare client to compare with")]
    fn produce_raw(&self, records: u64) {
        static DELIVERED: AtomicU64 = AtomicU64::new(0);
        unsafe extern "C" fn delivered(
            _: *mut raw::rd_kafka_t,
            _: *const raw::rd_kafka_message_t,
            _: *mut std::ffi::c_void,
        ) {
            DELIVERED.fetch_add(1, Ordering::Relaxed);
        }
        DELIVERED.store(0, Ordering::Relaxed);
        let config = self.producer_config();
        let native = config.create_native_config().expect("a configuration");
        let name = CString::new(self.topic.as_str()).expect("no NUL");
        // SAFETY: all pointers are valid for the calls, and the handles outlive the loop.
        unsafe {
            raw::rd_kafka_conf_set_dr_msg_cb(native.ptr(), Some(delivered));
            let client =
                Client::new(&config, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext);
            let client = client.expect("a producer");
            let topic =
                raw::rd_kafka_topic_new(client.native_ptr(), name.as_ptr(), ptr::null_mut());
            for n in 0..records {
                let partition = (n % u64::from(self.partitions)) as i32;
                let payload = PAYLOAD.as_ptr().cast_mut().cast();
                let (copy, null) = (raw::RD_KAFKA_MSG_F_COPY, ptr::null());
                while raw::rd_kafka_produce(
                    topic,
                    partition,
                    copy,
                    payload,
                    PAYLOAD.len(),
                    null,
                    0,
                    ptr::without_provenance_mut(n as usize),
                ) != 0
                {
                    raw::rd_kafka_poll(client.native_ptr(), 1);
                }
                if n % TURN == 0 {
                    raw::rd_kafka_poll(client.native_ptr(), 0);
                }
            }
            while DELIVERED.load(Ordering::Relaxed) < records {
                raw::rd_kafka_poll(client.native_ptr(), 1);
            }
            raw::rd_kafka_topic_destroy(topic);
        }
    }

    #[allow(unsafe_code, reason = "the bare client to compare with")]
    fn drain_raw(&self, records: u64) {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.address)
            .set("enable.auto.commit", "false")
            .set("auto.commit.enable", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.queue.backoff.ms", "2")
            .set("fetch.error.backoff.ms", "100");
        let native = config.create_native_config().expect("a configuration");
        let consumer =
            Client::new(&config, native, RDKafkaType::RD_KAFKA_CONSUMER, DefaultClientContext);
        let consumer = consumer.expect("a consumer");
        let name = CString::new(self.topic.as_str()).expect("no NUL");
        // A first look at the offsets, as the port takes one: it connects, and finds the leaders.
        for partition in 0..self.partitions {
            let patience = Duration::from_secs(10);
            consumer.fetch_watermarks(&self.topic, partition as i32, patience).expect("offsets");
        }
        let mut batch = vec![ptr::null_mut(); 1024];
        let (mut read, mut bytes) = (0, 0);
        // SAFETY: queue and batch are valid for the calls; every message is destroyed once.
        unsafe {
            let topic =
                raw::rd_kafka_topic_new(consumer.native_ptr(), name.as_ptr(), ptr::null_mut());
            let queue = raw::rd_kafka_queue_new(consumer.native_ptr());
            let first = i64::from(raw::RD_KAFKA_OFFSET_BEGINNING);
            for partition in 0..self.partitions {
                raw::rd_kafka_consume_start_queue(topic, partition as i32, first, queue);
            }
            while read < records {
                let taken =
                    raw::rd_kafka_consume_batch_queue(queue, 1, batch.as_mut_ptr(), batch.len());
                for &message in &batch[..usize::try_from(taken).expect("no error")] {
                    if (*message).err == rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
                    {
                        bytes += (*message).len;
                        read += 1;
                    }
                    raw::rd_kafka_message_destroy(message);
                }
            }
            for partition in 0..self.partitions {
                raw::rd_kafka_consume_stop(topic, partition as i32);
            }
            raw::rd_kafka_queue_destroy(queue);
            raw::rd_kafka_topic_destroy(topic);
        }
        black_box(bytes);
    }

    /// Writes on one thread and reads on another at a fixed rate, each turning about every
    /// millisecond.
    fn paced(&self, rate: u64, seconds: u64) {
        self.ours().create();
        let clock = RunClock::start();
        let (start, processor) = (clock.now(), processor_seconds());
        let pace = Pace { clock, start, rate, seconds };
        std::thread::scope(|scope| {
            scope.spawn(|| self.write_paced(&pace));
            scope.spawn(|| self.read_paced(&pace));
        });
        let took = (pace.clock.now() - start) as f64 / SECOND as f64;
        let share = (processor_seconds() - processor) / took;
        println!(
            "{rate} records/s for {took:.1} s, written and read: {:.1} % of a core",
            share * 100.0
        );
        self.ours().delete();
    }

    fn write_paced(&self, pace: &Pace) {
        let Pace { clock, .. } = pace;
        let mut writer = self.broker.writer(&self.topic, WriterRole::Events).expect("a writer");
        let (mut sent, mut turns, mut latest, mut acks) = (0, 0_u64, 0, 0_u64);
        while sent < pace.records() || writer.in_flight() > 0 {
            let due = pace.due_by(clock.now());
            while sent < due {
                let mut payload = PAYLOAD;
                payload[..8].copy_from_slice(&clock.now().to_be_bytes());
                let partition = (sent % u64::from(self.partitions)) as u32;
                let taken =
                    writer.send(partition, b"", &payload, (clock.now() - pace.start) as u64);
                assert_eq!(taken.expect("a queue"), Sent::Ok);
                sent += 1;
            }
            let turn = clock.now();
            let visited = writer.poll_acks(BUDGET, &mut |ack| {
                let sent = pace.start + ack.token as i64;
                if sent > pace.settled() {
                    latest = latest.max(clock.now() - sent);
                }
            });
            acks += visited.expect("a broker") as u64;
            // A turn lasts a millisecond, acknowledgements or not.
            let left = MILLISECOND - (clock.now() - turn);
            if left > 0 {
                std::thread::sleep(Duration::from_nanos(left as u64));
            }
            turns += 1;
        }
        let latest = latest / MILLISECOND;
        println!("writer: {acks} acknowledged in {turns} turns, the slowest after {latest} ms");
    }

    fn read_paced(&self, pace: &Pace) {
        let begin: Vec<_> =
            (0..self.partitions).map(|partition| (partition, StartAt::Earliest)).collect();
        let mut reader = self.broker.reader(&self.topic, &begin).expect("a reader");
        let (mut read, mut turns, mut sum, mut counted) = (0, 0_u64, 0, 0_u64);
        while read < pace.records() {
            let visited = reader.poll(BUDGET, 4096, &mut |record| {
                let sent: [u8; 8] = record.payload[..8].try_into().expect("eight bytes");
                let sent = i64::from_be_bytes(sent);
                if sent > pace.settled() {
                    sum += pace.clock.now() - sent;
                    counted += 1;
                }
            });
            read += visited.expect("records") as u64;
            turns += 1;
        }
        let mean = sum as f64 / counted as f64 / MILLISECOND as f64;
        println!(
            "reader: {read} read in {turns} turns, {mean:.2} ms after they were sent, on average"
        );
    }
}

/// A fixed rate, from a start on.
struct Pace {
    clock: RunClock,
    start: i64,
    rate: u64,
    seconds: u64,
}

impl Pace {
    fn records(&self) -> u64 {
        self.rate * self.seconds
    }

    /// Latencies count in the second half: a JVM's first seconds are slow.
    fn settled(&self) -> i64 {
        self.start + self.seconds as i64 * SECOND / 2
    }

    fn due_by(&self, now: i64) -> u64 {
        ((now - self.start) as u64 * self.rate / SECOND as u64).min(self.records())
    }
}
