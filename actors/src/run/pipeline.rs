//! The one list of stages: what runs, how it is built, started and stopped (downstream first).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use actix::prelude::*;
use tracing::warn;

use crate::clock::Nanos;
use crate::latency::results_judge::ResultsJudgeRole;
use crate::latency::run_audit::RunAuditRole;
use crate::latency::truth_keeper::TruthKeeperRole;
use crate::measures::run_measures::MeasuresComplete;
use crate::ports::EventReader;
use crate::producer::ProducerRole;
use crate::producer::group::ProducerGroupRole;
use crate::result_writer::{ResultWriterRole, WriterOut};
use crate::run::facts::RunMeasured;
use crate::run::plan::RunPlan;
use crate::run::prepare::{AggregatorPort, ProducerPorts, ResultPort, RunBasis, StagePorts};
use crate::run::wiring::{AggregatorInboxes, StageAddress, audited_route, send, unaudited_route};
use crate::stage::driver::{Begin, Heartbeat, MailboxCount, Reporting, Route, StageDriver};
use crate::stage::flow::{EventsAcknowledged, PanesClosed, WindowsMerged};
use crate::stage::reports::{StageFailed, StageReport};
use crate::stage::{Receive, Role, Stage, StageOrder};
use crate::stage_id::{PipelineId, StageId};
use crate::window_aggregator::{AggregatorParts, ForeignAggregatorRole, OwnAggregatorRole};
use crate::workload::spec::RunSpec;

/// Up to so many producers have a thread each, on any machine.
const PRODUCER_THREADS: usize = 8;

/// The threads of so many producers: one each, up to a number that the machine's cores allow.
fn producer_threads(producers: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    producers.min(PRODUCER_THREADS.max(cores))
}

/// The running stages of one generation.
pub(crate) struct Pipeline {
    stages: Vec<StageHandle>,
    arbiters: Vec<Arbiter>,
    retired: Arc<AtomicBool>,
}

/// A running stage, as it is ordered and watched.
struct StageHandle {
    id: StageId,
    begin: Recipient<Begin>,
    orders: Recipient<StageOrder>,
    heartbeat: Heartbeat,
}

/// Where the stages of a generation report to.
#[derive(Clone)]
pub(crate) struct Reports {
    /// The pipeline that they make up.
    pub pipeline: PipelineId,
    /// Takes reports.
    pub reports: Recipient<StageReport>,
    /// Takes failures.
    pub failures: Recipient<StageFailed>,
    /// Takes the audit's result.
    pub measured: Recipient<RunMeasured>,
    /// What waits in the supervisor's mailbox.
    pub supervisor_waiting: MailboxCount,
}

/// The stages that were started so far, and what each of them is given.
struct PipelineBuilder<'a> {
    plan: &'a RunPlan,
    spec: Arc<RunSpec>,
    reports: &'a Reports,
    pipeline: Pipeline,
}

impl PipelineBuilder<'_> {
    fn add<R: Role>(&mut self, role: R, route: Route<<R::Stage as Stage>::Out>) -> StageAddress<R> {
        let id = role.id();
        let (heartbeat, waiting) = (Heartbeat::default(), MailboxCount::default());
        let reporting = Reporting {
            run_id: self.spec.run_id.clone(),
            pipeline: self.reports.pipeline,
            supervisor_waiting: self.reports.supervisor_waiting.clone(),
            waiting: waiting.clone(),
            reports: self.reports.reports.clone(),
            failures: self.reports.failures.clone(),
            heartbeat: heartbeat.clone(),
            retired: Arc::clone(&self.pipeline.retired),
        };
        let arbiter = Arbiter::new();
        let clock = Arc::clone(&self.plan.clock);
        let address = StageDriver::start_in_arbiter(&arbiter.handle(), move |_| {
            StageDriver::new(role, clock, route, reporting)
        });
        self.pipeline.stages.push(StageHandle {
            id,
            begin: address.clone().recipient(),
            orders: address.clone().recipient(),
            heartbeat,
        });
        self.pipeline.arbiters.push(arbiter);
        StageAddress { address, waiting }
    }

    /// Where the latency actor hands over what was measured.
    fn measured(&self) -> Route<MeasuresComplete> {
        let (supervisor, pipeline) = (self.reports.measured.clone(), self.reports.pipeline);
        Box::new(move |measured| {
            send(&supervisor, RunMeasured { pipeline, measured })
                .map_err(|message| message.measured)
        })
    }

    fn run_audit(&mut self, reader: Box<dyn EventReader>) -> StageAddress<RunAuditRole> {
        let (spec, clock) = (Arc::clone(&self.spec), Arc::clone(&self.plan.clock));
        self.add(RunAuditRole { spec, clock, reader }, self.measured())
    }

    fn result_writer(
        &mut self,
        port: ResultPort,
        base_event_time_ns: Option<Nanos>,
        route: Route<WriterOut>,
    ) -> StageAddress<ResultWriterRole> {
        let ResultPort { writer, partitions } = port;
        let (spec, clock) = (Arc::clone(&self.spec), Arc::clone(&self.plan.clock));
        self.add(ResultWriterRole { spec, clock, writer, partitions, base_event_time_ns }, route)
    }

    /// Starts the aggregators; `role` makes each of them.
    fn aggregators<R: Role>(
        &mut self,
        aggregators: Vec<AggregatorPort>,
        writer: &StageAddress<ResultWriterRole>,
        merged: &AggregatorInboxes,
        role: impl Fn(AggregatorParts) -> R,
    ) where
        R::Stage: Stage<Out = PanesClosed> + Receive<WindowsMerged>,
    {
        let mut inboxes = Vec::new();
        for (id, AggregatorPort { owned, reader }) in (0..).zip(aggregators) {
            let (spec, clock) = (Arc::clone(&self.spec), Arc::clone(&self.plan.clock));
            let dead_letters = (self.plan.dead_letters)(&spec.topics.malformed);
            let parts = AggregatorParts { id, spec, clock, owned, reader, dead_letters };
            inboxes.push(self.add(role(parts), writer.route()).inbox());
        }
        assert!(merged.set(inboxes).is_ok(), "set once");
    }

    fn producers<R: Role>(&mut self, ports: ProducerPorts, latency: &StageAddress<R>)
    where
        R::Stage: Receive<EventsAcknowledged>,
    {
        let ProducerPorts { campaigns, writers } = ports;
        let generation = self.reports.pipeline.generation;
        let threads = producer_threads(writers.len());
        let mut groups: Vec<Vec<ProducerRole>> = (0..threads).map(|_| Vec::new()).collect();
        for (index, writer) in (0..).zip(writers) {
            let (spec, campaigns) = (Arc::clone(&self.spec), Arc::clone(&campaigns));
            let clock = Arc::clone(&self.plan.clock);
            let role = ProducerRole { index, generation, spec, campaigns, clock, writer };
            groups[index as usize % threads].push(role);
        }
        for (index, mut roles) in (0..).zip(groups) {
            if roles.len() == 1 {
                self.add(roles.remove(0), latency.route());
            } else {
                let clock = Arc::clone(&self.plan.clock);
                self.add(ProducerGroupRole { index, clock, roles }, latency.route());
            }
        }
    }
}

impl Pipeline {
    /// Starts the stages, each on an arbiter of its own, downstream first. They wait for
    /// [`Self::begin`].
    pub(crate) fn start(plan: &RunPlan, basis: RunBasis, reports: &Reports) -> Self {
        let RunBasis { spec, ports, .. } = basis;
        let pipeline = Self { stages: Vec::new(), arbiters: Vec::new(), retired: Arc::default() };
        let mut builder = PipelineBuilder { plan, spec, reports, pipeline };
        let merged = AggregatorInboxes::default();
        match ports {
            StagePorts::Run { results, writer, aggregators, producers } => {
                let audit = builder.run_audit(results);
                let route = audited_route(&audit, Arc::clone(&merged));
                let writer = builder.result_writer(writer, None, route);
                builder.aggregators(aggregators, &writer, &merged, OwnAggregatorRole);
                builder.producers(producers, &audit);
            }
            StagePorts::Produce(producers) => {
                let role = TruthKeeperRole { spec: Arc::clone(&builder.spec) };
                let keeper = builder.add(role, builder.measured());
                builder.producers(producers, &keeper);
            }
            StagePorts::Aggregate { aggregate, writer, aggregators } => {
                let base = Some(aggregate.base_event_time_ns);
                let route = unaudited_route(Arc::clone(&merged));
                let writer = builder.result_writer(writer, base, route);
                let role = |parts| ForeignAggregatorRole { parts, aggregate };
                builder.aggregators(aggregators, &writer, &merged, role);
            }
            StagePorts::Latency { follow, results: reader, partitions } => {
                let (spec, truth) = (Arc::clone(&builder.spec), plan.truth.clone());
                let role = ResultsJudgeRole { spec, reader, partitions, follow, truth };
                builder.add(role, builder.measured());
            }
        }
        builder.pipeline
    }

    /// Begins the run: window 0 starts at `base_ns`.
    pub(crate) fn begin(&self, base_ns: Nanos) {
        for stage in &self.stages {
            stage.begin.do_send(Begin { base_ns });
        }
    }

    /// Gives an order to every stage, downstream first.
    pub(crate) fn order(&self, order: StageOrder) {
        for stage in &self.stages {
            // An order is never refused for a full mailbox: there are few, and each matters.
            stage.orders.do_send(order);
        }
    }

    /// The stages.
    pub(crate) fn stages(&self) -> impl Iterator<Item = StageId> + '_ {
        self.stages.iter().map(|stage| stage.id)
    }

    /// The stage that has been silent for the longest time, with that time.
    pub(crate) fn most_silent(&self, now: Nanos) -> Option<(StageId, Nanos)> {
        self.stages
            .iter()
            .map(|stage| (stage.id, stage.heartbeat.silence(now)))
            .max_by_key(|&(_, silence)| silence)
    }

    /// Stops every stage, upstream first, and waits until their threads have ended and their ports
    /// are dropped. Gives the stages that are frozen, and are left behind: nothing ended for
    /// `patience`, and a thread cannot be killed. Blocks: call it on a thread of its own.
    pub(crate) fn stop(mut self, patience: Duration) -> Vec<StageId> {
        self.retire();
        let mut running: Vec<StageId> = self.stages.iter().map(|stage| stage.id).collect();
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
