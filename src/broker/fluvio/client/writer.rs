//! Writes a topic: batches of our own making, one request at a time to each partition's leader.
//!
//! The client's own producer is not used (0.50.1): it waits in a busy loop, holding a lock, where
//! its queue is full; a request that fails loses its batches; one that was dropped while its leader
//! was away stores its queue later; and each leaves a task and a connection behind for ever.
//! Requests are the same, as are the connections they go through.
//!
//! A batch is kept until it is acknowledged. What is not is sent again, in the same order: nothing
//! is lost, some may be stored twice.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fluvio::dataplane::link::ErrorCode;
use fluvio::{Compression, Isolation};
use fluvio_socket::SocketError;
use fluvio_spu_schema::produce::{
    DefaultPartitionRequest, DefaultProduceRequest, DefaultTopicRequest, ProduceResponse,
};
use streamgauge_actors::{
    Ack, Clock, Delivery, EventWriter, Nanos, PortError, RunClock, Sent, WriterRole, to_millis,
};

use super::batch::{BatchBuilder, SealedBatch};
use super::cluster::Cluster;
use super::leaders::{Leaders, SharedLeaders};
use super::outage::{Outage, RETRY_NS};
use super::wait::Bell;
use crate::broker::fluvio::section::{FluvioCompression, FluvioSection};

/// What the servers take in one batch, with its heads.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// A record's own head, at most.
const RECORD_HEAD_BYTES: usize = 64;

/// Writers that have a queue of their own; more share as much as these have.
const WHOLE_QUEUES: u32 = 8;

/// How long a server may take to store and replicate a batch: the connection itself gives up after
/// a minute.
const STORE_TIMEOUT: Duration = Duration::from_mins(1);

/// A writer to one topic: see [`EventWriter`].
pub(super) struct FluvioWriter {
    settings: FluvioSection,
    linger_ns: Nanos,
    compression: Compression,
    topic: String,
    clock: RunClock,
    leaders: Arc<Leaders>,
    shared: Arc<SharedLeaders>,
    lanes: Vec<PartitionQueue>,
    bell: Arc<Bell>,
    waker: Waker,
    /// What it may have in flight: records, and bytes.
    share: (u64, u64),
    in_flight: u64,
    in_flight_bytes: u64,
    failure: Option<PortError>,
}

type Answer = Pin<Box<dyn Future<Output = Result<ProduceResponse, NoAnswer>> + Send>>;

/// What is on its way to one partition, in the order of sending.
#[derive(Default)]
struct PartitionQueue {
    /// Sent, and not answered.
    request: Option<Request>,
    sealed: VecDeque<SealedBatch>,
    /// Waits for company, since a time.
    open: Option<(BatchBuilder, Nanos)>,
    /// Nothing is sent before this time.
    retry_ns: Nanos,
    outage: Outage,
}

struct Request {
    batches: Vec<SealedBatch>,
    answer: Answer,
}

/// Why there is no answer to a request.
#[derive(Debug)]
enum NoAnswer {
    /// It was not sent.
    Unsent(SocketError),
    /// What became of it is unknown.
    Unknown(SocketError),
}

/// What became of a request.
enum Fate {
    /// All of its batches are stored.
    Stored,
    /// The leader was not reached.
    Away(String),
    /// The leader takes no more for now; some of the batches may be stored.
    NotYet(String),
    /// The connection broke: they may be stored.
    Unknown(String),
    /// The server will never take them.
    Refused(String),
}

impl FluvioWriter {
    /// So many writers, on the same connections.
    pub(super) fn open(
        cluster: &Cluster,
        topic: &str,
        role: WriterRole,
        count: u32,
    ) -> Result<Vec<Self>, PortError> {
        let deadline = cluster.connect_deadline();
        let settings = cluster.settings.clone();
        let partitions = cluster.partitions_of(topic, &deadline)?;
        let leaders = Leaders::of(cluster, topic, &deadline)?;
        for partition in 0..partitions {
            cluster.range(&leaders, partition, &deadline)?;
        }
        let linger = match role {
            WriterRole::Events => settings.events_linger,
            WriterRole::Results => settings.results_linger,
        };
        let compression = match settings.compression {
            FluvioCompression::None => Compression::None,
            FluvioCompression::Gzip => Compression::Gzip,
            FluvioCompression::Snappy => Compression::Snappy,
            FluvioCompression::Lz4 => Compression::Lz4,
            FluvioCompression::Zstd => Compression::Zstd,
        };
        let leaders = Arc::new(leaders);
        let shared = Arc::new(SharedLeaders::new(Arc::clone(&leaders), &settings, topic));
        let sharing = u64::from(count.div_ceil(WHOLE_QUEUES).max(1));
        let share = (
            (u64::from(settings.queue_records) / sharing).max(1),
            settings.queue_bytes.0 / sharing,
        );
        let writer = |_| {
            let bell = Arc::new(Bell::default());
            Self {
                linger_ns: linger.as_nanos(),
                compression,
                settings: settings.clone(),
                topic: topic.to_owned(),
                clock: RunClock::start(),
                leaders: Arc::clone(&leaders),
                shared: Arc::clone(&shared),
                lanes: (0..partitions).map(|_| PartitionQueue::default()).collect(),
                waker: Waker::from(Arc::clone(&bell)),
                bell,
                share,
                in_flight: 0,
                in_flight_bytes: 0,
                failure: None,
            }
        };
        Ok((0..count).map(writer).collect())
    }

    /// Takes what was answered, and sends what is due.
    fn pump(&mut self, visit: &mut dyn FnMut(Ack)) -> usize {
        let now = self.clock.now();
        self.find_leaders(now);
        let mut visited = 0;
        for partition in 0..self.lanes.len() as u32 {
            visited += self.take_answer(partition, now, visit);
            if self.failure.is_some() {
                break;
            }
            self.send_due(partition, now);
        }
        if self.failure.is_some() { visited + self.give_up(visit) } else { visited }
    }

    fn take_answer(&mut self, partition: u32, now: Nanos, visit: &mut dyn FnMut(Ack)) -> usize {
        let lane = &mut self.lanes[partition as usize];
        let Some(request) = &mut lane.request else { return 0 };
        let Poll::Ready(answer) =
            request.answer.as_mut().poll(&mut Context::from_waker(&self.waker))
        else {
            return 0;
        };
        let Some(Request { batches, .. }) = lane.request.take() else { return 0 };
        let (reason, is_refused, perhaps) = match fate(answer) {
            Fate::Stored => {
                if let Some(seconds) = mem::take(&mut lane.outage).over(now) {
                    let topic = &self.topic;
                    tracing::info!(
                        "writing partition {partition} of topic `{topic}` goes on, after \
                         {seconds:.1} s"
                    );
                }
                return self.stored(partition, batches, visit);
            }
            Fate::Away(reason) => (reason, false, ""),
            Fate::NotYet(reason) => (reason, true, ", and may be stored twice"),
            Fate::Unknown(reason) => (reason, false, ", and may be stored twice"),
            Fate::Refused(reason) => {
                self.failure = Some(self.refusal(partition, &reason));
                (reason, true, "")
            }
        };
        let lane = &mut self.lanes[partition as usize];
        let records: usize = batches.iter().map(|batch| batch.tokens.len()).sum();
        batches.into_iter().rev().for_each(|batch| lane.sealed.push_front(batch));
        lane.retry_ns = now + RETRY_NS;
        self.shared.want();
        if lane.outage.failed(now, is_refused) {
            let (topic, endpoint) = (&self.topic, &self.settings.endpoint);
            tracing::warn!(
                "a request to partition {partition} of topic `{topic}` on the Fluvio cluster at \
                 {endpoint} failed \
                 ({reason}): {records} record(s) are sent again{perhaps}"
            );
        }
        if lane.outage.is_final(now) && self.failure.is_none() {
            self.failure = Some(self.refusal(partition, &reason));
        }
        0
    }

    fn refusal(&self, partition: u32, reason: &str) -> PortError {
        let (topic, endpoint) = (&self.topic, &self.settings.endpoint);
        PortError::fatal(format!(
            "partition {partition} of topic `{topic}` on the Fluvio cluster at {endpoint} refuses \
             what is written: {reason}"
        ))
    }

    fn stored(
        &mut self,
        partition: u32,
        batches: Vec<SealedBatch>,
        visit: &mut dyn FnMut(Ack),
    ) -> usize {
        let mut visited = 0;
        for batch in batches {
            visited += batch.tokens.len();
            self.in_flight_bytes -= batch.bytes;
            for token in batch.tokens {
                visit(Ack { partition, token, delivery: Delivery::Acknowledged });
            }
        }
        self.in_flight -= visited as u64;
        visited
    }

    fn send_due(&mut self, partition: u32, now: Nanos) {
        let lane = &mut self.lanes[partition as usize];
        if lane.request.is_some() || now < lane.retry_ns {
            return;
        }
        let is_due = lane.sealed.is_empty()
            && lane.open.as_ref().is_some_and(|(_, since)| now - since >= self.linger_ns);
        if is_due && let Err(error) = lane.seal(self.compression) {
            self.failure = Some(error);
            return;
        }
        let mut batches = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = lane.sealed.front() {
            bytes += batch.encoded_bytes;
            if bytes > MAX_BATCH_BYTES && !batches.is_empty() {
                break;
            }
            batches.extend(lane.sealed.pop_front());
        }
        if batches.is_empty() {
            return;
        }
        let request = request(&self.topic, partition, &batches);
        let leaders = Arc::clone(&self.leaders);
        let answer = Box::pin(async move {
            let socket = leaders.socket_of(partition).await.map_err(NoAnswer::Unsent)?;
            socket.send_receive(request).await.map_err(NoAnswer::Unknown)
        });
        lane.request = Some(Request { batches, answer });
        // Polled once, it is on its way.
        if let Some(request) = &mut lane.request
            && let Poll::Ready(answer) =
                request.answer.as_mut().poll(&mut Context::from_waker(&self.waker))
        {
            request.answer = Box::pin(std::future::ready(answer));
            self.waker.wake_by_ref();
        }
    }

    /// After a failure another unit may lead, or the topic may be gone. (The old leaders may come
    /// back as well.)
    fn find_leaders(&mut self, now: Nanos) {
        match self.shared.leaders(now, &mut Context::from_waker(&self.waker)) {
            Ok(leaders) => self.leaders = leaders,
            Err(error) => self.failure = Some(error),
        }
    }

    /// After a failure for good nothing more is heard of what is in flight: it may be stored, or
    /// not.
    fn give_up(&mut self, visit: &mut dyn FnMut(Ack)) -> usize {
        let reason =
            self.failure.as_ref().map_or_else(String::new, |failure| failure.message.clone());
        let mut visited = 0;
        for (partition, lane) in (0..).zip(&mut self.lanes) {
            let requested = lane.request.take().map_or_else(Vec::new, |request| request.batches);
            let open = lane.open.take().map_or_else(Vec::new, |(builder, _)| builder.into_tokens());
            let batches = requested.into_iter().chain(lane.sealed.drain(..));
            for token in batches.flat_map(|batch| batch.tokens).chain(open) {
                visited += 1;
                visit(Ack { partition, token, delivery: Delivery::Unknown(reason.clone()) });
            }
        }
        self.in_flight = 0;
        self.in_flight_bytes = 0;
        visited
    }
}

impl PartitionQueue {
    fn seal(&mut self, compression: Compression) -> Result<(), PortError> {
        if let Some((builder, _)) = self.open.take() {
            self.sealed.push_back(builder.seal(compression)?);
        }
        Ok(())
    }
}

/// One request for a partition. Its batches are one set of records: the server stores them in
/// order, up to the first that it cannot store.
fn request(topic: &str, partition: u32, batches: &[SealedBatch]) -> DefaultProduceRequest {
    let mut of_partition =
        DefaultPartitionRequest { partition_index: partition, ..Default::default() };
    of_partition.records.batches = batches.iter().map(|sealed| sealed.batch.clone()).collect();
    let of_topic = DefaultTopicRequest {
        name: topic.to_owned(),
        partitions: vec![of_partition],
        ..Default::default()
    };
    DefaultProduceRequest {
        isolation: Isolation::ReadCommitted,
        timeout: STORE_TIMEOUT,
        topics: vec![of_topic],
        ..Default::default()
    }
}

fn fate(answer: Result<ProduceResponse, NoAnswer>) -> Fate {
    let answer = match answer {
        Ok(answer) => answer,
        Err(NoAnswer::Unsent(error)) => return Fate::Away(error.to_string()),
        Err(NoAnswer::Unknown(error)) => return Fate::Unknown(error.to_string()),
    };
    let partition = answer.responses.into_iter().flat_map(|topic| topic.partitions).next();
    match partition.map(|partition| partition.error_code) {
        Some(ErrorCode::None) => Fate::Stored,
        Some(code) if is_final(&code) => Fate::Refused(code.to_sentence()),
        Some(code) => Fate::NotYet(code.to_sentence()),
        None => Fate::NotYet("the answer is empty".to_owned()),
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

impl EventWriter for FluvioWriter {
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
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
        let size = key.len() + payload.len();
        if size + RECORD_HEAD_BYTES > MAX_BATCH_BYTES {
            return Err(PortError::fatal(format!(
                "a record of {size} bytes is too large for topic `{}`: Fluvio takes at most \
                 {MAX_BATCH_BYTES} bytes at once",
                self.topic
            )));
        }
        let bytes = size as u64;
        let (records, most_bytes) = self.share;
        if self.in_flight >= records || self.in_flight_bytes + bytes > most_bytes.max(bytes) {
            return Ok(Sent::Full);
        }
        let batch_bytes = self.settings.batch_bytes.0 as usize;
        let is_full =
            |open: &(BatchBuilder, Nanos)| open.0.len() + size + RECORD_HEAD_BYTES > batch_bytes;
        if lane.open.as_ref().is_some_and(is_full) {
            lane.seal(self.compression)?;
        }
        let now = self.clock.now();
        let (open, _) = lane.open.get_or_insert_with(|| {
            (BatchBuilder::new(to_millis(now), batch_bytes.min(size * 64)), now)
        });
        open.push(key, payload, token, to_millis(now));
        self.in_flight += 1;
        self.in_flight_bytes += bytes;
        Ok(Sent::Ok)
    }

    fn poll_acks(
        &mut self,
        budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        let mut visited = self.pump(visit);
        if visited == 0 && self.in_flight > 0 && !budget.is_zero() {
            self.bell.wait(budget);
            visited = self.pump(visit);
        }
        match &self.failure {
            // What became of the records comes first; the error is told once there is nothing more
            // to visit.
            Some(failure) if visited == 0 => Err(failure.clone()),
            _ => Ok(visited),
        }
    }

    fn in_flight(&self) -> u64 {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use fluvio_spu_schema::produce::{PartitionProduceResponse, TopicProduceResponse};

    use super::*;

    fn answer(codes: &[ErrorCode]) -> ProduceResponse {
        let partitions = codes.iter().map(|code| PartitionProduceResponse {
            error_code: code.clone(),
            ..PartitionProduceResponse::default()
        });
        let topic = TopicProduceResponse {
            partitions: partitions.collect(),
            ..TopicProduceResponse::default()
        };
        ProduceResponse { responses: vec![topic], ..ProduceResponse::default() }
    }

    #[test]
    fn only_what_the_server_says_is_stored_is_stored() {
        assert!(matches!(fate(Ok(answer(&[ErrorCode::None]))), Fate::Stored));
        assert!(matches!(fate(Ok(answer(&[ErrorCode::NotLeaderForPartition]))), Fate::NotYet(_)));
        assert!(matches!(fate(Ok(answer(&[]))), Fate::NotYet(_)), "an answer cut short");
        assert!(matches!(fate(Ok(answer(&[ErrorCode::MessageTooLarge]))), Fate::Refused(_)));
        assert!(matches!(
            fate(Err(NoAnswer::Unknown(SocketError::SocketClosed))),
            Fate::Unknown(_)
        ));
        assert!(matches!(fate(Err(NoAnswer::Unsent(SocketError::SocketClosed))), Fate::Away(_)));
    }
}
