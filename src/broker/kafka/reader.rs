//! Reads assigned partitions through one consumer, in batches, visiting records where librdkafka
//! keeps them.

use std::ffi::CString;
use std::thread;
use std::time::Duration;

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use streamgauge_actors::{EventReader, PortError, Record, StartAt};

use super::client::{Disposable, offsets, partitions_of};
use super::errors::{is_topic_gone, is_transient, topic_error};
use super::group::GroupOffsets;
use super::logs::Logs;
use super::native::{NativeConsumer, ReadError};
use super::settings::{KafkaSettings, config_error};
use super::topic_watch::TopicWatch;
use crate::broker::deadline::Deadline;

/// A reader of some of a topic's partitions: see [`EventReader`].
pub(super) struct KafkaReader {
    consumer: Disposable<NativeConsumer>,
    topic: String,
    topic_c: CString,
    /// By partition number; `None` where the partition is not assigned.
    partitions: Vec<Option<KafkaPartition>>,
    /// The assigned partitions, kept to ask for positions without building a list.
    positions: TopicPartitionList,
    group: Option<GroupOffsets>,
    watch: TopicWatch,
    failure: Option<PortError>,
    polls: u32,
}

/// Polls between two looks at the client's log, which is looked at whenever there is nothing to
/// read, too.
const POLLS_PER_LOG: u32 = 256;

/// One assigned partition.
struct KafkaPartition {
    /// The least offset that was not visited yet.
    next: u64,
    /// The end of the partition when the reader was made.
    end_at_start: u64,
    paused: bool,
}

impl KafkaReader {
    pub(super) fn open(
        settings: &KafkaSettings,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Self, PortError> {
        let deadline = Deadline::after(settings.connect_timeout());
        let topic_c = CString::new(topic)
            .map_err(|_| PortError::fatal("a topic's name contains a NUL byte"))?;
        let consumer = NativeConsumer::new(&settings.consumer(), &topic_c, Logs::new())
            .map(Disposable::new)
            .map_err(|error| config_error(&error))?;
        let count = partitions_of(settings, consumer.client(), topic, &deadline)?;
        let mut reader = Self {
            consumer,
            topic: topic.to_owned(),
            topic_c,
            partitions: (0..count).map(|_| None).collect(),
            positions: TopicPartitionList::with_capacity(start.len()),
            group: GroupOffsets::open(settings, topic)?,
            watch: TopicWatch::new(topic, settings.connect_timeout()),
            failure: None,
            polls: 0,
        };
        for &(partition, at) in start {
            reader.add(partition, at, &deadline)?;
        }
        Ok(reader)
    }

    /// Resolves where one partition starts, and starts it there.
    fn add(&mut self, partition: u32, at: StartAt, deadline: &Deadline) -> Result<(), PortError> {
        let topic = &self.topic;
        let count = self.partitions.len();
        let Some(slot) = self.partitions.get_mut(partition as usize) else {
            return Err(PortError::fatal(format!(
                "topic `{topic}` has {count} partitions, and none of number {partition}"
            )));
        };
        if slot.is_some() {
            return Err(PortError::fatal(format!(
                "partition {partition} of topic `{topic}` is assigned twice"
            )));
        }
        let range = offsets(self.consumer.client(), topic, partition, deadline)?;
        let (next, offset) = match at {
            // The client resolves it again: retention may remove records in between, which is no
            // loss here.
            StartAt::Earliest => (range.first, None),
            StartAt::Latest => (range.end, Some(range.end as i64)),
            StartAt::Offset(offset) if offset > range.end => {
                return Err(PortError::fatal(format!(
                    "cannot read partition {partition} of topic `{topic}` from offset {offset}: \
                     it ends at {}",
                    range.end
                )));
            }
            StartAt::Offset(offset) if offset < range.first => {
                return Err(records_removed(topic, partition, offset));
            }
            StartAt::Offset(offset) => (offset, Some(offset as i64)),
        };
        *slot = Some(KafkaPartition { next, end_at_start: range.end, paused: false });
        self.positions.add_partition(topic, partition as i32);
        self.consumer
            .start(partition as i32, offset)
            .map_err(|error| topic_error("read", topic, &error))
    }

    /// Takes up to `max` queue entries, waiting up to `timeout_ms` for all of them. Returns how
    /// many were taken.
    fn take(
        &mut self,
        timeout_ms: i32,
        max: usize,
        visited: &mut usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> usize {
        let Self { consumer, partitions, topic, watch, failure, .. } = self;
        consumer.consume(timeout_ms, max, &mut |item| match item {
            Ok(record) => {
                let Some(Some(assigned)) = partitions.get_mut(record.partition as usize) else {
                    return;
                };
                if record.offset >= assigned.next {
                    assigned.next = record.offset + 1;
                    *visited += 1;
                    visit(record);
                }
            }
            Err(error) if is_topic_gone(error.code) => watch.doubt(),
            Err(error) => {
                let next = partitions
                    .get(error.partition as usize)
                    .and_then(Option::as_ref)
                    .map(|one| one.next);
                if let Some(error) = read_error(topic, &error, next) {
                    failure.get_or_insert(error);
                }
            }
        })
    }
}

fn records_removed(topic: &str, partition: u32, offset: u64) -> PortError {
    PortError::fatal(format!(
        "retention removed unread records of topic `{topic}`: offset {offset} of partition \
         {partition} is not there \
         any more (raise the topic's `retention.bytes`, or read sooner)"
    ))
}

fn topic_gone(topic: &str) -> PortError {
    PortError::fatal(format!("topic `{topic}` is gone: it was deleted while it was being read"))
}

/// What an error in a partition's queue means; `None`: librdkafka goes on by itself.
fn read_error(topic: &str, error: &ReadError, next: Option<u64>) -> Option<PortError> {
    let ReadError { partition, code, reason } = error;
    match *code {
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
            Some(records_removed(topic, *partition as u32, next.unwrap_or(0)))
        }
        // No group is joined here, whether one may be or not.
        RDKafkaErrorCode::GroupAuthorizationFailed | RDKafkaErrorCode::PartitionEOF => None,
        code if is_transient(code) => {
            tracing::debug!("reading topic `{topic}` goes on after: {reason}");
            None
        }
        code => Some(PortError::reconnect(format!(
            "cannot read partition {partition} of topic `{topic}`: {code}: {reason}"
        ))),
    }
}

impl EventReader for KafkaReader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(POLLS_PER_LOG) {
            self.consumer.serve_events();
            if let Some(group) = &mut self.group {
                let partitions = self.partitions.iter().enumerate();
                group.commit_when_due(
                    partitions.filter_map(|(id, one)| Some((id as u32, one.as_ref()?.next))),
                );
            }
        }
        let mut visited = 0;
        let mut waited = budget.is_zero();
        while visited < max_records {
            // librdkafka would wait until it had all that is asked for: ask for what is there, and
            // wait for one only.
            if self.take(0, max_records - visited, &mut visited, visit) > 0 {
                continue;
            }
            if visited > 0 || waited || self.failure.is_some() {
                break;
            }
            waited = true;
            self.consumer.serve_events();
            let whole_ms = i32::try_from(budget.as_millis()).unwrap_or(i32::MAX);
            if whole_ms == 0 {
                thread::sleep(budget);
            } else {
                self.take(whole_ms, 1, &mut visited, visit);
            }
        }
        if self.watch.look(visited > 0, self.consumer.client()) {
            self.failure.get_or_insert_with(|| topic_gone(&self.topic));
        }
        match &self.failure {
            // What was visited stays valid: the error is told by the next call.
            Some(failure) if visited == 0 => Err(failure.clone()),
            _ => Ok(visited),
        }
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        let topic = &self.topic;
        let Some(Some(assigned)) = self.partitions.get_mut(partition as usize) else {
            return Err(PortError::fatal(format!(
                "partition {partition} of topic `{topic}` is not assigned here"
            )));
        };
        if assigned.paused == paused {
            return Ok(());
        }
        let mut one = TopicPartitionList::with_capacity(1);
        one.add_partition(topic, partition as i32);
        let action = if paused { "pause" } else { "resume" };
        self.consumer
            .set_paused(&one, paused)
            .map_err(|error| topic_error(action, topic, &error))?;
        assigned.paused = paused;
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        self.sum_lag(None)
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.sum_lag(Some(partition))
    }
}

impl KafkaReader {
    /// Records not visited yet, in one partition or in all.
    fn sum_lag(&mut self, only: Option<u32>) -> u64 {
        // Positions pass over transaction markers, which `next` does not see.
        let known = self.consumer.positions(&mut self.positions).is_ok();
        let elements = self.positions.elements();
        let mut lag = 0;
        for element in &elements {
            let partition = element.partition();
            if only.is_some_and(|only| only != partition as u32) {
                continue;
            }
            let Some(Some(assigned)) = self.partitions.get(partition as usize) else { continue };
            let position = match element.offset() {
                Offset::Offset(offset) if known => (offset.max(0) as u64).max(assigned.next),
                _ => assigned.next,
            };
            let cached =
                self.consumer.cached_end(&self.topic_c, partition).unwrap_or(0).max(0) as u64;
            lag += cached.max(assigned.end_at_start).saturating_sub(position);
        }
        lag
    }
}
