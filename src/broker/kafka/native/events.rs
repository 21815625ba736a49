//! librdkafka's queues, and the events in them: delivery reports, log lines, errors.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use rdkafka::ClientContext;
use rdkafka::bindings as raw;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::super::logs::Logs;

/// A reference to one of librdkafka's queues.
pub(super) struct Queue(*mut raw::rd_kafka_queue_t);

impl Queue {
    /// # Safety
    /// `queue` is a valid reference that nothing else gives back, and its client outlives it.
    pub(super) unsafe fn owning(queue: *mut raw::rd_kafka_queue_t) -> Self {
        Self(queue)
    }

    pub(super) fn as_ptr(&self) -> *mut raw::rd_kafka_queue_t {
        self.0
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the pointer came from librdkafka, is owned by this value, and its client still
        // lives (field order).
        unsafe { raw::rd_kafka_queue_destroy(self.0) }
    }
}

/// One event from a queue.
pub(super) struct QueueEvent(pub(super) *mut raw::rd_kafka_event_t);

impl QueueEvent {
    pub(super) fn poll(queue: &Queue, timeout_ms: c_int) -> Option<Self> {
        // SAFETY: the queue is valid; a returned event is owned by `QueueEvent`.
        let event = unsafe { raw::rd_kafka_queue_poll(queue.0, timeout_ms) };
        (!event.is_null()).then_some(Self(event))
    }

    pub(super) fn kind(&self) -> c_int {
        // SAFETY: the event is valid.
        unsafe { raw::rd_kafka_event_type(self.0) }
    }

    /// Writes a log line or an error to `logs`; does nothing for other events.
    pub(super) fn log(&self, logs: &Logs) {
        match self.kind() {
            raw::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                // SAFETY: the event is a log line; the strings live as long as it does.
                unsafe {
                    if raw::rd_kafka_event_log(
                        self.0,
                        &raw mut facility,
                        &raw mut line,
                        &raw mut level,
                    ) == 0
                    {
                        logs.log(log_level(level), &text(facility), &text(line));
                    }
                }
            }
            raw::RD_KAFKA_EVENT_ERROR => {
                // SAFETY: the event is an error; the string lives as long as it does.
                let (code, reason) = unsafe {
                    (
                        raw::rd_kafka_event_error(self.0),
                        text(raw::rd_kafka_event_error_string(self.0)),
                    )
                };
                logs.error(KafkaError::Global(code.into()), &reason);
            }
            _ => {}
        }
    }
}

impl Drop for QueueEvent {
    fn drop(&mut self) {
        // SAFETY: the event is owned by this value.
        unsafe { raw::rd_kafka_event_destroy(self.0) }
    }
}

/// Syslog's levels.
fn log_level(level: c_int) -> RDKafkaLogLevel {
    match level {
        ..=3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// # Safety
/// `start` is null, or points to a string that ends in NUL.
pub(super) unsafe fn text(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: by this function's own contract.
    unsafe { CStr::from_ptr(start) }.to_string_lossy().trim().to_owned()
}
