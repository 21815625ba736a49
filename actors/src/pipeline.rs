//! The one list of stages: what runs, how it is built, started and stopped (downstream first).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::prelude::*;
use tracing::warn;

use crate::campaigns::Campaigns;
use crate::clock::{Nanos, SharedClock};
use crate::latency::{Latency, LatencyTask, Measured, TruthTable};
use crate::messages::{
    Acknowledged, Order, PanesClosed, PipelineId, ResultsComplete, RunMeasured, StageFailed,
    StageId, StageReport, WindowAcknowledged, WindowWritten, WindowsMerged,
};
use crate::ports::{
    Broker, BrokerDescription, EventReader, EventWriter, PortError, Record, StampedBy, StartAt,
    TopicAdmin, TopicDescription, TopicSpec, WriterRole,
};
use crate::producer::Producer;
use crate::result_writer::{ResultWriter, WriterOut};
use crate::spec::RunSpec;
use crate::stage::{Driven, Heartbeat, Receive, Reporting, Route, Stage, StageOrder, To, Waiting};
use crate::window_aggregator::WindowAggregator;

/// Which stages a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All five.
    Run,
    /// The producers alone, and the ledger.
    Produce,
    /// Aggregators and result writer alone, on a topic that others fill.
    Aggregate(Aggregate),
    /// The latency actor alone, on a results topic that others fill.
    Latency(Follow),
}

impl Mode {
    /// Whether it has producers.
    pub fn produces(self) -> bool {
        matches!(self, Self::Run | Self::Produce)
    }

    /// Whether it has aggregators and a result writer.
    pub fn writes_results(self) -> bool {
        matches!(self, Self::Run | Self::Aggregate(_))
    }

    /// Whether it has a latency actor, whose [`RunMeasured`] ends the run.
    pub fn measures(self) -> bool {
        !matches!(self, Self::Aggregate(_))
    }
}

/// How far a topic that others fill is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Where every partition is read from.
    pub from: StartAt,
    /// Ends the run once nothing came for so long (nanoseconds); `None`: until it is stopped.
    pub until_idle_ns: Option<Nanos>,
}

/// Aggregation of a topic that others fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// What is read.
    pub follow: Follow,
    /// Windows are aligned on this time (nanoseconds since the Unix epoch).
    pub base_event_time_ns: Nanos,
    /// Campaigns are `1..=n`; `None`: any id.
    pub campaigns: Option<u32>,
    /// A partition idle for so long closes its windows by processing time (nanoseconds).
    pub idle_timeout_ns: Option<Nanos>,
}

/// Keeps records that are no readable events. May wait a moment for room in a flood, far below the
/// heartbeat time-out; what it cannot take it counts.
pub trait DeadLetters: Send {
    /// Keeps a copy of a record, with the reason.
    fn keep(&mut self, record: Record<'_>, reason: &'static str);
}

/// Makes the keeper of malformed records, from the name of their topic.
pub type DeadLettersFactory = Arc<dyn Fn(&str) -> Box<dyn DeadLetters> + Send + Sync>;

/// A run to be made: the workload, the stages, and what they stand on.
#[derive(Clone)]
pub struct RunPlan {
    /// The workload.
    pub spec: RunSpec,
    /// Which stages.
    pub mode: Mode,
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The run's clock.
    pub clock: SharedClock,
    /// Whether the events topic is made for this run; otherwise it must be there.
    pub create_events_topic: bool,
    /// Whether the results topic is made for this run; otherwise it must be there.
    pub create_results_topic: bool,
    /// What a partition of a made events topic keeps at most, bytes.
    pub events_retention_bytes: Option<u64>,
    /// Whether topics made for this run outlive it.
    pub keep_topics: bool,
    /// What the results of another processor are audited against ([`Mode::Latency`]).
    pub truth: Option<Arc<TruthTable>>,
    /// Where malformed records go.
    pub dead_letters: DeadLettersFactory,
}

/// The ports of a run's stages, made and connected, and the workload as the topics' real shape
/// completes it.
pub struct Prepared {
    /// The workload, with the topics' real partition count.
    pub spec: Arc<RunSpec>,
    /// The broker.
    pub broker: BrokerDescription,
    producers: Vec<Box<dyn EventWriter>>,
    campaigns: Option<Arc<Campaigns>>,
    aggregators: Vec<(Vec<u32>, Box<dyn EventReader>)>,
    result_writer: Option<(Box<dyn EventWriter>, u32)>,
    latency: Option<LatencyTask>,
}

/// Makes a run's topics and connects its ports: downstream first, so that every reader starts
/// before what it reads is written. Blocks; call it on a thread of its own.
///
/// # Errors
/// [`PortError`]: the broker cannot be reached, a topic is missing or is not fit for its purpose.
pub fn prepare(plan: &RunPlan) -> Result<Prepared, PortError> {
    let mut spec = plan.spec.clone();
    let description = plan.broker.describe()?;
    spec.log_append_time = description.log_append_time;
    let mut admin = plan.broker.admin()?;
    let needs_events = plan.mode.produces() || plan.mode.writes_results();
    if needs_events {
        spec.partitions = prepare_events_topic(plan, &mut *admin)?;
        spec.aggregators = spec.aggregators.min(spec.partitions);
    }
    let mut result_partitions = 1;
    if plan.mode.writes_results() || !needs_events {
        result_partitions = prepare_results_topic(plan, &mut *admin, spec.log_append_time)?;
    }
    let spec = Arc::new(spec);
    let mut prepared = Prepared {
        broker: description,
        producers: Vec::new(),
        campaigns: None,
        aggregators: Vec::new(),
        result_writer: None,
        latency: None,
        spec: Arc::clone(&spec),
    };
    let broker = &*plan.broker;
    let results_from = |start| (0..result_partitions).map(|p| (p, start)).collect::<Vec<_>>();
    match plan.mode {
        Mode::Run => {
            let start = if plan.create_results_topic { StartAt::Earliest } else { StartAt::Latest };
            prepared.latency =
                Some(LatencyTask::Audit(broker.reader(&spec.results_topic, &results_from(start))?));
        }
        Mode::Produce => prepared.latency = Some(LatencyTask::KeepTruth),
        Mode::Latency(follow) => {
            let reader = broker.reader(&spec.results_topic, &results_from(follow.from))?;
            prepared.latency =
                Some(LatencyTask::Judge(reader, result_partitions, follow, plan.truth.clone()));
        }
        Mode::Aggregate(_) => {}
    }
    if plan.mode.writes_results() {
        let writer = broker.writer(&spec.results_topic, WriterRole::Results)?;
        prepared.result_writer = Some((writer, result_partitions));
        let start = match plan.mode {
            Mode::Aggregate(aggregate) => aggregate.follow.from,
            _ if plan.create_events_topic => StartAt::Earliest,
            _ => StartAt::Latest,
        };
        for id in 0..spec.aggregators {
            let owned: Vec<u32> =
                (id..spec.partitions).step_by(spec.aggregators as usize).collect();
            let from: Vec<_> = owned.iter().map(|&partition| (partition, start)).collect();
            prepared.aggregators.push((owned, broker.reader(&spec.events_topic, &from)?));
        }
    }
    if plan.mode.produces() {
        let campaigns =
            Campaigns::derive(spec.seed, spec.campaigns, spec.ads_per_campaign, spec.zipf_exponent);
        prepared.campaigns = Some(Arc::new(campaigns));
        for _ in 0..spec.producers {
            prepared.producers.push(broker.writer(&spec.events_topic, WriterRole::Events)?);
        }
    }
    Ok(prepared)
}

fn prepare_events_topic(plan: &RunPlan, admin: &mut dyn TopicAdmin) -> Result<u32, PortError> {
    let spec = &plan.spec;
    if plan.create_events_topic {
        admin.create(&TopicSpec {
            name: spec.events_topic.clone(),
            partitions: spec.partitions,
            replication: spec.replication,
            stamped_by: StampedBy::Client,
            retention_bytes: plan.events_retention_bytes,
        })?;
        return Ok(spec.partitions);
    }
    Ok(existing_topic(admin, &spec.events_topic, "--events-topic")?.partitions.len() as u32)
}

fn prepare_results_topic(
    plan: &RunPlan,
    admin: &mut dyn TopicAdmin,
    log_stamps: bool,
) -> Result<u32, PortError> {
    let spec = &plan.spec;
    if plan.create_results_topic {
        admin.create(&TopicSpec {
            name: spec.results_topic.clone(),
            partitions: 1,
            replication: spec.replication,
            stamped_by: if log_stamps { StampedBy::Log } else { StampedBy::Client },
            retention_bytes: None,
        })?;
        return Ok(1);
    }
    let topic = existing_topic(admin, &spec.results_topic, "--results-topic")?;
    if topic.stamped_by == StampedBy::Log || !log_stamps {
        return Ok(topic.partitions.len() as u32);
    }
    Err(PortError::fatal(format!(
        "topic `{}` does not stamp its records with the insertion time, so result_latency cannot be measured; set \
         message.timestamp.type=LogAppendTime on it (kafka-configs --alter --entity-type topics --entity-name {} \
         --add-config message.timestamp.type=LogAppendTime)",
        spec.results_topic, spec.results_topic
    )))
}

fn existing_topic(
    admin: &mut dyn TopicAdmin,
    name: &str,
    flag: &str,
) -> Result<TopicDescription, PortError> {
    admin.describe(name)?.ok_or_else(|| {
        PortError::fatal(format!(
            "there is no topic `{name}`: create it (`streamgauge topics create {flag} {name}`), or leave the topic's name \
             out to have one made for the run"
        ))
    })
}

/// Deletes the topics that were made for a run.
///
/// # Errors
/// [`PortError`] of the first deletion that failed; the others were tried all the same.
pub fn delete_topics(plan: &RunPlan) -> Result<(), PortError> {
    let made = [
        (plan.create_events_topic, &plan.spec.events_topic),
        (plan.create_events_topic, &plan.spec.malformed_topic),
        (plan.create_results_topic, &plan.spec.results_topic),
    ];
    let mut outcome = Ok(());
    if plan.keep_topics || made.iter().all(|(made, _)| !made) {
        return outcome;
    }
    let mut admin = plan.broker.admin()?;
    for (_, topic) in made.into_iter().filter(|(made, _)| *made) {
        let deleted = match admin.describe(topic) {
            Ok(Some(_)) => admin.delete(topic),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        outcome = outcome.and(deleted);
    }
    outcome
}

/// The running stages of one generation.
pub struct Pipeline {
    orders: Vec<(StageId, Recipient<StageOrder>)>,
    heartbeats: Vec<(StageId, Heartbeat)>,
    arbiters: Vec<Arbiter>,
    retired: Arc<AtomicBool>,
}

/// Where the stages of a generation report to.
#[derive(Clone)]
pub struct Reports {
    /// The pipeline that they make up.
    pub pipeline: PipelineId,
    /// Takes reports.
    pub reports: Recipient<StageReport>,
    /// Takes failures.
    pub failures: Recipient<StageFailed>,
    /// Takes the audit's result.
    pub measured: Recipient<RunMeasured>,
    /// What waits in the supervisor's mailbox.
    pub supervisor_waiting: Waiting,
}

impl Pipeline {
    /// Starts the stages, each on an arbiter of its own, downstream first. They wait for
    /// [`Order::Begin`].
    pub fn start(plan: &RunPlan, prepared: Prepared, reports: &Reports) -> Self {
        let Prepared { spec, producers, campaigns, aggregators, result_writer, latency, .. } =
            prepared;
        let mut pipeline = Self {
            orders: Vec::new(),
            heartbeats: Vec::new(),
            arbiters: Vec::new(),
            retired: Arc::default(),
        };
        let clock = &plan.clock;
        let id = reports.pipeline;
        let latency = latency.map(|task| {
            let stage = Latency::new(Arc::clone(&spec), Arc::clone(clock), task);
            let supervisor = reports.measured.clone();
            let route: Route<Measured> = Box::new(move |measured| {
                route(&supervisor, RunMeasured { pipeline: id, measured })
                    .map_err(|message| message.measured)
            });
            pipeline.add(stage, &spec, clock, reports, route)
        });
        // The aggregators are told of merged windows by the writer, and start after it.
        let merged: Arc<OnceLock<Vec<Inbox<WindowsMerged>>>> = Arc::default();
        let aggregate = match plan.mode {
            Mode::Aggregate(aggregate) => Some(aggregate),
            _ => None,
        };
        let writer = result_writer.map(|(writer, partitions)| {
            let base = aggregate.map(|aggregate| aggregate.base_event_time_ns);
            let stage =
                ResultWriter::new(Arc::clone(&spec), Arc::clone(clock), writer, partitions, base);
            let route = writer_route(latency.as_ref(), Arc::clone(&merged));
            pipeline.add(stage, &spec, clock, reports, route)
        });
        if let Some(writer) = writer {
            let mut addresses = Vec::new();
            for (id, (owned, reader)) in aggregators.into_iter().enumerate() {
                let dead_letters = (plan.dead_letters)(&spec.malformed_topic);
                let stage = WindowAggregator::new(
                    id as u32,
                    Arc::clone(&spec),
                    Arc::clone(clock),
                    owned,
                    reader,
                    dead_letters,
                    aggregate,
                );
                let panes: Inbox<PanesClosed> = writer.inbox();
                let stage = pipeline.add(
                    stage,
                    &spec,
                    clock,
                    reports,
                    Box::new(move |out| panes.take(out)),
                );
                addresses.push(stage.inbox());
            }
            assert!(merged.set(addresses).is_ok(), "set once");
        }
        if let (Some(campaigns), Some(latency)) = (campaigns, latency) {
            for (index, writer) in producers.into_iter().enumerate() {
                let stage = Producer::new(
                    index as u32,
                    id.generation,
                    Arc::clone(&spec),
                    Arc::clone(&campaigns),
                    Arc::clone(clock),
                    writer,
                );
                let acknowledged: Inbox<Acknowledged> = latency.inbox();
                pipeline.add(
                    stage,
                    &spec,
                    clock,
                    reports,
                    Box::new(move |out| acknowledged.take(out)),
                );
            }
        }
        pipeline
    }

    fn add<S: Stage>(
        &mut self,
        stage: S,
        spec: &RunSpec,
        clock: &SharedClock,
        reports: &Reports,
        route: Route<S::Out>,
    ) -> Started<S> {
        let id = stage.id();
        let heartbeat = Heartbeat::default();
        heartbeat.rest();
        let waiting = Waiting::default();
        let reporting = Reporting {
            run_id: spec.run_id.clone(),
            pipeline: reports.pipeline,
            supervisor_waiting: reports.supervisor_waiting.clone(),
            waiting: waiting.clone(),
            reports: reports.reports.clone(),
            failures: reports.failures.clone(),
            heartbeat: heartbeat.clone(),
            retired: Arc::clone(&self.retired),
        };
        let arbiter = Arbiter::new();
        let clock = Arc::clone(clock);
        let address = Driven::start_in_arbiter(&arbiter.handle(), move |_| {
            Driven::new(stage, clock, route, reporting)
        });
        self.orders.push((id, address.clone().recipient()));
        self.heartbeats.push((id, heartbeat));
        self.arbiters.push(arbiter);
        Started { address, waiting }
    }

    /// Gives an order to every stage, downstream first.
    pub fn order(&self, order: Order) {
        for (_, stage) in &self.orders {
            // An order is never refused for a full mailbox: there are few, and each matters.
            stage.do_send(StageOrder(order));
        }
    }

    /// The stages.
    pub fn stages(&self) -> impl Iterator<Item = StageId> + '_ {
        self.orders.iter().map(|(id, _)| *id)
    }

    /// The stage that has been silent for the longest time, with that time.
    pub fn most_silent(&self, now: Nanos) -> Option<(StageId, Nanos)> {
        self.heartbeats
            .iter()
            .map(|(id, beat)| (*id, beat.silence(now)))
            .max_by_key(|&(_, silence)| silence)
    }

    /// Stops every stage, upstream first, and waits until their threads have ended and their ports
    /// are dropped. Gives the stages that are frozen, and are left behind: nothing ended for
    /// `patience`, and a thread cannot be killed. Blocks: call it on a thread of its own.
    pub fn stop(mut self, patience: Duration) -> Vec<StageId> {
        self.retire();
        let mut running: Vec<StageId> = self.orders.iter().map(|(id, _)| *id).collect();
        let (ended, ends) = channel();
        let arbiters = std::mem::take(&mut self.arbiters);
        for (&id, arbiter) in running.iter().zip(arbiters).rev() {
            let ended = ended.clone();
            let joined = std::thread::Builder::new().name(format!("join {id}")).spawn(move || {
                // An arbiter whose stage panicked has nothing more to say than the failure that was
                // reported.
                drop(arbiter.join());
                // Whoever waited may have given up.
                let _ = ended.send(id);
            });
            if let Err(error) = joined {
                warn!(%error, stage = %id, "no thread could be started to wait for a stage's end");
            }
        }
        drop(ended);
        while let Ok(id) = ends.recv_timeout(patience) {
            running.retain(|&stage| stage != id);
        }
        running
    }
}

impl Pipeline {
    /// Tells every stage to end, upstream first.
    fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        for arbiter in self.arbiters.iter().rev() {
            arbiter.stop();
        }
    }
}

impl Drop for Pipeline {
    /// One that was started in part, or that nobody could stop in order, leaves no thread behind.
    fn drop(&mut self) {
        self.retire();
    }
}

fn route<M: Message<Result = ()> + Send>(to: &Recipient<M>, message: M) -> Result<(), M> {
    match to.try_send(message) {
        // A stage that is gone belongs to a pipeline that is being stopped: nobody waits for the
        // message.
        Ok(()) | Err(SendError::Closed(_)) => Ok(()),
        Err(SendError::Full(message)) => Err(message),
    }
}

/// A stage that was started, for those that send to it.
struct Started<S: Stage> {
    address: Addr<Driven<S>>,
    waiting: Waiting,
}

impl<S: Stage> Started<S> {
    /// Where it takes messages of one type.
    fn inbox<M: Send + 'static>(&self) -> Inbox<M>
    where
        S: Receive<M>,
    {
        Inbox { to: self.address.clone().recipient(), waiting: self.waiting.clone() }
    }
}

/// Where a stage takes messages of one type; counts those that wait.
struct Inbox<M: Send + 'static> {
    to: Recipient<To<M>>,
    waiting: Waiting,
}

impl<M: Send + 'static> Inbox<M> {
    /// Hands a message over; gives it back when the mailbox is full.
    fn take(&self, message: M) -> Result<(), M> {
        self.waiting.sent();
        route(&self.to, To(message)).map_err(|To(message)| {
            self.waiting.taken();
            message
        })
    }
}

fn writer_route(
    latency: Option<&Started<Latency>>,
    merged: Arc<OnceLock<Vec<Inbox<WindowsMerged>>>>,
) -> Route<WriterOut> {
    let written: Option<Inbox<WindowWritten>> = latency.map(Started::inbox);
    let acknowledged: Option<Inbox<WindowAcknowledged>> = latency.map(Started::inbox);
    let complete: Option<Inbox<ResultsComplete>> = latency.map(Started::inbox);
    Box::new(move |out| match out {
        WriterOut::Written(message) => match &written {
            Some(to) => to.take(message).map_err(WriterOut::Written),
            None => Ok(()),
        },
        WriterOut::Acknowledged(message) => match &acknowledged {
            Some(to) => to.take(message).map_err(WriterOut::Acknowledged),
            None => Ok(()),
        },
        WriterOut::Complete(message) => match &complete {
            Some(to) => to.take(message).map_err(WriterOut::Complete),
            None => Ok(()),
        },
        WriterOut::Merged(message) => {
            // Told again to those whose mailbox had room, if another's had none: the message is a
            // fact, not a step.
            let aggregators = merged.get().map_or(&[][..], Vec::as_slice);
            aggregators.iter().try_for_each(|to| to.take(message)).map_err(WriterOut::Merged)
        }
    })
}
