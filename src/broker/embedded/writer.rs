//! Writes to the embedded log: a buffer per partition, appended as one batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use streamgauge_actors::{
    Ack, Delivery, EventWriter, MILLISECOND, Nanos, PortError, Sent, SharedClock,
};

use super::log::{BATCH_BYTES, HEADER, TopicLog, no_topic};

/// How long a writer that is busy lets records wait for company.
const LINGER_NS: Nanos = MILLISECOND;

/// A partition's records on their way into a batch.
#[derive(Default)]
struct PartitionBuffer {
    buffer: Vec<u8>,
    tokens: Vec<u64>,
    /// Tokens at the front whose records are appended.
    appended: usize,
}

/// A writer of one topic. It appends a partition's buffer before it would outgrow a batch, and when
/// its owner waits.
pub(super) struct Writer {
    topic: Arc<TopicLog>,
    clock: SharedClock,
    lanes: Vec<PartitionBuffer>,
    buffered: u64,
    unacknowledged: u64,
    flushed_ns: Nanos,
}

impl Writer {
    pub(super) fn new(topic: Arc<TopicLog>, clock: SharedClock) -> Self {
        let lanes = topic.partitions.iter().map(|_| PartitionBuffer::default()).collect();
        Self { topic, clock, lanes, buffered: 0, unacknowledged: 0, flushed_ns: 0 }
    }

    fn flush(&mut self, partition: u32, now: Nanos) -> Result<(), PortError> {
        let lane = &mut self.lanes[partition as usize];
        let records = (lane.tokens.len() - lane.appended) as u64;
        if records == 0 {
            return Ok(());
        }
        self.buffered -= lane.buffer.len() as u64;
        lane.appended = lane.tokens.len();
        if lane.buffer.len() < lane.buffer.capacity() / 2 {
            // Few records: a buffer of their size, so that a slow stream does not hold mostly empty
            // ones.
            let bytes = lane.buffer.as_slice().to_vec();
            lane.buffer.clear();
            self.topic.append(partition, bytes, records, now, None)
        } else {
            let bytes = std::mem::take(&mut lane.buffer);
            self.topic.append(partition, bytes, records, now, Some(&mut lane.buffer))
        }
    }
}

impl EventWriter for Writer {
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
        let Some(lane) = self.lanes.get(partition as usize) else {
            return Err(self
                .topic
                .partition(partition)
                .err()
                .unwrap_or_else(|| no_topic(&self.topic.name)));
        };
        let size = HEADER + key.len() + payload.len();
        if self.topic.bytes.load(Ordering::Relaxed) + self.buffered + size as u64
            > self.topic.max_bytes
        {
            self.topic.check()?;
            if size as u64 > self.topic.max_bytes {
                let (name, max) = (&self.topic.name, self.topic.max_bytes);
                return Err(PortError::fatal(format!(
                    "topic `{name}`: a record of {size} bytes does not fit into {max} \
                     (broker.embedded.max_bytes)"
                )));
            }
            return Ok(Sent::Full);
        }
        if lane.buffer.len() + size > BATCH_BYTES && !lane.buffer.is_empty() {
            let now = self.clock.now();
            self.flush(partition, now)?;
        }
        let lane = &mut self.lanes[partition as usize];
        lane.buffer.extend_from_slice(&(key.len() as u32).to_le_bytes());
        lane.buffer.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        lane.buffer.extend_from_slice(key);
        lane.buffer.extend_from_slice(payload);
        lane.tokens.push(token);
        self.buffered += size as u64;
        self.unacknowledged += 1;
        Ok(Sent::Ok)
    }

    fn poll_acks(
        &mut self,
        budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        if self.unacknowledged == 0 {
            return Ok(0);
        }
        self.topic.check()?;
        let now = self.clock.now();
        // Whoever has time to wait has sent all that was due; whoever has not will soon send more.
        let flush = !budget.is_zero() || now - self.flushed_ns >= LINGER_NS;
        if flush {
            self.flushed_ns = now;
        }
        let mut visited = 0;
        for partition in 0..self.lanes.len() as u32 {
            if flush {
                self.flush(partition, now)?;
            }
            let lane = &mut self.lanes[partition as usize];
            for token in lane.tokens.drain(..lane.appended) {
                visited += 1;
                visit(Ack { partition, token, delivery: Delivery::Acknowledged });
            }
            lane.appended = 0;
        }
        self.unacknowledged -= visited as u64;
        Ok(visited)
    }

    fn in_flight(&self) -> u64 {
        self.unacknowledged
    }
}
