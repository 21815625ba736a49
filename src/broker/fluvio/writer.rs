//! Writes a topic through the client's own producer, which batches by partition.
//!
//! The client waits in a busy loop, holding a lock, where its queue of batches is full: here that queue has no bound of
//! its own, and this writer bounds what is in flight. The client loses the batches of a request that fails, and every
//! later one on that partition: here the first failure ends the writer, and what was in flight is unknown.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::RecordData;
use fluvio::{
    Compression, DeliverySemantic, FluvioError, Isolation, Partitioner, PartitionerConfig, ProduceOutput,
    ProducerError, RecordKey, RecordMetadata, RetryPolicy, TopicProducerConfig, TopicProducerConfigBuilder,
    TopicProducerPool,
};
use streamgauge_actors::ports::{Ack, Delivery, EventWriter, PortError, Sent, WriterRole};

use super::wait::{Bell, complete};
use super::{Cluster, millis};
use crate::broker::deadline::Deadline;
use crate::config::{FluvioCompression, FluvioSection, Span};

/// What one request may hold, as the servers take it.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// How long a server may take to store and replicate a batch: the client itself gives up after a minute.
const STORE_TIMEOUT: Duration = Duration::from_mins(1);

/// How long handing over one record may wait for the client's lock, which is held for moments.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// A writer to one topic: see [`EventWriter`].
pub(super) struct FluvioWriter {
    producer: TopicProducerPool,
    /// Where the next record goes: read by the client's partitioner.
    target: Arc<AtomicU32>,
    /// Keeps the connection that the producer's metadata comes through.
    _cluster: Cluster,
    topic: String,
    lanes: Vec<Lane>,
    bell: Arc<Bell>,
    waker: Waker,
    in_flight: u64,
    in_flight_bytes: u64,
    max_records: u64,
    max_bytes: u64,
    failure: Option<PortError>,
}

/// The records in flight to one partition, in the order of sending.
#[derive(Default)]
struct Lane {
    /// The fate of the first of them.
    first: Option<Fate>,
    waiting: VecDeque<(InFlight, ProduceOutput)>,
}

struct InFlight {
    token: u64,
    bytes: u32,
}

struct Fate {
    record: InFlight,
    future: Pin<Box<dyn Future<Output = Result<RecordMetadata, FluvioError>> + Send>>,
}

/// Sends every record where the writer says.
struct Told(Arc<AtomicU32>);

impl Partitioner for Told {
    fn partition(&self, _config: &PartitionerConfig, _key: Option<&[u8]>, _value: &[u8]) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl FluvioWriter {
    pub(super) fn open(cluster: Cluster, topic: &str, role: WriterRole) -> Result<Self, PortError> {
        let deadline = cluster.connect_deadline();
        let target = Arc::new(AtomicU32::new(0));
        let settings = &cluster.settings;
        let config = config(settings, role, Told(Arc::clone(&target)))
            .map_err(|error| PortError::fatal(format!("cannot make a Fluvio producer: {error}")))?;
        let producer = cluster.fluvio.topic_producer_with_config(topic, config);
        let producer = cluster.ask("write", topic, &deadline, producer)?;
        let partitions = cluster.partitions_of(topic, &deadline)?;
        let bell = Arc::new(Bell::default());
        Ok(Self {
            producer,
            target,
            topic: topic.to_owned(),
            lanes: (0..partitions).map(|_| Lane::default()).collect(),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            in_flight: 0,
            in_flight_bytes: 0,
            max_records: u64::from(settings.queue_records),
            max_bytes: settings.queue_bytes.0,
            failure: None,
            _cluster: cluster,
        })
    }

    #[cold]
    fn refused(&mut self, partition: u32, bytes: usize, error: &anyhow::Error) -> PortError {
        let topic = &self.topic;
        let producer_error = match error.downcast_ref::<FluvioError>() {
            Some(FluvioError::Producer(error)) => Some(error),
            _ => error.downcast_ref::<ProducerError>(),
        };
        if let Some(ProducerError::RecordTooLarge(..)) = producer_error {
            return PortError::fatal(format!(
                "a record of {bytes} bytes is too large for topic `{topic}`: Fluvio takes at most {MAX_REQUEST_BYTES} \
                 bytes at once"
            ));
        }
        let error =
            PortError::reconnect(format!("cannot write to partition {partition} of topic `{topic}`: {error:#}"));
        self.failure = Some(error.clone());
        error
    }

    /// Visits every acknowledgement that is there.
    fn drain(&mut self, visit: &mut dyn FnMut(Ack)) -> usize {
        let Self { lanes, waker, failure, topic, .. } = self;
        let mut context = Context::from_waker(waker);
        let (mut visited, mut bytes) = (0, 0);
        for (partition, lane) in (0..).zip(lanes) {
            while let Poll::Ready(Some((record, fate))) = lane.poll_first(&mut context) {
                let delivery = match fate {
                    Ok(_) => Delivery::Acknowledged,
                    Err(error) => {
                        failure.get_or_insert_with(|| {
                            PortError::reconnect(format!(
                                "a delivery to partition {partition} of topic `{topic}` failed: {error}"
                            ))
                        });
                        failed(&error)
                    }
                };
                visited += 1;
                bytes += u64::from(record.bytes);
                visit(Ack { partition, token: record.token, delivery });
            }
        }
        self.in_flight -= visited as u64;
        self.in_flight_bytes -= bytes;
        visited
    }

    /// After a failure nothing more is heard of what is in flight: it may be stored, or not.
    fn give_up(&mut self, visit: &mut dyn FnMut(Ack)) -> usize {
        let reason = self.failure.as_ref().map_or_else(String::new, |failure| failure.message.clone());
        let mut visited = 0;
        for (partition, lane) in (0..).zip(&mut self.lanes) {
            let first = lane.first.take().map(|fate| fate.record);
            for record in first.into_iter().chain(lane.waiting.drain(..).map(|(record, _)| record)) {
                visited += 1;
                visit(Ack { partition, token: record.token, delivery: Delivery::Unknown(reason.clone()) });
            }
        }
        self.in_flight = 0;
        self.in_flight_bytes = 0;
        visited
    }

    fn visit_acks(&mut self, visit: &mut dyn FnMut(Ack)) -> usize {
        let visited = self.drain(visit);
        if self.failure.is_some() && self.in_flight > 0 { visited + self.give_up(visit) } else { visited }
    }
}

impl Lane {
    /// The fate of the first record in flight, once it is known.
    fn poll_first(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<(InFlight, Result<RecordMetadata, FluvioError>)>> {
        if self.first.is_none() {
            let Some((record, output)) = self.waiting.pop_front() else { return Poll::Ready(None) };
            self.first = Some(Fate { record, future: Box::pin(output.wait()) });
        }
        let Some(fate) = &mut self.first else { return Poll::Ready(None) };
        match fate.future.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => Poll::Ready(self.first.take().map(|fate| (fate.record, outcome))),
        }
    }
}

/// What a failure means for the record.
fn failed(error: &FluvioError) -> Delivery {
    let reason = error.to_string();
    match error {
        FluvioError::Producer(ProducerError::SpuErrorCode(code)) if is_refusal(code) => Delivery::Rejected(reason),
        _ => Delivery::Unknown(reason),
    }
}

/// Whether the server said that it did not store the batch.
fn is_refusal(code: &ErrorCode) -> bool {
    !matches!(code, ErrorCode::None | ErrorCode::UnknownServerError | ErrorCode::Other(_))
        && !matches!(code, ErrorCode::RequestTimedOut { .. } | ErrorCode::StorageError)
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
        let bytes = key.len() + payload.len();
        if self.in_flight >= self.max_records || self.in_flight_bytes + bytes as u64 > self.max_bytes.max(bytes as u64)
        {
            return Ok(Sent::Full);
        }
        self.target.store(partition, Ordering::Relaxed);
        let key = if key.is_empty() { RecordKey::NULL } else { RecordKey::from(key) };
        let sending = self.producer.send(key, RecordData::from(payload));
        match complete(sending, &Deadline::after(LOCK_PATIENCE)) {
            Some(Ok(output)) => {
                lane.waiting.push_back((InFlight { token, bytes: bytes as u32 }, output));
                self.in_flight += 1;
                self.in_flight_bytes += bytes as u64;
                Ok(Sent::Ok)
            }
            Some(Err(error)) => Err(self.refused(partition, bytes, &error)),
            None => Err(self.refused(partition, bytes, &anyhow::anyhow!("the client does not take it"))),
        }
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
