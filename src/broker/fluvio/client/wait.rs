//! Drives the client's futures from a port's own thread: no task of ours, and nothing that blocks
//! past its budget.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fluvio_future::timer::sleep;
use futures_util::future::{Either, select};
use streamgauge_actors::{MILLISECOND, Nanos};

use crate::broker::deadline::Deadline;

/// Rung by whatever a future waits for; a port waits for it wherever it is driven.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Waits until it has been rung since the last wait, or the time is over.
    pub(super) fn wait(&self, timeout: Duration) {
        let rung = self.lock();
        let waited = self.changed.wait_timeout_while(rung, timeout, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let was_rung = std::mem::replace(&mut *self.lock(), true);
        if !was_rung {
            self.changed.notify_one();
        }
    }
}

/// The longest time between two looks that counts as waiting.
const LOOK_NS: Nanos = 100 * MILLISECOND;

/// How long something was waited for. A port that nobody calls for a while does not wait in that
/// time: what it would have seen may lie there, and take several looks.
pub(super) struct Waiting {
    waited_ns: Nanos,
    looked_ns: Nanos,
}

impl Waiting {
    pub(super) fn since(now: Nanos) -> Self {
        Self { waited_ns: 0, looked_ns: now }
    }

    /// It is not there yet: how long that has been so.
    pub(super) fn look(&mut self, now: Nanos) -> Nanos {
        self.waited_ns += (now - self.looked_ns).min(LOOK_NS);
        self.looked_ns = now;
        self.waited_ns
    }
}

/// Drives a future to its end; `None`: the deadline passed, and the future was dropped.
pub(super) fn complete<F: Future>(future: F, deadline: &Deadline) -> Option<F::Output> {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        if deadline.passed() {
            return None;
        }
        bell.wait(deadline.left());
    }
}

/// The future's output; `None`: it took too long, and was dropped.
pub(super) async fn within<F: Future>(timeout: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(sleep(timeout))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn who_does_not_look_does_not_wait() {
        let mut waiting = Waiting::since(0);
        assert_eq!(waiting.look(LOOK_NS), LOOK_NS);
        assert_eq!(waiting.look(60 * LOOK_NS), 2 * LOOK_NS);
        assert_eq!(waiting.look(60 * LOOK_NS + 1), 2 * LOOK_NS + 1);
    }

    #[test]
    fn a_future_ends_or_its_time_does() {
        assert_eq!(complete(ready(7), &Deadline::after(Duration::ZERO)), Some(7));
        assert_eq!(complete(pending::<()>(), &Deadline::after(Duration::from_millis(5))), None);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || sender.send(7));
        assert_eq!(complete(receiver, &Deadline::after(Duration::from_mins(1))), Some(Ok(7)));
        thread.join().unwrap().unwrap();
        let slow = within(Duration::from_millis(5), pending::<()>());
        assert_eq!(complete(slow, &Deadline::after(Duration::from_mins(1))), Some(None));
        let prompt = within(Duration::from_mins(1), ready(7));
        assert_eq!(complete(prompt, &Deadline::after(Duration::from_mins(1))), Some(Some(7)));
    }
}
