//! One partition as it is read: a stream of chunks, a chunk's batches, their records.
//!
//! A connection that breaks is made anew, and reading goes on where it stopped, for as long as it
//! takes: a broker that is away is backpressure. What a leader refuses for a minute ends it.
//!
//! Batches are held against their checksums. A unit (0.18.2) that rolls a segment, or removes it,
//! while it is sending from it goes on with whatever file has its descriptor then: bytes of another
//! one come, or too few of them, and the connection is of no use any more.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{Batch, RawRecords};
use streamgauge_actors::{
    KnownLoss, LossKind, MILLISECOND, Nanos, OffsetRange, PortError, Record, SECOND, StartAt,
    TimestampKind,
};

use super::batch::{StoredBatch, is_intact};
use super::leaders::Leaders;
use super::outage::{Outage, RETRY_NS};
use super::stream::{Chunk, ChunkStream};
use super::wait::Waiting;

/// Without a chunk for so long, though there are records, the stream is taken for broken.
const STALL_NS: Nanos = 15 * SECOND;

/// A place in the log that came damaged so often is damaged.
const MOST_DAMAGED: u32 = 5;

type Opening = Pin<Box<dyn Future<Output = Result<OpenStream, Trouble>> + Send>>;

/// Where records come from.
pub(super) struct Origin {
    pub(super) topic: String,
    pub(super) endpoint: String,
    pub(super) leaders: Arc<Leaders>,
    pub(super) chunk_bytes: u64,
    pub(super) connect_timeout_ns: Nanos,
}

/// One assigned partition.
pub(super) struct FluvioPartition {
    pub(super) partition: u32,
    source: Source,
    /// Came, and not begun.
    batches: VecDeque<Batch<RawRecords>>,
    batch: StoredBatch,
    /// The least offset that was not visited yet.
    pub(super) next: u64,
    /// One past the last record, as its leader said when it was asked last; behind `next` where
    /// more came since.
    pub(super) end: u64,
    /// One past the last record, as chunks tell: at the least. What came since a chunk was sent
    /// shows with the next one.
    sent_end: u64,
    pub(super) paused: bool,
    /// Since something came last, or nothing was there that could have come.
    silence: Waiting,
    pub(super) outage: Outage,
    /// An offset at which something damaged came, and how often.
    damaged: (u64, u32),
    /// What the log has lost, and is not told yet.
    pub(super) losses: Vec<KnownLoss>,
}

/// A stream made anew, and what the partition holds.
struct OpenStream {
    chunks: ChunkStream,
    range: OffsetRange,
}

/// Where a partition's chunks come from.
enum Source {
    Open(ChunkStream),
    Opening {
        opening: Opening,
        waiting: Waiting,
    },
    /// Opened anew, not before this time.
    Closed {
        retry_ns: Nanos,
    },
}

/// Why nothing comes at present.
enum Trouble {
    /// The leader does not answer.
    Away(String),
    /// It answers that it will not, now.
    Refused(String),
}

impl FluvioPartition {
    pub(super) fn new(partition: u32, next: u64, end: u64, now: Nanos) -> Self {
        Self {
            partition,
            source: Source::Closed { retry_ns: now },
            batches: VecDeque::new(),
            batch: StoredBatch::default(),
            next,
            end,
            sent_end: 0,
            paused: false,
            silence: Waiting::since(now),
            outage: Outage::default(),
            damaged: (0, 0),
            losses: Vec::new(),
        }
    }

    /// Ready where there is something to visit.
    pub(super) fn fetch(
        &mut self,
        from: &Origin,
        now: Nanos,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), PortError>> {
        loop {
            if !self.batch.is_done() {
                return Poll::Ready(Ok(()));
            }
            if let Some(batch) = self.batches.pop_front() {
                let is_next = batch.base_offset as u64 <= self.next && is_intact(&batch);
                match Some(batch).filter(|_| is_next).and_then(StoredBatch::open) {
                    Some(batch) => self.batch = batch,
                    None => self.damage(from, now)?,
                }
                continue;
            }
            match &mut self.source {
                Source::Closed { retry_ns } if now < *retry_ns => return Poll::Pending,
                Source::Closed { .. } => self.open(from, now),
                Source::Opening { opening, waiting } => match opening.as_mut().poll(context) {
                    Poll::Pending if waiting.look(now) > from.connect_timeout_ns => {
                        self.close(from, now, Trouble::Away("no answer in time".to_owned()))?;
                    }
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(opened)) => self.opened(from, now, opened),
                    Poll::Ready(Err(trouble)) => self.close(from, now, trouble)?,
                },
                Source::Open(chunks) => match chunks.poll(context) {
                    Poll::Pending if self.end.max(self.sent_end) <= self.next => {
                        self.silence = Waiting::since(now);
                        return Poll::Pending;
                    }
                    Poll::Pending if self.silence.look(now) > STALL_NS => {
                        let reason = format!(
                            "nothing came for {} s, though there are records",
                            STALL_NS / SECOND
                        );
                        self.close(from, now, Trouble::Away(reason))?;
                    }
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(chunk)) => self.take_chunk(from, now, chunk, context)?,
                    Poll::Ready(Err(reason)) => self.close(from, now, Trouble::Away(reason))?,
                },
            }
        }
    }

    fn open(&mut self, from: &Origin, now: Nanos) {
        let (leaders, partition, next, chunk_bytes) =
            (Arc::clone(&from.leaders), self.partition, self.next, from.chunk_bytes);
        let opening = Box::pin(async move {
            let away = |error: fluvio_socket::SocketError| Trouble::Away(error.to_string());
            let Some(range) = leaders.range(partition).await.map_err(away)? else {
                return Err(Trouble::Refused("its leader does not serve it".to_owned()));
            };
            let offset = next.max(range.first).min(range.end);
            let chunks =
                ChunkStream::open(&leaders, partition, offset, chunk_bytes).await.map_err(away)?;
            Ok(OpenStream { chunks, range })
        });
        self.source = Source::Opening { opening, waiting: Waiting::since(now) };
    }

    fn opened(&mut self, from: &Origin, now: Nanos, opened: OpenStream) {
        let OpenStream { chunks, range } = opened;
        let (partition, topic) = (self.partition, &from.topic);
        if range.first > self.next {
            let (first, records) = (self.next, range.first - self.next);
            tracing::warn!(
                "retention removed {records} unread records of partition {partition} of topic \
                 `{topic}`, from offset {first} on (raise `topics.retention_bytes`, or read sooner)"
            );
            self.losses.push(KnownLoss { partition, first, records, kind: LossKind::Removed });
            self.next = range.first;
        }
        if range.end < self.next {
            // What was visited is counted; what takes the lost records' offsets must be visited,
            // too.
            tracing::warn!(
                "partition {partition} of topic `{topic}` ends at offset {}, though it was read \
                 up to {}: the cluster at {} \
                 lost records",
                range.end,
                self.next,
                from.endpoint
            );
            let (first, records) = (range.end, self.next - range.end);
            self.losses.push(KnownLoss { partition, first, records, kind: LossKind::Cut });
            self.next = range.end;
        }
        if let Some(seconds) = self.outage.over(now) {
            tracing::info!(
                "reading partition {partition} of topic `{topic}` goes on at offset {}, after \
                 {seconds:.1} s",
                self.next
            );
        }
        (self.end, self.sent_end) = (range.end, 0);
        self.silence = Waiting::since(now);
        self.source = Source::Open(chunks);
    }

    /// The stream broke off: it is opened anew where it stopped.
    fn close(&mut self, from: &Origin, now: Nanos, trouble: Trouble) -> Result<(), PortError> {
        let (partition, next, Origin { topic, endpoint, .. }) = (self.partition, self.next, from);
        let (reason, is_refused) = match trouble {
            Trouble::Away(reason) => (reason, false),
            Trouble::Refused(reason) => (reason, true),
        };
        let warns = self.outage.failed(now, is_refused);
        if self.outage.is_final(now) {
            return Err(PortError::reconnect(format!(
                "cannot read partition {partition} of topic `{topic}` at offset {next}: {reason}"
            )));
        }
        if warns {
            tracing::warn!(
                "partition {partition} of topic `{topic}` on the Fluvio cluster at {endpoint} \
                 cannot be read at present, from \
                 offset {next} on: {reason}"
            );
        }
        self.batches.clear();
        self.source = Source::Closed { retry_ns: now + RETRY_NS };
        Ok(())
    }

    /// The connection of an open stream is of no use any more.
    pub(super) fn disconnected(&mut self, from: &Origin, now: Nanos) -> Result<(), PortError> {
        match self.source {
            Source::Open(_) => self.close(from, now, Trouble::Away("no answer in time".to_owned())),
            Source::Opening { .. } | Source::Closed { .. } => Ok(()),
        }
    }

    /// Keeps the whole batches, and acknowledges them: the rest of the last one comes again.
    fn take_chunk(
        &mut self,
        from: &Origin,
        now: Nanos,
        chunk: Chunk,
        context: &mut Context<'_>,
    ) -> Result<(), PortError> {
        let Source::Open(chunks) = &mut self.source else { return Ok(()) };
        let topic = &from.topic;
        match chunk.error_code {
            ErrorCode::None => {}
            ErrorCode::OffsetEvicted { .. } | ErrorCode::OffsetOutOfRange => {
                // What it does hold is asked when it is opened anew.
                let reason = format!("offset {} is not there", self.next);
                return self.close(from, now, Trouble::Refused(reason));
            }
            ErrorCode::TopicNotFound | ErrorCode::TopicDeleted => {
                return Err(PortError::fatal(format!(
                    "topic `{topic}` is gone: it was deleted while it was being read"
                )));
            }
            code => return self.close(from, now, Trouble::Refused(code.to_sentence())),
        }
        self.silence = Waiting::since(now);
        self.outage.accepted();
        self.sent_end = chunk.high_watermark.max(0) as u64;
        let whole = chunk.records.batches.into_iter().take_while(Batch::validate_decoding);
        self.batches.extend(whole);
        let Some(last) = self.batches.back() else { return self.damage(from, now) };
        match chunks.acknowledge(last.computed_last_offset().max(0) as u64, context) {
            Ok(()) => Ok(()),
            Err(reason) => self.close(from, now, Trouble::Away(reason)),
        }
    }

    pub(super) fn visit(
        &mut self,
        from: &Origin,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let mut count = 0;
        while count < max_records && !self.batch.is_done() {
            let Some(record) = self.batch.next_record() else { return Err(self.unreadable(from)) };
            // A batch is sent whole, from its first record on.
            if record.offset < self.next {
                continue;
            }
            self.next = record.offset + 1;
            count += 1;
            visit(Record {
                partition: self.partition,
                offset: record.offset,
                key: record.key,
                payload: record.payload,
                timestamp_ns: record.timestamp_ms.saturating_mul(MILLISECOND),
                timestamp_kind: TimestampKind::Create,
            });
        }
        Ok(count)
    }

    /// What came cannot be what is stored: it is asked for once more, through a new connection.
    fn damage(&mut self, from: &Origin, now: Nanos) -> Result<(), PortError> {
        let (offset, times) = &mut self.damaged;
        *times = if *offset == self.next { *times + 1 } else { 1 };
        *offset = self.next;
        if *times > MOST_DAMAGED {
            return Err(self.unreadable(from));
        }
        from.leaders.disconnect();
        self.close(from, now, Trouble::Away("what came does not fit its checksum".to_owned()))
    }

    fn unreadable(&self, from: &Origin) -> PortError {
        PortError::fatal(format!(
            "a batch of topic `{}`, at offset {} of partition {}, does not fit its checksum, has \
             a gap before it, or is larger \
             than {} bytes (`broker.fluvio.fetch_bytes`)",
            from.topic, self.next, self.partition, from.chunk_bytes
        ))
    }

    /// Past the end that was asked for, one record at least may be there.
    pub(super) fn lag(&self) -> u64 {
        let known = self.end.max(self.sent_end).saturating_sub(self.next);
        known.max(u64::from(self.next > self.end))
    }
}

pub(super) fn first_offset(
    topic: &str,
    partition: u32,
    at: StartAt,
    range: OffsetRange,
) -> Result<u64, PortError> {
    match at {
        StartAt::Earliest => Ok(range.first),
        StartAt::Latest => Ok(range.end),
        StartAt::Offset(offset) if offset > range.end => Err(PortError::fatal(format!(
            "cannot read partition {partition} of topic `{topic}` from offset {offset}: it ends \
             at {}",
            range.end
        ))),
        StartAt::Offset(offset) if offset < range.first => {
            Err(records_removed(topic, partition, offset))
        }
        StartAt::Offset(offset) => Ok(offset),
    }
}

fn records_removed(topic: &str, partition: u32, offset: u64) -> PortError {
    PortError::fatal(format!(
        "retention removed unread records of topic `{topic}`: offset {offset} of partition \
         {partition} is not there any \
         more (raise `topics.retention_bytes`, or read sooner)"
    ))
}
