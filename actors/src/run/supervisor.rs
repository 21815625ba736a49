//! The supervisor: takes orders, owns the present run, and watches its stages.
//!
//! Owns: the present run (`run.rs`), and its pipeline (`run/pipeline.rs`). Receives: [`StartRun`],
//! [`StopRun`], [`RestartRun`], [`SetRate`], [`GetStatus`] from outside; [`StageReport`],
//! [`StageFailed`], [`RunMeasured`] from the stages. Sends: orders to every stage, [`RunFact`]s to
//! whoever listens.
//!
//! It lives on an arbiter of its own and never blocks: topics, connections, stages and the end of
//! threads are made and waited for on helper threads, which answer by a message. A run that is
//! stopped while it is being prepared is over soon, whatever its helper waits for: that one cleans
//! up behind it.

mod order_handlers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::{error, info, warn};

use crate::cpu::MachineCpu;
use crate::failure::FailureKind;
use crate::ports::PortError;
use crate::run::facts::{FactsHeard, RunFact, RunMeasured};
use crate::run::helper::helper;
use crate::run::orders::{Refusal, RestartRun, RunStatus, SetRate, StopMode, StopRun};
use crate::run::outcome::{Ending, MadeTopics};
use crate::run::pipeline::{Pipeline, Reports};
use crate::run::plan::RunPlan;
use crate::run::preparation::{Preparation, PreparedRun};
use crate::run::states::{Effect, OrderKind, RunState, order_effect};
use crate::run::{Consequence, Run, Sight};
use crate::stage::StageOrder;
use crate::stage::driver::MailboxCount;
use crate::stage::reports::{StageFailed, StageReport};
use crate::stage_id::PipelineId;

/// How often the supervisor looks at its run.
const TICK: Duration = Duration::from_millis(20);
/// How long a run that is stopped while it is being prepared is waited for.
const ABANDON_PATIENCE: Duration = Duration::from_millis(500);
/// The first generation; a rebuilt pipeline would be the next.
const FIRST_GENERATION: u16 = 1;

/// What an order is answered with.
type Answer = ResponseFuture<Result<(), Refusal>>;

/// The supervisor actor.
pub struct Supervisor {
    present: Option<Present>,
    next: Option<Arc<RunPlan>>,
    last: RunStatus,
    listener: Recipient<RunFact>,
    heard: Recipient<FactsHeard>,
    /// Runs so far.
    runs: u64,
    /// Runs that were over before their preparation was, and may have topics that are still to be
    /// deleted.
    leaving: BTreeSet<PipelineId>,
    /// Reports and failures in its mailbox.
    waiting: MailboxCount,
}

/// The present run, with what it is made from and what it runs on.
struct Present {
    preparation: Preparation,
    plan: Arc<RunPlan>,
    run: Run,
    /// The stages, while there are any.
    pipeline: Option<Pipeline>,
}

/// A helper thread -> Supervisor: topics, ports and stages are made, or are not.
#[derive(Message)]
#[rtype(result = "()")]
struct Ready {
    pipeline: PipelineId,
    preparation: Preparation,
    prepared: Result<PreparedRun, PortError>,
}

/// A helper thread -> Supervisor: threads have ended, topics are deleted.
#[derive(Message)]
#[rtype(result = "()")]
struct TornDown {
    pipeline: PipelineId,
    warning: Option<String>,
}

impl Supervisor {
    /// A supervisor that tells `listener` what happens to runs; `heard` is the same actor.
    pub fn new(listener: Recipient<RunFact>, heard: Recipient<FactsHeard>) -> Self {
        Self {
            present: None,
            next: None,
            last: RunStatus::default(),
            listener,
            heard,
            runs: 0,
            leaving: BTreeSet::new(),
            waiting: MailboxCount::default(),
        }
    }

    /// Facts are few, and whoever listens keeps up: none may be lost to a full mailbox.
    fn tell(&self, fact: RunFact) {
        self.listener.do_send(fact);
    }

    /// An order's answer, which comes once what it led to is heard: who has it finds the run where
    /// the listener keeps it.
    fn answer(&self, answer: Result<(), Refusal>) -> Answer {
        let heard = self.heard.send(FactsHeard);
        Box::pin(async move {
            // A listener that is gone keeps nothing.
            let _ = heard.await;
            answer
        })
    }

    fn state(&self) -> RunState {
        self.present.as_ref().map_or(self.last.state, |present| present.run.state)
    }

    /// The present run, while the stages of this pipeline run.
    fn running(&mut self, pipeline: PipelineId) -> Option<&mut Present> {
        self.present
            .as_mut()
            .filter(|present| present.run.id == pipeline && present.pipeline.is_some())
    }

    fn begin(&mut self, plan: Arc<RunPlan>, ctx: &mut Context<Self>) {
        info!(
            run_id = plan.spec.run_id,
            workload = plan.spec.workload.name,
            actor = "supervisor",
            generation = FIRST_GENERATION,
            "preparing a run"
        );
        // It may have been planned long ago.
        plan.clock.begin();
        let (spec, started_at_ns) = (Arc::new(plan.spec.clone()), plan.clock.now());
        self.runs += 1;
        let id = PipelineId { run: self.runs, generation: FIRST_GENERATION };
        let made_topics =
            MadeTopics { events: plan.create_events_topic, results: plan.create_results_topic };
        let run = Run::new(plan.mode, made_topics, Arc::clone(&spec), id, started_at_ns);
        self.tell(RunFact::Accepted { spec, started_at_ns });
        self.tell(RunFact::StateChanged(run.state));
        let preparation = Preparation::new(Arc::clone(&plan));
        let reports = Reports {
            pipeline: id,
            supervisor_waiting: self.waiting.clone(),
            reports: ctx.address().recipient(),
            failures: ctx.address().recipient(),
            measured: ctx.address().recipient(),
        };
        let system = System::current();
        let (of_broken, of_run) = (preparation.clone(), preparation.clone());
        self.present = Some(Present { preparation, plan, run, pipeline: None });
        let broken = move |why| {
            let why = PortError::fatal(format!("the run could not be prepared: {why}"));
            Ready { pipeline: id, preparation: of_broken.clone(), prepared: Err(why) }
        };
        let prepare = move || {
            let prepared = of_run.run(system, &reports);
            Ready { pipeline: id, preparation: of_run, prepared }
        };
        helper("prepare", ctx.address(), prepare, broken);
    }

    fn drain(&mut self) {
        if let Some(Present { plan, run, pipeline: Some(pipeline), .. }) = &mut self.present
            && let Some(at_ns) = run.drain(plan.clock.now())
        {
            pipeline.order(StageOrder::Drain { at_ns });
            self.tell(RunFact::StateChanged(RunState::Draining));
        }
    }

    /// Keeps what runs next, in place of what waited so far.
    fn queue(&mut self, plan: Option<Arc<RunPlan>>) {
        let spec = |plan: &Arc<RunPlan>| Arc::new(plan.spec.clone());
        if let Some(dropped) = std::mem::replace(&mut self.next, plan) {
            self.tell(RunFact::Dropped(spec(&dropped)));
        }
        if let Some(next) = &self.next {
            self.tell(RunFact::Queued(spec(next)));
        }
    }

    /// The run is over: stops its stages, deletes its topics, and tells its outcome when that is
    /// done.
    fn end(&mut self, ending: Ending, ctx: &mut Context<Self>) {
        let Some(Present { preparation, plan, run, pipeline }) = &mut self.present else { return };
        let failure = match &ending {
            Ending::Failed { stage, cause, .. } => Some((*stage, cause.clone())),
            Ending::Completed | Ending::Stopped { .. } => None,
        };
        if !run.end(ending, plan.clock.now()) {
            return;
        }
        if let Some((stage, cause)) = failure {
            error!(
                run_id = run.spec.run_id,
                actor = "supervisor",
                generation = run.id.generation,
                stage = stage.map(tracing::field::display),
                cause,
                "the run failed"
            );
        }
        let id = run.id;
        if run.preparing {
            // `Ready` follows, and ends the run then, if it comes soon.
            preparation.abandonment.abandon();
            ctx.run_later(ABANDON_PATIENCE, move |actor, ctx| actor.leave(id, ctx));
            return;
        }
        let (preparation, pipeline) = (preparation.clone(), pipeline.take());
        Self::tear_down(id, preparation, pipeline, ctx);
    }

    fn tear_down(
        id: PipelineId,
        preparation: Preparation,
        pipeline: Option<Pipeline>,
        ctx: &mut Context<Self>,
    ) {
        let heartbeat = preparation.plan.spec.supervisor.heartbeat_timeout;
        let tear_down = move || TornDown {
            pipeline: id,
            warning: preparation.undo(pipeline, heartbeat.duration()),
        };
        let broken = move |why| TornDown { pipeline: id, warning: Some(why) };
        helper("teardown", ctx.address(), tear_down, broken);
    }

    /// A run that was stopped while it was being prepared is over, whatever its helper still waits
    /// for.
    fn leave(&mut self, id: PipelineId, ctx: &mut Context<Self>) {
        let is_it = |present: &&Present| present.run.id == id && present.run.preparing;
        if let Some(present) = self.present.as_ref().filter(is_it) {
            if present.preparation.abandonment.may_have_topics() {
                self.leaving.insert(id);
            }
            self.conclude(ctx);
        }
    }

    /// Tells the outcome, and begins what waits.
    fn conclude(&mut self, ctx: &mut Context<Self>) {
        let Some(Present { plan, run, .. }) = self.present.take() else { return };
        let now = plan.clock.now();
        let state = run.ending.as_ref().map_or(RunState::Completed, Ending::state);
        self.last = RunStatus { state, ..run.status(now) };
        info!(
            run_id = run.spec.run_id,
            actor = "supervisor",
            generation = run.id.generation,
            state = state.name(),
            "the run is over"
        );
        let outcome = run.into_outcome(now, plan.clock.wall_step_ns());
        self.tell(RunFact::Finished(Arc::new(outcome)));
        if let Some(plan) = self.next.take() {
            self.begin(plan, ctx);
        }
    }

    fn refusal(&self, reason: impl Into<String>) -> Refusal {
        Refusal { state: self.state(), reason: reason.into() }
    }

    /// Refuses an order that names another run than the present one.
    fn is_present(&self, run_id: &str) -> Result<(), Refusal> {
        match &self.present {
            Some(Present { run, .. }) if run.spec.run_id == run_id => Ok(()),
            Some(Present { run, .. }) => Err(self.refusal(format!(
                "run {run_id} is not the present one: that is {}",
                run.spec.run_id
            ))),
            None => Err(self.refusal(format!("run {run_id} is over: no run is under way"))),
        }
    }

    fn status(&self) -> RunStatus {
        let status = match &self.present {
            Some(Present { run, plan, .. }) => run.status(plan.clock.now()),
            None => self.last.clone(),
        };
        RunStatus { leaving: self.leaving.len(), ..status }
    }

    fn apply(
        &mut self,
        order: OrderKind,
        plan: Option<Arc<RunPlan>>,
        mode: StopMode,
        ctx: &mut Context<Self>,
    ) -> Result<(), Refusal> {
        let ending = self.present.as_ref().is_some_and(|present| present.run.ending.is_some());
        if ending && !matches!(order, OrderKind::Restart) {
            return Err(self.refusal("the run is over and being cleaned up: try again in a moment"));
        }
        match order_effect(self.state(), order) {
            Effect::Refuse(reason) => return Err(self.refusal(reason)),
            Effect::Begin => {
                if let Some(plan) = plan {
                    self.begin(plan, ctx);
                }
            }
            Effect::Drain => self.drain(),
            Effect::Abandon => self.end(Ending::Stopped { drained: false }, ctx),
            Effect::StopThenBegin => {
                self.queue(plan);
                let flows = matches!(self.state(), RunState::WarmingUp | RunState::Running);
                match mode {
                    StopMode::Drain if flows => self.drain(),
                    StopMode::Drain if self.state() == RunState::Draining => {}
                    StopMode::Drain | StopMode::Abandon => {
                        self.end(Ending::Stopped { drained: false }, ctx);
                    }
                }
            }
            Effect::ChangeRate => {}
        }
        Ok(())
    }

    fn stop(&mut self, order: &StopRun, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        if let Some(run_id) = &order.run_id {
            if self.next.as_ref().is_some_and(|next| next.spec.run_id == *run_id) {
                self.queue(None);
                return Ok(());
            }
            self.is_present(run_id)?;
        }
        let kind = match order.mode {
            StopMode::Drain => OrderKind::StopDrain,
            StopMode::Abandon => OrderKind::StopAbandon,
        };
        self.apply(kind, None, order.mode, ctx)
    }

    fn restart(&mut self, order: RestartRun, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        // A run that is over is started again, unless another one is under way.
        if let Some(run_id) = order.run_id.as_ref().filter(|_| self.present.is_some()) {
            self.is_present(run_id)?;
        }
        self.apply(OrderKind::Restart, Some(order.plan), order.mode, ctx)
    }

    fn set_rate(&mut self, order: &SetRate, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        if let Some(run_id) = &order.run_id {
            self.is_present(run_id)?;
        }
        let rate = order.events_per_second;
        if !(rate.is_finite() && rate > 0.0) {
            return Err(self.refusal("the rate must be more than 0 events per second"));
        }
        let present = self.present.as_ref();
        if let Some(reason) = present.and_then(|present| present.run.refuses_rate(rate)) {
            return Err(self.refusal(reason));
        }
        self.apply(OrderKind::SetRate, None, StopMode::Drain, ctx)?;
        if let Some(Present { plan, run, pipeline: Some(pipeline), .. }) = &mut self.present {
            let at_ns = run.set_rate(plan.clock.now(), rate);
            pipeline.order(StageOrder::SetRate { at_ns, events_per_second: rate });
            self.tell(RunFact::RateChanged(rate));
        }
        Ok(())
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let Some(Present { plan, run, pipeline: Some(pipeline), .. }) = &mut self.present else {
            return;
        };
        let now = plan.clock.now();
        if run.wants_machine(now)
            && let Some(cpu) = MachineCpu::read()
        {
            run.note_machine(now, cpu);
        }
        let wall_step_ns = plan.clock.wall_step_ns();
        let sight = Sight { now, wall_step_ns, most_silent: pipeline.most_silent(now) };
        let consequences = run.tick(sight);
        if consequences.contains(&Consequence::GiveUp) {
            pipeline.order(StageOrder::GiveUp);
        }
        for consequence in consequences {
            match consequence {
                Consequence::GiveUp => {}
                Consequence::Entered(state) => self.tell(RunFact::StateChanged(state)),
                Consequence::Over(ending) => self.end(ending, ctx),
            }
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(1024);
        ctx.run_interval(TICK, Self::tick);
    }
}

impl Handler<Ready> for Supervisor {
    type Result = ();

    fn handle(&mut self, ready: Ready, ctx: &mut Context<Self>) {
        let Ready { pipeline: id, preparation, prepared } = ready;
        let Some(Present { plan, run, pipeline, .. }) =
            self.present.as_mut().filter(|present| present.run.id == id)
        else {
            // The run is over.
            let pipeline = prepared.ok().map(|prepared| prepared.pipeline);
            return Self::tear_down(id, preparation, pipeline, ctx);
        };
        run.preparing = false;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let kind = FailureKind::of(&error);
                let failed = Ending::Failed { stage: None, kind, cause: error.message };
                // Some topics may have been made before one failed.
                let ending = run.ending.take().unwrap_or(failed);
                return self.end(ending, ctx);
            }
        };
        run.completed(prepared.spec, prepared.broker);
        let stages = pipeline.insert(prepared.pipeline);
        if let Some(stopped) = run.ending.take() {
            return self.end(stopped, ctx);
        }
        let now = plan.clock.now();
        let base_ns = run.begin(stages.stages().collect(), now);
        stages.begin(base_ns);
        let (spec, state) = (Arc::clone(&run.spec), run.state);
        self.tell(RunFact::Began { spec, base_ns, lead_ns: base_ns - now });
        self.tell(RunFact::StateChanged(state));
    }
}

impl Handler<TornDown> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: TornDown, ctx: &mut Context<Self>) {
        let TornDown { pipeline, warning } = message;
        let present = self.present.as_ref().filter(|present| present.run.id == pipeline);
        if let Some(warning) = warning {
            let run_id = present.map(|present| present.run.spec.run_id.as_str());
            warn!(run_id, actor = "supervisor", warning, "the run was not cleaned up in full");
        }
        if present.is_some() {
            self.conclude(ctx);
        } else {
            self.leaving.remove(&pipeline);
        }
    }
}

impl Handler<StageReport> for Supervisor {
    type Result = ();

    fn handle(&mut self, report: StageReport, _ctx: &mut Context<Self>) {
        self.waiting.taken();
        let supervisor_mailbox = self.waiting.count();
        let Some(Present { plan, run, .. }) = self.running(report.pipeline) else { return };
        let measured = run.report(report, plan.clock.now(), supervisor_mailbox);
        self.tell(RunFact::Measured(Arc::new(measured)));
    }
}

impl Handler<StageFailed> for Supervisor {
    type Result = ();

    fn handle(&mut self, failed: StageFailed, ctx: &mut Context<Self>) {
        self.waiting.taken();
        let StageFailed { stage, pipeline, kind, cause } = failed;
        if self.running(pipeline).is_some() {
            self.end(Ending::Failed { stage: Some(stage), kind, cause }, ctx);
        }
    }
}

impl Handler<RunMeasured> for Supervisor {
    type Result = ();

    fn handle(&mut self, RunMeasured { pipeline, measured }: RunMeasured, _: &mut Context<Self>) {
        if let Some(Present { run, .. }) = &mut self.present
            && run.id == pipeline
        {
            run.measured(measured);
        }
    }
}
