//! Keeps records that are no readable events in `<events topic>.malformed`, with the reason as the
//! key, and says so in the log at a bounded rate.
//!
//! A thread, started with the first such record, makes the topic and writes. The aggregator waits
//! for it only while a flood has filled what may wait, and only as long as that shrinks: where the
//! broker takes nothing, records are counted and dropped. The run's own counters count every one.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use streamgauge_actors::{
    Broker, DeadLetters, DeadLettersFactory, Delivery, EventWriter, Nanos, PortError, Record,
    SECOND, Sent, SharedClock, StampedBy, TopicSpec, WriterRole,
};
use tracing::warn;

/// Bytes that wait for the writing thread at most.
const WAITING_BYTES: usize = 8 * 1024 * 1024;
/// A longer record is kept up to here: what every broker takes by default, less the key.
const KEPT_BYTES: usize = 900 * 1024;
/// How long a record waits for room, in a flood.
const ROOM_TIMEOUT_NS: Nanos = 2 * SECOND;
/// How long one wait for acknowledgements may take.
const PATIENCE: Duration = Duration::from_millis(1);
/// How long the end of a run waits for what is still to be written.
const FLUSH_TIMEOUT_NS: Nanos = 5 * SECOND;

struct Letter {
    reason: &'static str,
    payload: Vec<u8>,
}

/// What keeper and thread share.
#[derive(Clone)]
struct Mailing {
    broker: Arc<dyn Broker>,
    clock: SharedClock,
    topic: String,
    replication: u16,
    /// Held while the topic is made, so that one writer makes it and the others find it.
    creating: Arc<Mutex<()>>,
    /// Bytes that wait for the thread.
    waiting_bytes: Arc<AtomicUsize>,
    /// Nothing more will come: the thread is not to wait for the broker for long.
    is_last: Arc<AtomicBool>,
    /// Letters that the thread took and that are kept.
    kept: Arc<AtomicU64>,
}

struct DeadLetterTopic {
    mailing: Mailing,
    thread: Option<(Sender<Letter>, JoinHandle<()>)>,
    /// How long it waited for room in the present period, and when that ends.
    waited_ns: Nanos,
    period_end_ns: Nanos,
    /// All that were to be kept.
    letters: u64,
    dropped: u64,
    unshown: u64,
    next_shown_ns: Nanos,
}

/// A keeper for each aggregator, writing through `broker`.
pub fn factory(
    broker: &Arc<dyn Broker>,
    clock: &SharedClock,
    replication: u16,
) -> DeadLettersFactory {
    let (broker, clock) = (Arc::clone(broker), Arc::clone(clock));
    let creating = Arc::default();
    Arc::new(move |topic| {
        Box::new(DeadLetterTopic {
            mailing: Mailing {
                broker: Arc::clone(&broker),
                clock: Arc::clone(&clock),
                topic: topic.to_owned(),
                replication,
                creating: Arc::clone(&creating),
                waiting_bytes: Arc::default(),
                is_last: Arc::default(),
                kept: Arc::default(),
            },
            thread: None,
            waited_ns: 0,
            period_end_ns: 0,
            letters: 0,
            dropped: 0,
            unshown: 0,
            next_shown_ns: 0,
        })
    })
}

impl DeadLetters for DeadLetterTopic {
    fn keep(&mut self, record: Record<'_>, reason: &'static str) {
        self.show(&record, reason);
        self.letters += 1;
        let letter = Letter {
            reason,
            payload: record.payload[..record.payload.len().min(KEPT_BYTES)].to_vec(),
        };
        if !self.has_room(letter.bytes()) {
            self.dropped += 1;
            return;
        }
        self.mailing.waiting_bytes.fetch_add(letter.bytes(), Ordering::Relaxed);
        let (sender, _) = self.thread.get_or_insert_with(|| {
            let (sender, letters) = channel();
            let mailing = self.mailing.clone();
            (sender, thread::spawn(move || mailing.send_all(&letters)))
        });
        if sender.send(letter).is_err() {
            self.dropped += 1;
        }
    }

    fn finish(&mut self) -> u64 {
        let Mailing { is_last, kept, .. } = &self.mailing;
        if let Some((sender, thread)) = self.thread.take() {
            is_last.store(true, Ordering::Relaxed);
            drop(sender);
            drop(thread.join());
        }
        self.letters - kept.load(Ordering::Relaxed)
    }
}

impl Letter {
    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.payload.len()
    }
}

impl DeadLetterTopic {
    /// Whether `bytes` more may wait. Waits for room, but no more than [`ROOM_TIMEOUT_NS`] in any
    /// period of twice that, so that the aggregator's turns end in time.
    fn has_room(&mut self, bytes: usize) -> bool {
        let Mailing { clock, waiting_bytes, .. } = &self.mailing;
        let has_room = || waiting_bytes.load(Ordering::Relaxed) + bytes <= WAITING_BYTES;
        while !has_room() {
            let now = clock.now();
            if now >= self.period_end_ns {
                self.period_end_ns = now + 2 * ROOM_TIMEOUT_NS;
                self.waited_ns = 0;
            }
            if self.waited_ns >= ROOM_TIMEOUT_NS {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
            self.waited_ns += clock.now() - now;
        }
        true
    }

    /// One line a second at most; the others are counted in the next one.
    fn show(&mut self, record: &Record<'_>, reason: &'static str) {
        let now = self.mailing.clock.now();
        if now < self.next_shown_ns {
            self.unshown += 1;
            return;
        }
        self.next_shown_ns = now + SECOND;
        let shown = record.beginning();
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

impl Drop for DeadLetterTopic {
    fn drop(&mut self) {
        self.finish();
        if self.dropped > 0 {
            let topic = &self.mailing.topic;
            warn!(dropped = self.dropped, topic, "malformed records were counted, but not kept");
        }
    }
}

/// The thread's part.
impl Mailing {
    fn send_all(&self, letters: &Receiver<Letter>) {
        if let Err(error) = self.try_send_all(letters) {
            warn!(topic = self.topic, %error, "malformed records can not be kept");
            // Leaves the letters to be dropped, so that they stop counting as waiting.
            for letter in letters {
                self.no_longer_waits(&letter);
            }
        }
    }

    fn try_send_all(&self, letters: &Receiver<Letter>) -> Result<(), PortError> {
        self.make_topic()?;
        let mut writer = self.broker.writer(&self.topic, WriterRole::Results)?;
        let mut progress_ns = self.clock.now();
        for letter in letters {
            self.no_longer_waits(&letter);
            while writer.send(0, letter.reason.as_bytes(), &letter.payload, 0)? == Sent::Full {
                if self.acknowledge(&mut *writer, PATIENCE)? {
                    progress_ns = self.clock.now();
                } else if self.is_last.load(Ordering::Relaxed)
                    && self.clock.now() > progress_ns + FLUSH_TIMEOUT_NS
                {
                    return Err(PortError::again("the broker takes no more of them"));
                }
            }
            self.acknowledge(&mut *writer, Duration::ZERO)?;
        }
        let deadline = self.clock.now() + FLUSH_TIMEOUT_NS;
        while writer.in_flight() > 0 && self.clock.now() < deadline {
            self.acknowledge(&mut *writer, PATIENCE)?;
        }
        match writer.in_flight() {
            0 => Ok(()),
            left => Err(PortError::again(format!("{left} of them were not acknowledged in time"))),
        }
    }

    fn make_topic(&self) -> Result<(), PortError> {
        let _creating = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let mut admin = self.broker.admin()?;
        if admin.describe(&self.topic)?.is_some() {
            return Ok(());
        }
        let spec = TopicSpec {
            name: self.topic.clone(),
            partitions: 1,
            replication: self.replication,
            stamped_by: StampedBy::Client,
            retention_bytes: None,
        };
        match admin.create(&spec) {
            // Another process may have been quicker.
            Err(error) if admin.describe(&self.topic)?.is_none() => Err(error),
            _ => Ok(()),
        }
    }

    fn no_longer_waits(&self, letter: &Letter) {
        self.waiting_bytes.fetch_sub(letter.bytes(), Ordering::Relaxed);
    }

    /// Whether any acknowledgement came.
    fn acknowledge(
        &self,
        writer: &mut dyn EventWriter,
        budget: Duration,
    ) -> Result<bool, PortError> {
        let came = writer.poll_acks(budget, &mut |ack| {
            if ack.delivery == Delivery::Acknowledged {
                self.kept.fetch_add(1, Ordering::Relaxed);
            } else {
                warn!(topic = self.topic, delivery = ?ack.delivery, "a malformed record was not \
                                                                     kept");
            }
        })?;
        Ok(came > 0)
    }
}
