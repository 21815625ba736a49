//! librdkafka's log lines and errors, passed on to `tracing` at a bounded rate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use streamgauge_actors::{Clock, Nanos, RunClock, SECOND};

use super::errors::is_topic_gone;

/// Lines a client may log within one second; the rest is counted.
const LINES_PER_SECOND: u32 = 10;

/// Where one client's log goes, and what its errors said.
pub(super) struct Logs {
    clock: RunClock,
    topic_gone: AtomicBool,
    /// It is said once.
    commit_failed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    second: Nanos,
    lines: u32,
    dropped: u64,
    last_error: Option<String>,
}

impl Logs {
    pub(super) fn new() -> Self {
        Self {
            clock: RunClock::start(),
            topic_gone: AtomicBool::new(false),
            commit_failed: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// What went wrong last, in librdkafka's words.
    pub(super) fn last_error(&self) -> Option<String> {
        self.state().last_error.clone()
    }

    /// Whether an error said, since the last call, that the client's topic, or an assigned
    /// partition, does not exist.
    pub(super) fn take_topic_gone(&self) -> bool {
        self.topic_gone.swap(false, Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one line: whether it may be written, and how many were dropped in the second before.
    fn admit(&self) -> Option<u64> {
        let second = self.clock.now().div_euclid(SECOND);
        let mut state = self.state();
        if state.second != second {
            state.second = second;
            state.lines = 0;
        }
        if state.lines == LINES_PER_SECOND {
            state.dropped += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.dropped))
    }
}

impl rdkafka::consumer::ConsumerContext for Logs {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result
            && !self.commit_failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "the group's offsets are not committed, so that tools see no progress of it \
                 (aggregator.group): {error}"
            );
        }
    }
}

impl ClientContext for Logs {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if facility == "CONFWARN" && line.contains("auto.commit.enable") {
            // Deprecated for group consumers alone; partitions outside of groups have no other
            // switch.
            return;
        }
        let Some(dropped) = self.admit() else { return };
        if dropped > 0 {
            tracing::warn!(target: "librdkafka", "{dropped} more lines were not logged");
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", "{facility}: {line}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", "{facility}: {line}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", "{facility}: {line}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", "{facility}: {line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code().is_some_and(is_topic_gone) {
            self.topic_gone.store(true, Ordering::Relaxed);
        }
        let text = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        self.log(RDKafkaLogLevel::Warning, "error", &text);
        self.state().last_error = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaErrorCode;

    use super::*;

    #[test]
    fn lines_are_bounded_and_the_rest_counted() {
        let logs = Logs::new();
        let admitted = (0..1000).filter(|_| logs.admit().is_some()).count();
        // The loop may straddle a second's boundary.
        assert!((10..=20).contains(&admitted), "{admitted}");
        assert_eq!(logs.state().dropped + admitted as u64, 1000);
    }

    #[test]
    fn the_last_error_is_kept() {
        let logs = Logs::new();
        logs.error(KafkaError::Canceled, "connection refused");
        assert_eq!(logs.last_error().as_deref(), Some("connection refused"));
        assert!(!logs.take_topic_gone());
        logs.error(KafkaError::Global(RDKafkaErrorCode::UnknownTopicOrPartition), "");
        assert!(logs.take_topic_gone() && !logs.take_topic_gone());
    }
}
