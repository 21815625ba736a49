//! Reads assigned partitions, a stream of batches each, visiting records where the client decoded them.
//!
//! A fetch that reaches its byte limit ends in the middle of a batch; the client then drops the records that it cannot
//! decode, and goes on behind them (seen in 0.50.1). Offsets have no gaps here: whatever a batch lacks of what its head
//! says, and whatever lies before the next batch, is fetched again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fluvio::Isolation;
use fluvio::Offset;
use fluvio::consumer::{ConsumerConfig, PartitionConsumer};
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{Batch, Record as FluvioRecord};
use futures_util::Stream;
use streamgauge_actors::clock::{Clock, MILLISECOND, Nanos, RunClock};
use streamgauge_actors::ports::{EventReader, OffsetRange, PortError, Record, Retry, StartAt, TimestampKind};

use super::Cluster;
use super::offsets::Leaders;
use super::wait::Bell;
use crate::broker::deadline::Deadline;
use crate::config::FluvioSection;

/// How often the partitions' ends are asked for while records come.
const ENDS_INTERVAL_NS: Nanos = 250 * MILLISECOND;

/// The pause before a leader that is away is tried again.
const RETRY_NS: Nanos = 500 * MILLISECOND;

/// After so many connections that brought no record, there is something wrong with what is read.
const MOST_IN_VAIN: u32 = 20;

/// Without records for so long, a reader that is past the ends it knows asks for them.
const QUIET_NS: Nanos = 5 * MILLISECOND;

type Batches = Pin<Box<dyn Stream<Item = Result<Batch, ErrorCode>> + Send>>;
type Opening = Pin<Box<dyn Future<Output = Result<Opened, PortError>> + Send>>;
type Ends = Pin<Box<dyn Future<Output = Vec<(usize, u64)>> + Send>>;

/// A reader of some of a topic's partitions: see [`EventReader`].
pub(super) struct FluvioReader {
    topic: String,
    assigned: Vec<Assigned>,
    /// Whose turn it is to be visited first.
    turn: usize,
    bell: Arc<Bell>,
    waker: Waker,
    ends: EndsWatch,
    failure: Option<PortError>,
}

/// One assigned partition.
struct Assigned {
    partition: u32,
    consumer: PartitionConsumer,
    settings: FluvioSection,
    topic: String,
    clock: RunClock,
    /// Connections that brought nothing, in a row.
    in_vain: u32,
    /// As found with a new connection.
    leaders: Option<Leaders>,
    source: Source,
    batch: Fetched,
    /// Where the stream was opened anew last: a gap that stays was made by retention.
    reopened_at: Option<u64>,
    /// The least offset that was not visited yet.
    next: u64,
    /// One past the last record, as its leader said last; behind `next` where more came since.
    end: u64,
    paused: bool,
}

/// A stream made anew, and the leaders where the connection is new, too.
struct Opened {
    consumer: PartitionConsumer,
    batches: Batches,
    leaders: Option<Leaders>,
}

/// Where batches come from.
enum Source {
    Open(Batches),
    Opening {
        opening: Opening,
        since_ns: Nanos,
    },
    /// The connection is to be made anew, not before this time.
    Closed {
        retry_ns: Nanos,
    },
}

/// Why there is nothing more to read.
enum End {
    Gap,
    Refused(ErrorCode),
    NotOpened(PortError),
}

/// A batch, and how far it was visited.
#[derive(Default)]
struct Fetched {
    records: Vec<FluvioRecord>,
    visited: usize,
    base_offset: i64,
    /// One past the last record that its head tells of.
    end_offset: u64,
    base_timestamp_ms: i64,
}

/// Asks for the partitions' ends now and then, without waiting for the answer.
struct EndsWatch {
    leaders: Arc<Leaders>,
    clock: RunClock,
    asking: Option<Ends>,
    asked_ns: Nanos,
    /// When a record came last.
    busy_ns: Nanos,
}

impl FluvioReader {
    pub(super) fn open(cluster: &Cluster, topic: &str, start: &[(u32, StartAt)]) -> Result<Self, PortError> {
        let deadline = cluster.connect_deadline();
        let partitions = cluster.partitions_of(topic, &deadline)?;
        let leaders = Arc::new(Leaders::of(cluster, topic, &deadline)?);
        let mut assigned: Vec<Assigned> = Vec::with_capacity(start.len());
        for &(partition, at) in start {
            if partition >= partitions {
                return Err(PortError::fatal(format!(
                    "topic `{topic}` has {partitions} partitions, and none of number {partition}"
                )));
            }
            if assigned.iter().any(|one| one.partition == partition) {
                return Err(PortError::fatal(format!("partition {partition} of topic `{topic}` is assigned twice")));
            }
            let range = cluster.range(&leaders, partition, &deadline)?;
            assigned.push(Assigned::start(
                cluster,
                topic,
                partition,
                first_offset(topic, partition, at, range)?,
                range,
                &deadline,
            )?);
        }
        let bell = Arc::new(Bell::default());
        let clock = RunClock::start();
        Ok(Self {
            topic: topic.to_owned(),
            assigned,
            turn: 0,
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            ends: EndsWatch { leaders, asked_ns: clock.now(), busy_ns: clock.now(), clock, asking: None },
            failure: None,
        })
    }

    /// Visits what is there, a batch of each partition in turn.
    fn take(&mut self, max_records: usize, visit: &mut dyn FnMut(Record<'_>)) -> usize {
        let Self { topic, assigned, turn, waker, failure, .. } = self;
        let mut context = Context::from_waker(waker);
        let count = assigned.len();
        let (mut visited, mut idle) = (0, 0);
        while visited < max_records && idle < count {
            let one = &mut assigned[*turn % count];
            *turn = (*turn + 1) % count;
            if one.paused {
                idle += 1;
                continue;
            }
            match one.fetch(&mut context) {
                Poll::Ready(Ok(())) => {
                    idle = 0;
                    visited += one.visit(max_records - visited, visit);
                }
                Poll::Ready(Err(end)) => {
                    failure.get_or_insert_with(|| read_error(topic, one.partition, one.next, end));
                    break;
                }
                Poll::Pending => idle += 1,
            }
        }
        visited
    }

    fn watch_ends(&mut self, is_busy: bool) {
        if let Some(leaders) = self.assigned.iter_mut().find_map(|one| one.leaders.take()) {
            self.ends.leaders = Arc::new(leaders);
            self.ends.asking = None;
        }
        let is_past = self.assigned.iter().any(|one| one.next > one.end);
        if self.ends.is_due(is_busy, is_past) {
            self.ends.ask(self.assigned.iter().map(|one| one.partition).collect());
        }
        for (index, end) in self.ends.answers(&self.waker) {
            let one = &mut self.assigned[index];
            one.end = one.end.max(end);
        }
    }
}

impl Assigned {
    fn start(
        cluster: &Cluster,
        topic: &str,
        partition: u32,
        next: u64,
        range: OffsetRange,
        deadline: &Deadline,
    ) -> Result<Self, PortError> {
        let consumer = cluster.ask("read", topic, deadline, consumer(cluster, topic, partition))?;
        let batches = cluster.ask("read", topic, deadline, open(&consumer, next, &cluster.settings))?;
        Ok(Self {
            partition,
            consumer,
            settings: cluster.settings.clone(),
            topic: topic.to_owned(),
            clock: RunClock::start(),
            in_vain: 0,
            leaders: None,
            source: Source::Open(batches),
            batch: Fetched::default(),
            reopened_at: None,
            next,
            end: range.end,
            paused: false,
        })
    }

    /// Ready where there is something to visit.
    fn fetch(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            if !self.batch.is_done() {
                return Poll::Ready(Ok(()));
            }
            if self.batch.end_offset > self.next {
                self.reopen()?;
            }
            match &mut self.source {
                Source::Closed { retry_ns } if self.clock.now() < *retry_ns => return Poll::Pending,
                Source::Closed { .. } => self.reconnect(),
                Source::Opening { opening, since_ns } => match opening.as_mut().poll(context) {
                    Poll::Pending if self.clock.now() - *since_ns > self.settings.connect_timeout.as_nanos() => {
                        self.closed("no answer in time")?;
                    }
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(Opened { consumer, batches, leaders })) => {
                        self.consumer = consumer;
                        self.leaders = leaders;
                        self.source = Source::Open(batches);
                    }
                    Poll::Ready(Err(error)) if error.retry == Retry::GiveUp => {
                        return Poll::Ready(Err(End::NotOpened(error)));
                    }
                    Poll::Ready(Err(error)) => {
                        tracing::debug!("not connected yet: {error}");
                        self.source = Source::Closed { retry_ns: self.clock.now() + RETRY_NS };
                    }
                },
                Source::Open(batches) => match batches.as_mut().poll_next(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => self.closed("its leader closed the connection")?,
                    // A compressed batch was cut short, or the connection broke.
                    Poll::Ready(Some(Err(ErrorCode::Other(_)))) if self.reopened_at != Some(self.next) => {
                        self.reopen()?;
                    }
                    Poll::Ready(Some(Err(ErrorCode::Other(reason)))) => self.closed(&reason)?,
                    Poll::Ready(Some(Err(code))) if is_passing(&code) => self.closed(&code.to_sentence())?,
                    Poll::Ready(Some(Err(code))) => return Poll::Ready(Err(End::Refused(code))),
                    Poll::Ready(Some(Ok(batch))) if batch.base_offset as u64 > self.next => self.reopen()?,
                    Poll::Ready(Some(Ok(batch))) => self.batch = Fetched::new(batch),
                },
            }
        }
    }

    /// Opens the stream anew where it left records out.
    fn reopen(&mut self) -> Result<(), End> {
        if self.reopened_at == Some(self.next) {
            return Err(End::Gap);
        }
        self.reopened_at = Some(self.next);
        self.batch = Fetched::default();
        let (consumer, next, settings) = (self.consumer.clone(), self.next, self.settings.clone());
        self.opening(async move {
            let batches = open(&consumer, next, &settings).await;
            let batches = batches.map_err(|error| PortError::reconnect(format!("{error:#}")))?;
            Ok(Opened { consumer, batches, leaders: None })
        });
        Ok(())
    }

    /// The stream broke off: it is opened anew where it stopped, through a new connection.
    fn closed(&mut self, reason: &str) -> Result<(), End> {
        let (partition, topic, next) = (self.partition, &self.topic, self.next);
        self.in_vain += 1;
        if self.in_vain > MOST_IN_VAIN {
            return Err(End::NotOpened(PortError::reconnect(format!(
                "cannot read partition {partition} of topic `{topic}` at offset {next}: {reason}"
            ))));
        }
        let endpoint = &self.settings.endpoint;
        tracing::warn!(
            "reading partition {partition} of topic `{topic}` on the Fluvio cluster at {endpoint} goes on at offset {next}, \
             after: {reason}"
        );
        self.source = Source::Closed { retry_ns: self.clock.now() + if self.in_vain > 1 { RETRY_NS } else { 0 } };
        Ok(())
    }

    fn reconnect(&mut self) {
        let (settings, topic, partition, next) = (self.settings.clone(), self.topic.clone(), self.partition, self.next);
        self.opening(async move {
            let cluster = Cluster::reach(settings).await?;
            let failed = |error: anyhow::Error| cluster.topic_error("read", &topic, &error.into());
            let consumer = consumer(&cluster, &topic, partition).await.map_err(failed)?;
            let batches = open(&consumer, next, &cluster.settings).await.map_err(failed)?;
            let leaders = Leaders::find(&cluster, &topic).await.map_err(failed)?;
            Ok(Opened { consumer, batches, leaders: Some(leaders) })
        });
    }

    fn opening(&mut self, opening: impl Future<Output = Result<Opened, PortError>> + Send + 'static) {
        self.source = Source::Opening { opening: Box::pin(opening), since_ns: self.clock.now() };
    }

    fn visit(&mut self, max_records: usize, visit: &mut dyn FnMut(Record<'_>)) -> usize {
        let Fetched { records, visited, base_offset, base_timestamp_ms, .. } = &mut self.batch;
        let mut count = 0;
        while count < max_records
            && let Some(record) = records.get(*visited)
        {
            let offset = (*base_offset + *visited as i64) as u64;
            *visited += 1;
            // A batch is sent whole, from its first record on.
            if offset < self.next {
                continue;
            }
            self.next = offset + 1;
            self.in_vain = 0;
            count += 1;
            visit(Record {
                partition: self.partition,
                offset,
                key: record.key().map_or(&[], |key| key.as_ref()),
                payload: record.value().as_ref(),
                timestamp_ns: base_timestamp_ms.saturating_add(record.timestamp_delta()).saturating_mul(MILLISECOND),
                timestamp_kind: TimestampKind::Create,
            });
        }
        count
    }

    /// Past the known end, one record at least may be there.
    fn lag(&self) -> u64 {
        self.end.checked_sub(self.next).unwrap_or(1)
    }
}

impl Fetched {
    fn new(batch: Batch) -> Self {
        let (base_offset, base_timestamp_ms) = (batch.base_offset, batch.header.first_timestamp);
        let end_offset = batch.computed_last_offset().max(0) as u64;
        Self { records: batch.own_records(), visited: 0, base_offset, end_offset, base_timestamp_ms }
    }

    fn is_done(&self) -> bool {
        self.visited == self.records.len()
    }
}

impl EndsWatch {
    fn is_due(&mut self, is_busy: bool, is_past: bool) -> bool {
        if self.asking.is_some() {
            return false;
        }
        let now = self.clock.now();
        if is_busy {
            self.busy_ns = now;
        }
        let is_quiet = now - self.busy_ns.max(self.asked_ns) >= QUIET_NS;
        now - self.asked_ns >= ENDS_INTERVAL_NS || (is_past && is_quiet)
    }

    fn ask(&mut self, partitions: Vec<u32>) {
        self.asked_ns = self.clock.now();
        let leaders = Arc::clone(&self.leaders);
        self.asking = Some(Box::pin(async move {
            let mut ends = Vec::with_capacity(partitions.len());
            for (index, partition) in partitions.into_iter().enumerate() {
                // A leader that is gone shows in the stream.
                if let Ok(Some(range)) = leaders.range(partition).await {
                    ends.push((index, range.end));
                }
            }
            ends
        }));
    }

    /// The ends that came, by the partition's place in what was asked.
    fn answers(&mut self, waker: &Waker) -> Vec<(usize, u64)> {
        let mut context = Context::from_waker(waker);
        match self.asking.as_mut().map(|asking| asking.as_mut().poll(&mut context)) {
            Some(Poll::Ready(ends)) => {
                self.asking = None;
                ends
            }
            _ => Vec::new(),
        }
    }
}

/// What reads a partition through this connection. (Deprecated for a stream of records that allocates several times for
/// each, sets a timer, and connects anew by itself.)
#[expect(deprecated, reason = "there is no other way to batches")]
async fn consumer(cluster: &Cluster, topic: &str, partition: u32) -> anyhow::Result<PartitionConsumer> {
    cluster.fluvio.partition_consumer(topic, partition).await
}

async fn open(consumer: &PartitionConsumer, next: u64, settings: &FluvioSection) -> anyhow::Result<Batches> {
    let config = ConsumerConfig {
        disable_continuous: false,
        max_bytes: i32::try_from(settings.fetch_bytes.0).unwrap_or(i32::MAX),
        isolation: Isolation::ReadCommitted,
        smartmodule: Vec::new(),
    };
    let batches = consumer.stream_batches_with_config(Offset::absolute(next as i64)?, config).await?;
    Ok(Box::pin(batches))
}

fn first_offset(topic: &str, partition: u32, at: StartAt, range: OffsetRange) -> Result<u64, PortError> {
    match at {
        StartAt::Earliest => Ok(range.first),
        StartAt::Latest => Ok(range.end),
        StartAt::Offset(offset) if offset > range.end => Err(PortError::fatal(format!(
            "cannot read partition {partition} of topic `{topic}` from offset {offset}: it ends at {}",
            range.end
        ))),
        StartAt::Offset(offset) if offset < range.first => Err(records_removed(topic, partition, offset)),
        StartAt::Offset(offset) => Ok(offset),
    }
}

fn records_removed(topic: &str, partition: u32, offset: u64) -> PortError {
    PortError::fatal(format!(
        "retention removed unread records of topic `{topic}`: offset {offset} of partition {partition} is not there any \
         more (raise `topics.retention_bytes`, or read sooner)"
    ))
}

/// Whether a leader may take this back.
fn is_passing(code: &ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderForPartition
            | ErrorCode::PartitionNotLeader
            | ErrorCode::PartitionPendingInitialization
            | ErrorCode::SpuError
            | ErrorCode::SpuOffline
            | ErrorCode::RequestTimedOut { .. }
            | ErrorCode::UnknownServerError
    )
}

/// What the end of a stream means.
fn read_error(topic: &str, partition: u32, next: u64, end: End) -> PortError {
    match end {
        End::Gap | End::Refused(ErrorCode::OffsetEvicted { .. } | ErrorCode::OffsetOutOfRange) => {
            records_removed(topic, partition, next)
        }
        End::Refused(ErrorCode::TopicNotFound | ErrorCode::TopicDeleted) => {
            PortError::fatal(format!("topic `{topic}` is gone: it was deleted while it was being read"))
        }
        End::Refused(code) => PortError::reconnect(format!(
            "cannot read partition {partition} of topic `{topic}`: {}",
            code.to_sentence()
        )),
        End::NotOpened(error) => error,
    }
}

impl EventReader for FluvioReader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let mut visited = self.take(max_records, visit);
        self.watch_ends(visited > 0);
        if visited == 0 && max_records > 0 && !budget.is_zero() && self.failure.is_none() {
            self.bell.wait(budget);
            visited = self.take(max_records, visit);
        }
        match &self.failure {
            // What was visited stays valid: the error is told by the next call.
            Some(failure) if visited == 0 => Err(failure.clone()),
            _ => Ok(visited),
        }
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        let topic = &self.topic;
        match self.assigned.iter_mut().find(|one| one.partition == partition) {
            Some(one) => one.paused = paused,
            None => {
                return Err(PortError::fatal(format!("partition {partition} of topic `{topic}` is not assigned here")));
            }
        }
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        self.assigned.iter().map(Assigned::lag).sum()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.assigned.iter().find(|one| one.partition == partition).map_or(0, Assigned::lag)
    }
}
