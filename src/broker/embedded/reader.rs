//! Reads the embedded log: batches are shared, and their records visited in place.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use streamgauge_actors::{EventReader, KnownLoss, LossKind, PortError, Record, StartAt};

use super::log::{Batch, Log, TopicLog, lock};

struct EmbeddedPartition {
    id: u32,
    reader: u64,
    next: u64,
    paused: bool,
    /// The batch being visited, and where its next record starts.
    current: Option<(Arc<Batch>, usize)>,
    /// What was removed before it was read, and is not told yet.
    losses: Vec<KnownLoss>,
}

/// A reader of some of a topic's partitions.
pub(super) struct Reader {
    topic: Arc<TopicLog>,
    assigned: Vec<EmbeddedPartition>,
    /// Where the next poll begins, so that no partition starves.
    turn: usize,
}

impl EmbeddedPartition {
    /// Visits up to `limit` records of this partition.
    fn visit(
        &mut self,
        topic: &TopicLog,
        limit: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let mut visited = 0;
        while visited < limit && !self.paused {
            if self.current.is_none() && !self.load(topic)? {
                break;
            }
            let Some((batch, at)) = &mut self.current else { break };
            while visited < limit && self.next < batch.end {
                let (record, after) = batch.record(*at, self.id, self.next);
                *at = after;
                self.next += 1;
                visited += 1;
                visit(record);
            }
            if self.next >= batch.end {
                self.current = None;
            }
        }
        Ok(visited)
    }

    /// Notes how far this reader is, and takes the batch that holds its next record, if there is
    /// one.
    fn load(&mut self, topic: &TopicLog) -> Result<bool, PortError> {
        let partition = topic.partition(self.id)?;
        if partition.end.load(Ordering::SeqCst) <= self.next {
            if self.next > 0 {
                self.pass(topic, &mut lock(&partition.log));
            }
            return Ok(false);
        }
        let mut log = lock(&partition.log);
        self.pass(topic, &mut log);
        if self.next < log.first {
            let (first, records) = (self.next, log.first - self.next);
            let kind = LossKind::Removed;
            self.losses.push(KnownLoss { partition: self.id, first, records, kind });
            self.next = log.first;
        }
        let at = log.batches.partition_point(|batch| batch.end <= self.next);
        let Some(batch) = log.batches.get(at).cloned() else { return Ok(false) };
        drop(log);
        let mut start = 0;
        for offset in batch.first..self.next {
            start = batch.record(start, self.id, offset).1;
        }
        self.current = Some((batch, start));
        Ok(true)
    }

    /// Records that were not visited yet.
    fn lag(&self, topic: &TopicLog) -> u64 {
        topic.partitions[self.id as usize].end.load(Ordering::SeqCst).saturating_sub(self.next)
    }

    fn pass(&self, topic: &TopicLog, log: &mut Log) {
        if let Some((_, passed)) = log.readers.iter_mut().find(|(id, _)| *id == self.reader)
            && *passed < self.next
        {
            *passed = self.next;
            topic.free_passed(log);
        }
    }
}

impl Reader {
    pub(super) fn open(topic: Arc<TopicLog>, start: &[(u32, StartAt)]) -> Result<Self, PortError> {
        let mut assigned = Vec::new();
        for &(id, start) in start {
            let mut log = lock(&topic.partition(id)?.log);
            let next = match start {
                StartAt::Earliest => log.first,
                StartAt::Latest => log.end,
                StartAt::Offset(offset) if offset <= log.end => offset,
                StartAt::Offset(offset) => {
                    return Err(PortError::fatal(format!(
                        "topic `{}`, partition {id}: offset {offset} is past the end, {}",
                        topic.name, log.end
                    )));
                }
            };
            let reader = log.next_reader;
            log.next_reader += 1;
            let passed = next.min(log.end);
            log.readers.push((reader, passed));
            assigned.push(EmbeddedPartition {
                id,
                reader,
                next,
                paused: false,
                current: None,
                losses: Vec::new(),
            });
        }
        Ok(Self { topic, assigned, turn: 0 })
    }

    fn visit_some(
        &mut self,
        max: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let count = self.assigned.len();
        let mut visited = 0;
        for i in 0..count {
            if visited >= max {
                break;
            }
            let at = (self.turn + i) % count;
            // A share each, so that partitions advance together.
            let share = (max - visited).div_ceil(count - i);
            visited += self.assigned[at].visit(&self.topic, share, visit)?;
        }
        self.turn = if count == 0 { 0 } else { (self.turn + 1) % count };
        Ok(visited)
    }

    fn has_more(&self) -> bool {
        self.assigned.iter().any(|assigned| {
            let end = self.topic.partitions[assigned.id as usize].end.load(Ordering::SeqCst);
            !assigned.paused && assigned.next < end
        })
    }
}

impl EventReader for Reader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let visited = self.visit_some(max_records, visit)?;
        if visited > 0 || budget.is_zero() {
            return Ok(visited);
        }
        self.topic.check()?;
        self.topic.waiting.fetch_add(1, Ordering::SeqCst);
        {
            let door = lock(&self.topic.door);
            if !self.has_more() {
                drop(self.topic.bell.wait_timeout(door, budget));
            }
        }
        self.topic.waiting.fetch_sub(1, Ordering::SeqCst);
        self.visit_some(max_records, visit)
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        let assigned = self.assigned.iter_mut().find(|assigned| assigned.id == partition);
        let name = &self.topic.name;
        let missing =
            || PortError::fatal(format!("topic `{name}`: partition {partition} is not assigned"));
        assigned.ok_or_else(missing)?.paused = paused;
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        self.assigned.iter().map(|assigned| assigned.lag(&self.topic)).sum()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.assigned
            .iter()
            .find(|assigned| assigned.id == partition)
            .map_or(0, |assigned| assigned.lag(&self.topic))
    }

    fn take_losses(&mut self, visit: &mut dyn FnMut(KnownLoss)) {
        self.assigned.iter_mut().flat_map(|one| one.losses.drain(..)).for_each(visit);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for assigned in &self.assigned {
            let mut log = lock(&self.topic.partitions[assigned.id as usize].log);
            log.readers.retain(|&(id, _)| id != assigned.reader);
            self.topic.free_passed(&mut log);
        }
    }
}
