//! The one list of stages: what runs, how it is built, started and stopped (downstream first).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::prelude::*;
use tracing::warn;

use crate::clock::{Nanos, SharedClock};
use crate::latency::Latency;
use crate::measures::run_measures::Measured;
use crate::producer::Producer;
use crate::result_writer::ResultWriter;
use crate::run::facts::RunMeasured;
use crate::run::plan::RunPlan;
use crate::run::prepare::Prepared;
use crate::run::wiring::{Inbox, Started, route, writer_route};
use crate::stage::driver::{Driven, Heartbeat, Reporting, Route, StageOrder, Waiting};
use crate::stage::flow::{Acknowledged, PanesClosed, WindowsMerged};
use crate::stage::reports::{StageFailed, StageReport};
use crate::stage::{Order, Stage};
use crate::stage_id::{PipelineId, StageId};
use crate::window_aggregator::WindowAggregator;
use crate::workload::mode::Mode;
use crate::workload::spec::RunSpec;

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
                let dead_letters = (plan.dead_letters)(&spec.topics.malformed);
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
