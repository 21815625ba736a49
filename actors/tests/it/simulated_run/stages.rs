//! The pipeline's stages on one thread: mailboxes, turns in any order, and the same wiring as
//! `pipeline.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use streamgauge_actors::{
    Acknowledged, Campaigns, Clock, Latency, LatencyTask, MILLISECOND, Nanos, Order, PanesClosed,
    Producer, Receive, ResultWriter, ResultsComplete, RunMeasures, RunSpec, SharedClock, Stage,
    StageId, Turn, WindowAcknowledged, WindowAggregator, WindowWritten, WindowsMerged, WriterOut,
    testing::{Dice, NoDeadLetters, SimClock, SimLog, Topic},
};

use super::{Outcome, Stresses};

/// What lies in a stage's mailbox.
#[derive(Clone)]
enum Mail {
    Order(Order),
    Acknowledged(Acknowledged),
    Panes(PanesClosed),
    Merged(WindowsMerged),
    Written(WindowWritten),
    WindowAcknowledged(WindowAcknowledged),
    Complete(ResultsComplete),
}

enum Logic {
    Producer(Box<Producer>),
    WindowAggregator(Box<WindowAggregator>),
    ResultWriter(Box<ResultWriter>),
    Latency(Box<Latency>),
}

/// A stage as its actor has it.
struct Slot {
    id: StageId,
    logic: Logic,
    mailbox: VecDeque<Mail>,
    parked: bool,
    finished: bool,
    frozen_until: Nanos,
}

pub struct Pipeline {
    /// Downstream first: latency, result writer, aggregators, producers.
    slots: Vec<Slot>,
    aggregators: usize,
    measures: Option<RunMeasures>,
    outcome: Outcome,
}

const LATENCY: usize = 0;
const RESULT_WRITER: usize = 1;
const FIRST_AGGREGATOR: usize = 2;
const GENERATION: u16 = 1;

impl Pipeline {
    pub fn build(spec: &Arc<RunSpec>, sim_clock: &Arc<SimClock>, log: &SimLog) -> Self {
        let clock: SharedClock = Arc::clone(sim_clock) as SharedClock;
        let task = LatencyTask::Audit(Box::new(log.reader(Topic::Results, &[0])));
        let latency = Latency::new(Arc::clone(spec), Arc::clone(&clock), task);
        let results = Box::new(log.writer(Topic::Results));
        let writer = ResultWriter::new(Arc::clone(spec), Arc::clone(&clock), results, 1, None);
        let mut slots = vec![Slot::new(Logic::Latency(Box::new(latency)))];
        slots.push(Slot::new(Logic::ResultWriter(Box::new(writer))));
        for id in 0..spec.aggregator.count {
            let owned: Vec<u32> =
                (id..spec.topics.partitions).step_by(spec.aggregator.count as usize).collect();
            let reader = Box::new(log.reader(Topic::Events, &owned));
            let (spec, clock) = (Arc::clone(spec), Arc::clone(&clock));
            let aggregator = WindowAggregator::new(
                id,
                spec,
                clock,
                owned,
                reader,
                Box::new(NoDeadLetters),
                None,
            );
            slots.push(Slot::new(Logic::WindowAggregator(Box::new(aggregator))));
        }
        let campaigns = Arc::new(Campaigns::derive(
            spec.workload.seed,
            spec.workload.campaigns,
            spec.workload.ads_per_campaign,
            spec.workload.zipf(),
        ));
        for index in 0..spec.workload.producers {
            let writer = Box::new(log.writer(Topic::Events));
            let (campaigns, clock) = (Arc::clone(&campaigns), Arc::clone(&clock));
            let producer =
                Producer::new(index, GENERATION, Arc::clone(spec), campaigns, clock, writer);
            slots.push(Slot::new(Logic::Producer(Box::new(producer))));
        }
        Self {
            slots,
            aggregators: spec.aggregator.count as usize,
            measures: None,
            outcome: Outcome::default(),
        }
    }

    fn stresses(&mut self) -> &mut Stresses {
        &mut self.outcome.stresses
    }

    /// Puts an order into every mailbox.
    pub fn order(&mut self, order: Order) {
        match order {
            Order::Drain { .. } => self.stresses().drains += 1,
            Order::SetRate { .. } => self.stresses().rate_changes += 1,
            Order::Begin { .. } => {}
        }
        self.slots.iter_mut().for_each(|slot| slot.mailbox.push_back(Mail::Order(order)));
    }

    pub fn finished(&self) -> bool {
        self.measures.is_some() && self.slots.iter().all(|slot| slot.finished)
    }

    pub fn unfinished(&self) -> Vec<String> {
        let describe =
            |slot: &Slot| format!("{}{}", slot.id, if slot.parked { " (parked)" } else { "" });
        self.slots.iter().filter(|slot| !slot.finished).map(describe).collect()
    }

    /// A turn for nearly every stage, in any order; time passes in between.
    pub fn round(&mut self, dice: &mut Dice, clock: &SimClock) -> Result<(), String> {
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        dice.shuffle(&mut order);
        self.stresses().reordered_turns += u64::from(!order.is_sorted());
        for at in order {
            let now = clock.now();
            if now < self.slots[at].frozen_until || dice.once_in(6) {
                self.stresses().skipped_turns += 1;
                continue;
            }
            if dice.once_in(1000) {
                self.slots[at].frozen_until = now + dice.between(1, 300) * MILLISECOND;
                self.stresses().frozen_stages += 1;
            }
            self.step(at, now, dice)?;
            clock.advance(dice.between(0, MILLISECOND / 10));
        }
        Ok(())
    }

    /// Hands over some of a stage's mail, and gives it a turn.
    fn step(&mut self, at: usize, now: Nanos, dice: &mut Dice) -> Result<(), String> {
        let slot = &mut self.slots[at];
        let waiting = slot.mailbox.len() as u64;
        let taken = if dice.once_in(4) { dice.below(waiting + 1) } else { waiting };
        self.outcome.stresses.delayed_messages += waiting - taken;
        for mail in slot.mailbox.drain(..taken as usize) {
            slot.parked = false;
            slot.logic.receive(mail);
        }
        if slot.parked || slot.finished {
            return Ok(());
        }
        let mut said = Said::default();
        let turn =
            slot.logic.turn(now, &mut said).map_err(|why| format!("{} failed: {why}", slot.id))?;
        slot.parked = turn == Turn::Park;
        slot.finished = turn == Turn::Finished;
        if slot.finished || dice.once_in(100) {
            self.take_state(at);
        }
        self.deliver(said, dice);
        Ok(())
    }

    fn take_state(&mut self, at: usize) {
        let state = match &mut self.slots[at].logic {
            Logic::Producer(stage) => stage.state(),
            Logic::WindowAggregator(stage) => stage.state(),
            Logic::ResultWriter(stage) => stage.state(),
            Logic::Latency(stage) => stage.state(),
        };
        self.outcome.findings.extend(state.findings);
        if self.slots[at].finished {
            self.outcome.counters.add(&state.counters);
        }
    }

    fn deliver(&mut self, said: Said, dice: &mut Dice) {
        for (to, mail) in said.mail {
            if let Mail::Panes(panes) = &mail
                && !panes.panes.is_empty()
                && dice.once_in(10)
            {
                self.outcome.stresses.panes_sent_again += 1;
                self.slots[to].mailbox.push_back(mail.clone());
            }
            if let Mail::Merged(_) = mail {
                for slot in &mut self.slots[FIRST_AGGREGATOR..FIRST_AGGREGATOR + self.aggregators] {
                    slot.mailbox.push_back(mail.clone());
                }
                continue;
            }
            self.slots[to].mailbox.push_back(mail);
        }
        self.measures = said.measures.or(self.measures.take());
    }

    pub fn into_outcome(self, log: &SimLog, ended_at: Nanos) -> Outcome {
        let mut outcome = self.outcome;
        let measures = self.measures.unwrap_or_default();
        outcome.events = outcome.counters.acknowledged;
        outcome.windows = measures.audit.windows;
        outcome.audit = measures.audit;
        outcome.table = measures.windows;
        outcome.stresses.log = log.counts();
        outcome.injections = log.injected(|injector| injector.injections().to_vec());
        outcome.results = log.results().into_iter().map(|record| record.payload).collect();
        outcome.ended_at = ended_at;
        outcome
    }
}

/// What a turn sent, and to which slot.
#[derive(Default)]
struct Said {
    mail: Vec<(usize, Mail)>,
    measures: Option<RunMeasures>,
}

impl Slot {
    fn new(logic: Logic) -> Self {
        let id = match &logic {
            Logic::Producer(stage) => stage.id(),
            Logic::WindowAggregator(stage) => stage.id(),
            Logic::ResultWriter(stage) => stage.id(),
            Logic::Latency(stage) => stage.id(),
        };
        Self {
            id,
            logic,
            mailbox: VecDeque::new(),
            parked: false,
            finished: false,
            frozen_until: Nanos::MIN,
        }
    }
}

impl Logic {
    fn receive(&mut self, mail: Mail) {
        match (self, mail) {
            (Self::Producer(stage), Mail::Order(order)) => stage.order(order),
            (Self::WindowAggregator(stage), Mail::Order(order)) => stage.order(order),
            (Self::WindowAggregator(stage), Mail::Merged(message)) => stage.receive(message),
            (Self::ResultWriter(stage), Mail::Order(order)) => stage.order(order),
            (Self::ResultWriter(stage), Mail::Panes(message)) => stage.receive(message),
            (Self::Latency(stage), Mail::Order(order)) => stage.order(order),
            (Self::Latency(stage), Mail::Acknowledged(message)) => stage.receive(message),
            (Self::Latency(stage), Mail::Written(message)) => stage.receive(message),
            (Self::Latency(stage), Mail::WindowAcknowledged(message)) => stage.receive(message),
            (Self::Latency(stage), Mail::Complete(message)) => stage.receive(message),
            _ => unreachable!("no stage is sent what it does not take"),
        }
    }

    fn turn(&mut self, now: Nanos, said: &mut Said) -> Result<Turn, String> {
        match self {
            Self::Producer(stage) => take_turn(&mut **stage, now, |out| {
                said.mail.push((LATENCY, Mail::Acknowledged(out)))
            }),
            Self::WindowAggregator(stage) => take_turn(&mut **stage, now, |out| {
                said.mail.push((RESULT_WRITER, Mail::Panes(out)))
            }),
            Self::ResultWriter(stage) => take_turn(&mut **stage, now, |out| {
                said.mail.push(match out {
                    WriterOut::Written(message) => (LATENCY, Mail::Written(message)),
                    WriterOut::Acknowledged(message) => {
                        (LATENCY, Mail::WindowAcknowledged(message))
                    }
                    WriterOut::Complete(message) => (LATENCY, Mail::Complete(message)),
                    WriterOut::Merged(message) => (FIRST_AGGREGATOR, Mail::Merged(message)),
                });
            }),
            Self::Latency(stage) => take_turn(&mut **stage, now, |out| {
                said.measures = out.measures.map(|measures| *measures)
            }),
        }
    }
}

fn take_turn<S: Stage>(
    stage: &mut S,
    now: Nanos,
    each: impl FnMut(S::Out),
) -> Result<Turn, String> {
    let mut outbox = Vec::new();
    let turn = stage.turn(now, &mut outbox).map_err(|error| error.to_string())?;
    outbox.into_iter().for_each(each);
    Ok(turn)
}
