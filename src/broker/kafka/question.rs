//! A question to the cluster, asked on a thread of its own: the answer may take as long as the
//! connect time-out, and a stage's turn may not.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::task::Poll;
use std::thread;

/// A question that was asked.
pub(super) struct Question<T>(Receiver<T>);

impl<T: Send + 'static> Question<T> {
    pub(super) fn ask(ask: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        let name = "kafka-question".to_owned();
        let asked = thread::Builder::new().name(name).spawn(move || {
            // Whoever asked may be gone.
            let _ = sender.send(ask());
        });
        if let Err(error) = asked {
            tracing::warn!("no thread to ask a Kafka cluster on: {error}");
        }
        Self(receiver)
    }

    /// The answer, once it is there; `None`: there will be none.
    pub(super) fn answer(&self) -> Poll<Option<T>> {
        match self.0.try_recv() {
            Ok(answer) => Poll::Ready(Some(answer)),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
        }
    }
}
