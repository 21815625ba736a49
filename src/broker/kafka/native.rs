//! The hot paths of librdkafka that rdkafka's own types do not offer: batched delivery reports and
//! batched reading.
//!
//! All unsafe code of the program is in this module, behind two types without unsafe methods.

mod events;
pub(super) mod offsets;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;

use rdkafka::bindings as raw;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};
use streamgauge_actors::{Record, TimestampKind};

use self::events::{Queue, QueueEvent, text};
use super::logs::Logs;

const NO_ERROR: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
const NS_PER_MS: i64 = 1_000_000;

// Writer and token travel in the pointer that librdkafka keeps with every record.
const _: () =
    assert!(size_of::<usize>() == size_of::<u64>(), "the Kafka adapter needs a 64-bit target");

/// A reference to one of a client's topics.
struct NativeTopic(*mut raw::rd_kafka_topic_t);

impl NativeTopic {
    fn new(client: &Client<Logs>, name: &CStr) -> KafkaResult<Self> {
        // SAFETY: client and name are valid, and a null configuration means the client's default.
        let handle =
            unsafe { raw::rd_kafka_topic_new(client.native_ptr(), name.as_ptr(), ptr::null_mut()) };
        if handle.is_null() {
            return Err(KafkaError::ClientCreation(format!(
                "no handle for topic {}",
                name.to_string_lossy()
            )));
        }
        Ok(Self(handle))
    }
}

impl Drop for NativeTopic {
    fn drop(&mut self) {
        // SAFETY: the pointer came from librdkafka, is owned by this value, and its client still
        // lives (field order).
        unsafe { raw::rd_kafka_topic_destroy(self.0) }
    }
}

/// How certain it is that a record was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    No,
    Possibly,
    Yes,
}

/// The fate of one record.
#[derive(Clone, Copy)]
pub(super) struct DeliveryReport {
    pub(super) partition: i32,
    /// As given to [`NativeProducer::send`].
    pub(super) opaque: u64,
    /// The size of key and payload.
    pub(super) bytes: u64,
    /// `None`: stored.
    pub(super) error: Option<RDKafkaErrorCode>,
    pub(super) persistence: Persistence,
}

/// A producer of one topic whose delivery reports come in batches, on the thread that polls.
pub(super) struct NativeProducer {
    // Dropped in this order: the client last.
    events: Queue,
    topic: NativeTopic,
    client: Arc<Client<Logs>>,
}

// SAFETY: librdkafka's handles may be used from any thread, and by several at a time: producing,
// polling and purging take its own locks.
unsafe impl Send for NativeProducer {}
// SAFETY: as above.
unsafe impl Sync for NativeProducer {}

impl NativeProducer {
    pub(super) fn new(config: &ClientConfig, topic: &str, logs: Logs) -> KafkaResult<Self> {
        let name = CString::new(topic)?;
        let native = config.create_native_config()?;
        let enabled = raw::RD_KAFKA_EVENT_DR | raw::RD_KAFKA_EVENT_ERROR | raw::RD_KAFKA_EVENT_LOG;
        // SAFETY: `native` is a valid configuration that no client owns yet.
        unsafe { raw::rd_kafka_conf_set_events(native.ptr(), enabled) };
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, logs)?;
        let topic = NativeTopic::new(&client, &name)?;
        // SAFETY: the client is valid; the reference returned is owned by `Queue`.
        let events = unsafe { Queue::owning(raw::rd_kafka_queue_get_main(client.native_ptr())) };
        Ok(Self { events, topic, client: Arc::new(client) })
    }

    pub(super) fn client(&self) -> &Arc<Client<Logs>> {
        &self.client
    }

    /// Copies one record into the client's queue. An empty key is sent as none.
    #[inline]
    pub(super) fn send(
        &self,
        partition: i32,
        key: &[u8],
        payload: &[u8],
        opaque: u64,
    ) -> Result<(), RDKafkaErrorCode> {
        let key_ptr = if key.is_empty() { ptr::null() } else { key.as_ptr().cast::<c_void>() };
        // SAFETY: topic handle and both slices are valid for the call; F_COPY makes librdkafka copy
        // the payload (it always copies the key) and never write through the pointers.
        let result = unsafe {
            raw::rd_kafka_produce(
                self.topic.0,
                partition,
                raw::RD_KAFKA_MSG_F_COPY,
                payload.as_ptr().cast_mut().cast::<c_void>(),
                payload.len(),
                key_ptr,
                key.len(),
                ptr::without_provenance_mut(opaque as usize),
            )
        };
        if result == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// Waits up to `timeout_ms` for an event (delivery reports, a log line, an error) and visits
    /// its delivery reports; false: none came.
    pub(super) fn poll(&self, timeout_ms: c_int, visit: &mut dyn FnMut(&DeliveryReport)) -> bool {
        let Some(event) = QueueEvent::poll(&self.events, timeout_ms) else { return false };
        if event.kind() != raw::RD_KAFKA_EVENT_DR {
            event.log(self.client.context());
            return true;
        }
        // SAFETY: the event is valid, and the message stays so until the event is destroyed.
        while let Some(message) = unsafe { raw::rd_kafka_event_message_next(event.0).as_ref() } {
            let error = (message.err != NO_ERROR).then(|| RDKafkaErrorCode::from(message.err));
            let persistence = match error {
                None => Persistence::Yes,
                // SAFETY: as above.
                Some(_) => match unsafe { raw::rd_kafka_message_status(message) } {
                    raw::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => {
                        Persistence::No
                    }
                    raw::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => {
                        Persistence::Possibly
                    }
                    raw::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_PERSISTED => Persistence::Yes,
                },
            };
            visit(&DeliveryReport {
                partition: message.partition,
                opaque: message._private.addr() as u64,
                bytes: (message.len + message.key_len) as u64,
                error,
                persistence,
            });
        }
        true
    }

    /// Forgets every record that is not stored yet.
    pub(super) fn purge(&self) {
        let what = raw::RD_KAFKA_PURGE_F_QUEUE
            | raw::RD_KAFKA_PURGE_F_INFLIGHT
            | raw::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the client is valid. The only possible failure is an unknown flag.
        unsafe { raw::rd_kafka_purge(self.client.native_ptr(), what) };
    }
}

/// What stands in a partition's queue instead of a record.
pub(super) struct ReadError {
    pub(super) partition: i32,
    /// What it is about, where it is about a place; else less than 0.
    pub(super) offset: i64,
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

/// A consumer of some partitions of one topic that hands out records in batches.
///
/// It uses librdkafka's interface without consumer groups: there is no coordinator to be found, no
/// right to a group to be granted, and no offsets topic to be created.
pub(super) struct NativeConsumer {
    batch: Vec<*mut raw::rd_kafka_message_t>,
    started: Vec<i32>,
    // Dropped in this order: the client last.
    records: Queue,
    events: Queue,
    topic: NativeTopic,
    client: Arc<Client<Logs>>,
}

// SAFETY: librdkafka's handles may be used from any thread; a `NativeConsumer` is used by one
// thread at a time, and `batch` holds pointers only inside `NativeConsumer::consume`.
unsafe impl Send for NativeConsumer {}

/// Records taken from librdkafka per call: large enough to spread its cost, small enough to stay in
/// the cache.
const BATCH: usize = 1024;

impl NativeConsumer {
    pub(super) fn new(config: &ClientConfig, topic: &CStr, logs: Logs) -> KafkaResult<Self> {
        let native = config.create_native_config()?;
        let enabled = raw::RD_KAFKA_EVENT_ERROR | raw::RD_KAFKA_EVENT_LOG;
        // SAFETY: `native` is a valid configuration that no client owns yet.
        unsafe {
            raw::rd_kafka_conf_set_events(native.ptr(), enabled);
            raw::rd_kafka_conf_set_error_cb(native.ptr(), Some(consumer_error));
        }
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_CONSUMER, logs)?;
        let topic = NativeTopic::new(&client, topic)?;
        // SAFETY: the client is valid; the references returned are owned by `Queue`.
        let (records, events) = unsafe {
            (
                Queue::owning(raw::rd_kafka_queue_new(client.native_ptr())),
                Queue::owning(raw::rd_kafka_queue_get_main(client.native_ptr())),
            )
        };
        let batch = vec![ptr::null_mut(); BATCH];
        let client = Arc::new(client);
        Ok(Self { batch, started: vec![], records, events, topic, client })
    }

    pub(super) fn client(&self) -> &Arc<Client<Logs>> {
        &self.client
    }

    /// Starts reading a partition at an offset; `None`: at its first record.
    pub(super) fn start(&mut self, partition: i32, offset: Option<i64>) -> KafkaResult<()> {
        let offset = offset.unwrap_or(i64::from(raw::RD_KAFKA_OFFSET_BEGINNING));
        // SAFETY: topic and queue are valid.
        let result = unsafe {
            raw::rd_kafka_consume_start_queue(
                self.topic.0,
                partition,
                offset,
                self.records.as_ptr(),
            )
        };
        if result != 0 {
            return Err(KafkaError::Global(last_error()));
        }
        self.started.push(partition);
        Ok(())
    }

    /// Stops reading a partition; what was fetched of it is forgotten.
    pub(super) fn stop(&mut self, partition: i32) {
        // SAFETY: the topic is valid. The only possible failure is a partition that was not
        // started.
        unsafe { raw::rd_kafka_consume_stop(self.topic.0, partition) };
        self.started.retain(|&started| started != partition);
    }

    /// Stops, or starts again, handing out records of these partitions; from the position of the
    /// last one handed out.
    pub(super) fn set_paused(
        &self,
        partitions: &TopicPartitionList,
        paused: bool,
    ) -> KafkaResult<()> {
        let client = self.client.native_ptr();
        // SAFETY: both pointers are valid; librdkafka writes an error code into each element of the
        // list.
        to_result(unsafe {
            if paused {
                raw::rd_kafka_pause_partitions(client, partitions.ptr())
            } else {
                raw::rd_kafka_resume_partitions(client, partitions.ptr())
            }
        })?;
        for element in partitions.elements() {
            element.error()?;
        }
        Ok(())
    }

    /// Writes the offset after the last record handed out (or passed over, as transaction markers
    /// are) into the list.
    pub(super) fn positions(&self, partitions: &mut TopicPartitionList) -> KafkaResult<()> {
        // SAFETY: both pointers are valid; librdkafka writes an offset into each element of the
        // list.
        to_result(unsafe { raw::rd_kafka_position(self.client.native_ptr(), partitions.ptr()) })
    }

    /// The high watermark as the last fetch reported it; `None` before the first. Asks nobody.
    pub(super) fn cached_end(&self, topic: &CStr, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: client, name and both places to write to are valid.
        let result = unsafe {
            raw::rd_kafka_get_watermark_offsets(
                self.client.native_ptr(),
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
            )
        };
        (result == NO_ERROR && high >= 0).then_some(high)
    }

    /// Takes at most `max` records (and at most [`BATCH`]) and visits them in place; waits up to
    /// `timeout_ms` for all of them. Returns how many queue entries were taken, errors included.
    pub(super) fn consume(
        &mut self,
        timeout_ms: c_int,
        max: usize,
        visit: &mut dyn FnMut(Result<Record<'_>, ReadError>),
    ) -> usize {
        let max = max.min(self.batch.len());
        // SAFETY: the queue is valid and `batch` has room for `max` pointers.
        let taken = unsafe {
            raw::rd_kafka_consume_batch_queue(
                self.records.as_ptr(),
                timeout_ms,
                self.batch.as_mut_ptr(),
                max,
            )
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        for message in (MessageBatch { messages: self.batch[..taken].iter() }) {
            // SAFETY: the pointer is what librdkafka just returned, and not destroyed before
            // `message` is.
            visit(unsafe { view(&*message.0) });
        }
        taken
    }

    /// Passes log lines and errors of the client on; never waits.
    pub(super) fn serve_events(&self) {
        while let Some(event) = QueueEvent::poll(&self.events, 0) {
            event.log(self.client.context());
        }
    }
}

impl Drop for NativeConsumer {
    fn drop(&mut self) {
        for partition in &self.started {
            // SAFETY: the topic is valid, and the partition was started.
            unsafe { raw::rd_kafka_consume_stop(self.topic.0, *partition) };
        }
    }
}

/// Receives errors that are queued among records and are not about one record: a topic that is
/// gone.
///
/// # Safety
/// Called by librdkafka, inside [`NativeConsumer::consume`]: `opaque` is what `Client::new` set,
/// its context.
unsafe extern "C" fn consumer_error(
    _: *mut raw::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: the client keeps its context alive, and the reason is a string that lives for the
    // call.
    let (logs, reason) = unsafe { (&*opaque.cast::<Logs>(), text(reason)) };
    let code = RDKafkaRespErr::try_from(code).unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN);
    logs.error(KafkaError::Global(code.into()), &reason);
}

/// A message that is given back to librdkafka when dropped.
struct Message(*mut raw::rd_kafka_message_t);

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the pointer is a message that librdkafka handed over and that nothing else
        // destroys.
        unsafe { raw::rd_kafka_message_destroy(self.0) }
    }
}

/// A batch of messages; those that were not visited (the visitor panicked) are given back all the
/// same.
struct MessageBatch<'a> {
    messages: slice::Iter<'a, *mut raw::rd_kafka_message_t>,
}

impl Iterator for MessageBatch<'_> {
    type Item = Message;

    #[inline]
    fn next(&mut self) -> Option<Message> {
        self.messages.next().map(|message| Message(*message))
    }
}

impl Drop for MessageBatch<'_> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// A message as a record.
///
/// # Safety
/// `message` is one that librdkafka's consumer returned; the record borrows from it.
#[inline]
unsafe fn view(message: &raw::rd_kafka_message_t) -> Result<Record<'_>, ReadError> {
    if message.err != NO_ERROR {
        // SAFETY: an error message's text is a string that lives as long as the message, or null.
        let reason = unsafe { text(raw::rd_kafka_message_errstr(message)) };
        return Err(ReadError {
            partition: message.partition,
            offset: message.offset,
            code: message.err.into(),
            reason,
        });
    }
    let mut kind = raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: message and place to write to are valid.
    let timestamp_ms = unsafe { raw::rd_kafka_message_timestamp(message, &raw mut kind) };
    let timestamp_kind = match kind {
        raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => {
            TimestampKind::LogAppend
        }
        raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => TimestampKind::Create,
        raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => TimestampKind::None,
    };
    Ok(Record {
        partition: message.partition as u32,
        offset: message.offset as u64,
        // SAFETY: key and payload are null, or point to that many bytes that live as long as the
        // message.
        key: unsafe { bytes(message.key, message.key_len) },
        // SAFETY: as above.
        payload: unsafe { bytes(message.payload, message.len) },
        timestamp_ns: if timestamp_kind == TimestampKind::None {
            0
        } else {
            timestamp_ms.saturating_mul(NS_PER_MS)
        },
        timestamp_kind,
    })
}

/// # Safety
/// `start` is null, or points to `len` bytes that live for `'a`.
#[inline]
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> &'a [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: by this function's own contract.
    unsafe { slice::from_raw_parts(start.cast(), len) }
}

fn last_error() -> RDKafkaErrorCode {
    // SAFETY: reads a thread-local variable of librdkafka.
    unsafe { raw::rd_kafka_last_error() }.into()
}

fn to_result(code: RDKafkaRespErr) -> KafkaResult<()> {
    if code == NO_ERROR { Ok(()) } else { Err(KafkaError::Global(code.into())) }
}
