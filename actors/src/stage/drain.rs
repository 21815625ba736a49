//! The end of reading a topic that others go on filling: what was there at the order to drain is
//! read, and no more.

use std::task::Poll;

use crate::clock::{Nanos, SECOND};
use crate::ports::EventReader;

/// How long the log's own answer is waited for.
const ASKING_NS: Nanos = 3 * SECOND;

/// What is left to be read once the order to drain was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remainder {
    asked: bool,
    /// When the order was first acted on.
    since_ns: Option<Nanos>,
    /// By partition: records still to be read; known from the first turn after the order.
    left: Option<Vec<(u32, u64)>>,
}

impl Remainder {
    /// The order was given.
    pub(crate) fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether the order was given.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked
    }

    /// A record of a partition was read.
    pub(crate) fn read(&mut self, partition: u32) {
        let Some(left) = &mut self.left else { return };
        if let Some((_, left)) = left.iter_mut().find(|(id, _)| *id == partition) {
            *left = left.saturating_sub(1);
        }
    }

    /// Whether it is carried out, after a turn of the reader of these partitions that visited so
    /// many records. The log is asked first where it ends, for the client knows little of what it
    /// does not read at present; one that does not answer is not waited for.
    pub(crate) fn is_done(
        &mut self,
        now: Nanos,
        visited: usize,
        reader: &mut dyn EventReader,
        partitions: impl Iterator<Item = u32>,
    ) -> bool {
        if !self.asked {
            return false;
        }
        let since_ns = *self.since_ns.get_or_insert(now);
        if self.left.is_none() && reader.is_at_end().is_pending() && now - since_ns < ASKING_NS {
            return false;
        }
        let left = self.left.get_or_insert_with(|| {
            partitions.map(|partition| (partition, reader.lag_of(partition))).collect()
        });
        // (A reader may count as one record what only may be there.)
        left.iter().all(|&(_, left)| left == 0) || (visited == 0 && reader.lag() == 0)
    }
}

/// How often it is said that the log's answer is waited for.
const SAID_EVERY_NS: Nanos = 10 * SECOND;

/// The end of a topic where nothing comes any more: it is one only if the log says so. A broker
/// that is away, or frozen, is waited for, but not for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuietEnd {
    /// Since when the log has not answered.
    silent_ns: Option<Nanos>,
    said_ns: Nanos,
}

/// What is known of a topic's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndAnswer {
    /// All that is there was read.
    AtEnd,
    /// It was not, or nobody knows yet.
    NotYet,
    /// The log has not answered for so long that it is given up.
    Unknown,
}

impl QuietEnd {
    /// Something came: what was asked before is of no account.
    pub(crate) fn forget(&mut self) {
        self.silent_ns = None;
    }

    /// Asks the log; `patience_ns`: how long its answer is waited for.
    pub(crate) fn ask(
        &mut self,
        now: Nanos,
        reader: &mut dyn EventReader,
        topic: &str,
        patience_ns: Nanos,
    ) -> EndAnswer {
        match reader.is_at_end() {
            Poll::Ready(true) if reader.lag() == 0 => EndAnswer::AtEnd,
            Poll::Ready(_) => {
                self.silent_ns = None;
                EndAnswer::NotYet
            }
            Poll::Pending => {
                let since_ns = *self.silent_ns.get_or_insert(now);
                let silent_ns = now - since_ns;
                if silent_ns >= patience_ns {
                    return EndAnswer::Unknown;
                }
                if silent_ns >= SAID_EVERY_NS && now - self.said_ns >= SAID_EVERY_NS {
                    self.said_ns = now;
                    let seconds = silent_ns / SECOND;
                    tracing::warn!(
                        topic,
                        "the broker has not said for {seconds} s where the topic ends: it is \
                         waited for"
                    );
                }
                EndAnswer::NotYet
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::ports::{PortError, Record};

    /// Records left, by partition.
    struct Backlog(BTreeMap<u32, u64>);

    impl EventReader for Backlog {
        fn poll(
            &mut self,
            _: Duration,
            _: usize,
            _: &mut dyn FnMut(Record<'_>),
        ) -> Result<usize, PortError> {
            Ok(0)
        }

        fn set_paused(&mut self, _: u32, _: bool) -> Result<(), PortError> {
            Ok(())
        }

        fn lag(&mut self) -> u64 {
            self.0.values().sum()
        }

        fn lag_of(&mut self, partition: u32) -> u64 {
            self.0[&partition]
        }
    }

    #[test]
    fn what_was_there_is_read_of_each_partition_though_more_keeps_coming() {
        let mut backlog = Backlog(BTreeMap::from([(0, 1), (1, 2)]));
        let mut remainder = Remainder::default();
        assert!(!remainder.is_done(0, 0, &mut backlog, 0..2), "nobody asked");
        remainder.ask();
        assert!(!remainder.is_done(0, 3, &mut backlog, 0..2));
        for _ in 0..100 {
            remainder.read(0);
        }
        assert!(
            !remainder.is_done(0, 100, &mut backlog, 0..2),
            "another partition's records are not those"
        );
        remainder.read(1);
        assert!(!remainder.is_done(0, 1, &mut backlog, 0..2));
        assert!(!remainder.is_done(0, 0, &mut backlog, 0..2), "what is there may be on its way");
        remainder.read(1);
        assert!(remainder.is_done(0, 1, &mut backlog, 0..2));
    }

    /// A log that answers as it is told.
    struct Answers(Vec<Poll<bool>>);

    impl EventReader for Answers {
        fn poll(
            &mut self,
            _: Duration,
            _: usize,
            _: &mut dyn FnMut(Record<'_>),
        ) -> Result<usize, PortError> {
            Ok(0)
        }

        fn set_paused(&mut self, _: u32, _: bool) -> Result<(), PortError> {
            Ok(())
        }

        fn lag(&mut self) -> u64 {
            0
        }

        fn lag_of(&mut self, _: u32) -> u64 {
            0
        }

        fn is_at_end(&mut self) -> Poll<bool> {
            self.0.pop().unwrap_or(Poll::Pending)
        }
    }

    #[test]
    fn an_end_is_one_if_the_log_says_so_and_is_given_up_if_it_never_does() {
        let mut end = QuietEnd::default();
        let mut ask = |seconds: Nanos, answers: &[Poll<bool>]| {
            let mut log = Answers(answers.to_vec());
            end.ask(seconds * SECOND, &mut log, "t", 60 * SECOND)
        };
        assert_eq!(ask(0, &[Poll::Pending]), EndAnswer::NotYet);
        assert_eq!(ask(50, &[Poll::Ready(false)]), EndAnswer::NotYet, "it lives");
        assert_eq!(ask(51, &[Poll::Pending]), EndAnswer::NotYet);
        assert_eq!(ask(100, &[Poll::Pending]), EndAnswer::NotYet);
        assert_eq!(ask(111, &[Poll::Pending]), EndAnswer::Unknown);
        assert_eq!(ask(112, &[Poll::Ready(true)]), EndAnswer::AtEnd);
    }

    #[test]
    fn nothing_there_is_nothing_to_wait_for() {
        let mut backlog = Backlog(BTreeMap::from([(0, 1)]));
        let mut remainder = Remainder::default();
        remainder.ask();
        assert!(!remainder.is_done(0, 0, &mut backlog, 0..1));
        backlog.0.insert(0, 0);
        assert!(remainder.is_done(0, 0, &mut backlog, 0..1), "there was less than was thought");
    }
}
