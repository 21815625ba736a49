//! What stages share: a stage is a plain struct that takes bounded turns. Its driver is an actor on
//! an arbiter of its own; the simulation drives the very same structs on one thread, in any order.

use actix::prelude::*;

use crate::clock::Nanos;
use crate::failure::StageError;
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::stage_id::StageId;
use crate::truth::findings::{Finding, WindowAudit};

pub(crate) mod drain;
pub(crate) mod driver;
pub(crate) mod flow;
pub(crate) mod reports;

/// Records or messages that one turn handles at most.
pub const TURN_LIMIT: usize = 1024;

/// Supervisor -> every stage, once its run has begun.
#[derive(Message, Clone, Copy, Debug, PartialEq)]
#[rtype(result = "()")]
pub enum StageOrder {
    /// No events intended at `at_ns` or later, and none that are long overdue; finish what was
    /// begun.
    Drain {
        /// A whole millisecond.
        at_ns: Nanos,
    },
    /// What is overdue is given up.
    GiveUp,
    /// The total rate from `at_ns` on.
    SetRate {
        /// When it takes effect: a whole millisecond, ahead of what any producer has played.
        at_ns: Nanos,
        /// Events per second over all producers.
        events_per_second: f64,
    },
}

/// What a stage wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Another turn at once: there is, or may be, more to do (or the turn has waited in its port).
    Again,
    /// Nothing to do before the next millisecond.
    Rest,
    /// Nothing to do until a message comes.
    Park,
    /// All work is done.
    Finished,
}

/// What a stage tells once a second: totals, and what is new since the last time.
#[derive(Clone, Debug, Default)]
pub struct StageState {
    /// Totals since the stage was made.
    pub counters: StageCounters,
    /// Samples since the last time.
    pub latencies: Vec<(LatencyKind, LatencyHistogram)>,
    /// Findings since the last time.
    pub findings: Vec<Finding>,
    /// Windows judged since the last time, where the stage judges.
    pub windows: Vec<WindowAudit>,
}

/// What a stage is before its run has begun: all that it is made of but the start of window 0.
pub trait Role: Send + Unpin + 'static {
    /// The stage that it becomes.
    type Stage: Stage;

    /// The stage's name.
    fn id(&self) -> StageId;

    /// The run begins: window 0 starts at `base_ns`, a whole millisecond.
    fn begin(self, base_ns: Nanos) -> Self::Stage;
}

/// The logic of one stage: no actor, no thread, no clock of its own making.
pub trait Stage: Send + Unpin + 'static {
    /// What it sends to other stages.
    type Out: Send + Unpin + 'static;

    /// Its name.
    fn id(&self) -> StageId;

    /// Takes an order of the supervisor.
    fn order(&mut self, order: StageOrder);

    /// Does a bounded piece of work: at most [`TURN_LIMIT`] records, or about a millisecond.
    ///
    /// # Errors
    /// [`StageError`] ends the generation.
    fn turn(&mut self, now: Nanos, outbox: &mut Vec<Self::Out>) -> Result<Turn, StageError>;

    /// Tells what it did; called about once a second, and once when it has finished.
    fn state(&mut self) -> StageState;
}

/// A stage that takes messages of type `M`.
pub trait Receive<M>: Stage {
    /// Takes a message into the stage's inbox.
    fn receive(&mut self, message: M);
}
