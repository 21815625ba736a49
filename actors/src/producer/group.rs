//! Several producers on one thread: a turn each, and one wait for all.
//!
//! A producer that has a thread turns about a thousand times a second; a thousand threads that do
//! so are more than a machine can bear. In a group a producer's turn never waits, and the group
//! rests once none of them has more to do. Each stays what it is: its schedule, its serial numbers,
//! its writer with its own backpressure, its part of the ledger.

use std::mem;
use std::time::Duration;

use crate::clock::{MILLISECOND, Nanos, SharedClock};
use crate::failure::StageError;
use crate::measures::counters::StageCounters;
use crate::producer::latencies::PublishLatencies;
use crate::producer::{Producer, ProducerRole};
use crate::stage::flow::EventsAcknowledged;
use crate::stage::{Role, Stage, StageOrder, StageState, Turn};
use crate::stage_id::StageId;

/// Producers that are to turn together, before their run has begun.
pub struct ProducerGroupRole {
    /// Which group, from 0.
    pub index: u32,
    /// The run's clock.
    pub clock: SharedClock,
    /// One at least.
    pub roles: Vec<ProducerRole>,
}

impl Role for ProducerGroupRole {
    type Stage = ProducerGroup;

    fn id(&self) -> StageId {
        StageId::ProducerGroup { index: self.index, members: self.roles.len() as u32 }
    }

    fn begin(self, base_ns: Nanos) -> ProducerGroup {
        let Self { index, clock, roles } = self;
        let members = roles.into_iter().map(|role| role.begin(base_ns));
        ProducerGroup {
            index,
            clock,
            turning: members.collect(),
            finished: Vec::new(),
            next: 0,
            is_busy: false,
            latencies: PublishLatencies::default(),
        }
    }
}

/// Several producers, as one stage.
pub struct ProducerGroup {
    index: u32,
    clock: SharedClock,
    turning: Vec<Producer>,
    finished: Vec<Producer>,
    /// Whose turn is next.
    next: usize,
    /// Whether a member has had more to do since the group rested.
    is_busy: bool,
    /// Lent to the member whose turn it is: histograms of their own would take more memory and
    /// time than all else about them.
    latencies: PublishLatencies,
}

impl ProducerGroup {
    /// Gives the next producer its turn.
    fn turn_next(
        &mut self,
        now: Nanos,
        outbox: &mut Vec<EventsAcknowledged>,
    ) -> Result<(), StageError> {
        let member = &mut self.turning[self.next];
        mem::swap(&mut member.latencies, &mut self.latencies);
        let turn = member.advance(now, Duration::ZERO, outbox);
        mem::swap(&mut member.latencies, &mut self.latencies);
        match turn {
            Ok(Turn::Finished) => {
                let member = self.turning.swap_remove(self.next);
                self.finished.push(member);
            }
            Ok(turn) => {
                self.is_busy |= turn == Turn::Again;
                self.next += 1;
            }
            Err(StageError { kind, cause }) => {
                return Err(StageError { kind, cause: format!("{}: {cause}", member.id()) });
            }
        }
        Ok(())
    }
}

impl Stage for ProducerGroup {
    type Out = EventsAcknowledged;

    fn id(&self) -> StageId {
        let members = (self.turning.len() + self.finished.len()) as u32;
        StageId::ProducerGroup { index: self.index, members }
    }

    fn order(&mut self, order: StageOrder) {
        self.turning.iter_mut().for_each(|member| member.order(order));
    }

    fn turn(
        &mut self,
        now: Nanos,
        outbox: &mut Vec<EventsAcknowledged>,
    ) -> Result<Turn, StageError> {
        let end = now + MILLISECOND;
        let mut now = now;
        while self.next < self.turning.len() {
            self.turn_next(now, outbox)?;
            now = self.clock.now();
            if now >= end {
                break;
            }
        }
        if self.turning.is_empty() {
            return Ok(Turn::Finished);
        }
        if self.next < self.turning.len() {
            return Ok(Turn::Again);
        }
        self.next = 0;
        Ok(if mem::take(&mut self.is_busy) { Turn::Again } else { Turn::Rest })
    }

    fn state(&mut self) -> StageState {
        let mut counters = StageCounters::default();
        for member in self.turning.iter_mut().chain(&mut self.finished) {
            counters.add(member.totals());
        }
        StageState { counters, latencies: self.latencies.take(), ..StageState::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::{Clock as _, SECOND};
    use crate::ports::{Ack, Delivery, EventWriter, PortError, Sent};
    use crate::testing::{SimClock, small_spec};
    use crate::workload::campaigns::Campaigns;

    const BASE: Nanos = 1_700_000_000 * SECOND;

    /// Acknowledges at once, or breaks; never waits.
    #[derive(Default)]
    struct Client {
        acks: Vec<Ack>,
        is_broken: bool,
        waits: Arc<Mutex<Duration>>,
    }

    impl EventWriter for Client {
        fn send(
            &mut self,
            partition: u32,
            _: &[u8],
            _: &[u8],
            token: u64,
        ) -> Result<Sent, PortError> {
            if self.is_broken {
                return Err(PortError::fatal("broken"));
            }
            self.acks.push(Ack { partition, token, delivery: Delivery::Acknowledged });
            Ok(Sent::Ok)
        }

        fn poll_acks(
            &mut self,
            budget: Duration,
            visit: &mut dyn FnMut(Ack),
        ) -> Result<usize, PortError> {
            *self.waits.lock().unwrap() += budget;
            let count = self.acks.len();
            self.acks.drain(..).for_each(visit);
            Ok(count)
        }

        fn in_flight(&self) -> u64 {
            self.acks.len() as u64
        }
    }

    /// A group of `count` producers; the last one's client is broken if asked for. With what its
    /// members' clients were asked to wait.
    fn group(
        count: u32,
        last_is_broken: bool,
    ) -> (ProducerGroup, Arc<SimClock>, Arc<Mutex<Duration>>) {
        let spec = Arc::new(small_spec("group").with(|spec| spec.workload.producers = count));
        let workload = &spec.workload;
        let campaigns = Campaigns::derive(1, workload.campaigns, workload.ads_per_campaign, None);
        let campaigns = Arc::new(campaigns);
        let (clock, waits) = (Arc::new(SimClock::at(BASE)), Arc::<Mutex<Duration>>::default());
        let role = |index| ProducerRole {
            index,
            generation: 1,
            spec: Arc::clone(&spec),
            campaigns: Arc::clone(&campaigns),
            clock: clock.clone(),
            writer: Box::new(Client {
                is_broken: last_is_broken && index == count - 1,
                waits: Arc::clone(&waits),
                acks: Vec::new(),
            }),
        };
        let roles = (0..count).map(role).collect();
        let role = ProducerGroupRole { index: 0, clock: clock.clone(), roles };
        (role.begin(BASE), clock, waits)
    }

    #[test]
    fn every_member_plays_its_schedule_and_none_waits() {
        let (mut group, clock, waits) = group(5, false);
        let spec = group.turning[0].spec.clone();
        let mut told = Vec::new();
        let mut turns = 0;
        while group.turn(clock.now(), &mut told).unwrap() != Turn::Finished {
            clock.set(clock.now() + MILLISECOND);
            turns += 1;
            assert!(turns < 100_000, "it ends with its schedule");
        }
        assert_eq!(*waits.lock().unwrap(), Duration::ZERO);
        let StageState { counters, latencies, .. } = group.state();
        assert_eq!(counters.produced, counters.acknowledged);
        let seconds = spec.schedule_ns() as f64 / SECOND as f64;
        let expected = (spec.workload.rate.0 * seconds) as u64;
        assert!(counters.produced.abs_diff(expected) <= expected / 2, "{}", counters.produced);
        assert_eq!(latencies[0].1.count(), counters.produced_measured);
        let done = told.iter().filter(|message| message.complete_before == i64::MAX);
        let mut done: Vec<u32> = done.map(|message| message.producer).collect();
        done.sort_unstable();
        assert_eq!(done, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_members_failure_names_it() {
        let (mut group, clock, _) = group(3, true);
        let error = group.turn(clock.now(), &mut Vec::new()).unwrap_err();
        assert!(error.cause.starts_with("producer-2: "), "{error}");
    }
}
