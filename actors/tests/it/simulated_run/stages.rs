//! The pipeline's stages on one thread: mailboxes, turns in any order, and the same wiring as
//! `pipeline.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use streamgauge_actors::{
    AggregatorParts, Campaigns, Clock, EventReader, EventWriter, EventsAcknowledged, MILLISECOND,
    Nanos, OwnAggregatorRole, PanesClosed, ProducerRole, Receive, ResultWriterRole,
    ResultsComplete, Role, RunAuditRole, RunMeasures, RunSpec, SharedClock, Stage, StageId,
    StageOrder, StageState, Turn, WindowAcknowledged, WindowWritten, WindowsMerged, WriterOut,
    testing::{Dice, NoDeadLetters, SimClock, SimLog, Topic},
};

use super::{Outcome, Stresses};

/// The log that the stages write to and read from.
pub(crate) trait PipelineLog {
    /// A reader of some partitions of a topic.
    fn reader(&self, topic: Topic, partitions: &[u32]) -> Box<dyn EventReader>;

    /// A writer to a topic.
    fn writer(&self, topic: Topic) -> Box<dyn EventWriter>;
}

impl PipelineLog for SimLog {
    fn reader(&self, topic: Topic, partitions: &[u32]) -> Box<dyn EventReader> {
        Box::new(Self::reader(self, topic, partitions))
    }

    fn writer(&self, topic: Topic) -> Box<dyn EventWriter> {
        Box::new(Self::writer(self, topic))
    }
}

/// What lies in a stage's mailbox.
#[derive(Clone)]
enum Mail {
    Begin(Nanos),
    Order(StageOrder),
    EventsAcknowledged(EventsAcknowledged),
    Panes(PanesClosed),
    Merged(WindowsMerged),
    Written(WindowWritten),
    WindowAcknowledged(WindowAcknowledged),
    Complete(ResultsComplete),
}

/// A stage, before its run begins and after.
enum Life<R: Role> {
    Waiting(Option<R>),
    Working(Box<R::Stage>),
}

enum Logic {
    Producer(Life<ProducerRole>),
    WindowAggregator(Life<OwnAggregatorRole>),
    ResultWriter(Life<ResultWriterRole>),
    Latency(Life<RunAuditRole>),
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

pub(crate) struct Pipeline {
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
    pub(crate) fn build(
        spec: &Arc<RunSpec>,
        sim_clock: &Arc<SimClock>,
        log: &impl PipelineLog,
    ) -> Self {
        let clock: SharedClock = Arc::clone(sim_clock) as SharedClock;
        let mut slots = vec![Slot::new(
            StageId::Latency,
            Logic::Latency(Life::waiting(RunAuditRole {
                spec: Arc::clone(spec),
                clock: Arc::clone(&clock),
                reader: log.reader(Topic::Results, &[0]),
            })),
        )];
        slots.push(Slot::new(
            StageId::ResultWriter,
            Logic::ResultWriter(Life::waiting(ResultWriterRole {
                spec: Arc::clone(spec),
                clock: Arc::clone(&clock),
                writer: log.writer(Topic::Results),
                partitions: 1,
                base_event_time_ns: None,
            })),
        ));
        for id in 0..spec.aggregator.count {
            let owned: Vec<u32> =
                (id..spec.topics.partitions).step_by(spec.aggregator.count as usize).collect();
            let role = OwnAggregatorRole(AggregatorParts {
                id,
                spec: Arc::clone(spec),
                clock: Arc::clone(&clock),
                reader: log.reader(Topic::Events, &owned),
                owned,
                dead_letters: Box::new(NoDeadLetters),
            });
            let logic = Logic::WindowAggregator(Life::waiting(role));
            slots.push(Slot::new(StageId::WindowAggregator(id), logic));
        }
        let campaigns = Arc::new(Campaigns::derive(
            spec.workload.seed,
            spec.workload.campaigns,
            spec.workload.ads_per_campaign,
            spec.workload.zipf(),
        ));
        for index in 0..spec.workload.producers {
            let role = ProducerRole {
                index,
                generation: GENERATION,
                spec: Arc::clone(spec),
                campaigns: Arc::clone(&campaigns),
                clock: Arc::clone(&clock),
                writer: log.writer(Topic::Events),
            };
            slots.push(Slot::new(StageId::Producer(index), Logic::Producer(Life::waiting(role))));
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

    /// Tells every stage that the run begins.
    pub(crate) fn begin(&mut self, base_ns: Nanos) {
        self.slots.iter_mut().for_each(|slot| slot.mailbox.push_back(Mail::Begin(base_ns)));
    }

    /// Puts an order into every mailbox.
    pub(crate) fn order(&mut self, order: StageOrder) {
        match order {
            StageOrder::Drain { .. } => self.stresses().drains += 1,
            StageOrder::SetRate { .. } => self.stresses().rate_changes += 1,
            StageOrder::GiveUp => {}
        }
        self.slots.iter_mut().for_each(|slot| slot.mailbox.push_back(Mail::Order(order)));
    }

    pub(crate) fn finished(&self) -> bool {
        self.measures.is_some() && self.slots.iter().all(|slot| slot.finished)
    }

    pub(crate) fn unfinished(&self) -> Vec<String> {
        let describe =
            |slot: &Slot| format!("{}{}", slot.id, if slot.parked { " (parked)" } else { "" });
        self.slots.iter().filter(|slot| !slot.finished).map(describe).collect()
    }

    /// A turn for nearly every stage, in any order; time passes in between.
    pub(crate) fn round(&mut self, dice: &mut Dice, clock: &SimClock) -> Result<(), String> {
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
        let some = if dice.once_in(4) { dice.below(waiting + 1) } else { waiting };
        // A change of the schedule is named so far ahead that no turn comes before it.
        let is_order = |mail: &Mail| matches!(mail, Mail::Order(_));
        let ordered = slot.mailbox.iter().rposition(is_order).map_or(0, |at| at as u64 + 1);
        let taken = some.max(ordered);
        self.outcome.stresses.delayed_messages += waiting - taken;
        for mail in slot.mailbox.drain(..taken as usize) {
            slot.parked = false;
            slot.logic.receive(mail);
        }
        let Some(said) = slot.turn(now)? else { return Ok(()) };
        if slot.finished || dice.once_in(100) {
            self.take_state(at);
        }
        self.deliver(said, Some(dice));
        Ok(())
    }

    /// A turn for every stage, upstream first, all mail handed over.
    pub(crate) fn pass(&mut self, now: Nanos) -> Result<(), String> {
        for at in (0..self.slots.len()).rev() {
            let slot = &mut self.slots[at];
            while let Some(mail) = slot.mailbox.pop_front() {
                slot.parked = false;
                slot.logic.receive(mail);
            }
            if let Some(said) = slot.turn(now)? {
                self.deliver(said, None);
            }
        }
        Ok(())
    }

    /// What every stage tells of the second that is over.
    pub(crate) fn states(&mut self) -> impl Iterator<Item = (StageId, StageState)> + '_ {
        self.slots.iter_mut().map(|slot| (slot.id, slot.logic.state()))
    }

    /// What the latency actor found; `None`: it is not done.
    pub(crate) fn take_measures(&mut self) -> Option<RunMeasures> {
        self.measures.take()
    }

    fn take_state(&mut self, at: usize) {
        let state = self.slots[at].logic.state();
        self.outcome.findings.extend(state.findings);
        if self.slots[at].finished {
            self.outcome.counters.add(&state.counters);
        }
    }

    /// Delivers what a turn sent; by the dice, some of it twice.
    fn deliver(&mut self, said: Said, mut dice: Option<&mut Dice>) {
        for (to, mail) in said.mail {
            if let Mail::Panes(panes) = &mail
                && !panes.panes.is_empty()
                && dice.as_mut().is_some_and(|dice| dice.once_in(10))
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

    pub(crate) fn into_outcome(self, log: &SimLog, ended_at: Nanos) -> Outcome {
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
    fn new(id: StageId, logic: Logic) -> Self {
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

impl Slot {
    /// Takes a turn, unless it waits for mail or is done; gives what it sent.
    fn turn(&mut self, now: Nanos) -> Result<Option<Said>, String> {
        if self.parked || self.finished {
            return Ok(None);
        }
        let mut said = Said::default();
        let turn =
            self.logic.turn(now, &mut said).map_err(|why| format!("{} failed: {why}", self.id))?;
        self.parked = turn == Turn::Park;
        self.finished = turn == Turn::Finished;
        Ok(Some(said))
    }
}

impl<R: Role> Life<R> {
    fn waiting(role: R) -> Self {
        Self::Waiting(Some(role))
    }

    fn begin(&mut self, base_ns: Nanos) {
        if let Self::Waiting(role) = self
            && let Some(role) = role.take()
        {
            *self = Self::Working(Box::new(role.begin(base_ns)));
        }
    }

    /// The stage; every mailbox holds the run's beginning before anything else.
    fn stage(&mut self) -> &mut R::Stage {
        match self {
            Self::Working(stage) => stage,
            Self::Waiting(_) => unreachable!("the run has not begun"),
        }
    }

    fn turn(
        &mut self,
        now: Nanos,
        each: impl FnMut(<R::Stage as Stage>::Out),
    ) -> Result<Turn, String> {
        match self {
            Self::Working(stage) => take_turn(&mut **stage, now, each),
            Self::Waiting(_) => Ok(Turn::Park),
        }
    }

    fn state(&mut self) -> StageState {
        match self {
            Self::Working(stage) => stage.state(),
            Self::Waiting(_) => StageState::default(),
        }
    }
}

impl Logic {
    fn receive(&mut self, mail: Mail) {
        match (self, mail) {
            (Self::Producer(life), Mail::Begin(base_ns)) => life.begin(base_ns),
            (Self::WindowAggregator(life), Mail::Begin(base_ns)) => life.begin(base_ns),
            (Self::ResultWriter(life), Mail::Begin(base_ns)) => life.begin(base_ns),
            (Self::Latency(life), Mail::Begin(base_ns)) => life.begin(base_ns),
            (Self::Producer(life), Mail::Order(order)) => life.stage().order(order),
            (Self::WindowAggregator(life), Mail::Order(order)) => life.stage().order(order),
            (Self::ResultWriter(life), Mail::Order(order)) => life.stage().order(order),
            (Self::Latency(life), Mail::Order(order)) => life.stage().order(order),
            (Self::WindowAggregator(life), Mail::Merged(message)) => life.stage().receive(message),
            (Self::ResultWriter(life), Mail::Panes(message)) => life.stage().receive(message),
            (Self::Latency(life), Mail::EventsAcknowledged(message)) => {
                life.stage().receive(message);
            }
            (Self::Latency(life), Mail::Written(message)) => life.stage().receive(message),
            (Self::Latency(life), Mail::WindowAcknowledged(message)) => {
                life.stage().receive(message);
            }
            (Self::Latency(life), Mail::Complete(message)) => life.stage().receive(message),
            _ => unreachable!("no stage is sent what it does not take"),
        }
    }

    fn state(&mut self) -> StageState {
        match self {
            Self::Producer(life) => life.state(),
            Self::WindowAggregator(life) => life.state(),
            Self::ResultWriter(life) => life.state(),
            Self::Latency(life) => life.state(),
        }
    }

    fn turn(&mut self, now: Nanos, said: &mut Said) -> Result<Turn, String> {
        match self {
            Self::Producer(life) => {
                life.turn(now, |out| said.mail.push((LATENCY, Mail::EventsAcknowledged(out))))
            }
            Self::WindowAggregator(life) => {
                life.turn(now, |out| said.mail.push((RESULT_WRITER, Mail::Panes(out))))
            }
            Self::ResultWriter(life) => life.turn(now, |out| {
                said.mail.push(match out {
                    WriterOut::Written(message) => (LATENCY, Mail::Written(message)),
                    WriterOut::Acknowledged(message) => {
                        (LATENCY, Mail::WindowAcknowledged(message))
                    }
                    WriterOut::Complete(message) => (LATENCY, Mail::Complete(message)),
                    WriterOut::Merged(message) => (FIRST_AGGREGATOR, Mail::Merged(message)),
                });
            }),
            Self::Latency(life) => {
                life.turn(now, |out| said.measures = out.measures.map(|measures| *measures))
            }
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
