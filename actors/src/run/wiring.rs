//! How stages reach each other: their mailboxes, and who is sent what.

use std::sync::{Arc, OnceLock};

use actix::prelude::*;

use crate::latency::Latency;
use crate::result_writer::WriterOut;
use crate::stage::driver::{Driven, Route, To, Waiting};
use crate::stage::flow::{ResultsComplete, WindowAcknowledged, WindowWritten, WindowsMerged};
use crate::stage::{Receive, Stage};

/// Hands a message to an actor; gives it back when the mailbox is full.
pub(crate) fn route<M: Message<Result = ()> + Send>(
    to: &Recipient<M>,
    message: M,
) -> Result<(), M> {
    match to.try_send(message) {
        // A stage that is gone belongs to a pipeline that is being stopped: nobody waits for the
        // message.
        Ok(()) | Err(SendError::Closed(_)) => Ok(()),
        Err(SendError::Full(message)) => Err(message),
    }
}

/// A stage that was started, for those that send to it.
pub(crate) struct Started<S: Stage> {
    pub(crate) address: Addr<Driven<S>>,
    pub(crate) waiting: Waiting,
}

impl<S: Stage> Started<S> {
    /// Where it takes messages of one type.
    pub(crate) fn inbox<M: Send + 'static>(&self) -> Inbox<M>
    where
        S: Receive<M>,
    {
        Inbox { to: self.address.clone().recipient(), waiting: self.waiting.clone() }
    }
}

/// Where a stage takes messages of one type; counts those that wait.
pub(crate) struct Inbox<M: Send + 'static> {
    to: Recipient<To<M>>,
    pub(crate) waiting: Waiting,
}

impl<M: Send + 'static> Inbox<M> {
    /// Hands a message over; gives it back when the mailbox is full.
    pub(crate) fn take(&self, message: M) -> Result<(), M> {
        self.waiting.sent();
        route(&self.to, To(message)).map_err(|To(message)| {
            self.waiting.taken();
            message
        })
    }
}

/// Where the result writer's messages go.
pub(crate) fn writer_route(
    latency: Option<&Started<Latency>>,
    merged: Arc<OnceLock<Vec<Inbox<WindowsMerged>>>>,
) -> Route<WriterOut> {
    let written: Option<Inbox<WindowWritten>> = latency.map(Started::inbox);
    let acknowledged: Option<Inbox<WindowAcknowledged>> = latency.map(Started::inbox);
    let complete: Option<Inbox<ResultsComplete>> = latency.map(Started::inbox);
    Box::new(move |out| match out {
        WriterOut::Written(message) => match &written {
            Some(to) => to.take(message).map_err(WriterOut::Written),
            None => Ok(()),
        },
        WriterOut::Acknowledged(message) => match &acknowledged {
            Some(to) => to.take(message).map_err(WriterOut::Acknowledged),
            None => Ok(()),
        },
        WriterOut::Complete(message) => match &complete {
            Some(to) => to.take(message).map_err(WriterOut::Complete),
            None => Ok(()),
        },
        WriterOut::Merged(message) => {
            // Told again to those whose mailbox had room, if another's had none: the message is a
            // fact, not a step.
            let aggregators = merged.get().map_or(&[][..], Vec::as_slice);
            aggregators.iter().try_for_each(|to| to.take(message)).map_err(WriterOut::Merged)
        }
    })
}
