//! Keeps malformed records in `<events topic>.malformed`, so that somebody can look at them.
//!
//! A thread of its own creates the topic at the first such record and writes to it: the aggregators never wait. What
//! does not fit into the queue, or cannot be written, is counted and said so at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use streamgauge_actors::pipeline::{DeadLetters, DeadLettersFactory};
use streamgauge_actors::ports::{
    Broker, Delivery, EventWriter, MAX_BUDGET, PortError, Record, Sent, StampedBy, TopicSpec, WriterRole,
};

use crate::topics::MALFORMED_SUFFIX;

/// Records that may wait; beyond it they are only counted.
const QUEUE: usize = 256;

/// Bytes kept of a record, at most.
const KEPT_BYTES: usize = 64 << 10;

/// How long the last records may take to be written.
const FLUSH_TURNS: u32 = 2_000;

struct Letter {
    reason: &'static str,
    payload: Vec<u8>,
}

/// Makes keepers that write through `broker`. `replication`: replicas of the topics they create.
pub fn factory(broker: Arc<dyn Broker>, replication: u16) -> DeadLettersFactory {
    Arc::new(move |events_topic: &str| {
        let topic = format!("{events_topic}{MALFORMED_SUFFIX}");
        Box::new(TopicDeadLetters::new(Arc::clone(&broker), topic, replication))
    })
}

/// Keeps records in a topic.
struct TopicDeadLetters {
    queue: Option<SyncSender<Letter>>,
    thread: Option<JoinHandle<()>>,
    topic: String,
    broker: Arc<dyn Broker>,
    replication: u16,
    dropped: Arc<AtomicU64>,
}

impl TopicDeadLetters {
    fn new(broker: Arc<dyn Broker>, topic: String, replication: u16) -> Self {
        Self { queue: None, thread: None, topic, broker, replication, dropped: Arc::default() }
    }

    fn start(&mut self) -> Option<&SyncSender<Letter>> {
        if self.queue.is_none() && self.thread.is_none() {
            let (queue, letters) = mpsc::sync_channel(QUEUE);
            let postman = Postman {
                broker: Arc::clone(&self.broker),
                topic: self.topic.clone(),
                replication: self.replication,
                dropped: Arc::clone(&self.dropped),
            };
            let spawned = thread::Builder::new().name("dead-letters".to_owned()).spawn(move || postman.run(&letters));
            self.thread = spawned.ok();
            self.queue = self.thread.is_some().then_some(queue);
        }
        self.queue.as_ref()
    }
}

impl DeadLetters for TopicDeadLetters {
    fn keep(&mut self, record: Record<'_>, reason: &'static str) {
        let payload = record.payload[..record.payload.len().min(KEPT_BYTES)].to_vec();
        let taken = self.start().is_some_and(|queue| queue.try_send(Letter { reason, payload }).is_ok());
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for TopicDeadLetters {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!("{dropped} malformed record(s) were counted but not kept in `{}`", self.topic);
        }
    }
}

struct Postman {
    broker: Arc<dyn Broker>,
    topic: String,
    replication: u16,
    dropped: Arc<AtomicU64>,
}

impl Postman {
    fn run(&self, letters: &Receiver<Letter>) {
        match self.open() {
            Ok(mut writer) => {
                tracing::warn!("malformed records are kept in topic `{}`, each under its reason as key", self.topic);
                if let Err(error) = self.write(writer.as_mut(), letters) {
                    tracing::warn!("malformed records are no longer kept in `{}`: {error}", self.topic);
                }
            }
            Err(error) => tracing::warn!("malformed records are not kept in `{}`: {error}", self.topic),
        }
        // Whatever comes now, until the keeper is dropped, is only counted.
        for _ in letters {
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn open(&self) -> Result<Box<dyn EventWriter>, PortError> {
        let mut admin = self.broker.admin()?;
        if admin.describe(&self.topic)?.is_none() {
            let created = admin.create(&TopicSpec {
                name: self.topic.clone(),
                partitions: 1,
                replication: self.replication,
                stamped_by: StampedBy::Log,
                retention_bytes: None,
            });
            // Another aggregator's keeper may have been faster.
            if let Err(error) = created
                && admin.describe(&self.topic)?.is_none()
            {
                return Err(error);
            }
        }
        self.broker.writer(&self.topic, WriterRole::Results)
    }

    fn write(&self, writer: &mut dyn EventWriter, letters: &Receiver<Letter>) -> Result<(), PortError> {
        loop {
            match letters.recv_timeout(Duration::from_millis(20)) {
                Ok(letter) => {
                    while writer.send(0, letter.reason.as_bytes(), &letter.payload, 0)? == Sent::Full {
                        self.poll(writer)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.poll(writer)?;
        }
        for _ in 0..FLUSH_TURNS {
            if writer.in_flight() == 0 {
                return Ok(());
            }
            self.poll(writer)?;
        }
        self.dropped.fetch_add(writer.in_flight(), Ordering::Relaxed);
        Ok(())
    }

    fn poll(&self, writer: &mut dyn EventWriter) -> Result<(), PortError> {
        writer.poll_acks(MAX_BUDGET, &mut |ack| {
            if ack.delivery != Delivery::Acknowledged {
                self.drop_one();
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use streamgauge_actors::ports::{
        Ack, BrokerDescription, EventReader, StartAt, TimestampKind, TopicAdmin, TopicDescription,
    };

    use super::*;

    /// A broker that takes everything at once, or nothing at all.
    #[derive(Clone, Default)]
    struct Shelf {
        is_broken: bool,
        created: Arc<Mutex<Vec<String>>>,
        kept: Arc<Mutex<Vec<(String, String)>>>,
        unacknowledged: u64,
    }

    impl Broker for Shelf {
        fn describe(&self) -> Result<BrokerDescription, PortError> {
            Err(PortError::fatal("not asked"))
        }
        fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
            if self.is_broken { Err(PortError::fatal("broken")) } else { Ok(Box::new(self.clone())) }
        }
        fn writer(&self, _: &str, _: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
            Ok(Box::new(self.clone()))
        }
        fn reader(&self, _: &str, _: &[(u32, StartAt)]) -> Result<Box<dyn EventReader>, PortError> {
            Err(PortError::fatal("not asked"))
        }
    }

    impl TopicAdmin for Shelf {
        fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError> {
            self.created.lock().unwrap().push(topic.name.clone());
            Ok(())
        }
        fn delete(&mut self, _: &str) -> Result<(), PortError> {
            Err(PortError::fatal("not asked"))
        }
        fn describe(&mut self, _: &str) -> Result<Option<TopicDescription>, PortError> {
            Ok(None)
        }
        fn list(&mut self) -> Result<Vec<String>, PortError> {
            Err(PortError::fatal("not asked"))
        }
        fn truncate(&mut self, _: &str) -> Result<(), PortError> {
            Err(PortError::fatal("not asked"))
        }
    }

    impl EventWriter for Shelf {
        fn send(&mut self, _: u32, key: &[u8], payload: &[u8], _: u64) -> Result<Sent, PortError> {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.kept.lock().unwrap().push((text(key), text(payload)));
            self.unacknowledged += 1;
            Ok(Sent::Ok)
        }
        fn poll_acks(&mut self, _: Duration, visit: &mut dyn FnMut(Ack)) -> Result<usize, PortError> {
            let due = std::mem::take(&mut self.unacknowledged);
            (0..due).for_each(|_| visit(Ack { partition: 0, token: 0, delivery: Delivery::Acknowledged }));
            Ok(due as usize)
        }
        fn in_flight(&self) -> u64 {
            self.unacknowledged
        }
    }

    fn record(payload: &[u8]) -> Record<'_> {
        Record { partition: 0, offset: 0, key: b"", payload, timestamp_ns: 0, timestamp_kind: TimestampKind::None }
    }

    #[test]
    fn records_are_kept_under_their_reason() {
        let shelf = Shelf::default();
        let mut letters = factory(Arc::new(shelf.clone()), 1)("events");
        letters.keep(record(b"{"), "no JSON");
        letters.keep(record(b"[]"), "no object");
        drop(letters);
        assert_eq!(*shelf.created.lock().unwrap(), ["events.malformed"]);
        let kept = [("no JSON", "{"), ("no object", "[]")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(*shelf.kept.lock().unwrap(), kept);
    }

    #[test]
    fn no_record_no_topic() {
        let shelf = Shelf::default();
        drop(factory(Arc::new(shelf.clone()), 1)("events"));
        assert!(shelf.created.lock().unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_kept_is_counted() {
        let shelf = Shelf { is_broken: true, ..Shelf::default() };
        let mut letters = TopicDeadLetters::new(Arc::new(shelf), "events.malformed".to_owned(), 1);
        let dropped = Arc::clone(&letters.dropped);
        (0..2 * QUEUE).for_each(|_| letters.keep(record(b"x"), "no JSON"));
        drop(letters);
        assert_eq!(dropped.load(Ordering::Relaxed), 2 * QUEUE as u64);
    }
}
