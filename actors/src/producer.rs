//! Producer: sends every event at its intended time, and knows what became of each.
//!
//! Owns: its schedule (`workload/pacing.rs`), its random stream and encoder (`stream/event.rs`), a
//! writer of the events topic, its part of the ledger. Receives: orders. Sends:
//! [`EventsAcknowledged`] to the latency actor, once per window.
//!
//! Its first record on every partition is its progress record; others follow whenever it had
//! nothing for a partition for the progress interval, at each window's end, and at its own end
//! (`stream/progress.rs`). A full client is backpressure: the event waits, keeps its intended time,
//! and is stamped again when it is handed over.

mod backpressure;
pub(crate) mod group;
mod lanes;
mod latencies;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Nanos, SharedClock, to_millis};
use crate::failure::StageError;
use crate::measures::backlog::{BehindSchedule, LeastBehind};
use crate::measures::counters::StageCounters;
use crate::ports::{Ack, Delivery, EventWriter, MAX_BUDGET, PROGRESS_KEY, Sent, TOKEN_LIMIT};
use crate::producer::backpressure::Backpressure;
use crate::producer::lanes::{InFlight, Lane};
use crate::producer::latencies::PublishLatencies;
use crate::producer::schedule::EventSchedule;
use crate::stage::flow::EventsAcknowledged;
use crate::stage::{Role, Stage, StageOrder, StageState, TURN_LIMIT, Turn};
use crate::stage_id::StageId;
use crate::stream::event::{Draw, EventEncoder, EventSource, Serial};
use crate::stream::progress::ProgressRecord;
use crate::truth::ledger::ProducerLedger;
use crate::truth::schedule_audit::ProducerEnd;
use crate::workload::campaigns::Campaigns;
use crate::workload::pacing::Due;
use crate::workload::spec::RunSpec;

/// Token of a record that is no event.
const NO_EVENT: u64 = TOKEN_LIMIT - 1;

/// Events that share one reading of the clock.
const EVENTS_PER_CLOCK_READ: usize = 64;

/// The producer's logic.
pub struct Producer {
    index: u32,
    generation: u16,
    spec: Arc<RunSpec>,
    clock: SharedClock,
    writer: Box<dyn EventWriter>,
    campaigns: Arc<Campaigns>,
    source: EventSource,
    encoder: EventEncoder,
    schedule: EventSchedule,
    lanes: Vec<Lane>,
    next_lane: usize,
    /// Drawn for the next event, which the client did not take yet.
    waiting: Option<Draw>,
    backpressure: Backpressure,
    behind: LeastBehind,
    ledger: ProducerLedger,
    handed_over_before: i64,
    said_last: bool,
    counters: StageCounters,
    latencies: PublishLatencies,
    failure: Option<StageError>,
}

/// A producer, before its run has begun.
pub struct ProducerRole {
    /// Which one, from 0.
    pub index: u32,
    /// The pipeline's generation.
    pub generation: u16,
    /// The workload.
    pub spec: Arc<RunSpec>,
    /// The campaigns and their ads.
    pub campaigns: Arc<Campaigns>,
    /// The run's clock.
    pub clock: SharedClock,
    /// Writes to the events topic.
    pub writer: Box<dyn EventWriter>,
}

impl Role for ProducerRole {
    type Stage = Producer;

    fn id(&self) -> StageId {
        StageId::Producer(self.index)
    }

    fn begin(self, base_ns: Nanos) -> Producer {
        let schedule = EventSchedule::new(&self.spec, self.index, base_ns);
        let Self { index, generation, spec, campaigns, clock, writer } = self;
        let (ads, ad_types, event_types) =
            (Arc::clone(&campaigns), spec.workload.ad_types.len(), spec.workload.event_types.len());
        let mut producer = Producer {
            index,
            generation,
            source: EventSource::new(spec.workload.seed, index, ads, ad_types, event_types),
            encoder: EventEncoder::new(
                Arc::clone(&campaigns),
                &spec.workload.ad_types,
                &spec.workload.event_types,
            ),
            schedule,
            lanes: (0..spec.topics.partitions).map(|_| Lane::default()).collect(),
            next_lane: index as usize % spec.topics.partitions as usize,
            waiting: None,
            backpressure: Backpressure::default(),
            behind: LeastBehind::default(),
            ledger: ProducerLedger::new(spec.workload.campaigns),
            handed_over_before: i64::MIN,
            said_last: false,
            counters: StageCounters::default(),
            latencies: PublishLatencies::default(),
            failure: None,
            campaigns,
            clock,
            writer,
            spec,
        };
        producer.say_progress(base_ns, false, base_ns);
        producer
    }
}

impl Producer {
    /// Queues a progress record for every partition.
    fn say_progress(&mut self, event_time_ns: Nanos, last: bool, now: Nanos) {
        if self.spec.workload.progress_records {
            for partition in 0..self.lanes.len() {
                self.say_progress_on(partition, event_time_ns, last, now);
            }
        }
    }

    fn say_progress_on(&mut self, partition: usize, event_time_ns: Nanos, last: bool, now: Nanos) {
        let lane = &mut self.lanes[partition];
        lane.last_sent_ns = now;
        lane.progress_due = Some(ProgressRecord {
            run: self.spec.run_tag,
            producer: self.index,
            producers: self.spec.workload.producers,
            generation: self.generation,
            // As it will be when the client takes it.
            number: 0,
            n: 0,
            event_time_ns,
            last,
        });
    }

    /// Sends the progress records that are due; false: the client is full.
    fn send_progress(&mut self) -> Result<bool, StageError> {
        for (partition, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(record) = &mut lane.progress_due {
                (record.number, record.n) = (lane.progress_number, lane.next_n);
                #[cfg(feature = "planted-bugs")]
                if crate::planted::leaves_out(record.number, record.last) {
                    (lane.progress_due, lane.progress_number) = (None, lane.progress_number + 1);
                    continue;
                }
                match self.writer.send(
                    partition as u32,
                    PROGRESS_KEY,
                    &record.to_json(),
                    NO_EVENT,
                )? {
                    Sent::Ok => {
                        lane.progress_due = None;
                        lane.progress_number += 1;
                    }
                    Sent::Full => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Sends what is due, at most [`TURN_LIMIT`] events. Gives what to do next.
    fn send_due(&mut self, now: Nanos) -> Result<Turn, StageError> {
        if !self.send_progress()? {
            self.backpressure.full(now);
            return Ok(Turn::Rest);
        }
        let mut now = now;
        for sent in 0..TURN_LIMIT {
            if sent % EVENTS_PER_CLOCK_READ == EVENTS_PER_CLOCK_READ - 1 {
                // A client may take microseconds for an event: a whole turn's events are not handed
                // over at its start.
                now = self.clock.now();
            }
            let intended = match self.schedule.pacer.due(now) {
                Due::Now(intended) => intended,
                Due::Later(_) => {
                    self.backpressure.on_time(now);
                    return Ok(Turn::Rest);
                }
                Due::Done => return Ok(Turn::Finished),
            };
            if intended >= self.schedule.window_end_ns {
                self.pass_window_end(intended, now);
                if !self.send_progress()? {
                    self.backpressure.full(now);
                    return Ok(Turn::Rest);
                }
            }
            #[cfg(feature = "planted-bugs")]
            if self.counters.produced % 50 == 49
                && crate::planted::planted(crate::planted::Bug::SkippedEvent)
            {
                self.schedule.pacer.take();
            }
            let draw = self.waiting.take().unwrap_or_else(|| self.source.draw());
            if !self.send_event(draw, intended, now)? {
                self.waiting = Some(draw);
                self.backpressure.full(now);
                return Ok(Turn::Rest);
            }
            self.schedule.pacer.take();
        }
        Ok(Turn::Again)
    }

    /// The next event lies past a window's end: says so on every partition, before it is sent.
    fn pass_window_end(&mut self, intended: Nanos, now: Nanos) {
        self.schedule.move_to_window_of(intended);
        self.say_progress(intended, false, now);
    }

    fn send_event(&mut self, draw: Draw, intended: Nanos, now: Nanos) -> Result<bool, StageError> {
        let window_id = self.schedule.window_id;
        let lane = &mut self.lanes[self.next_lane];
        let serial = Serial {
            run_tag: self.spec.run_tag,
            producer: self.index as u16,
            partition: self.next_lane as u16,
            n: lane.next_n,
        };
        let event = self.encoder.encode(&draw, serial, intended, window_id, to_millis(now));
        let token = lane.next_token();
        if self.writer.send(self.next_lane as u32, &[], event, token)? == Sent::Full {
            #[cfg(feature = "planted-bugs")]
            if crate::planted::planted(crate::planted::Bug::CountedWhenFull) {
                self.ledger.sent(window_id);
                let campaign_id = self.campaigns.campaign_of(draw.ad);
                self.ledger.acknowledged(window_id, campaign_id, to_millis(now));
                return Ok(true);
            }
            return Ok(false);
        }
        self.backpressure.taken(now);
        let campaign_id = self.campaigns.campaign_of(draw.ad);
        lane.sent(InFlight { window_id, campaign_id, intended_ns: intended, handed_ns: now });
        self.next_lane =
            if self.next_lane + 1 == self.lanes.len() { 0 } else { self.next_lane + 1 };
        self.ledger.sent(window_id);
        self.counters.produced += 1;
        self.counters.produced_bytes += event.len() as u64;
        if intended >= self.schedule.measure_from_ns {
            let delay = now - intended;
            self.latencies.delay.record(delay);
            self.counters.produced_measured += 1;
            self.counters.last_produced_ns = now;
            if delay > self.spec.workload.send_delay_limit.as_nanos() {
                // Late only because the client was full? Then the broker was the limit.
                let limit = self.spec.workload.send_delay_limit.as_nanos();
                if self.backpressure.explains(delay, limit) {
                    self.counters.sent_late_backpressure += 1;
                } else {
                    self.counters.sent_late_generator += 1;
                }
            }
        }
        Ok(true)
    }

    /// Looks how old the oldest event is that is not acknowledged.
    fn look_behind(&mut self, now: Nanos) {
        let Self { behind, lanes, schedule, counters, .. } = self;
        behind.look(now, || {
            let oldest = lanes.iter().filter_map(Lane::oldest_intended).min();
            let oldest = [oldest, schedule.overdue(now)].into_iter().flatten().min();
            let behind_ns = now - oldest.unwrap_or(now);
            let is_begun = counters.acknowledged > 0;
            let known = if is_begun { BehindSchedule::Exactly } else { BehindSchedule::AtLeast };
            (now >= schedule.base_ns).then(|| known(behind_ns))
        });
    }

    /// Takes the acknowledgements that came; waits up to `budget` for the first.
    fn take_acks(&mut self, budget: Duration) -> Result<(), StageError> {
        let Self { writer, lanes, ledger, counters, latencies, failure, clock, .. } = self;
        let measure_from_ns = self.schedule.measure_from_ns;
        let topic = &self.spec.topics.events;
        let undelivered = |why| StageError::delivery(format!("topic `{topic}`: {why}"));
        let mut now = None;
        writer.poll_acks(budget, &mut |ack: Ack| {
            if ack.token == NO_EVENT {
                if let Delivery::Rejected(why) | Delivery::Unknown(why) = ack.delivery {
                    failure.get_or_insert_with(|| undelivered(why));
                }
                return;
            }
            let Some(event) = lanes[ack.partition as usize].take(ack.token) else {
                let why = format!("partition {}: a record was acknowledged twice", ack.partition);
                failure.get_or_insert_with(|| undelivered(why));
                return;
            };
            match ack.delivery {
                Delivery::Acknowledged => {
                    counters.acknowledged += 1;
                    let produce_ms = to_millis(event.handed_ns);
                    ledger.acknowledged(event.window_id, event.campaign_id, produce_ms);
                    if event.intended_ns >= measure_from_ns {
                        // Read after the wait, once for all that came together.
                        let now = *now.get_or_insert_with(|| clock.now());
                        latencies.latency.record(now - event.handed_ns);
                        counters.acknowledged_measured += 1;
                        counters.last_acknowledged_ns = now;
                    }
                }
                Delivery::Rejected(why) => {
                    counters.rejected += 1;
                    ledger.rejected(event.window_id);
                    failure.get_or_insert_with(|| undelivered(why));
                }
                Delivery::Unknown(why) => {
                    counters.unknown += 1;
                    let produce_ms = to_millis(event.handed_ns);
                    ledger.unknown(event.window_id, event.campaign_id, produce_ms);
                    failure.get_or_insert_with(|| undelivered(why));
                }
            }
        })?;
        Ok(())
    }

    /// Hands the windows that are done to the ledger's keeper.
    fn hand_over(&mut self, sent_before: i64, outbox: &mut Vec<EventsAcknowledged>) {
        if sent_before <= self.handed_over_before {
            return;
        }
        let (complete_before, windows) = self.ledger.take_complete(sent_before);
        if complete_before > self.handed_over_before || !windows.is_empty() {
            self.handed_over_before = complete_before;
            let end = (complete_before == i64::MAX).then(|| ProducerEnd {
                end_ns: self.schedule.end_ns(),
                never_sent: self.counters.never_sent,
                is_estimated: self.counters.never_sent_estimated > 0,
            });
            outbox.push(EventsAcknowledged { producer: self.index, complete_before, windows, end });
        }
    }

    /// Progress records on partitions that had nothing for the progress interval.
    fn break_silence(&mut self, now: Nanos) {
        let schedule = &mut self.schedule;
        if self.said_last || now < schedule.base_ns || !self.spec.workload.progress_records {
            return;
        }
        // Shown the time first, the pacer keeps its word even if the rate changes.
        schedule.pacer.due(now);
        let done_before = schedule.pacer.progress(now);
        if done_before >= schedule.window_end_ns {
            self.pass_window_end(done_before, now);
            return;
        }
        for partition in 0..self.lanes.len() {
            if now - self.lanes[partition].last_sent_ns
                >= self.spec.workload.progress_interval.as_nanos()
            {
                self.say_progress_on(partition, done_before, false, now);
            }
        }
    }

    fn finish(
        &mut self,
        now: Nanos,
        patience: Duration,
        outbox: &mut Vec<EventsAcknowledged>,
    ) -> Result<Turn, StageError> {
        if !self.said_last {
            self.said_last = true;
            self.say_progress(now, true, now);
        }
        let said = self.send_progress()?;
        let counted = self.count_never_sent(now);
        self.take_acks(if counted { patience } else { Duration::ZERO })?;
        let pending = self.lanes.iter().any(|lane| !lane.is_idle());
        if !counted || pending || self.writer.in_flight() > 0 {
            return Ok(if counted && patience.is_zero() { Turn::Rest } else { Turn::Again });
        }
        if !said {
            // The client is full, and waits for no acknowledgement that this turn could wait for.
            self.backpressure.full(now);
            return Ok(Turn::Rest);
        }
        self.hand_over(i64::MAX, outbox);
        Ok(Turn::Finished)
    }

    /// Takes a turn that waits for acknowledgements up to `patience`, if there is nothing else to
    /// do.
    fn advance(
        &mut self,
        now: Nanos,
        patience: Duration,
        outbox: &mut Vec<EventsAcknowledged>,
    ) -> Result<Turn, StageError> {
        let turn = self.send_due(now)?;
        self.look_behind(now);
        if turn == Turn::Finished {
            return self.finish(now, patience, outbox).and_then(|turn| self.checked(turn));
        }
        self.break_silence(now);
        // While resting, wait for acknowledgements rather than for the clock.
        let wait = turn == Turn::Rest && self.writer.in_flight() > 0 && !patience.is_zero();
        self.take_acks(if wait { patience } else { Duration::ZERO })?;
        self.hand_over(self.schedule.window_id, outbox);
        self.checked(if wait { Turn::Again } else { turn })
    }

    /// What was counted so far.
    fn totals(&mut self) -> &StageCounters {
        let now = self.clock.now();
        self.counters.in_flight = self.writer.in_flight();
        self.counters.backpressure_ns = self.backpressure.total(now);
        self.counters.behind_ns = self.behind.take();
        self.counters.unsent =
            self.schedule.overdue(now).map_or(0, |since| self.schedule.due_between(since, now));
        &self.counters
    }

    /// Counts what was given up, as far as a turn goes; true: all of it.
    fn count_never_sent(&mut self, now: Nanos) -> bool {
        let limit_ns = self.spec.workload.send_delay_limit.as_nanos();
        let is_explained = self.backpressure.explains(now - self.schedule.next_ns(), limit_ns);
        let never_sent = self.schedule.count_never_sent();
        never_sent.add_to(&mut self.counters, is_explained);
        never_sent.is_all
    }

    /// A failed delivery is never sent again in place, for that would reorder: it ends the
    /// generation.
    fn checked(&mut self, turn: Turn) -> Result<Turn, StageError> {
        self.failure.take().map_or(Ok(turn), Err)
    }
}

impl Stage for Producer {
    type Out = EventsAcknowledged;

    fn id(&self) -> StageId {
        StageId::Producer(self.index)
    }

    fn order(&mut self, order: StageOrder) {
        let pacer = &mut self.schedule.pacer;
        match order {
            StageOrder::Drain { at_ns } => pacer.stop_at(at_ns),
            StageOrder::GiveUp => pacer.give_up(),
            StageOrder::SetRate { at_ns, events_per_second } => {
                self.schedule.rate = events_per_second / f64::from(self.spec.workload.producers);
                #[cfg(feature = "planted-bugs")]
                let at_ns = at_ns + crate::planted::lateness_ns();
                if !pacer.set_rate(at_ns, self.schedule.rate) {
                    let cause = "a change of the rate came too late: the schedule was played past \
                                 it, so this program was stopped or starved for a while";
                    self.failure.get_or_insert_with(|| StageError::own(cause));
                }
            }
        }
    }

    fn turn(
        &mut self,
        now: Nanos,
        outbox: &mut Vec<EventsAcknowledged>,
    ) -> Result<Turn, StageError> {
        self.advance(now, MAX_BUDGET, outbox)
    }

    fn state(&mut self) -> StageState {
        StageState {
            counters: self.totals().clone(),
            latencies: self.latencies.take(),
            ..StageState::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::clock::{MILLISECOND, SECOND};
    use crate::ports::PortError;
    use crate::testing::{SimClock, small_spec};
    use crate::units::{Rate, Span};

    const BASE: Nanos = 1_700_000_000 * SECOND;

    /// Full when told so; stores at once.
    struct SwitchableClient {
        full: Arc<AtomicBool>,
        acks: Vec<Ack>,
        events: Arc<Mutex<Vec<(u32, serde_json::Value)>>>,
    }

    impl EventWriter for SwitchableClient {
        fn send(
            &mut self,
            partition: u32,
            key: &[u8],
            payload: &[u8],
            token: u64,
        ) -> Result<Sent, PortError> {
            if self.full.load(Ordering::Relaxed) {
                return Ok(Sent::Full);
            }
            if key != PROGRESS_KEY {
                let event = serde_json::from_slice(payload).unwrap();
                self.events.lock().unwrap().push((partition, event));
            }
            self.acks.push(Ack { partition, token, delivery: Delivery::Acknowledged });
            Ok(Sent::Ok)
        }

        fn poll_acks(
            &mut self,
            _budget: Duration,
            visit: &mut dyn FnMut(Ack),
        ) -> Result<usize, PortError> {
            let count = self.acks.len();
            self.acks.drain(..).for_each(visit);
            Ok(count)
        }

        fn in_flight(&self) -> u64 {
            self.acks.len() as u64
        }
    }

    /// 2 events a second, 2 s of them, a warm-up of one second; with the switch that makes its
    /// client full.
    fn producer() -> (Producer, Arc<SimClock>, Arc<AtomicBool>) {
        let (producer, clock, full, _) = recorded_producer();
        (producer, clock, full)
    }

    /// What [`producer`] gives, and the events that it sent, with their partitions.
    #[expect(clippy::type_complexity, reason = "for tests alone")]
    fn recorded_producer()
    -> (Producer, Arc<SimClock>, Arc<AtomicBool>, Arc<Mutex<Vec<(u32, serde_json::Value)>>>) {
        let spec = small_spec("producer").with(|spec| {
            spec.workload.producers = 1;
            spec.workload.rate = Rate(2.0);
            spec.workload.window = Span::from_nanos(SECOND);
            spec.workload.warmup = Span::from_nanos(SECOND);
            spec.workload.duration = Span::from_nanos(SECOND);
        });
        let campaigns = Arc::new(Campaigns::derive(
            spec.workload.seed,
            spec.workload.campaigns,
            spec.workload.ads_per_campaign,
            None,
        ));
        let (clock, full) = (Arc::new(SimClock::at(BASE)), Arc::new(AtomicBool::new(false)));
        let events = Arc::default();
        let writer = Box::new(SwitchableClient {
            full: Arc::clone(&full),
            acks: Vec::new(),
            events: Arc::clone(&events),
        });
        let role = ProducerRole {
            index: 0,
            generation: 1,
            spec: Arc::new(spec),
            campaigns,
            clock: clock.clone(),
            writer,
        };
        (role.begin(BASE), clock, full, events)
    }

    fn turn_at(producer: &mut Producer, clock: &SimClock, after_ns: Nanos) -> Turn {
        clock.set(BASE + after_ns);
        producer.turn(BASE + after_ns, &mut Vec::new()).unwrap()
    }

    #[test]
    fn every_event_has_an_id_of_its_own_that_names_its_partition() {
        let (mut producer, clock, _, events) = recorded_producer();
        turn_at(&mut producer, &clock, 1_999 * MILLISECOND);
        let events = events.lock().unwrap();
        let ids = events.iter().map(|(_, event)| event["page_id"].as_str().unwrap());
        assert_eq!((events.len(), ids.collect::<BTreeSet<_>>().len()), (4, 4));
        let partitions: BTreeSet<_> = events.iter().map(|(partition, _)| *partition).collect();
        assert!(partitions.len() > 1, "the small workload has several partitions");
        for (partition, event) in &*events {
            let serial = Serial::from_text(event["page_id"].as_str().unwrap().as_bytes()).unwrap();
            assert_eq!(u32::from(serial.partition), *partition);
        }
    }

    #[test]
    fn backpressure_ends_when_the_client_takes_all_and_not_with_the_next_event() {
        let (mut producer, clock, full) = producer();
        turn_at(&mut producer, &clock, MILLISECOND);
        full.store(true, Ordering::Relaxed);
        // A progress record is due, and not taken.
        turn_at(&mut producer, &clock, 200 * MILLISECOND);
        turn_at(&mut producer, &clock, 201 * MILLISECOND);
        clock.set(BASE + 203 * MILLISECOND);
        assert_eq!(
            producer.state().counters.backpressure_ns,
            2 * MILLISECOND as u64,
            "counted while it lasts"
        );
        full.store(false, Ordering::Relaxed);
        turn_at(&mut producer, &clock, 205 * MILLISECOND);
        turn_at(&mut producer, &clock, 500 * MILLISECOND);
        assert_eq!(producer.state().counters.backpressure_ns, 4 * MILLISECOND as u64);
        assert!(!producer.backpressure.explains(2, 1), "nothing was late for it");
    }

    #[test]
    fn both_publish_latencies_leave_out_the_same_warm_up() {
        let (mut producer, clock, full) = producer();
        turn_at(&mut producer, &clock, MILLISECOND);
        // The event of 500 ms, of the warm-up, is handed over after it.
        full.store(true, Ordering::Relaxed);
        turn_at(&mut producer, &clock, 990 * MILLISECOND);
        full.store(false, Ordering::Relaxed);
        turn_at(&mut producer, &clock, 1_200 * MILLISECOND);
        turn_at(&mut producer, &clock, 1_900 * MILLISECOND);
        let state = producer.state();
        assert_eq!((state.counters.produced, state.counters.produced_measured), (4, 2));
        let samples: Vec<_> = state.latencies.iter().map(|(_, samples)| samples.count()).collect();
        assert_eq!(samples, [2, 2]);
    }

    #[test]
    fn a_full_client_is_not_asked_again_at_once_when_all_is_sent() {
        let (mut producer, clock, full) = producer();
        turn_at(&mut producer, &clock, 1_999 * MILLISECOND);
        full.store(true, Ordering::Relaxed);
        assert_eq!(turn_at(&mut producer, &clock, 2_001 * MILLISECOND), Turn::Rest);
        full.store(false, Ordering::Relaxed);
        turn_at(&mut producer, &clock, 2_002 * MILLISECOND);
        assert_eq!(turn_at(&mut producer, &clock, 2_003 * MILLISECOND), Turn::Finished);
    }
}
