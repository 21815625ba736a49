//! The ports: what the pipeline asks of a broker, and nothing else.
//!
//! Every port is synchronous, batch-shaped and object-safe, and never blocks longer than the budget
//! it is given (at most [`MAX_BUDGET`] inside a turn). Records are visited in place. One contract
//! suite (`tests/servers/broker_contract.rs`) runs against every implementation.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// The longest a stage may let a port wait inside one turn.
pub(crate) const MAX_BUDGET: Duration = Duration::from_millis(1);

/// The record key of a progress record (see `stream/progress.rs`).
pub const PROGRESS_KEY: &[u8] = b"progress";

/// Bytes of a record that people are shown at most.
const SHOWN_BYTES: usize = 1000;

/// What stamped a record's timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampKind {
    /// The log, when it stored the record: an insertion time.
    LogAppend,
    /// The client that wrote the record.
    Create,
    /// The broker gave none.
    None,
}

/// One record as it lies in a partition, borrowed from the client's buffers for the time of one
/// visit.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Partition, from 0.
    pub partition: u32,
    /// Position in the partition. Offsets grow, but may have gaps: never infer loss from them.
    pub offset: u64,
    /// The key; empty where the record has none.
    pub key: &'a [u8],
    /// The value; empty where the record has none.
    pub payload: &'a [u8],
    /// Nanoseconds since the Unix epoch (a whole millisecond on brokers that store milliseconds).
    pub timestamp_ns: i64,
    /// Who stamped `timestamp_ns`.
    pub timestamp_kind: TimestampKind,
}

impl Record<'_> {
    /// The payload's beginning, for people: an event whole, as a rule.
    pub fn beginning(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.payload[..self.payload.len().min(SHOWN_BYTES)])
    }
}

/// Records that a log has lost, as a reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownLoss {
    /// The partition.
    pub partition: u32,
    /// The offset of the first.
    pub first: u64,
    /// How many offsets are lost: so many records at most, or, where that cannot be known, 1.
    pub records: u64,
    /// How it was lost.
    pub kind: LossKind,
}

/// How a log lost records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// They were removed before they were read: the log begins behind the reader's place.
    Removed,
    /// The log was cut: it ends before the reader's place. What was read is counted.
    Cut,
    /// They are there, and cannot be read: their checksum does not fit.
    Damaged,
}

/// Reads records of an assigned set of partitions of one topic.
///
/// Ordering: records of one partition are visited in offset order, each exactly once per reader;
/// partitions interleave in any way. Where the log was cut, new records take the offsets of those
/// that were visited, and are visited, too.
pub trait EventReader: Send {
    /// Visits at most `max_records` records; waits up to `budget` while there is none. Returns how
    /// many were visited (0 is no error: nothing came in time).
    ///
    /// # Errors
    /// [`PortError`] when reading cannot go on as asked; what was visited before stays valid.
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError>;

    /// Stops (or starts again) visiting one assigned partition; nothing is lost in between. Cheap
    /// when nothing changes.
    ///
    /// # Errors
    /// [`PortError`] when the client refuses.
    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError>;

    /// Records in the assigned partitions that were not visited yet, as last known to the client;
    /// never blocks.
    fn lag(&mut self) -> u64;

    /// The part of [`Self::lag`] that lies in one assigned partition; 0 for any other.
    fn lag_of(&mut self, partition: u32) -> u64;

    /// Whether every record that lies in the assigned partitions by now was visited, as the log
    /// says itself: what [`Self::lag`] knows may be old, where a connection is away. `Pending`: it
    /// has not answered yet; call again, in a later turn, until it has. Never blocks.
    fn is_at_end(&mut self) -> Poll<bool> {
        Poll::Ready(self.lag() == 0)
    }

    /// Records that lie behind open transactions, as of the last answer to [`Self::is_at_end`]:
    /// they are in no lag, for nobody can read them.
    fn held_back(&mut self) -> u64 {
        0
    }

    /// Visits the losses that became known since the last call. Reading goes on behind them. Cheap
    /// when there is none.
    fn take_losses(&mut self, _visit: &mut dyn FnMut(KnownLoss)) {}
}

/// Tokens are less than this: what lies above is the client's, to tell writers apart that share it.
pub const TOKEN_LIMIT: u64 = 1 << 48;

/// Whether the client took a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// Taken: exactly one [`Ack`] with the token will follow, unless the writer is dropped.
    Ok,
    /// The client's queue is full: nothing was taken. Backpressure, never loss: offer the record
    /// again later.
    Full,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Stored, by the guarantee that the writer was configured with.
    Acknowledged,
    /// Surely not stored.
    Rejected(String),
    /// Perhaps stored (a time-out, a lost reply): only the log knows.
    Unknown(String),
}

/// The fate of one record sent.
#[derive(Clone, Debug)]
pub struct Ack {
    /// As given to [`EventWriter::send`].
    pub partition: u32,
    /// As given to [`EventWriter::send`].
    pub token: u64,
    /// What became of it.
    pub delivery: Delivery,
}

/// Writes records to one topic.
///
/// Ordering: records sent to one partition are stored in the order of `send`. A writer never sends
/// a failed record again behind later ones: a failed delivery is reported, and ends the generation.
///
/// Writers that were made together ([`Broker::writers`]) may share a client. Each has its own
/// records in flight, its own acknowledgements and its own share of the client's queue. They end
/// together: the first that is dropped with records in flight may take those of the others along.
pub trait EventWriter: Send {
    /// Hands one record to the client. `token`, less than [`TOKEN_LIMIT`], comes back in its
    /// [`Ack`]. Never blocks.
    ///
    /// # Errors
    /// [`PortError`] when the client can take no record any more.
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError>;

    /// Pushes buffered records on and visits the acknowledgements that came; waits up to `budget`
    /// while there is none and some are due. A stage calls it at least once a turn. Returns how
    /// many were visited.
    ///
    /// # Errors
    /// [`PortError`] when the client failed for good.
    fn poll_acks(
        &mut self,
        budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError>;

    /// Records taken and not yet acknowledged.
    fn in_flight(&self) -> u64;
}

/// Which clock stamps a topic's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampedBy {
    /// The log, at insertion.
    Log,
    /// The client.
    Client,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name.
    pub name: String,
    /// Partitions, at least 1.
    pub partitions: u32,
    /// Replicas of each partition, at least 1.
    pub replication: u16,
    /// Who stamps its records.
    pub stamped_by: StampedBy,
    /// What a partition may keep at most, in bytes; `None`: the broker's default.
    pub retention_bytes: Option<u64>,
}

/// A topic as the broker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The topic's name.
    pub name: String,
    /// Per partition (the index): first offset that is still there, and the offset after the last
    /// record.
    pub partitions: Vec<OffsetRange>,
    /// Replicas of each partition.
    pub replication: u16,
    /// Who stamps its records.
    pub stamped_by: StampedBy,
}

/// The offsets a partition holds: `first..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// The first offset that is still stored.
    pub first: u64,
    /// One past the last record (the high watermark).
    pub end: u64,
}

/// Creates, deletes and describes topics. May block for as long as its own configured time-out, so
/// it is never called inside a turn.
pub trait TopicAdmin: Send {
    /// Creates a topic and waits until it can be written and read.
    ///
    /// # Errors
    /// [`PortError`]: it exists already, the broker refused, or it did not answer in time.
    fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError>;

    /// Deletes a topic with all that is in it.
    ///
    /// # Errors
    /// [`PortError`]: no such topic, refused, or no answer in time.
    fn delete(&mut self, topic: &str) -> Result<(), PortError>;

    /// Describes a topic; `None`: there is none of that name.
    ///
    /// # Errors
    /// [`PortError`] when the broker does not answer.
    fn describe(&mut self, topic: &str) -> Result<Option<TopicDescription>, PortError>;

    /// The names of all topics (the broker's own internal ones aside).
    ///
    /// # Errors
    /// [`PortError`] when the broker does not answer.
    fn list(&mut self) -> Result<Vec<String>, PortError>;

    /// Deletes every record that is in the topic now; offsets go on.
    ///
    /// # Errors
    /// [`PortError`]: no such topic, refused, or no answer in time.
    fn truncate(&mut self, topic: &str) -> Result<(), PortError>;
}

/// Where a reader starts in each of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The first record that is still stored.
    Earliest,
    /// After the last record stored when the reader was made.
    Latest,
    /// This offset.
    Offset(u64),
}

/// What a writer writes; an adapter chooses its client's settings by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterRole {
    /// Many small events: throughput first, then latency.
    Events,
    /// Few results: latency first.
    Results,
}

/// What a broker is, for reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerDescription {
    /// One of the names that `broker.kind` may have.
    pub kind: String,
    /// The broker's version, or `unknown`.
    pub version: String,
    /// What the cluster calls itself, whatever its address; `None`: it does not say.
    pub cluster_id: Option<String>,
    /// The delivery guarantee of results: `exactly once`, `effectively once`, `at least once`.
    pub guarantee: String,
    /// Whether a record's insertion time is the log's own.
    pub log_append_time: bool,
    /// What it cannot do that others can.
    pub limitations: Vec<Limitation>,
}

/// What brokers can do that a run, or a command, may have to do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Topics are made.
    TopicCreation,
    /// Topics are deleted.
    TopicDeletion,
    /// A topic's records are deleted: [`TopicAdmin::truncate`] works.
    RecordDeletion,
    /// A record that a client sends again is stored once.
    IdempotentWriter,
    /// The settings of brokers and topics are shown.
    SettingDescription,
    /// What implementation it is can be told, or is one whose promises are relied on.
    Identity,
    /// What is acknowledged surely lies on a disk, as far as settings say.
    Durability,
}

/// What a broker cannot do, and what that means for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limitation {
    /// What it lacks.
    pub lacks: Capability,
    /// The sentence that reports print.
    pub sentence: String,
}

impl fmt::Display for Limitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl BrokerDescription {
    /// Whether nothing says that it cannot do this.
    pub fn can(&self, capability: Capability) -> bool {
        self.limitations.iter().all(|limitation| limitation.lacks != capability)
    }
}

/// Makes the ports of one broker. Making one may block for as long as the adapter's connect
/// time-out.
pub trait Broker: Send + Sync {
    /// Connects, and says what is there.
    ///
    /// # Errors
    /// [`PortError`] when it cannot be reached: the address and a hint are in the message.
    fn describe(&self) -> Result<BrokerDescription, PortError>;

    /// Administration of topics.
    ///
    /// # Errors
    /// [`PortError`] when the client cannot be made.
    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError>;

    /// A writer to a topic.
    ///
    /// # Errors
    /// [`PortError`]: no such topic, or the client cannot be made.
    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError>;

    /// `count` writers to a topic, for as many stages that begin and end together. What a client
    /// costs they may share.
    ///
    /// # Errors
    /// [`PortError`]: no such topic, or the clients cannot be made.
    fn writers(
        &self,
        topic: &str,
        role: WriterRole,
        count: u32,
    ) -> Result<Vec<Box<dyn EventWriter>>, PortError> {
        (0..count).map(|_| self.writer(topic, role)).collect()
    }

    /// A reader of some of a topic's partitions.
    ///
    /// # Errors
    /// [`PortError`]: no such topic or partition, or the client cannot be made.
    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError>;
}

/// Keeps records that are no readable events. May wait a moment for room in a flood, far below the
/// heartbeat time-out; what it cannot take it counts.
pub trait DeadLetters: Send {
    /// Keeps a copy of a record, with the reason.
    fn keep(&mut self, record: Record<'_>, reason: &'static str);

    /// No more will come: waits, for seconds at most, until what came is kept. Gives how many
    /// records are not.
    fn finish(&mut self) -> u64 {
        0
    }
}

/// Makes the keeper of malformed records, from the name of their topic.
pub type DeadLettersFactory = Arc<dyn Fn(&str) -> Box<dyn DeadLetters> + Send + Sync>;

/// What to do about a failed port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call may succeed later.
    Again,
    /// Make the port anew, then try again.
    Reconnect,
    /// No retry helps.
    GiveUp,
}

/// A port's failure: what was attempted on which topic, why it failed, what may help.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// What may help.
    pub retry: Retry,
    /// Lower case; names the topic or address, and the fix where one is known.
    pub message: String,
}

impl PortError {
    /// A failure that no retry helps.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self { retry: Retry::GiveUp, message: message.into() }
    }

    /// A failure that a new connection may mend.
    pub fn reconnect(message: impl Into<String>) -> Self {
        Self { retry: Retry::Reconnect, message: message.into() }
    }

    /// A passing failure.
    pub fn again(message: impl Into<String>) -> Self {
        Self { retry: Retry::Again, message: message.into() }
    }
}
