//! Failures: of what kind, and why.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ports::{PortError, Retry};

/// What kind of failure ends a generation, or a run before there are stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// The broker does not answer.
    Connection,
    /// The broker, or its client, refused.
    Refused,
    /// A delivery failed.
    Delivery,
    /// The stage's own code: a panic, a freeze, or what it finds wrong.
    Stage,
}

impl FailureKind {
    /// The kinds that are the broker's doing, as metrics name them.
    pub const BROKERS: [FailureKind; 3] = [Self::Connection, Self::Refused, Self::Delivery];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Refused => "refused",
            Self::Delivery => "delivery",
            Self::Stage => "stage",
        }
    }

    /// The kind of a port's failure.
    pub fn of(error: &PortError) -> Self {
        match error.retry {
            Retry::Again | Retry::Reconnect => Self::Connection,
            Retry::GiveUp => Self::Refused,
        }
    }
}

/// A stage that cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}")]
pub struct StageError {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// Why, naming topic and fix where known.
    pub cause: String,
}

impl StageError {
    /// What the stage itself finds wrong.
    pub fn own(cause: impl Into<String>) -> Self {
        Self { kind: FailureKind::Stage, cause: cause.into() }
    }

    /// A delivery that failed.
    pub fn delivery(cause: impl Into<String>) -> Self {
        Self { kind: FailureKind::Delivery, cause: cause.into() }
    }
}

impl From<PortError> for StageError {
    fn from(error: PortError) -> Self {
        Self { kind: FailureKind::of(&error), cause: error.message }
    }
}

/// What a stage's own code gives; its panic is its failure. (The actor would be gone without a
/// word.)
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, StageError> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| StageError::own(format!("panicked: {}", panic_message(&*panic))))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("with no message")
}
