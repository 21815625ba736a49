//! Reads assigned partitions through one consumer, in batches, visiting records where librdkafka
//! keeps them.
//!
//! Where the log does not hold a partition's place, its leader is asked what it holds. What lies
//! between is lost, is told as such, and reading goes on behind it.

mod log_ends;
mod partition;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;
use streamgauge_actors::{EventReader, KnownLoss, OffsetRange, PortError, Record, StartAt};

use self::log_ends::LogEnds;
use self::partition::KafkaPartition;
use super::client::{Disposable, offsets_of, partitions_of};
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
    /// How long an answer may take.
    patience: Duration,
    /// Whether a partition cannot be read on.
    is_troubled: bool,
    /// Not told yet.
    losses: Vec<KnownLoss>,
    log_ends: LogEnds,
    failure: Option<PortError>,
    polls: u32,
}

/// Polls between two looks at the client's log, which is looked at whenever there is nothing to
/// read, too.
const POLLS_PER_LOG: u32 = 256;

/// Polls between two questions how many partitions the topic has: seconds.
const POLLS_PER_COUNT: u32 = 4096;

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
            patience: settings.connect_timeout(),
            is_troubled: false,
            losses: Vec::new(),
            log_ends: LogEnds::default(),
            failure: None,
            polls: 0,
        };
        let known = start.iter().map(|&(partition, _)| partition).filter(|&it| it < count);
        let ranges = offsets_of(reader.consumer.client(), topic, known, &deadline)?;
        for &(partition, at) in start {
            reader.add(partition, at, &ranges)?;
        }
        Ok(reader)
    }

    /// Starts one partition where it is to start, of the offsets that it holds.
    fn add(
        &mut self,
        partition: u32,
        at: StartAt,
        ranges: &BTreeMap<u32, OffsetRange>,
    ) -> Result<(), PortError> {
        let topic = &self.topic;
        let count = self.partitions.len();
        let place = self.partitions.get_mut(partition as usize).zip(ranges.get(&partition));
        let Some((slot, range)) = place else {
            return Err(PortError::fatal(format!(
                "topic `{topic}` has {count} partitions, and none of number {partition}"
            )));
        };
        if slot.is_some() {
            return Err(PortError::fatal(format!(
                "partition {partition} of topic `{topic}` is assigned twice"
            )));
        }
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
        *slot = Some(KafkaPartition::new(partition, next, range.end));
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
        let Self { consumer, partitions, topic, watch, is_troubled, losses, failure, .. } = self;
        consumer.consume(timeout_ms, max, &mut |item| match item {
            Ok(record) => {
                let Some(Some(assigned)) = partitions.get_mut(record.partition as usize) else {
                    return;
                };
                if record.offset >= assigned.next && assigned.trouble.is_none() {
                    assigned.next = record.offset + 1;
                    *visited += 1;
                    visit(record);
                }
            }
            Err(error) => {
                let meaning = Meaning::of(topic, &error);
                let place = partitions.get_mut(error.partition as usize);
                match (meaning, place.and_then(Option::as_mut)) {
                    (Meaning::TopicInDoubt, _) => watch.doubt(),
                    (Meaning::Failure(error), _) => drop(failure.get_or_insert(error)),
                    (Meaning::OutOfRange, Some(assigned)) => {
                        assigned.is_out_of_range();
                        *is_troubled = true;
                    }
                    (Meaning::Damaged, Some(assigned)) => {
                        let ReadError { partition, reason, .. } = &error;
                        tracing::warn!("topic `{topic}`, partition {partition}: {reason}");
                        losses.extend(assigned.damage(error.offset.max(0) as u64));
                        *is_troubled |= assigned.trouble.is_some();
                    }
                    (Meaning::Passing | Meaning::OutOfRange | Meaning::Damaged, _) => {}
                }
            }
        })
    }

    /// Begins what could not be read on anew, as far as that is possible by now.
    #[cold]
    fn mend(&mut self) -> Result<(), PortError> {
        let Self { consumer, partitions, topic, patience, is_troubled, losses, .. } = self;
        *is_troubled = false;
        for assigned in partitions.iter_mut().flatten().filter(|one| one.trouble.is_some()) {
            let Poll::Ready(loss) = assigned.mend(consumer.client(), topic, *patience) else {
                *is_troubled = true;
                continue;
            };
            if let Some(loss) = loss? {
                let KnownLoss { partition, first, records, kind } = loss;
                tracing::warn!(
                    "topic `{topic}`, partition {partition}: the log has lost the records of \
                     {records} offsets, from {first} on ({kind:?})"
                );
                losses.push(loss);
            }
            assigned.trouble = None;
            let failed = |error| topic_error("read", topic, &error);
            let id = assigned.id as i32;
            consumer.stop(id);
            consumer.start(id, Some(assigned.next as i64)).map_err(failed)?;
            if assigned.paused {
                consumer.set_paused(&only(topic, assigned.id), true).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// A list of one partition.
fn only(topic: &str, partition: u32) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition as i32);
    list
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

/// What an error in a partition's queue means.
enum Meaning {
    /// librdkafka goes on by itself.
    Passing,
    /// The topic may be gone.
    TopicInDoubt,
    /// The log does not hold what was asked for.
    OutOfRange,
    /// A batch does not fit its checksum.
    Damaged,
    /// Reading cannot go on.
    Failure(PortError),
}

impl Meaning {
    fn of(topic: &str, error: &ReadError) -> Self {
        let ReadError { partition, code, reason, .. } = error;
        match *code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Self::OutOfRange
            }
            RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage => Self::Damaged,
            code if is_topic_gone(code) => Self::TopicInDoubt,
            // No group is joined here, whether one may be or not.
            RDKafkaErrorCode::GroupAuthorizationFailed | RDKafkaErrorCode::PartitionEOF => {
                Self::Passing
            }
            code if is_transient(code) => {
                tracing::debug!("reading topic `{topic}` goes on after: {reason}");
                Self::Passing
            }
            code => Self::Failure(PortError::reconnect(format!(
                "cannot read partition {partition} of topic `{topic}`: {code}: {reason}"
            ))),
        }
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
            if self.group.as_mut().is_some_and(GroupOffsets::is_due) {
                self.commit();
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
        if self.is_troubled
            && let Err(error) = self.mend()
        {
            self.failure.get_or_insert(error);
        }
        if self.polls.is_multiple_of(POLLS_PER_COUNT) {
            // Partitions that were added are found by it, whoever asks for the end.
            let _ = self.is_at_end();
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
        let action = if paused { "pause" } else { "resume" };
        self.consumer
            .set_paused(&only(topic, partition), paused)
            .map_err(|error| topic_error(action, topic, &error))?;
        assigned.paused = paused;
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        let mut positions = std::mem::take(&mut self.positions);
        let lag = self.lag_in(&mut positions);
        self.positions = positions;
        lag
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.lag_in(&mut only(&self.topic, partition))
    }

    fn is_at_end(&mut self) -> Poll<bool> {
        let Self { consumer, partitions, topic, topic_c, patience, log_ends, .. } = self;
        let ids = partitions.iter().flatten().map(|assigned| assigned.id);
        let Poll::Ready(ends) = log_ends.poll(consumer.client(), topic, ids, *patience) else {
            return Poll::Pending;
        };
        if ends.partitions > partitions.len() {
            let (now, then) = (ends.partitions, partitions.len());
            self.failure.get_or_insert_with(|| {
                PortError::fatal(format!(
                    "topic `{topic}` has {now} partitions by now, and had {then} when the reading \
                     began: what lies in the others would be left out; start again"
                ))
            });
            return Poll::Ready(false);
        }
        for (id, end) in ends.by_partition {
            if let Some(assigned) = &mut partitions[id as usize] {
                assigned.known_end = assigned.known_end.max(end);
                let high = consumer.cached_end(topic_c, id as i32).unwrap_or(0).max(0) as u64;
                assigned.hold_back(topic, end, high);
            }
        }
        Poll::Ready(self.lag() == 0)
    }

    fn held_back(&mut self) -> u64 {
        self.partitions.iter().flatten().map(|assigned| assigned.held_back).sum()
    }

    fn take_losses(&mut self, visit: &mut dyn FnMut(KnownLoss)) {
        self.losses.drain(..).for_each(visit);
    }
}

impl Drop for KafkaReader {
    /// Tools that show lag see where the reading ended.
    fn drop(&mut self) {
        self.commit();
        if let Some(group) = &self.group {
            group.finish();
        }
    }
}

impl KafkaReader {
    /// Commits how far the reading is, under the group that the settings name.
    fn commit(&mut self) {
        let Some(group) = &self.group else { return };
        let known = self.consumer.positions(&mut self.positions).is_ok();
        let elements = self.positions.elements();
        let positions = elements.iter().filter_map(|element| {
            let assigned = self.partitions.get(element.partition() as usize)?.as_ref()?;
            Some((assigned.id, assigned.position(known.then(|| element.offset()))))
        });
        group.commit(positions);
    }

    /// Records not visited yet in these partitions, whose positions are written into the list.
    fn lag_in(&self, positions: &mut TopicPartitionList) -> u64 {
        let known = self.consumer.positions(positions).is_ok();
        let elements = positions.elements();
        let mut lag = 0;
        for element in &elements {
            let partition = element.partition();
            let Some(Some(assigned)) = self.partitions.get(partition as usize) else { continue };
            let position = assigned.position(known.then(|| element.offset()));
            let cached =
                self.consumer.cached_end(&self.topic_c, partition).unwrap_or(0).max(0) as u64;
            let known = cached.max(assigned.known_end).saturating_sub(position);
            let known = known.saturating_sub(assigned.held_back);
            // What cannot be read on is not read to its end.
            lag += known.max(u64::from(assigned.trouble.is_some()));
        }
        lag
    }
}
