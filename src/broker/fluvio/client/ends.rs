//! Where partitions end, asked of their leaders beside the reading: a stream tells only where it
//! ended when it last sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use streamgauge_actors::{MILLISECOND, Nanos};

use super::leaders::Leaders;
use super::wait::Waiting;

/// How often the partitions' ends are asked for while records come.
const ENDS_INTERVAL_NS: Nanos = 250 * MILLISECOND;

/// Without records for so long, a reader that is past the ends it knows asks for them.
const QUIET_NS: Nanos = 5 * MILLISECOND;

type Ends = Pin<Box<dyn Future<Output = Vec<(usize, u64)>> + Send>>;

/// Asks for the partitions' ends now and then, without waiting for the answer.
pub(super) struct EndsWatch {
    asking: Option<(Ends, Waiting)>,
    asked_ns: Nanos,
    /// Partitions that were asked for last.
    wanted: usize,
    /// When it was asked what was answered for all of them last.
    known_ns: Nanos,
    /// When a record came last.
    busy_ns: Nanos,
}

impl EndsWatch {
    pub(super) fn new(now: Nanos) -> Self {
        Self { asked_ns: now, wanted: 0, known_ns: now, busy_ns: now, asking: None }
    }

    /// The answer that is waited for is not wanted any more.
    pub(super) fn forget(&mut self) {
        self.asking = None;
    }

    pub(super) fn is_due(&mut self, now: Nanos, is_busy: bool, is_past: bool) -> bool {
        if is_busy {
            self.busy_ns = now;
        }
        if self.asking.is_some() {
            return false;
        }
        let is_quiet = now - self.busy_ns.max(self.asked_ns) >= QUIET_NS;
        now - self.asked_ns >= ENDS_INTERVAL_NS || (is_past && is_quiet)
    }

    /// Whether an answer takes too long: it does not come, and is not waited for any more.
    pub(super) fn gives_up(&mut self, now: Nanos, timeout_ns: Nanos) -> bool {
        let is_late =
            self.asking.as_mut().is_some_and(|(_, waiting)| waiting.look(now) > timeout_ns);
        if is_late {
            self.forget();
        }
        is_late
    }

    pub(super) fn ask(&mut self, now: Nanos, leaders: Arc<Leaders>, partitions: Vec<u32>) {
        (self.asked_ns, self.wanted) = (now, partitions.len());
        let asking = Box::pin(async move {
            let mut ends = Vec::with_capacity(partitions.len());
            for (index, partition) in partitions.into_iter().enumerate() {
                // A leader that is gone shows in the stream.
                if let Ok(Some(range)) = leaders.range(partition).await {
                    ends.push((index, range.end));
                }
            }
            ends
        });
        self.asking = Some((asking, Waiting::since(now)));
    }

    /// Whether all ends are known as they were at this time, or later.
    pub(super) fn are_known_since(&self, since_ns: Nanos) -> bool {
        self.known_ns >= since_ns
    }

    /// The ends that came, by the partition's place in what was asked.
    pub(super) fn answers(&mut self, waker: &Waker) -> Vec<(usize, u64)> {
        let mut context = Context::from_waker(waker);
        match self.asking.as_mut().map(|(asking, _)| asking.as_mut().poll(&mut context)) {
            Some(Poll::Ready(ends)) => {
                self.asking = None;
                if ends.len() == self.wanted {
                    self.known_ns = self.asked_ns;
                }
                ends
            }
            _ => Vec::new(),
        }
    }
}
