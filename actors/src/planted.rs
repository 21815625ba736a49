//! Bugs planted in the pipeline, to see whether the simulation finds them. Only with the feature
//! `planted-bugs`, which is never part of a normal build.

use crate::clock::{MILLISECOND, Nanos};

/// A bug that can be planted in the pipeline, to see whether the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A partition's watermark is the greatest progress over its producers, not the least.
    GreatestProgress,
    /// The merge adds a pane that was sent again, and does not set it.
    AddedPane,
    /// A producer counts an event as acknowledged that the full client did not take.
    CountedWhenFull,
    /// A producer leaves an event of its schedule out now and then.
    SkippedEvent,
    /// A producer takes on another rate a few milliseconds late.
    LateRate,
    /// A pane keeps the first produce time instead of the greatest.
    FirstProduceTime,
    /// A progress record is numbered, and not sent.
    UnsentProgress,
    /// A result's window ends a millisecond late.
    ShiftedBounds,
}

thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in all stages that take turns on this thread; `None` removes it.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// How late another rate is taken on.
pub(crate) fn lateness_ns() -> Nanos {
    if planted(Bug::LateRate) { 7 * MILLISECOND } else { 0 }
}

/// Whether a progress record is left out.
pub(crate) fn leaves_out(number: u64, is_last: bool) -> bool {
    planted(Bug::UnsentProgress) && number == 1 && !is_last
}

/// Whether this bug is planted.
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
