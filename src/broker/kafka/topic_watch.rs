//! Whether a topic is still there: asked of the cluster where nothing has come for a while.
//!
//! A broker that was just started may not know its topics yet, and librdkafka takes the first such
//! answer for their deletion. So it is told to hold such answers back ([`HELD_BACK_MS`]), and the
//! question is asked here: a topic is gone once brokers have said so for as long as the connect
//! time-out.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rdkafka::client::Client;
use streamgauge_actors::{Clock as _, MILLISECOND, Nanos, RunClock, SECOND};

use super::errors::{code_of, is_topic_gone};
use super::logs::Logs;
use super::question::Question;

/// For so long after a topic was found (or its brokers went away) librdkafka takes no answer for
/// its deletion. (It multiplies this by 1000 in 32 bits: not much more is possible.)
pub(super) const HELD_BACK_MS: u32 = 2_000_000;

/// Without a sign of the topic for so long, it is asked for.
const QUIET_NS: Nanos = 5 * SECOND;

/// From one question to the next while the topic seems to be gone.
const AGAIN_NS: Nanos = 250 * MILLISECOND;

/// Looks that share one reading of the clock.
const LOOKS_PER_CLOCK_READ: u32 = 64;

/// A client's topic, as it is watched.
pub(super) struct TopicWatch {
    topic: String,
    /// How long the topic may be missing, and how long an answer may take.
    patience: Duration,
    clock: RunClock,
    looks: u32,
    /// Whether there was a sign of it since the clock was read.
    is_heard: bool,
    /// When there was a sign of it last, or an answer.
    sign_ns: Nanos,
    /// Since when brokers have said that there is none.
    missing_ns: Option<Nanos>,
    asking: Option<Question<Option<bool>>>,
}

impl TopicWatch {
    pub(super) fn new(topic: &str, patience: Duration) -> Self {
        let clock = RunClock::start();
        let sign_ns = clock.now();
        Self {
            topic: topic.to_owned(),
            patience,
            clock,
            looks: 0,
            is_heard: false,
            sign_ns,
            missing_ns: None,
            asking: None,
        }
    }

    /// Looks, once in every turn: whether there was a sign of the topic in it. True: it is gone.
    pub(super) fn look(&mut self, is_sign: bool, client: &Arc<Client<Logs>>) -> bool {
        self.is_heard |= is_sign;
        self.looks = self.looks.wrapping_add(1);
        if !self.looks.is_multiple_of(LOOKS_PER_CLOCK_READ) {
            return false;
        }
        let now = self.clock.now();
        if std::mem::take(&mut self.is_heard) {
            self.sign_ns = now;
            self.missing_ns = None;
        }
        let Some(asking) = &self.asking else {
            let is_doubted = self.missing_ns.is_some() || client.context().take_topic_gone();
            if is_doubted {
                self.missing_ns.get_or_insert(now);
            }
            if now - self.sign_ns >= if is_doubted { AGAIN_NS } else { QUIET_NS } {
                self.ask(client);
            }
            return false;
        };
        let Poll::Ready(answer) = asking.answer() else { return false };
        self.asking = None;
        self.take_answer(now, answer.flatten())
    }

    /// An error said that the topic, or an assigned partition, does not exist.
    pub(super) fn doubt(&mut self) {
        let now = self.clock.now();
        self.missing_ns.get_or_insert(now);
    }

    /// Whether the topic is there, as brokers say; `None`: they do not answer.
    fn take_answer(&mut self, now: Nanos, is_there: Option<bool>) -> bool {
        self.sign_ns = now;
        if is_there == Some(false) {
            let since = *self.missing_ns.get_or_insert(now);
            return now - since >= self.patience.as_nanos() as Nanos;
        }
        self.missing_ns = None;
        false
    }

    fn ask(&mut self, client: &Arc<Client<Logs>>) {
        let (client, topic, patience) = (Arc::clone(client), self.topic.clone(), self.patience);
        self.asking = Some(Question::ask(move || {
            let metadata = client.fetch_metadata(None, patience).ok()?;
            Some(metadata.topics().iter().any(|found| {
                // With an error of another kind it is there.
                found.name() == topic && !found.error().is_some_and(|e| is_topic_gone(code_of(e)))
            }))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_gone_once_it_was_missing_for_long_enough_without_a_break() {
        let mut watch = TopicWatch::new("t", Duration::from_secs(5));
        assert!(!watch.take_answer(0, Some(false)));
        assert!(!watch.take_answer(4 * SECOND, Some(false)));
        assert!(!watch.take_answer(6 * SECOND, Some(true)), "a broker knows it");
        assert!(!watch.take_answer(7 * SECOND, Some(false)));
        assert!(!watch.take_answer(13 * SECOND, None), "who is away says nothing");
        assert!(!watch.take_answer(14 * SECOND, Some(false)));
        assert!(watch.take_answer(19 * SECOND, Some(false)));
    }
}
