//! How stages reach each other: their mailboxes, and who is sent what.

use std::sync::{Arc, OnceLock};

use actix::prelude::*;

use crate::latency::run_audit::RunAuditRole;
use crate::result_writer::WriterOut;
use crate::stage::driver::{MailboxCount, Route, StageDriver, To};
use crate::stage::flow::{ResultsComplete, WindowAcknowledged, WindowWritten, WindowsMerged};
use crate::stage::{Receive, Role};

/// Hands a message to an actor; gives it back when the mailbox is full.
pub(crate) fn send<M: Message<Result = ()> + Send>(to: &Recipient<M>, message: M) -> Result<(), M> {
    match to.try_send(message) {
        // A stage that is gone belongs to a pipeline that is being stopped: nobody waits for the
        // message.
        Ok(()) | Err(SendError::Closed(_)) => Ok(()),
        Err(SendError::Full(message)) => Err(message),
    }
}

/// A stage that was started, for those that send to it.
pub(crate) struct StageAddress<R: Role> {
    pub(crate) address: Addr<StageDriver<R>>,
    pub(crate) waiting: MailboxCount,
}

impl<R: Role> StageAddress<R> {
    /// Where it takes messages of one type.
    pub(crate) fn inbox<M: Send + 'static>(&self) -> Inbox<M>
    where
        R::Stage: Receive<M>,
    {
        Inbox { to: self.address.clone().recipient(), waiting: self.waiting.clone() }
    }

    /// A route for those that send it messages of one type, and nothing else.
    pub(crate) fn route<M: Send + 'static>(&self) -> Route<M>
    where
        R::Stage: Receive<M>,
    {
        let inbox = self.inbox();
        Box::new(move |message| inbox.take(message))
    }
}

/// Where a stage takes messages of one type; counts those that wait.
pub(crate) struct Inbox<M: Send + 'static> {
    to: Recipient<To<M>>,
    waiting: MailboxCount,
}

impl<M: Send + 'static> Inbox<M> {
    /// Hands a message over; gives it back when the mailbox is full.
    fn take(&self, message: M) -> Result<(), M> {
        self.waiting.sent();
        send(&self.to, To(message)).map_err(|To(message)| {
            self.waiting.taken();
            message
        })
    }
}

/// The inboxes of the aggregators, which start after the writer that tells them of merged windows.
pub(crate) type AggregatorInboxes = Arc<OnceLock<Vec<Inbox<WindowsMerged>>>>;

/// Tells every aggregator. Those whose mailbox had room are told again, if another's had none: the
/// message is a fact, not a step.
fn tell_merged(to: &AggregatorInboxes, message: WindowsMerged) -> Result<(), WriterOut> {
    let aggregators = to.get().map_or(&[][..], Vec::as_slice);
    aggregators.iter().try_for_each(|to| to.take(message)).map_err(WriterOut::Merged)
}

/// Where a result writer's messages go in a whole run.
pub(crate) fn audited_route(
    audit: &StageAddress<RunAuditRole>,
    merged: AggregatorInboxes,
) -> Route<WriterOut> {
    let written: Inbox<WindowWritten> = audit.inbox();
    let acknowledged: Inbox<WindowAcknowledged> = audit.inbox();
    let complete: Inbox<ResultsComplete> = audit.inbox();
    Box::new(move |out| match out {
        WriterOut::Written(message) => written.take(message).map_err(WriterOut::Written),
        WriterOut::Acknowledged(message) => {
            acknowledged.take(message).map_err(WriterOut::Acknowledged)
        }
        WriterOut::Complete(message) => complete.take(message).map_err(WriterOut::Complete),
        WriterOut::Merged(message) => tell_merged(&merged, message),
    })
}

/// Where a result writer's messages go if nobody audits its results.
pub(crate) fn unaudited_route(merged: AggregatorInboxes) -> Route<WriterOut> {
    Box::new(move |out| match out {
        WriterOut::Merged(message) => tell_merged(&merged, message),
        WriterOut::Written(_) | WriterOut::Acknowledged(_) | WriterOut::Complete(_) => Ok(()),
    })
}
