//! Bugs planted in the pipeline, to see whether the simulation finds them. Only with the feature
//! `planted-bugs`, which is never part of a normal build.

/// A bug that can be planted in the pipeline, to see whether the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A partition's watermark is the greatest progress over its producers, not the least.
    GreatestProgress,
    /// The merge adds a pane that was sent again, and does not set it.
    AddedPane,
    /// A producer counts an event as acknowledged that the full client did not take.
    CountedWhenFull,
}

thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in all stages that take turns on this thread; `None` removes it.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted.
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
