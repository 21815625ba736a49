//! Event-time windows of one partition: open panes, the watermark that closes them, and the serials
//! that guard them.
//!
//! A pane is a pure function of its partition's log: whatever the batches, the timing or the
//! interleaving with other partitions, the same records close the same panes with the same counts.
//! So the watermark is judged at every record, in O(1): a partition counts how many producers have
//! not yet reached the end of the earliest open window.

use crate::clock::Nanos;
use crate::stage::flow::{ClosedPane, PaneEntry};
use crate::stream::progress::{FINISHED, ProgressRecord};
use crate::window_aggregator::serials::{Arrival, SerialTracker};
use crate::window_aggregator::slots::CampaignSlots;

/// How tumbling windows lie in time.
#[derive(Clone, Copy, Debug)]
pub struct WindowShape {
    /// Start of window 0, nanoseconds since the Unix epoch.
    pub base_ns: Nanos,
    /// Length of a window, at least 1.
    pub window_ns: Nanos,
    /// How far events may run behind the watermark's producers.
    pub allowed_lateness_ns: Nanos,
}

impl WindowShape {
    /// The window that a time falls into.
    pub fn id(&self, time: Nanos) -> i64 {
        time.saturating_sub(self.base_ns).div_euclid(self.window_ns)
    }

    /// The first time of a window.
    pub fn start(&self, id: i64) -> Nanos {
        id.saturating_mul(self.window_ns).saturating_add(self.base_ns)
    }

    /// Windows before this id are closed by a watermark of `progress`.
    fn closed_by(&self, progress: Nanos) -> i64 {
        match progress {
            FINISHED => i64::MAX,
            Nanos::MIN => i64::MIN,
            _ => self.id(progress.saturating_sub(self.allowed_lateness_ns)),
        }
    }
}

/// A row keeps its greatest times as the distance from the earliest possible one, so that a
/// row of zeros is less than any.
const EARLIEST: i64 = i64::MIN;

/// What stands in a row before the counts: the greatest produce time and the greatest event time.
const TIMES: usize = 2;

/// An open pane: per slot a row of the greatest times and one count per producer.
#[derive(Clone, Debug)]
struct Pane {
    window_id: i64,
    rows: Vec<i64>,
}

impl Pane {
    #[inline]
    fn add(&mut self, stride: usize, slot: u32, producer: usize, times: (Nanos, i64)) {
        let (event_ns, produce_ms) = times;
        let at = slot as usize * stride;
        if at + stride > self.rows.len() {
            self.rows.resize((at + stride).max(self.rows.len() * 2), 0);
        }
        let row = &mut self.rows[at..at + stride];
        #[cfg(feature = "planted-bugs")]
        if row[0] != 0 && crate::planted::planted(crate::planted::Bug::FirstProduceTime) {
            row[TIMES + producer] += 1;
            return;
        }
        row[0] = (row[0] as u64).max((produce_ms ^ EARLIEST) as u64) as i64;
        row[1] = (row[1] as u64).max((event_ns ^ EARLIEST) as u64) as i64;
        row[TIMES + producer] += 1;
    }

    fn close(self, stride: usize, slots: &CampaignSlots) -> ClosedPane {
        let mut closed =
            ClosedPane { window_id: self.window_id, entries: Vec::new(), by_producer: Vec::new() };
        for (slot, row) in self.rows.chunks_exact(stride).enumerate() {
            let count: i64 = row[TIMES..].iter().sum();
            if count > 0 {
                closed.entries.push(PaneEntry {
                    campaign_id: slots.id(slot),
                    count: count as u64,
                    max_produce_ms: row[0] ^ EARLIEST,
                    max_event_ns: row[1] ^ EARLIEST,
                });
                closed.by_producer.extend(row[TIMES..].iter().map(|&n| n as u64));
            }
        }
        closed
    }
}

/// What became of an event offered to a partition's windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferOutcome {
    /// Added to its pane.
    Counted,
    /// Its window was closed already. The value is the allowed lateness that would have kept it
    /// open, in nanoseconds.
    Late(Nanos),
}

#[derive(Clone, Debug)]
struct ProducerState {
    progress: Nanos,
    generation: u16,
    serials: SerialTracker,
    /// The numbers of its generation's progress records.
    progress_numbers: SerialTracker,
}

/// The windows of one partition.
#[derive(Clone, Debug)]
pub struct PartitionWindows {
    shape: WindowShape,
    producers: Vec<ProducerState>,
    /// Producers whose progress is below `boundary`.
    below: usize,
    /// The progress that every producer must reach for the next window to close.
    boundary: Nanos,
    /// Windows before this id are closed.
    closed_before: i64,
    /// Sorted by window.
    open: Vec<Pane>,
    /// Where the last event fell, as an index into `open`, and that window's times.
    recent: usize,
    recent_start: Nanos,
    recent_end: Nanos,
    due: Vec<Pane>,
}

impl PartitionWindows {
    /// Windows fed by `producers` producers, none of which was heard yet.
    pub fn new(shape: WindowShape, producers: u32) -> Self {
        let silent = ProducerState {
            progress: Nanos::MIN,
            generation: 0,
            serials: SerialTracker::default(),
            progress_numbers: SerialTracker::default(),
        };
        Self {
            shape,
            producers: vec![silent; producers as usize],
            below: producers as usize,
            boundary: Nanos::MIN + 1,
            closed_before: i64::MIN,
            open: Vec::new(),
            recent: 0,
            recent_start: 0,
            recent_end: 0,
            due: Vec::new(),
        }
    }

    /// How its windows lie in time.
    pub fn shape(&self) -> &WindowShape {
        &self.shape
    }

    /// The length of a pane's rows.
    #[inline]
    fn stride(&self) -> usize {
        TIMES + self.producers.len()
    }

    /// Notes an event's serial number; call it before [`Self::offer`], and offer no duplicate.
    #[inline]
    pub fn observe_serial(&mut self, producer: usize, n: u64) -> Arrival {
        self.producers[producer].serials.observe(n)
    }

    /// Offers an event to its pane, and its time to its producer's progress.
    #[inline]
    pub fn offer(
        &mut self,
        producer: usize,
        time: Nanos,
        slot: u32,
        produce_ms: i64,
    ) -> OfferOutcome {
        let outcome = self.count(producer, time, slot, produce_ms);
        if outcome == OfferOutcome::Counted {
            self.advance(producer, time);
        }
        outcome
    }

    /// Offers an event to its pane alone: whether its time is to be believed is not known yet.
    #[inline]
    pub fn count(
        &mut self,
        producer: usize,
        time: Nanos,
        slot: u32,
        produce_ms: i64,
    ) -> OfferOutcome {
        if time >= self.recent_start && time < self.recent_end {
            let stride = self.stride();
            self.open[self.recent].add(stride, slot, producer, (time, produce_ms));
        } else if !self.add_elsewhere(producer, time, slot, produce_ms) {
            let end = self.shape.start(self.shape.id(time).saturating_add(1));
            return OfferOutcome::Late(self.least_progress().saturating_sub(end).saturating_add(1));
        }
        OfferOutcome::Counted
    }

    fn add_elsewhere(&mut self, producer: usize, time: Nanos, slot: u32, produce_ms: i64) -> bool {
        let id = self.shape.id(time);
        if id < self.closed_before {
            return false;
        }
        let at = match self.open.binary_search_by_key(&id, |pane| pane.window_id) {
            Ok(at) => at,
            Err(at) => {
                let size = self.open.last().map_or(0, |pane| pane.rows.len());
                self.open.insert(at, Pane { window_id: id, rows: vec![0; size] });
                at
            }
        };
        self.recent = at;
        self.recent_start = self.shape.start(id);
        self.recent_end = self.shape.start(id.saturating_add(1));
        let stride = self.stride();
        self.open[at].add(stride, slot, producer, (time, produce_ms));
        true
    }

    /// Notes a producer's progress record; false: it is stale, for a newer generation has marked
    /// this partition.
    pub fn observe_progress(&mut self, record: &ProgressRecord) -> bool {
        let producer = record.producer as usize;
        let state = &mut self.producers[producer];
        if record.generation < state.generation {
            return false;
        }
        if record.generation > state.generation {
            state.generation = record.generation;
            state.progress_numbers = SerialTracker::default();
        }
        state.progress_numbers.observe(record.number);
        state.serials.promise(record.n);
        self.advance(producer, record.progress());
        true
    }

    /// A producer has come so far.
    #[inline]
    pub fn advance(&mut self, producer: usize, progress: Nanos) {
        let state = &mut self.producers[producer];
        if progress > state.progress {
            let before = state.progress;
            state.progress = progress;
            if before < self.boundary && progress >= self.boundary {
                self.below -= 1;
                #[cfg(feature = "planted-bugs")]
                if crate::planted::planted(crate::planted::Bug::GreatestProgress) {
                    self.below = 0;
                }
                if self.below == 0 {
                    self.close_due();
                }
            }
        }
    }

    /// All producers have reached the boundary: closes what the watermark has passed, and sets the
    /// next boundary.
    #[cold]
    fn close_due(&mut self) {
        let least = self.least_progress();
        self.closed_before = self.shape.closed_by(least).max(self.closed_before);
        let closing = self.open.partition_point(|pane| pane.window_id < self.closed_before);
        self.due.extend(self.open.drain(..closing));
        (self.recent, self.recent_start, self.recent_end) = (0, 0, 0);
        self.boundary = match least {
            FINISHED => FINISHED,
            _ => self
                .shape
                .start(self.closed_before.saturating_add(1))
                .saturating_add(self.shape.allowed_lateness_ns),
        };
        self.below = self.producers.iter().filter(|state| state.progress < self.boundary).count();
    }

    /// The least event-time progress of its producers. `Nanos::MIN`: one was not heard yet;
    /// [`FINISHED`]: all are done.
    pub fn least_progress(&self) -> Nanos {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::planted(crate::planted::Bug::GreatestProgress) {
            return self.producers.iter().map(|state| state.progress).max().unwrap_or(Nanos::MIN);
        }
        self.producers.iter().map(|state| state.progress).min().unwrap_or(Nanos::MIN)
    }

    /// The watermark: every event before it has come, or is late. `Nanos::MIN`: a producer was not
    /// heard yet; [`FINISHED`]: all are done.
    pub fn watermark(&self) -> Nanos {
        match self.least_progress() {
            FINISHED => FINISHED,
            least => least.saturating_sub(self.shape.allowed_lateness_ns),
        }
    }

    /// Windows before this id are closed (`i64::MIN`: none yet; `i64::MAX`: all).
    pub fn closed_before(&self) -> i64 {
        self.closed_before
    }

    /// The newest window that has events and is open; `None`: there is none.
    pub fn newest_open(&self) -> Option<i64> {
        self.open.last().map(|pane| pane.window_id)
    }

    /// Closes every window before this id, as if the watermark had come there.
    pub fn close_before(&mut self, window_id: i64) {
        let end = self.shape.start(window_id).saturating_add(self.shape.allowed_lateness_ns);
        self.advance_all(end);
    }

    /// Panes that are open.
    #[cfg(test)]
    pub fn open_panes(&self) -> usize {
        self.open.len()
    }

    /// Takes the panes that closed since the last call, in window order.
    pub fn take_closed(&mut self, slots: &CampaignSlots) -> Vec<ClosedPane> {
        let stride = self.stride();
        self.due.drain(..).map(|pane| pane.close(stride, slots)).collect()
    }

    /// Treats every producer as having reached `progress`: for streams without progress records,
    /// closing by processing time when idle, and everything ([`FINISHED`]) at the end.
    pub fn advance_all(&mut self, progress: Nanos) {
        for producer in 0..self.producers.len() {
            self.advance(producer, progress);
        }
    }

    /// Progress records lost until now, by their numbers, per producer.
    pub fn progress_lost(&self) -> impl Iterator<Item = u64> + '_ {
        self.producers.iter().map(|state| state.progress_numbers.lost())
    }

    /// Events lost until now, by their serials, per producer.
    pub fn lost(&self) -> impl Iterator<Item = u64> + '_ {
        self.producers.iter().map(|state| state.serials.lost())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SHAPE: WindowShape =
        WindowShape { base_ns: 1_000, window_ns: 100, allowed_lateness_ns: 0 };

    fn record(producer: usize, generation: u16, event_time_ns: Nanos) -> ProgressRecord {
        ProgressRecord {
            run: 0,
            producer: producer as u32,
            producers: 3,
            generation,
            number: 0,
            n: 0,
            event_time_ns,
            last: false,
        }
    }

    /// A step of a producer: (producer, time delta, campaign) or a progress record.
    #[derive(Clone, Debug)]
    enum Step {
        Event(usize, i64, u32),
        Progress(usize),
    }

    fn steps(producers: usize) -> impl Strategy<Value = Vec<Step>> {
        let event = (0..producers, 0i64..60, 0u32..5).prop_map(|(p, d, c)| Step::Event(p, d, c));
        let progress = (0..producers).prop_map(Step::Progress);
        prop::collection::vec(prop_oneof![8 => event, 1 => progress], 0..300)
    }

    proptest! {
        /// In-order producers, interleaved in any way: nothing is late, and every pane has the
        /// naive model's counts.
        #[test]
        fn agrees_with_a_naive_model(steps in steps(3), lateness in 0i64..150) {
            let shape = WindowShape { allowed_lateness_ns: lateness, ..SHAPE };
            let mut windows = PartitionWindows::new(shape, 3);
            let mut slots = CampaignSlots::Bounded(5);
            let mut time = [SHAPE.base_ns; 3];
            let mut model: BTreeMap<(i64, u64), (u64, i64)> = BTreeMap::new();
            let mut found = BTreeMap::new();
            let mut closed_ids = Vec::new();
            for (i, step) in steps.iter().enumerate() {
                match *step {
                    Step::Event(p, delta, campaign) => {
                        time[p] += delta;
                        let slot = slots.slot(u64::from(campaign) + 1).unwrap();
                        let offered = windows.offer(p, time[p], slot, i as i64);
                        prop_assert_eq!(offered, OfferOutcome::Counted);
                        let place = ((time[p] - 1_000) / 100, u64::from(campaign) + 1);
                        let entry = model.entry(place).or_default();
                        *entry = (entry.0 + 1, i as i64);
                    }
                    Step::Progress(p) => assert!(windows.observe_progress(&record(p, 0, time[p]))),
                }
                for pane in windows.take_closed(&slots) {
                    let end = shape.start(pane.window_id + 1);
                    let passed = time.iter().all(|&t| t >= end + lateness);
                    prop_assert!(passed, "closed before every producer passed");
                    closed_ids.push(pane.window_id);
                    collect(&mut found, &pane);
                }
                prop_assert!(windows.below > 0 || windows.watermark() == FINISHED);
            }
            windows.advance_all(FINISHED);
            for pane in windows.take_closed(&slots) {
                closed_ids.push(pane.window_id);
                collect(&mut found, &pane);
            }
            prop_assert_eq!(found, model);
            prop_assert!(closed_ids.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(windows.closed_before(), i64::MAX);
        }
    }

    fn collect(found: &mut BTreeMap<(i64, u64), (u64, i64)>, pane: &ClosedPane) {
        for entry in &pane.entries {
            found.insert((pane.window_id, entry.campaign_id), (entry.count, entry.max_produce_ms));
        }
        let by_producer: u64 = pane.by_producer.iter().sum();
        assert_eq!(by_producer, pane.entries.iter().map(|e| e.count).sum::<u64>());
    }

    #[test]
    fn the_slower_producer_holds_the_watermark() {
        let mut windows = PartitionWindows::new(SHAPE, 2);
        windows.offer(0, 1_250, 0, 1);
        assert_eq!(windows.watermark(), Nanos::MIN, "producer 1 was not heard yet");
        windows.offer(1, 1_010, 0, 1);
        assert_eq!(windows.watermark(), 1_010);
        assert_eq!(windows.closed_before(), 0);
        windows.observe_progress(&record(1, 0, 1_100));
        assert_eq!(windows.closed_before(), 1);
        assert_eq!(windows.take_closed(&CampaignSlots::Bounded(1)).len(), 1);
    }

    #[test]
    fn a_late_event_names_the_lateness_that_would_have_sufficed() {
        let mut windows = PartitionWindows::new(SHAPE, 1);
        windows.offer(0, 1_130, 0, 1);
        let OfferOutcome::Late(needed) = windows.offer(0, 1_099, 0, 1) else {
            panic!("window 0 is closed")
        };
        for (lateness, expected_late) in [(needed - 1, true), (needed, false)] {
            let mut windows =
                PartitionWindows::new(WindowShape { allowed_lateness_ns: lateness, ..SHAPE }, 1);
            windows.offer(0, 1_130, 0, 1);
            assert_eq!(
                matches!(windows.offer(0, 1_099, 0, 1), OfferOutcome::Late(_)),
                expected_late
            );
        }
    }

    #[test]
    fn a_window_far_ahead_costs_nothing_for_the_empty_ones_between() {
        let mut windows = PartitionWindows::new(SHAPE, 1);
        windows.offer(0, 1_000, 0, 1);
        windows.offer(0, i64::MAX / 2, 0, 1);
        assert_eq!(windows.take_closed(&CampaignSlots::Bounded(1)).len(), 1);
        assert_eq!(windows.open_panes(), 1);
    }

    #[test]
    fn a_newer_generation_makes_older_progress_stale_and_serials_go_on() {
        let mut windows = PartitionWindows::new(SHAPE, 1);
        assert_eq!(windows.observe_serial(0, 0), Arrival::InOrder);
        assert!(windows.observe_progress(&record(0, 1, 1_000)));
        assert!(!windows.observe_progress(&record(0, 0, 2_000)));
        assert_eq!(windows.least_progress(), 1_000);
        assert_eq!(windows.observe_serial(0, 0), Arrival::Duplicate);
        assert_eq!(windows.observe_serial(0, 1), Arrival::InOrder);
    }

    #[test]
    fn campaigns_get_slots_up_to_the_limit() {
        let mut slots = CampaignSlots::unrestricted(3);
        assert_eq!(slots.slot(7), Some(0));
        assert_eq!(slots.slot(u64::MAX), Some(1));
        assert_eq!(slots.slot(7), Some(0));
        assert_eq!(slots.slot(0), Some(2));
        assert_eq!(slots.slot(8), None);
        assert_eq!(slots.id(1), u64::MAX);
        let mut bounded = CampaignSlots::Bounded(2);
        assert_eq!((bounded.slot(0), bounded.slot(2), bounded.slot(3)), (None, Some(1), None));
    }
}
