//! WindowAggregator: counts the events of its partitions in event-time windows.
//!
//! Owns: a reader of some partitions of the events topic, and those partitions' windows
//! (`window_aggregator/panes.rs`). Receives: orders, and [`WindowsMerged`] from the result writer.
//! Sends: [`PanesClosed`] to the result writer.
//!
//! What it counts is a function of each partition's log alone. A partition too far ahead of the
//! merge is paused. What differs between a run's own stream and a foreign one is a type
//! ([`Source`]), chosen once.

pub(crate) mod counting;
mod feed_clock;
pub(crate) mod foreign;
pub(crate) mod own;
pub(crate) mod panes;
pub(crate) mod serials;
pub(crate) mod slots;
pub(crate) mod source;

use std::sync::Arc;

use crate::clock::{Nanos, SharedClock};
use crate::failure::StageError;
use crate::measures::backlog::LeastBehind;
use crate::measures::latency_kinds::LatencyKind;
use crate::ports::{DeadLetters, EventReader, MAX_BUDGET};
use crate::stage::flow::{PanesClosed, WindowsMerged};
use crate::stage::{Receive, Role, Stage, StageOrder, StageState, TURN_LIMIT, Turn};
use crate::stage_id::StageId;
use crate::window_aggregator::counting::{Counting, CountingStart};
use crate::window_aggregator::foreign::ForeignStream;
use crate::window_aggregator::own::OwnStream;
use crate::window_aggregator::source::Source;
use crate::workload::mode::Aggregate;
use crate::workload::spec::RunSpec;

/// Records that share one reading of the clock: it costs a fifth of a record, and in their time
/// nothing shows.
const RECORDS_PER_CLOCK_READ: u32 = 64;

/// What every aggregator is made of.
pub struct AggregatorParts {
    /// Which one, from 0.
    pub id: u32,
    /// The workload.
    pub spec: Arc<RunSpec>,
    /// The run's clock.
    pub clock: SharedClock,
    /// The partitions that it owns.
    pub owned: Vec<u32>,
    /// Reads them.
    pub reader: Box<dyn EventReader>,
    /// Where records go that are no readable events.
    pub dead_letters: Box<dyn DeadLetters>,
}

impl AggregatorParts {
    fn begin<S: Source>(self, source: S, start: CountingStart) -> WindowAggregator<S> {
        let Self { id, spec, clock, owned, reader, dead_letters } = self;
        WindowAggregator {
            id,
            reader,
            source,
            counting: Counting::new(spec, clock, &owned, dead_letters, start),
            merged_before: i64::MIN,
            first_closed: None,
            merge_moved: false,
            behind: LeastBehind::default(),
            idle_since_ns: None,
        }
    }
}

/// An aggregator of a run's own stream, before the run has begun.
pub struct OwnAggregatorRole(pub AggregatorParts);

impl Role for OwnAggregatorRole {
    type Stage = WindowAggregator<OwnStream>;

    fn id(&self) -> StageId {
        StageId::WindowAggregator(self.0.id)
    }

    fn begin(self, base_ns: Nanos) -> Self::Stage {
        let Self(parts) = self;
        let (source, start) = (OwnStream::new(&parts.spec), OwnStream::start(&parts.spec, base_ns));
        parts.begin(source, start)
    }
}

/// An aggregator of a stream that others write, before the run has begun.
pub struct ForeignAggregatorRole {
    /// What it is made of.
    pub parts: AggregatorParts,
    /// How the stream is read.
    pub aggregate: Aggregate,
}

impl Role for ForeignAggregatorRole {
    type Stage = WindowAggregator<ForeignStream>;

    fn id(&self) -> StageId {
        StageId::WindowAggregator(self.parts.id)
    }

    fn begin(self, base_ns: Nanos) -> Self::Stage {
        let Self { parts, aggregate } = self;
        let start = ForeignStream::start(&aggregate, &parts.spec, base_ns);
        let source = ForeignStream::new(aggregate, parts.owned.len(), &parts.spec, base_ns);
        parts.begin(source, start)
    }
}

/// The aggregator's logic.
pub struct WindowAggregator<S> {
    id: u32,
    reader: Box<dyn EventReader>,
    source: S,
    counting: Counting,
    merged_before: i64,
    /// How far the first partition to close anything had closed.
    first_closed: Option<i64>,
    /// Whether the distance to the merge is to be looked at again.
    merge_moved: bool,
    behind: LeastBehind,
    /// Since when a turn that found nothing to read lasts.
    idle_since_ns: Option<Nanos>,
}

impl<S: Source> WindowAggregator<S> {
    /// Pauses what is too far ahead of the merge, resumes what no longer is.
    fn hold_back(&mut self) -> Result<(), StageError> {
        let runs_ahead = self.source.runs_ahead();
        let limit = i64::from(self.counting.spec.aggregator.max_open_windows);
        for partition in &mut self.counting.partitions {
            let closed_before = partition.windows.closed_before();
            let ahead = if runs_ahead || closed_before == i64::MIN || closed_before == i64::MAX {
                false
            } else {
                let first = *self.first_closed.get_or_insert(closed_before);
                closed_before.saturating_sub(self.merged_before.max(first)) > limit
            };
            if ahead != partition.paused {
                self.reader.set_paused(partition.id, ahead)?;
                partition.paused = ahead;
            }
        }
        Ok(())
    }
}

impl<S: Source> Stage for WindowAggregator<S> {
    type Out = PanesClosed;

    fn id(&self) -> StageId {
        StageId::WindowAggregator(self.id)
    }

    fn order(&mut self, order: StageOrder) {
        match order {
            StageOrder::Drain { .. } => {
                self.source.drain();
                self.merge_moved = true;
            }
            StageOrder::GiveUp | StageOrder::SetRate { .. } => {}
        }
    }

    fn turn(&mut self, now: Nanos, outbox: &mut Vec<PanesClosed>) -> Result<Turn, StageError> {
        if let Some(since) = self.idle_since_ns.take() {
            self.counting.counters.idle_ns += (now - since).max(0) as u64;
        }
        if self.source.has_schedule() {
            let counting = &self.counting;
            self.behind.look(now, || counting.behind(now));
        }
        let Self { reader, source, counting, .. } = self;
        let mut unread = 0;
        let visited = reader.poll(MAX_BUDGET, TURN_LIMIT, &mut |record| {
            // After the wait, and then once for a few records that came together.
            if unread == 0 {
                counting.read_clock();
                unread = RECORDS_PER_CLOCK_READ;
            }
            unread -= 1;
            source.visit(counting, record);
        })?;
        reader.take_losses(&mut |loss| counting.find_loss(&loss));
        self.idle_since_ns = (visited == 0).then_some(now);
        if std::mem::take(&mut counting.some_closed) {
            counting.tell(true, outbox);
            self.merge_moved = true;
        }
        if std::mem::take(&mut self.merge_moved) {
            self.hold_back()?;
        }
        let Self { reader, source, counting, .. } = self;
        let over = source.is_over(now, visited, &mut **reader, counting, outbox);
        if over {
            counting.finish();
        }
        Ok(if over { Turn::Finished } else { Turn::Again })
    }

    fn state(&mut self) -> StageState {
        let Self { reader, source, counting, .. } = self;
        source.look_back(counting);
        counting.counters.lag = reader.lag();
        counting.counters.held_back = reader.held_back();
        counting.counters.behind_ns = self.behind.take();
        let watermarks = counting.partitions.iter().map(|p| (p.id, p.windows.watermark()));
        counting.counters.watermarks = watermarks.collect();
        StageState {
            counters: counting.counters.clone(),
            latencies: vec![(LatencyKind::EventLatency, counting.event_latency.take())],
            findings: std::mem::take(&mut counting.findings),
            ..StageState::default()
        }
    }
}

impl<S: Source> Receive<WindowsMerged> for WindowAggregator<S> {
    fn receive(&mut self, message: WindowsMerged) {
        self.merged_before = message.merged_before.max(self.merged_before);
        self.source.follow(message.follow);
        self.merge_moved = true;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{MILLISECOND, SECOND};
    use crate::ports::{PortError, Record, StartAt, TimestampKind};
    use crate::stage::flow::Follower;
    use crate::testing::{NoDeadLetters, SimClock, small_spec};
    use crate::workload::mode::Follow;

    const BASE: Nanos = 1_700_000_000 * SECOND;

    /// A topic that another program fills.
    struct ForeignTopic {
        /// Event times still to be read, per partition.
        left: Vec<Vec<Nanos>>,
        paused: Vec<bool>,
        endless: bool,
    }

    impl EventReader for ForeignTopic {
        fn poll(
            &mut self,
            _budget: Duration,
            _max_records: usize,
            visit: &mut dyn FnMut(Record<'_>),
        ) -> Result<usize, PortError> {
            let mut visited = 0;
            for (partition, times) in
                self.left.iter_mut().enumerate().filter(|(at, _)| !self.paused[*at])
            {
                let Some(time) = times.pop() else { continue };
                if self.endless {
                    times.push(time + 1);
                }
                let event = format!(
                    r#"{{"user_id":"u","page_id":"p","ad_id":"a","ad_type":"image",
                    "event_type":"view","event_time_ns":{time},"window_id":0,
                    "ip_address":"1.2.3.4","campaign_id":1,"produce_time":{}}}"#,
                    time / MILLISECOND
                );
                visited += 1;
                visit(Record {
                    partition: partition as u32,
                    offset: 0,
                    key: b"",
                    payload: event.as_bytes(),
                    timestamp_ns: time,
                    timestamp_kind: TimestampKind::Create,
                });
            }
            Ok(visited)
        }

        fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
            self.paused[partition as usize] = paused;
            Ok(())
        }

        fn lag(&mut self) -> u64 {
            self.left.iter().map(|times| times.len() as u64).sum()
        }

        fn lag_of(&mut self, partition: u32) -> u64 {
            self.left[partition as usize].len() as u64
        }
    }

    fn foreign(
        left: Vec<Vec<Nanos>>,
        endless: bool,
        until_idle_ns: Option<Nanos>,
        idle_timeout_ns: Option<Nanos>,
    ) -> (WindowAggregator<ForeignStream>, Arc<SimClock>) {
        let spec = Arc::new(small_spec("foreign").with(|spec| {
            spec.aggregator.max_open_windows = 2;
        }));
        let owned: Vec<u32> = (0..left.len() as u32).collect();
        let clock = Arc::new(SimClock::at(BASE));
        let reader = ForeignTopic { paused: vec![false; left.len()], left, endless };
        let aggregate = Aggregate {
            follow: Follow { from: StartAt::Earliest, until_idle_ns },
            base_event_time_ns: 0,
            campaigns: None,
            idle_timeout_ns,
        };
        let parts = AggregatorParts {
            id: 0,
            spec,
            clock: Arc::clone(&clock) as SharedClock,
            owned,
            reader: Box::new(reader),
            dead_letters: Box::new(NoDeadLetters),
        };
        (ForeignAggregatorRole { parts, aggregate }.begin(BASE), clock)
    }

    /// What came of the turns of a stage.
    #[derive(Debug, PartialEq)]
    struct Played {
        counted: u64,
        /// Windows that all partitions had closed before the end.
        merged_before: i64,
    }

    /// Takes turns, 1 ms each, until it has finished; merges what closes as the result writer does.
    fn finish(
        (mut stage, clock): (WindowAggregator<ForeignStream>, Arc<SimClock>),
        partitions: usize,
    ) -> Option<Played> {
        let mut closed_before = vec![i64::MIN; partitions];
        let mut is_idle = vec![false; partitions];
        let mut merged_before = i64::MIN;
        let (mut now, mut counted) = (BASE, 0);
        for _ in 0..10_000 {
            now += MILLISECOND;
            clock.set(now);
            let mut outbox = Vec::new();
            let turn = stage.turn(now, &mut outbox).unwrap();
            for message in outbox {
                closed_before[message.partition as usize] = message.closed_before;
                is_idle[message.partition as usize] = message.is_idle;
                counted += message
                    .panes
                    .iter()
                    .flat_map(|pane| &pane.entries)
                    .map(|entry| entry.count)
                    .sum::<u64>();
            }
            if turn == Turn::Finished {
                return Some(Played { counted, merged_before });
            }
            merged_before = *closed_before.iter().min().unwrap();
            let active = closed_before.iter().zip(&is_idle).filter(|(_, is_idle)| !**is_idle);
            let least = active.map(|(before, _)| *before).min();
            let greatest = *closed_before.iter().max().unwrap();
            let follow = Follower {
                closed_before: least.unwrap_or(greatest),
                are_all_idle: least.is_none(),
            };
            stage.receive(WindowsMerged { merged_before, follow });
        }
        None
    }

    /// The full partition is paused for being ahead of the empty one, which must close although
    /// that has a rest.
    #[test]
    fn an_empty_partition_does_not_hold_up_a_full_one_for_ever() {
        let times = (0..20).rev().map(|window| BASE + window * 200 * MILLISECOND).collect();
        let stage = foreign(vec![times, Vec::new()], false, Some(100 * MILLISECOND), None);
        assert_eq!(finish(stage, 2).map(|played| played.counted), Some(20));
    }

    #[test]
    fn a_topic_that_others_go_on_filling_is_drained_all_the_same() {
        let stage = foreign(vec![vec![BASE, BASE]], true, None, None);
        let (mut stage, clock) = stage;
        stage.order(StageOrder::Drain { at_ns: BASE });
        assert!(finish((stage, clock), 1).is_some_and(|played| played.counted < 10));
    }

    /// Events of `windows` windows, one every millisecond.
    fn steady(windows: Nanos) -> Vec<Nanos> {
        (0..windows * 200).rev().map(|at| BASE + at * MILLISECOND).collect()
    }

    #[test]
    fn an_idle_partition_follows_the_others_and_holds_nothing_up() {
        let first = BASE / (200 * MILLISECOND);
        let patience = Some(50 * MILLISECOND);
        let stage =
            foreign(vec![steady(10), vec![BASE], Vec::new()], false, Some(SECOND), patience);
        let played = finish(stage, 3).unwrap();
        assert_eq!(
            (played.counted, played.merged_before),
            (2001, first + 10),
            "all before the end"
        );
    }
}
