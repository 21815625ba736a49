//! Commits a reader's positions under a consumer group, so that tools which show consumer lag can
//! see them. The program itself never reads them back, joins no group, and is assigned nothing by
//! one.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use streamgauge_actors::{Clock, Nanos, PortError, RunClock, SECOND};

use super::client::Disposable;
use super::logs::Logs;
use super::settings::{KafkaSettings, config_error};

/// Time between two commits.
const INTERVAL_NS: Nanos = 2 * SECOND;

/// How long the answer to the last commit is waited for.
const LAST_ANSWER: Duration = Duration::from_millis(500);

/// The positions of one reader, committed every two seconds.
pub(super) struct GroupOffsets {
    client: Disposable<BaseConsumer<Logs>>,
    topic: String,
    clock: RunClock,
    due_ns: Nanos,
}

impl GroupOffsets {
    /// For a reader of `topic`; `None`: the settings name no group.
    pub(super) fn open(settings: &KafkaSettings, topic: &str) -> Result<Option<Self>, PortError> {
        let Some(group) = settings.group.as_ref().filter(|group| !group.is_empty()) else {
            return Ok(None);
        };
        let mut config = settings.consumer();
        config.set("group.id", group);
        let client =
            config.create_with_context(Logs::new()).map_err(|error| config_error(&error))?;
        let clock = RunClock::start();
        let due_ns = clock.now() + INTERVAL_NS;
        Ok(Some(Self { client: Disposable::new(client), topic: topic.to_owned(), clock, due_ns }))
    }

    /// Whether it is time to commit.
    pub(super) fn is_due(&mut self) -> bool {
        let now = self.clock.now();
        let is_due = now >= self.due_ns;
        if is_due {
            self.due_ns = now + INTERVAL_NS;
        }
        is_due
    }

    /// Commits the offsets of the next records to be read. Does not wait, and a failure is only
    /// logged: nothing depends on it.
    pub(super) fn commit(&self, positions: impl Iterator<Item = (u32, u64)>) {
        let mut list = TopicPartitionList::new();
        for (partition, next) in positions {
            if let Err(error) = list.add_partition_offset(
                &self.topic,
                partition as i32,
                Offset::Offset(next as i64),
            ) {
                tracing::debug!(%error, "an offset is not committed");
            }
        }
        if let Err(error) = self.client.commit(&list, CommitMode::Async) {
            tracing::debug!(topic = self.topic, %error, "the group's offsets are not committed");
        }
        // Answers to earlier commits; records there are none.
        drop(self.client.poll(Duration::ZERO));
    }

    /// Waits a moment for the answer to the last commit.
    pub(super) fn finish(&self) {
        drop(self.client.poll(LAST_ANSWER));
    }
}
