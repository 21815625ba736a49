//! The supervisor: takes orders, owns the present run, and watches its stages.
//!
//! Owns: the run's state (`run/states.rs`), its pipeline (`run/pipeline.rs`), what its stages report
//! (`measures/series.rs`). Receives: [`StartRun`], [`StopRun`], [`RestartRun`], [`SetRate`], [`GetStatus`]
//! from outside; [`StageReport`], [`StageFailed`], [`RunMeasured`] from the stages. Sends: orders
//! to every stage, [`RunFact`]s to whoever listens.
//!
//! It lives on an arbiter of its own and never blocks: topics, connections and the end of threads
//! are waited for on helper threads, which answer by a message.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tracing::{error, info, warn};

use crate::clock::{MILLISECOND, Nanos, SECOND};
use crate::failure::{FailureKind, StageError, caught};
use crate::measures::series::Collector;
use crate::ports::PortError;
use crate::run::facts::{RunFact, RunMeasured, StageMeasured};
use crate::run::orders::{
    GetStatus, Refusal, RestartRun, RunStatus, SetRate, StartRun, StopMode, StopRun,
};
use crate::run::outcome::{Ending, is_step};
use crate::run::pipeline::{Pipeline, Reports};
use crate::run::plan::RunPlan;
use crate::run::prepare::{Prepared, prepare};
use crate::run::states::{Effect, OrderKind, RunState, order_effect};
use crate::run::topics::delete_topics;
use crate::run::{Run, greater_step, now_is_early};
use crate::stage::Order;
use crate::stage::driver::Waiting;
use crate::stage::reports::{StageFailed, StageReport};
use crate::stage_id::PipelineId;
use crate::truth::findings::MAX_FINDINGS;
use crate::workload::arrivals::ArrivalKind;

/// How often the supervisor looks at its run.
const TICK: Duration = Duration::from_millis(20);
/// From the moment every stage is ready to the start of window 0.
const LEAD_NS: Nanos = 100 * MILLISECOND;
/// The first generation; a rebuilt pipeline would be the next.
const FIRST_GENERATION: u16 = 1;

/// The greatest rate that can be set, events per second.
const MAX_RATE: f64 = 1e9;

/// The supervisor actor.
pub struct Supervisor {
    state: RunState,
    run: Option<Run>,
    next: Option<Arc<RunPlan>>,
    last: RunStatus,
    listener: Recipient<RunFact>,
    /// Runs so far.
    runs: u64,
    /// Reports and failures in its mailbox.
    waiting: Waiting,
}

/// A helper thread -> Supervisor: topics and ports are made, or are not.
#[derive(Message)]
#[rtype(result = "()")]
struct Ready(Result<Prepared, PortError>);

/// A helper thread -> Supervisor: threads have ended, topics are deleted.
#[derive(Message)]
#[rtype(result = "()")]
struct TornDown {
    warning: Option<String>,
}

impl Supervisor {
    /// A supervisor that tells `listener` what happens to runs.
    pub fn new(listener: Recipient<RunFact>) -> Self {
        Self {
            state: RunState::Idle,
            run: None,
            next: None,
            last: RunStatus::default(),
            listener,
            runs: 0,
            waiting: Waiting::default(),
        }
    }

    /// Facts are few, and whoever listens keeps up: none may be lost to a full mailbox.
    fn tell(&self, fact: RunFact) {
        self.listener.do_send(fact);
    }

    fn enter(&mut self, state: RunState) {
        self.state = state;
        self.tell(RunFact::StateChanged(state));
    }

    fn begin(&mut self, plan: Arc<RunPlan>, ctx: &mut Context<Self>) {
        info!(
            run_id = plan.spec.run_id,
            workload = plan.spec.workload.name,
            actor = "supervisor",
            generation = FIRST_GENERATION,
            "preparing a run"
        );
        let spec = Arc::new(plan.spec.clone());
        self.runs += 1;
        let started_at_ns = plan.clock.now();
        self.tell(RunFact::Accepted { spec: Arc::clone(&spec), started_at_ns });
        self.enter(RunState::Preparing);
        self.run = Some(Run {
            started_at_ns,
            preparing: true,
            broker: None,
            pipeline: None,
            unused: None,
            base_ns: None,
            end_ns: 0,
            drained_since_ns: None,
            collector: Collector::new(0, spec.workload.rate.0),
            finished: BTreeSet::new(),
            findings: Vec::new(),
            measured: None,
            id: PipelineId { run: self.runs, generation: FIRST_GENERATION },
            latest_window: None,
            target: spec.workload.rate.0,
            wall_step_ns: 0,
            stop_asked: false,
            ending: None,
            spec,
            plan: Arc::clone(&plan),
        });
        let broken =
            |why| Ready(Err(PortError::fatal(format!("the run could not be prepared: {why}"))));
        helper("prepare", ctx.address(), move || Ready(prepare(&plan)), broken);
    }

    fn drain(&mut self) {
        if let Some(run) = &mut self.run
            && let (Some(pipeline), Some(base)) = (&run.pipeline, run.base_ns)
        {
            let now = run.plan.clock.now().max(base);
            run.end_ns = now.min(run.end_ns);
            run.stop_asked = true;
            run.drained_since_ns = Some(now);
            pipeline.order(Order::Drain { at_ns: now });
            self.enter(RunState::Draining);
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
        let Some(run) = &mut self.run else { return };
        if run.ending.is_some() {
            return;
        }
        if let Ending::Failed { stage, cause, .. } = &ending {
            let stage = stage.map(tracing::field::display);
            let PipelineId { generation, .. } = run.id;
            error!(
                run_id = run.spec.run_id,
                actor = "supervisor",
                generation,
                stage,
                cause,
                "the run failed"
            );
        }
        if !matches!(ending, Ending::Completed) {
            run.end_ns = run.plan.clock.now().min(run.end_ns);
        }
        run.ending = Some(ending);
        if run.preparing {
            // `Ready` follows, and ends the run then.
            return;
        }
        let (pipeline, unused) = (run.pipeline.take(), run.unused.take());
        let patience =
            Duration::from_nanos(run.spec.supervisor.heartbeat_timeout.as_nanos().max(0) as u64);
        let plan = Arc::clone(&run.plan);
        let tear_down = move || {
            drop(unused);
            for stage in pipeline.map_or_else(Vec::new, |pipeline| pipeline.stop(patience)) {
                warn!(run_id = plan.spec.run_id, %stage, "the stage is frozen: its thread and its ports are left behind");
            }
            TornDown { warning: delete_topics(&plan).err().map(|error| error.message) }
        };
        helper("teardown", ctx.address(), tear_down, |why| TornDown { warning: Some(why) });
    }

    /// Tells the outcome, and begins what waits.
    fn conclude(&mut self, ctx: &mut Context<Self>) {
        self.last = self.status();
        let Some(run) = self.run.take() else { return };
        let ending = run.ending.clone().unwrap_or(Ending::Completed);
        self.state = ending.state();
        self.last.state = self.state;
        let PipelineId { generation, .. } = run.id;
        info!(
            run_id = run.spec.run_id,
            actor = "supervisor",
            generation,
            state = self.state.name(),
            "the run is over"
        );
        self.tell(RunFact::Finished(Arc::new(run.into_outcome(ending))));
        if let Some(plan) = self.next.take() {
            self.begin(plan, ctx);
        }
    }

    /// Refuses an order that names another run than the present one.
    fn is_present(&self, run_id: &str) -> Result<(), Refusal> {
        let refuse = |reason| Err(Refusal { state: self.state, reason });
        match &self.run {
            Some(run) if run.spec.run_id == run_id => Ok(()),
            Some(run) => {
                refuse(format!("run {run_id} is not the present one: that is {}", run.spec.run_id))
            }
            None => refuse(format!("run {run_id} is over: no run is under way")),
        }
    }

    fn status(&self) -> RunStatus {
        let Some(run) = &self.run else { return self.last.clone() };
        let now = run.plan.clock.now();
        RunStatus {
            state: self.state,
            run_id: run.spec.run_id.clone(),
            workload: run.spec.workload.name.clone(),
            target_per_second: run.target,
            elapsed_s: run.base_ns.map_or(0.0, |base| (now - base) as f64 / SECOND as f64),
            planned_s: run.spec.schedule_ns() as f64 / SECOND as f64,
            counters: run.collector.totals(),
            latest: run.collector.latest().cloned(),
            latest_window: run.latest_window.clone(),
        }
    }

    fn apply(
        &mut self,
        order: OrderKind,
        plan: Option<Arc<RunPlan>>,
        mode: StopMode,
        ctx: &mut Context<Self>,
    ) -> Result<(), Refusal> {
        let refuse = |reason: &str| Err(Refusal { state: self.state, reason: reason.to_owned() });
        let ending = self.run.as_ref().is_some_and(|run| run.ending.is_some());
        if ending && !matches!(order, OrderKind::Restart) {
            return refuse("the run is over and being cleaned up: try again in a moment");
        }
        match order_effect(self.state, order) {
            Effect::Refuse(reason) => return refuse(reason),
            Effect::Begin => {
                if let Some(plan) = plan {
                    self.begin(plan, ctx);
                }
            }
            Effect::Drain => self.drain(),
            Effect::Abandon => self.end(Ending::Stopped { drained: false }, ctx),
            Effect::StopThenBegin => {
                self.queue(plan);
                let flows = matches!(self.state, RunState::WarmingUp | RunState::Running);
                match mode {
                    StopMode::Drain if flows => self.drain(),
                    StopMode::Drain if self.state == RunState::Draining => {}
                    StopMode::Drain | StopMode::Abandon => {
                        self.end(Ending::Stopped { drained: false }, ctx)
                    }
                }
            }
            Effect::ChangeRate => {}
        }
        Ok(())
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let Some(run) = &mut self.run else { return };
        let (Some(base), Some(pipeline), None) = (run.base_ns, &run.pipeline, &run.ending) else {
            return;
        };
        let now = run.plan.clock.now();
        run.wall_step_ns = greater_step(run.wall_step_ns, run.plan.clock.wall_step_ns());
        if let Some((stage, silence)) = pipeline.most_silent(now)
            && silence > run.spec.supervisor.heartbeat_timeout.as_nanos()
        {
            let seconds = silence / SECOND;
            let cause =
                format!("it has been frozen for {seconds} s (supervisor.heartbeat_timeout)");
            return self
                .end(Ending::Failed { stage: Some(stage), kind: FailureKind::Stage, cause }, ctx);
        }
        let producing = run.plan.mode.produces();
        if self.state == RunState::WarmingUp && now >= base + run.spec.workload.warmup_ns() {
            self.state = RunState::Running;
            self.listener.do_send(RunFact::StateChanged(self.state));
        }
        if self.state == RunState::Running && producing && now >= run.end_ns {
            self.state = RunState::Draining;
            self.listener.do_send(RunFact::StateChanged(self.state));
            run.drained_since_ns = Some(now);
        }
        let all_finished = pipeline.stages().all(|stage| run.finished.contains(&stage));
        if all_finished && (run.measured.is_some() || !run.plan.mode.measures()) {
            let ending = if run.stop_asked && now_is_early(run) {
                Ending::Stopped { drained: true }
            } else {
                Ending::Completed
            };
            return self.end(ending, ctx);
        }
        if let Some(since) = run.drained_since_ns
            && now - since > run.spec.supervisor.drain_timeout.as_nanos()
        {
            let waiting: Vec<String> = pipeline
                .stages()
                .filter(|id| !run.finished.contains(id))
                .map(|id| id.to_string())
                .collect();
            let seconds = run.spec.supervisor.drain_timeout.as_nanos() / SECOND;
            let cause = format!(
                "draining took longer than {seconds} s (supervisor.drain_timeout); not done: {}",
                waiting.join(", ")
            );
            self.end(Ending::failed(cause), ctx);
        }
    }
}

/// Runs what may block on a thread of its own, and sends the supervisor what it gives; where there
/// is no thread to be had, or it panics, what `broken` makes of the reason. A run that waits for an
/// answer gets one.
fn helper<M>(
    name: &str,
    supervisor: Addr<Supervisor>,
    work: impl FnOnce() -> M + Send + 'static,
    broken: impl Fn(String) -> M + Copy + Send + 'static,
) where
    M: Message<Result = ()> + Send + 'static,
    Supervisor: Handler<M>,
{
    let address = supervisor.clone();
    let spawned =
        std::thread::Builder::new().name(format!("streamgauge-{name}")).spawn(move || {
            supervisor.do_send(caught(work).unwrap_or_else(|error| broken(error.cause)))
        });
    if let Err(error) = spawned {
        address.do_send(broken(format!("no thread could be started: {error}")));
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

    fn handle(&mut self, Ready(ready): Ready, ctx: &mut Context<Self>) {
        let Some(run) = &mut self.run else { return };
        run.preparing = false;
        let prepared = match ready {
            Ok(prepared) => prepared,
            Err(error) => {
                let kind = FailureKind::of(&error);
                let failed = Ending::Failed { stage: None, kind, cause: error.message };
                // Some topics may have been made before one failed.
                let ending = run.ending.take().unwrap_or(failed);
                return self.end(ending, ctx);
            }
        };
        run.broker = Some(prepared.broker.clone());
        run.spec = Arc::clone(&prepared.spec);
        if let Some(stopped) = run.ending.take() {
            run.unused = Some(prepared);
            return self.end(stopped, ctx);
        }
        let reports = Reports {
            pipeline: run.id,
            supervisor_waiting: self.waiting.clone(),
            reports: ctx.address().recipient(),
            failures: ctx.address().recipient(),
            measured: ctx.address().recipient(),
        };
        // An arbiter panics where it gets no thread or no descriptor.
        let pipeline = match caught(|| Pipeline::start(&run.plan, prepared, &reports)) {
            Ok(pipeline) => pipeline,
            Err(StageError { cause, .. }) => return self.end(Ending::failed(cause), ctx),
        };
        // A whole millisecond, so that produce times and window bounds have no fraction to disagree
        // on.
        let now = run.plan.clock.now();
        let base = (now + LEAD_NS + MILLISECOND).div_euclid(MILLISECOND) * MILLISECOND;
        run.base_ns = Some(base);
        run.end_ns = base.saturating_add(run.spec.schedule_ns());
        run.collector = Collector::new(base, run.spec.workload.rate.0);
        pipeline.order(Order::Begin { base_ns: base });
        run.pipeline = Some(pipeline);
        let spec = Arc::clone(&run.spec);
        self.tell(RunFact::Began { spec, base_ns: base, lead_ns: base - now });
        self.enter(RunState::WarmingUp);
    }
}

impl Handler<TornDown> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: TornDown, ctx: &mut Context<Self>) {
        if let Some(warning) = message.warning {
            let run_id = self.run.as_ref().map(|run| run.spec.run_id.as_str());
            warn!(run_id, actor = "supervisor", warning, "the run was not cleaned up in full");
        }
        self.conclude(ctx);
    }
}

impl Handler<StageReport> for Supervisor {
    type Result = ();

    fn handle(&mut self, report: StageReport, _ctx: &mut Context<Self>) {
        self.waiting.taken();
        let from = report.pipeline;
        let Some(run) = self.run.as_mut().filter(|run| run.id == from && run.pipeline.is_some())
        else {
            return;
        };
        let StageReport {
            stage,
            at_ns,
            counters,
            latencies,
            findings,
            windows,
            mailbox,
            finished,
            ..
        } = report;
        let room = MAX_FINDINGS.saturating_sub(run.findings.len());
        run.findings.extend(findings.into_iter().take(room));
        let seconds = run.collector.add(stage, at_ns, finished, counters, &latencies).to_vec();
        if let Some(window) = windows.last() {
            run.latest_window = Some(window.clone());
        }
        if finished {
            run.finished.insert(stage);
        }
        let totals = run.collector.totals();
        let supervisor_mailbox = self.waiting.count();
        let (at_ns, clock_stepped) = (run.plan.clock.now(), is_step(run.wall_step_ns));
        let measured = StageMeasured {
            stage,
            at_ns,
            clock_stepped,
            totals,
            latencies,
            seconds,
            windows,
            mailbox,
            supervisor_mailbox,
        };
        self.tell(RunFact::Measured(Arc::new(measured)));
    }
}

impl Handler<StageFailed> for Supervisor {
    type Result = ();

    fn handle(&mut self, failed: StageFailed, ctx: &mut Context<Self>) {
        self.waiting.taken();
        if self.run.as_ref().is_some_and(|run| run.id == failed.pipeline && run.pipeline.is_some())
        {
            let StageFailed { stage, kind, cause, .. } = failed;
            self.end(Ending::Failed { stage: Some(stage), kind, cause }, ctx);
        }
    }
}

impl Handler<RunMeasured> for Supervisor {
    type Result = ();

    fn handle(&mut self, measured: RunMeasured, _ctx: &mut Context<Self>) {
        if let Some(run) = self.run.as_mut().filter(|run| run.id == measured.pipeline) {
            run.measured = Some(measured.measured);
        }
    }
}

impl Handler<StartRun> for Supervisor {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, order: StartRun, ctx: &mut Context<Self>) -> Self::Result {
        self.apply(OrderKind::Start, Some(order.plan), StopMode::Drain, ctx)
    }
}

impl Handler<StopRun> for Supervisor {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, order: StopRun, ctx: &mut Context<Self>) -> Self::Result {
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
}

impl Handler<RestartRun> for Supervisor {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, order: RestartRun, ctx: &mut Context<Self>) -> Self::Result {
        // A run that is over is started again, unless another one is under way.
        if let Some(run_id) = order.run_id.as_ref().filter(|_| self.run.is_some()) {
            self.is_present(run_id)?;
        }
        self.apply(OrderKind::Restart, Some(order.plan), order.mode, ctx)
    }
}

impl Handler<SetRate> for Supervisor {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, order: SetRate, ctx: &mut Context<Self>) -> Self::Result {
        if let Some(run_id) = &order.run_id {
            self.is_present(run_id)?;
        }
        let rate = order.events_per_second;
        let refuse = |state, reason: &str| Err(Refusal { state, reason: reason.to_owned() });
        if !(rate.is_finite() && rate > 0.0) {
            return refuse(self.state, "the rate must be more than 0 events per second");
        }
        if self.run.as_ref().is_some_and(|run| run.spec.workload.arrivals == ArrivalKind::Max) {
            return refuse(self.state, "arrivals = \"max\" has no rate to set");
        }
        if self.run.as_ref().is_some_and(|run| !run.plan.mode.produces()) {
            return refuse(
                self.state,
                "the run has no producers: whoever fills its topic sets the rate",
            );
        }
        if rate > MAX_RATE {
            return refuse(
                self.state,
                "the rate must be at most 1e9 events per second: no two share a nanosecond",
            );
        }
        self.apply(OrderKind::SetRate, None, StopMode::Drain, ctx)?;
        if let Some(run) = &mut self.run
            && let Some(pipeline) = &run.pipeline
        {
            let at_ns = run.plan.clock.now();
            run.target = rate;
            run.collector.set_target(at_ns, rate);
            pipeline.order(Order::SetRate { at_ns, events_per_second: rate });
            self.tell(RunFact::RateChanged(rate));
        }
        Ok(())
    }
}

impl Handler<GetStatus> for Supervisor {
    type Result = MessageResult<GetStatus>;

    fn handle(&mut self, _: GetStatus, _ctx: &mut Context<Self>) -> Self::Result {
        MessageResult(self.status())
    }
}
