//! Writes a topic through the client's own producer, which batches by partition.
//!
//! The client waits in a busy loop, holding a lock, where its queue of batches is full: here that queue has no bound of
//! its own, and this writer bounds what is in flight. The client loses the batches of a request that fails, and refuses
//! all that follow: here every record is kept until it is acknowledged. After a failure the producer is given up, and a
//! new one gets all that was not acknowledged, in the same order: nothing is lost, some may be stored twice.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::anyhow;
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::RecordData;
use fluvio::{
    Compression, DeliverySemantic, FluvioError, Isolation, Partitioner, PartitionerConfig, ProduceOutput,
    ProducerError, RecordKey, RecordMetadata, RetryPolicy, TopicProducerConfig, TopicProducerConfigBuilder,
    TopicProducerPool,
};
use streamgauge_actors::clock::{Clock, Nanos, RunClock, SECOND};
use streamgauge_actors::ports::{Ack, Delivery, EventWriter, PortError, Retry, Sent, WriterRole};

use super::wait::{Bell, complete};
use super::{Cluster, millis};
use crate::broker::deadline::Deadline;
use crate::config::{FluvioCompression, FluvioSection, Span};

/// What one request may hold, as the servers take it.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// How long a server may take to store and replicate a batch: the client itself gives up after a minute.
const STORE_TIMEOUT: Duration = Duration::from_mins(1);

/// How often a new producer is tried for.
const RETRY_NS: Nanos = SECOND;

/// How long handing over one record may wait for the client's lock, which is held for moments.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// A writer to one topic: see [`EventWriter`].
pub(super) struct FluvioWriter {
    link: Link,
    settings: FluvioSection,
    role: WriterRole,
    topic: String,
    lanes: Vec<Lane>,
    bell: Arc<Bell>,
    waker: Waker,
    in_flight: u64,
    in_flight_bytes: u64,
    failure: Option<PortError>,
}

/// The way to the cluster.
enum Link {
    Up(Session),
    /// Being made anew; the next attempt begins at this time.
    Down {
        clock: RunClock,
        retry_ns: Nanos,
        attempt: Option<Attempt>,
    },
}

type Attempt = Pin<Box<dyn Future<Output = Result<Session, PortError>> + Send>>;

/// A producer of the client's.
struct Session {
    producer: TopicProducerPool,
    /// Where the next record goes: read by the client's partitioner.
    target: Arc<AtomicU32>,
    /// The connection that the producer's metadata comes through.
    cluster: Cluster,
}

/// The records in flight to one partition, in the order of sending.
#[derive(Default)]
struct Lane {
    records: VecDeque<InFlight>,
    /// How many of them the present producer has; all, but for a while after a failure.
    sent: usize,
    /// The fate of the first of them.
    first: Option<Fate>,
}

struct InFlight {
    token: u64,
    key: RecordData,
    value: RecordData,
    /// From the present producer, until its fate is asked for.
    output: Option<ProduceOutput>,
}

type Fate = Pin<Box<dyn Future<Output = Result<RecordMetadata, FluvioError>> + Send>>;

/// Sends every record where the writer says.
struct Told(Arc<AtomicU32>);

impl Partitioner for Told {
    fn partition(&self, _config: &PartitionerConfig, _key: Option<&[u8]>, _value: &[u8]) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Session {
    async fn open(cluster: Cluster, topic: &str, role: WriterRole) -> Result<Self, PortError> {
        let target = Arc::new(AtomicU32::new(0));
        let config = config(&cluster.settings, role, Told(Arc::clone(&target)))
            .map_err(|error| PortError::fatal(format!("cannot make a Fluvio producer: {error}")))?;
        match cluster.fluvio.topic_producer_with_config(topic, config).await {
            Ok(producer) => Ok(Self { producer, target, cluster }),
            Err(error) => Err(cluster.topic_error("write", topic, &error.into())),
        }
    }

    /// Hands a record to the client, whose lock may have to be waited for.
    fn send(&self, partition: u32, record: &InFlight) -> anyhow::Result<ProduceOutput> {
        self.target.store(partition, Ordering::Relaxed);
        let key = if record.key.is_empty() { RecordKey::NULL } else { RecordKey::from(record.key.clone()) };
        let sending = self.producer.send(key, record.value.clone());
        complete(sending, &Deadline::after(LOCK_PATIENCE))
            .unwrap_or_else(|| Err(anyhow!("the client does not take it")))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nothing of a producer that was given up may be stored later on.
        self.cluster.sever.now();
    }
}

impl FluvioWriter {
    pub(super) fn open(cluster: Cluster, topic: &str, role: WriterRole) -> Result<Self, PortError> {
        let deadline = cluster.connect_deadline();
        let settings = cluster.settings.clone();
        let partitions = cluster.partitions_of(topic, &deadline)?;
        let session = complete(Session::open(cluster, topic, role), &deadline)
            .unwrap_or_else(|| Err(PortError::again(format!("no answer in time about topic `{topic}`"))))?;
        let bell = Arc::new(Bell::default());
        Ok(Self {
            link: Link::Up(session),
            settings,
            role,
            topic: topic.to_owned(),
            lanes: (0..partitions).map(|_| Lane::default()).collect(),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            in_flight: 0,
            in_flight_bytes: 0,
            failure: None,
        })
    }

    /// Visits every acknowledgement that is there.
    fn drain(&mut self, visit: &mut dyn FnMut(Ack)) -> usize {
        let mut context = Context::from_waker(&self.waker);
        let (mut visited, mut bytes, mut failed) = (0, 0, None);
        for (partition, lane) in (0..).zip(&mut self.lanes) {
            while let Poll::Ready(fate) = lane.poll_first(&mut context) {
                match fate {
                    Err(error) => {
                        failed = Some((partition, error));
                        break;
                    }
                    Ok(_) => {
                        let Some(record) = lane.records.pop_front() else { break };
                        lane.sent -= 1;
                        visited += 1;
                        bytes += record.bytes();
                        visit(Ack { partition, token: record.token, delivery: Delivery::Acknowledged });
                    }
                }
            }
        }
        self.in_flight -= visited as u64;
        self.in_flight_bytes -= bytes;
        if let Some((partition, error)) = failed {
            self.failed(partition, &error);
        }
        visited
    }

    /// After a failed request: for good, or to be tried again.
    #[cold]
    fn failed(&mut self, partition: u32, error: &FluvioError) {
        let topic = &self.topic;
        match error {
            FluvioError::Producer(ProducerError::SpuErrorCode(code)) if is_final(code) => {
                let reason = code.to_sentence();
                self.failure = Some(PortError::fatal(format!(
                    "partition {partition} of topic `{topic}` refuses what is written: {reason}"
                )));
            }
            error => {
                let (count, endpoint) = (self.in_flight, &self.settings.endpoint);
                tracing::warn!(
                    "a request to partition {partition} of topic `{topic}` on the Fluvio cluster at {endpoint} failed \
                     ({error}): {count} record(s) in flight are sent again, and may be stored twice"
                );
                self.go_down();
            }
        }
    }

    /// Gives the producer up, with all that it was given.
    fn go_down(&mut self) {
        for lane in &mut self.lanes {
            lane.forget_sent();
        }
        let clock = RunClock::start();
        self.link = Link::Down { retry_ns: clock.now(), clock, attempt: None };
    }

    /// Makes a new producer, step by step, and hands it what is in flight.
    fn recover(&mut self) {
        if let Link::Down { clock, retry_ns, attempt } = &mut self.link {
            if attempt.is_none() {
                if clock.now() < *retry_ns {
                    return;
                }
                *retry_ns = clock.now() + RETRY_NS;
                let (settings, topic, role) = (self.settings.clone(), self.topic.clone(), self.role);
                *attempt =
                    Some(Box::pin(async move { Session::open(Cluster::reach(settings).await?, &topic, role).await }));
            }
            let mut context = Context::from_waker(&self.waker);
            match attempt.as_mut().map(|attempt| attempt.as_mut().poll(&mut context)) {
                Some(Poll::Ready(Ok(session))) => self.link = Link::Up(session),
                Some(Poll::Ready(Err(error))) if error.retry == Retry::GiveUp => self.failure = Some(error),
                Some(Poll::Ready(Err(error))) => {
                    tracing::debug!("no new producer yet: {error}");
                    *attempt = None;
                }
                // An attempt that hangs is made anew.
                Some(Poll::Pending) if clock.now() > *retry_ns + RETRY_NS => *attempt = None,
                Some(Poll::Pending) | None => {}
            }
        }
        self.send_again();
    }

    fn send_again(&mut self) {
        let Link::Up(session) = &self.link else { return };
        for (partition, lane) in (0..).zip(&mut self.lanes) {
            while let Some(record) = lane.records.get_mut(lane.sent) {
                match session.send(partition, record) {
                    Ok(output) => {
                        record.output = Some(output);
                        lane.sent += 1;
                    }
                    Err(error) => {
                        tracing::debug!("the new producer failed, too: {error:#}");
                        return self.go_down();
                    }
                }
            }
        }
    }

    /// After a failure for good nothing more is heard of what is in flight: it may be stored, or not.
    fn give_up(&mut self, visit: &mut dyn FnMut(Ack)) -> usize {
        let reason = self.failure.as_ref().map_or_else(String::new, |failure| failure.message.clone());
        let mut visited = 0;
        for (partition, lane) in (0..).zip(&mut self.lanes) {
            lane.forget_sent();
            for record in lane.records.drain(..) {
                visited += 1;
                visit(Ack { partition, token: record.token, delivery: Delivery::Unknown(reason.clone()) });
            }
        }
        self.in_flight = 0;
        self.in_flight_bytes = 0;
        visited
    }

    fn visit_acks(&mut self, visit: &mut dyn FnMut(Ack)) -> usize {
        if matches!(self.link, Link::Down { .. }) && self.failure.is_none() {
            self.recover();
        }
        let visited = self.drain(visit);
        if self.failure.is_some() && self.in_flight > 0 { visited + self.give_up(visit) } else { visited }
    }
}

impl InFlight {
    fn bytes(&self) -> u64 {
        (self.key.len() + self.value.len()) as u64
    }
}

impl Lane {
    /// The fate of the first record in flight, once it is known.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<Result<RecordMetadata, FluvioError>> {
        if self.first.is_none() {
            let output = self.records.front_mut().and_then(|record| record.output.take());
            let Some(output) = output else { return Poll::Pending };
            self.first = Some(Box::pin(output.wait()));
        }
        let Some(fate) = &mut self.first else { return Poll::Pending };
        let polled = fate.as_mut().poll(context);
        if polled.is_ready() {
            self.first = None;
        }
        polled
    }

    fn forget_sent(&mut self) {
        self.sent = 0;
        self.first = None;
        for record in &mut self.records {
            record.output = None;
        }
    }
}

/// Whether the server will never take the batch.
fn is_final(code: &ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::MessageTooLarge
            | ErrorCode::PermissionDenied
            | ErrorCode::TopicNotFound
            | ErrorCode::TopicDeleted
            | ErrorCode::CompressionError
            | ErrorCode::MirrorProduceFromHome
            | ErrorCode::MirrorProduceFromRemoteNotAllowed
    )
}

fn config(
    settings: &FluvioSection,
    role: WriterRole,
    told: Told,
) -> Result<TopicProducerConfig, impl std::fmt::Display> {
    let linger: Span = match role {
        WriterRole::Events => settings.events_linger,
        WriterRole::Results => settings.results_linger,
    };
    // No retry of the client's own: without idempotence it could store a batch twice.
    let once = RetryPolicy { max_retries: 0, timeout: STORE_TIMEOUT, ..RetryPolicy::default() };
    let mut builder = TopicProducerConfigBuilder::default();
    builder
        .batch_size(settings.batch_bytes.0 as usize)
        .max_request_size(MAX_REQUEST_BYTES)
        .batch_queue_size(usize::MAX)
        .linger(millis(linger))
        .partitioner(Arc::new(told))
        .timeout(STORE_TIMEOUT)
        .isolation(Isolation::ReadCommitted)
        .delivery_semantic(DeliverySemantic::AtLeastOnce(once));
    match settings.compression {
        FluvioCompression::None => builder.compression(Compression::None),
        FluvioCompression::Gzip => builder.compression(Compression::Gzip),
        FluvioCompression::Snappy => builder.compression(Compression::Snappy),
        FluvioCompression::Lz4 => builder.compression(Compression::Lz4),
        FluvioCompression::Zstd => builder.compression(Compression::Zstd),
    };
    builder.build()
}

fn is_too_large(error: &anyhow::Error) -> bool {
    let producer_error = match error.downcast_ref::<FluvioError>() {
        Some(FluvioError::Producer(error)) => Some(error),
        _ => error.downcast_ref::<ProducerError>(),
    };
    matches!(producer_error, Some(ProducerError::RecordTooLarge(..)))
}

impl EventWriter for FluvioWriter {
    fn send(&mut self, partition: u32, key: &[u8], payload: &[u8], token: u64) -> Result<Sent, PortError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let partitions = self.lanes.len();
        let Some(lane) = self.lanes.get_mut(partition as usize) else {
            return Err(PortError::fatal(format!(
                "topic `{}` has {partitions} partitions, and none of number {partition}",
                self.topic
            )));
        };
        let bytes = (key.len() + payload.len()) as u64;
        let most_bytes = self.settings.queue_bytes.0.max(bytes);
        let has_room =
            self.in_flight < u64::from(self.settings.queue_records) && self.in_flight_bytes + bytes <= most_bytes;
        let Link::Up(session) = &self.link else { return Ok(Sent::Full) };
        if !has_room {
            return Ok(Sent::Full);
        }
        let mut record = InFlight { token, key: RecordData::from(key), value: RecordData::from(payload), output: None };
        match session.send(partition, &record) {
            Ok(output) => {
                record.output = Some(output);
                lane.sent += 1;
            }
            Err(error) if is_too_large(&error) => {
                return Err(PortError::fatal(format!(
                    "a record of {bytes} bytes is too large for topic `{}`: Fluvio takes at most {MAX_REQUEST_BYTES} bytes \
                     at once",
                    self.topic
                )));
            }
            Err(error) => {
                tracing::debug!("the client takes no more, since a request failed: {error:#}");
                // With the others in flight it is sent again, once their fate is known.
                self.go_down();
                return Ok(Sent::Full);
            }
        }
        lane.records.push_back(record);
        self.in_flight += 1;
        self.in_flight_bytes += bytes;
        Ok(Sent::Ok)
    }

    fn poll_acks(&mut self, budget: Duration, visit: &mut dyn FnMut(Ack)) -> Result<usize, PortError> {
        let mut visited = self.visit_acks(visit);
        if visited == 0 && self.in_flight > 0 && !budget.is_zero() {
            self.bell.wait(budget);
            visited = self.visit_acks(visit);
        }
        match &self.failure {
            // What became of the records comes first; the error is told once there is nothing more to visit.
            Some(failure) if visited == 0 => Err(failure.clone()),
            _ => Ok(visited),
        }
    }

    fn in_flight(&self) -> u64 {
        self.in_flight
    }
}
