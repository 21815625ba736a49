//! The actor that drives a stage on an arbiter of its own: holds what comes before the run begins,
//! gives it turns, routes what it sends, and reports once a second.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use actix::prelude::*;

use crate::clock::{MILLISECOND, Nanos, SECOND, SharedClock};
use crate::cpu::ThreadCpu;
use crate::failure::{StageError, caught};
use crate::stage::reports::{StageFailed, StageReport};
use crate::stage::{Receive, Role, Stage, StageOrder, StageState, Turn};
use crate::stage_id::{PipelineId, StageId};

/// Messages waiting for a full mailbox before a stage stops taking turns.
const PENDING_LIMIT: usize = 1024;
/// Messages that a stage's mailbox holds.
const MAILBOX: usize = 256;
/// How often a parked stage is looked at.
const PARKED_TICK: Duration = Duration::from_millis(100);

/// Work that ends so soon after a second's end is counted to that second.
const TRICKLE_NS: Nanos = 100 * MILLISECOND;

/// Messages that wait in a mailbox (actix does not tell): senders count up, the receiver counts
/// down.
#[derive(Clone, Debug, Default)]
pub(crate) struct MailboxCount(Arc<AtomicI64>);

impl MailboxCount {
    /// A message is about to be sent.
    pub(crate) fn sent(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// A message was taken, or was not sent after all.
    pub(crate) fn taken(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many wait.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed).max(0) as u64
    }
}

/// Hands a message to another stage's mailbox; gives it back when that is full.
pub(crate) type Route<Out> = Box<dyn FnMut(Out) -> Result<(), Out> + Send>;

/// When a stage took its last turn; [`Heartbeat::RESTING`] while it waits for its run's beginning,
/// is parked, or has finished.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat(Arc<AtomicI64>);

impl Default for Heartbeat {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(Self::RESTING)))
    }
}

impl Heartbeat {
    const RESTING: Nanos = Nanos::MAX;

    fn beat(&self, now: Nanos) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// The stage rests: its silence means nothing.
    pub(crate) fn rest(&self) {
        self.beat(Self::RESTING);
    }

    /// Nanoseconds since the last turn; 0 while it rests.
    pub(crate) fn silence(&self, now: Nanos) -> Nanos {
        now.saturating_sub(self.0.load(Ordering::Relaxed)).max(0)
    }
}

/// Where a stage's reports go.
#[derive(Clone)]
pub(crate) struct Reporting {
    /// The run.
    pub run_id: String,
    /// The stage's pipeline.
    pub pipeline: PipelineId,
    /// Takes the reports.
    pub reports: Recipient<StageReport>,
    /// Takes the failure.
    pub failures: Recipient<StageFailed>,
    /// What waits in the supervisor's mailbox.
    pub supervisor_waiting: MailboxCount,
    /// What waits in the stage's own.
    pub waiting: MailboxCount,
    /// Beats at every turn.
    pub heartbeat: Heartbeat,
    /// Set once the pipeline is stopped: a stage that wakes up after that has nothing to say to
    /// whatever runs now.
    pub retired: Arc<AtomicBool>,
}

/// Supervisor -> every stage's driver: the run begins, and with it the stage.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(crate) struct Begin {
    /// Start of window 0.
    pub base_ns: Nanos,
}

/// A message or an order that came before the run began.
type Early<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A stage, before its run begins and after.
enum Life<R: Role> {
    Waiting {
        role: R,
        early: Vec<Early<R::Stage>>,
    },
    Working(R::Stage),
    /// It did not get over its beginning.
    Broken,
}

/// The actor that drives a stage.
pub(crate) struct StageDriver<R: Role> {
    id: StageId,
    life: Life<R>,
    clock: SharedClock,
    route: Route<<R::Stage as Stage>::Out>,
    reporting: Reporting,
    /// Names the stage in every line that it logs.
    span: tracing::Span,
    pending: VecDeque<<R::Stage as Stage>::Out>,
    outbox: Vec<<R::Stage as Stage>::Out>,
    base_ns: Nanos,
    next_report_ns: Nanos,
    /// Whether a turn is on its way.
    turning: bool,
    /// The stage is done; what it said last may still wait for a mailbox.
    finishing: bool,
    ended: bool,
}

impl<R: Role> StageDriver<R> {
    /// An actor for the stage that `role` becomes, to be started on an arbiter of its own.
    pub(crate) fn new(
        role: R,
        clock: SharedClock,
        route: Route<<R::Stage as Stage>::Out>,
        reporting: Reporting,
    ) -> Self {
        let id = role.id();
        let PipelineId { generation, .. } = reporting.pipeline;
        let run_id = reporting.run_id.as_str();
        let span = tracing::error_span!("stage", run_id, generation, actor = %id);
        Self {
            id,
            life: Life::Waiting { role, early: Vec::new() },
            clock,
            route,
            reporting,
            span,
            pending: VecDeque::new(),
            outbox: Vec::new(),
            base_ns: 0,
            next_report_ns: Nanos::MAX,
            turning: false,
            finishing: false,
            ended: false,
        }
    }

    /// The role becomes its stage, and takes what came early.
    fn begin(&mut self, base_ns: Nanos, ctx: &mut Context<Self>) {
        let (role, early) = match std::mem::replace(&mut self.life, Life::Broken) {
            Life::Waiting { role, early } => (role, early),
            begun => return self.life = begun,
        };
        self.base_ns = base_ns;
        self.next_report_ns = base_ns + SECOND;
        let begin = || {
            let mut stage = role.begin(base_ns);
            for hand in early {
                hand(&mut stage);
            }
            stage
        };
        match self.span.in_scope(|| caught(begin)) {
            Ok(stage) => {
                self.life = Life::Working(stage);
                self.turn_soon(ctx);
            }
            Err(error) => self.fail(error),
        }
    }

    /// The next turn follows a future that yields once to the arbiter, so that messages and timers
    /// get in between.
    fn turn_soon(&mut self, ctx: &mut Context<Self>) {
        if !self.turning && !self.ended {
            self.turning = true;
            let turn = async { tokio_yield().await }.into_actor(self).map(|(), actor, ctx| {
                actor.turning = false;
                actor.drive(ctx);
            });
            ctx.spawn(turn);
        }
    }

    /// Hands the stage a message or an order, and soon a turn. One that has failed or finished
    /// takes nothing any more.
    fn take(&mut self, ctx: &mut Context<Self>, hand: impl FnOnce(&mut R::Stage) + Send + 'static) {
        if self.ended {
            return;
        }
        match &mut self.life {
            Life::Waiting { early, .. } => early.push(Box::new(hand)),
            Life::Working(stage) => match self.span.in_scope(|| caught(|| hand(stage))) {
                Ok(()) => self.turn_soon(ctx),
                Err(error) => self.fail(error),
            },
            Life::Broken => {}
        }
    }

    fn drive(&mut self, ctx: &mut Context<Self>) {
        if self.ended {
            return;
        }
        let now = self.clock.now();
        self.reporting.heartbeat.beat(now);
        self.send_pending();
        if self.pending.len() >= PENDING_LIMIT {
            rest();
            return self.turn_soon(ctx);
        }
        if self.finishing {
            return self.finish(ctx);
        }
        let Life::Working(stage) = &mut self.life else { return };
        let outbox = &mut self.outbox;
        let turn = self.span.in_scope(|| caught(|| stage.turn(now, outbox))).and_then(|turn| turn);
        if self.reporting.retired.load(Ordering::Relaxed) {
            self.ended = true;
            return;
        }
        self.pending.extend(self.outbox.drain(..));
        self.send_pending();
        match turn {
            Err(error) => return self.fail(error),
            Ok(Turn::Finished) => {
                self.finishing = true;
                return self.finish(ctx);
            }
            Ok(_) if !self.pending.is_empty() => {
                rest();
                self.turn_soon(ctx);
            }
            Ok(Turn::Again) => self.turn_soon(ctx),
            Ok(Turn::Rest) => {
                rest();
                self.turn_soon(ctx);
            }
            Ok(Turn::Park) => self.reporting.heartbeat.rest(),
        }
        self.report_when_due();
    }

    /// Ends once everything said has been taken.
    fn finish(&mut self, ctx: &mut Context<Self>) {
        if self.pending.is_empty() {
            self.reporting.heartbeat.rest();
            self.ended = true;
            self.report(self.end_of_work(), true);
        } else {
            rest();
            self.turn_soon(ctx);
        }
    }

    /// When the work ended, for the series: what was done up to a second's end, and what trickled
    /// in right after it, belongs to that second.
    fn end_of_work(&self) -> Nanos {
        let now = self.clock.now();
        let last_report_ns = self.next_report_ns.saturating_sub(SECOND);
        if now >= self.next_report_ns {
            self.next_report_ns
        } else if now.saturating_sub(last_report_ns) < TRICKLE_NS {
            last_report_ns
        } else {
            now
        }
    }

    fn send_pending(&mut self) {
        while let Some(message) = self.pending.pop_front() {
            if let Err(refused) = (self.route)(message) {
                self.pending.push_front(refused);
                break;
            }
        }
    }

    fn report_when_due(&mut self) {
        let now = self.clock.now();
        if now >= self.next_report_ns {
            let second = (now - self.base_ns).div_euclid(SECOND);
            self.next_report_ns = self.base_ns + (second + 1) * SECOND;
            self.report(self.base_ns + second * SECOND, false);
        }
    }

    fn report(&mut self, at_ns: Nanos, finished: bool) {
        let Life::Working(stage) = &mut self.life else { return };
        let StageState { mut counters, latencies, findings, windows } =
            match caught(|| stage.state()) {
                Ok(since_last) => since_last,
                Err(error) => return self.fail(error),
            };
        if let Some(cpu) = ThreadCpu::of_this_thread() {
            (counters.ran_ns, counters.waited_ns) = (cpu.ran_ns, cpu.waited_ns);
        }
        let Reporting { pipeline, waiting, supervisor_waiting, .. } = &self.reporting;
        let (pipeline, mailbox) = (*pipeline, waiting.count());
        let report = StageReport {
            stage: self.id,
            pipeline,
            at_ns,
            counters,
            latencies,
            findings,
            windows,
            mailbox,
            finished,
        };
        supervisor_waiting.sent();
        // The supervisor handles nothing slowly and its mailbox takes several reports of every
        // stage; one that finds it full all the same would be lost, so this one message may exceed
        // the capacity.
        self.reporting.reports.do_send(report);
    }

    fn fail(&mut self, error: StageError) {
        self.ended = true;
        self.reporting.heartbeat.rest();
        let (stage, pipeline) = (self.id, self.reporting.pipeline);
        let StageError { kind, cause } = error;
        self.reporting.supervisor_waiting.sent();
        self.reporting.failures.do_send(StageFailed { stage, pipeline, kind, cause });
    }
}

/// Waits on the stage's own thread: tokio's timers are no finer than two milliseconds.
fn rest() {
    std::thread::sleep(Duration::from_nanos(MILLISECOND as u64));
}

/// Lets the arbiter's other futures have their turn.
async fn tokio_yield() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return std::task::Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

impl<R: Role> Actor for StageDriver<R> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(PARKED_TICK, |actor, _| {
            if !actor.turning && !actor.ended {
                actor.report_when_due();
            }
        });
    }
}

/// Any stage -> another, wrapped so that one handler serves all.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct To<M: Send + 'static>(pub M);

impl<R: Role> Handler<Begin> for StageDriver<R> {
    type Result = ();

    fn handle(&mut self, Begin { base_ns }: Begin, ctx: &mut Context<Self>) {
        self.begin(base_ns, ctx);
    }
}

impl<R: Role> Handler<StageOrder> for StageDriver<R> {
    type Result = ();

    fn handle(&mut self, order: StageOrder, ctx: &mut Context<Self>) {
        self.take(ctx, move |stage| stage.order(order));
    }
}

impl<M: Send + 'static, R: Role> Handler<To<M>> for StageDriver<R>
where
    R::Stage: Receive<M>,
{
    type Result = ();

    fn handle(&mut self, To(message): To<M>, ctx: &mut Context<Self>) {
        self.reporting.waiting.taken();
        self.take(ctx, move |stage| stage.receive(message));
    }
}
