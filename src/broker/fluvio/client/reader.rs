//! Reads assigned partitions in turn, visiting records where they came, and asks their leaders
//! where they end.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use streamgauge_actors::{
    Clock, EventReader, KnownLoss, Nanos, PortError, Record, RunClock, StartAt,
};

use super::cluster::Cluster;
use super::ends::EndsWatch;
use super::leaders::{LeaderSearch, Leaders};
use super::partition::{FluvioPartition, Origin, first_offset};
use super::wait::Bell;

/// A batch must fit into a chunk.
const LEAST_CHUNK_BYTES: u64 = 2 << 20;

/// A reader of some of a topic's partitions: see [`EventReader`].
pub(super) struct FluvioReader {
    assigned: Vec<FluvioPartition>,
    /// Whose turn it is to be visited first.
    turn: usize,
    /// How to read: the same for all partitions.
    from: Origin,
    search: LeaderSearch,
    clock: RunClock,
    bell: Arc<Bell>,
    waker: Waker,
    ends: EndsWatch,
    /// Since when somebody wants to know whether all is read.
    end_wanted_ns: Option<Nanos>,
    failure: Option<PortError>,
}

impl FluvioReader {
    pub(super) fn open(
        cluster: &Cluster,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Self, PortError> {
        let deadline = cluster.connect_deadline();
        let partitions = cluster.partitions_of(topic, &deadline)?;
        let leaders = Arc::new(Leaders::of(cluster, topic, &deadline)?);
        let clock = RunClock::start();
        let now = clock.now();
        let mut assigned: Vec<FluvioPartition> = Vec::with_capacity(start.len());
        for &(partition, at) in start {
            if partition >= partitions {
                return Err(PortError::fatal(format!(
                    "topic `{topic}` has {partitions} partitions, and none of number {partition}"
                )));
            }
            if assigned.iter().any(|one| one.partition == partition) {
                return Err(PortError::fatal(format!(
                    "partition {partition} of topic `{topic}` is assigned twice"
                )));
            }
            let range = cluster.range(&leaders, partition, &deadline)?;
            let next = first_offset(topic, partition, at, range)?;
            assigned.push(FluvioPartition::new(partition, next, range.end, now));
        }
        let settings = &cluster.settings;
        let bell = Arc::new(Bell::default());
        Ok(Self {
            from: Origin {
                topic: topic.to_owned(),
                endpoint: settings.endpoint.clone(),
                leaders,
                chunk_bytes: (settings.fetch_bytes.0 / assigned.len().max(1) as u64)
                    .max(LEAST_CHUNK_BYTES),
                connect_timeout_ns: settings.connect_timeout.as_nanos(),
            },
            assigned,
            turn: 0,
            search: LeaderSearch::new(settings.clone(), topic.to_owned()),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            ends: EndsWatch::new(now),
            end_wanted_ns: None,
            clock,
            failure: None,
        })
    }

    /// Visits what is there, a batch of each partition in turn.
    fn take(&mut self, max_records: usize, visit: &mut dyn FnMut(Record<'_>)) -> usize {
        let Self { assigned, turn, from, search, waker, clock, ends, failure, .. } = self;
        let now = clock.now();
        let mut context = Context::from_waker(waker);
        match search.poll(now, &mut context) {
            Poll::Pending => {}
            Poll::Ready(Ok(leaders)) => {
                from.leaders = Arc::new(leaders);
                ends.forget();
            }
            Poll::Ready(Err(error)) => {
                failure.get_or_insert(error);
            }
        }
        let count = assigned.len();
        let (mut visited, mut idle) = (0, 0);
        while visited < max_records && idle < count {
            let one = &mut assigned[*turn % count];
            *turn = (*turn + 1) % count;
            if one.paused {
                idle += 1;
                continue;
            }
            let took = match one.fetch(from, now, &mut context) {
                Poll::Ready(Ok(())) => {
                    idle = 0;
                    one.visit(from, max_records - visited, visit)
                }
                Poll::Ready(Err(error)) => Err(error),
                Poll::Pending => {
                    if one.outage.is_on() {
                        search.want();
                    }
                    idle += 1;
                    Ok(0)
                }
            };
            match took {
                Ok(took) => visited += took,
                Err(error) => {
                    failure.get_or_insert(error);
                    break;
                }
            }
        }
        visited
    }

    fn watch_ends(&mut self, is_busy: bool) {
        let now = self.clock.now();
        let is_past = self.assigned.iter().any(|one| one.next > one.end);
        self.take_ends();
        if self.ends.gives_up(now, self.from.connect_timeout_ns) {
            // Then nothing else comes through that connection.
            self.from.leaders.disconnect();
            for one in &mut self.assigned {
                if let Err(error) = one.disconnected(&self.from, now) {
                    self.failure.get_or_insert(error);
                }
            }
        }
        if self.ends.is_due(now, is_busy, is_past) {
            let partitions = self.assigned.iter().map(|one| one.partition).collect();
            self.ends.ask(now, Arc::clone(&self.from.leaders), partitions);
            // Looked at once, the question is on its way.
            self.take_ends();
        }
    }

    fn take_ends(&mut self) {
        for (index, end) in self.ends.answers(&self.waker) {
            let one = &mut self.assigned[index];
            one.end = one.end.max(end);
        }
    }
}

impl EventReader for FluvioReader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let mut visited = self.take(max_records, visit);
        self.watch_ends(visited > 0);
        if visited == 0 && max_records > 0 && !budget.is_zero() && self.failure.is_none() {
            self.bell.wait(budget);
            visited = self.take(max_records, visit);
        }
        match &self.failure {
            // What was visited stays valid: the error is told by the next call.
            Some(failure) if visited == 0 => Err(failure.clone()),
            _ => Ok(visited),
        }
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        let topic = &self.from.topic;
        match self.assigned.iter_mut().find(|one| one.partition == partition) {
            Some(one) => one.paused = paused,
            None => {
                return Err(PortError::fatal(format!(
                    "partition {partition} of topic `{topic}` is not assigned here"
                )));
            }
        }
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        self.assigned.iter().map(FluvioPartition::lag).sum()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.assigned.iter().find(|one| one.partition == partition).map_or(0, FluvioPartition::lag)
    }

    /// The ends are asked for now and then in any case.
    fn is_at_end(&mut self) -> Poll<bool> {
        let clock = &self.clock;
        if !self.ends.are_known_since(*self.end_wanted_ns.get_or_insert_with(|| clock.now())) {
            return Poll::Pending;
        }
        self.end_wanted_ns = None;
        Poll::Ready(self.lag() == 0)
    }

    fn take_losses(&mut self, visit: &mut dyn FnMut(KnownLoss)) {
        self.assigned.iter_mut().flat_map(|one| one.losses.drain(..)).for_each(visit);
    }
}
