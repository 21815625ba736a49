//! Keeps records that are no readable events in `<events topic>.malformed`, with the reason as the key, and says so in
//! the log at a bounded rate.
//!
//! The aggregator never waits for it: a thread, started with the first such record, makes the topic and writes. What
//! comes faster than the broker takes it is counted and dropped; the run's own counters count every one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use streamgauge_actors::clock::{Nanos, SECOND, SharedClock};
use streamgauge_actors::pipeline::{DeadLetters, DeadLettersFactory, malformed_topic};
use streamgauge_actors::ports::{Broker, EventWriter, PortError, Record, Sent, StampedBy, TopicSpec, WriterRole};
use tracing::warn;

/// Bytes that wait for the writing thread at most.
const WAITING_BYTES: usize = 32 * 1024 * 1024;
/// A longer record is kept up to here: what every broker takes by default, less the key.
const KEPT_BYTES: usize = 900 * 1024;
/// Bytes of a record shown in the log.
const SHOWN_BYTES: usize = 120;
/// What a waiting record takes besides its bytes: an empty one counts, too.
const LETTER_BYTES: usize = 64;
/// How long the end of a run waits for what is still to be written.
const FLUSH_TIMEOUT_NS: Nanos = 5 * SECOND;

struct Letter {
    reason: &'static str,
    payload: Vec<u8>,
}

impl Letter {
    fn bytes(&self) -> usize {
        self.payload.len() + LETTER_BYTES
    }
}

struct Keeper {
    broker: Arc<dyn Broker>,
    clock: SharedClock,
    topic: String,
    replication: u16,
    waiting_bytes: Arc<AtomicUsize>,
    thread: Option<(Sender<Letter>, JoinHandle<()>)>,
    dropped: u64,
    unshown: u64,
    next_shown_ns: Nanos,
}

/// A keeper for each aggregator, writing through `broker`.
pub fn factory(broker: &Arc<dyn Broker>, clock: &SharedClock, replication: u16) -> DeadLettersFactory {
    let (broker, clock) = (Arc::clone(broker), Arc::clone(clock));
    Arc::new(move |events_topic| {
        Box::new(Keeper {
            broker: Arc::clone(&broker),
            clock: Arc::clone(&clock),
            topic: malformed_topic(events_topic),
            replication,
            waiting_bytes: Arc::default(),
            thread: None,
            dropped: 0,
            unshown: 0,
            next_shown_ns: 0,
        })
    })
}

impl DeadLetters for Keeper {
    fn keep(&mut self, record: Record<'_>, reason: &'static str) {
        self.show(&record, reason);
        let kept = &record.payload[..record.payload.len().min(KEPT_BYTES)];
        if self.waiting_bytes.load(Ordering::Relaxed) + kept.len() + LETTER_BYTES > WAITING_BYTES {
            self.dropped += 1;
            return;
        }
        let letter = Letter { reason, payload: kept.to_vec() };
        self.waiting_bytes.fetch_add(letter.bytes(), Ordering::Relaxed);
        let (sender, _) = self.thread.get_or_insert_with(|| {
            start(&self.broker, &self.clock, &self.topic, self.replication, &self.waiting_bytes)
        });
        if sender.send(letter).is_err() {
            self.dropped += 1;
        }
    }
}

impl Keeper {
    /// One line a second at most; the others are counted in the next one.
    fn show(&mut self, record: &Record<'_>, reason: &'static str) {
        let now = self.clock.now();
        if now < self.next_shown_ns {
            self.unshown += 1;
            return;
        }
        self.next_shown_ns = now + SECOND;
        let shown = String::from_utf8_lossy(&record.payload[..record.payload.len().min(SHOWN_BYTES)]);
        warn!(
            reason,
            partition = record.partition,
            offset = record.offset,
            bytes = record.payload.len(),
            unshown = std::mem::take(&mut self.unshown),
            "malformed record: {shown:?}"
        );
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            drop(thread.join());
        }
        if self.dropped > 0 {
            warn!(dropped = self.dropped, topic = self.topic, "malformed records were counted, but not kept");
        }
    }
}

fn start(
    broker: &Arc<dyn Broker>,
    clock: &SharedClock,
    topic: &str,
    replication: u16,
    waiting_bytes: &Arc<AtomicUsize>,
) -> (Sender<Letter>, JoinHandle<()>) {
    let (sender, letters) = channel();
    let (broker, clock, topic) = (Arc::clone(broker), Arc::clone(clock), topic.to_owned());
    let waiting = Arc::clone(waiting_bytes);
    let thread = std::thread::spawn(move || {
        if let Err(error) = write_all(&*broker, &clock, &topic, replication, &letters, &waiting) {
            warn!(topic, %error, "malformed records can not be kept");
            // Leaves the letters to be dropped, so that they stop counting as waiting.
            for letter in letters {
                waiting.fetch_sub(letter.bytes(), Ordering::Relaxed);
            }
        }
    });
    (sender, thread)
}

fn write_all(
    broker: &dyn Broker,
    clock: &SharedClock,
    topic: &str,
    replication: u16,
    letters: &Receiver<Letter>,
    waiting: &AtomicUsize,
) -> Result<(), PortError> {
    let mut admin = broker.admin()?;
    if admin.describe(topic)?.is_none() {
        let spec = TopicSpec {
            name: topic.to_owned(),
            partitions: 1,
            replication,
            stamped_by: StampedBy::Client,
            retention_bytes: None,
        };
        // Another aggregator's keeper may have been quicker.
        if let Err(error) = admin.create(&spec)
            && admin.describe(topic)?.is_none()
        {
            return Err(error);
        }
    }
    let mut writer = broker.writer(topic, WriterRole::Results)?;
    for letter in letters {
        waiting.fetch_sub(letter.bytes(), Ordering::Relaxed);
        while writer.send(0, letter.reason.as_bytes(), &letter.payload, 0)? == Sent::Full {
            acknowledge(&mut *writer, topic)?;
        }
        acknowledge(&mut *writer, topic)?;
    }
    let deadline = clock.now() + FLUSH_TIMEOUT_NS;
    while writer.in_flight() > 0 && clock.now() < deadline {
        acknowledge(&mut *writer, topic)?;
    }
    Ok(())
}

fn acknowledge(writer: &mut dyn EventWriter, topic: &str) -> Result<(), PortError> {
    writer.poll_acks(Duration::from_millis(1), &mut |ack| {
        if ack.delivery != streamgauge_actors::ports::Delivery::Acknowledged {
            warn!(topic, delivery = ?ack.delivery, "a malformed record was not kept");
        }
    })?;
    Ok(())
}
