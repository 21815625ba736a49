//! `[topics]`: names and shape of the topics.

use serde::{Deserialize, Serialize};
use streamgauge_actors::{Bytes, Checks};

use crate::broker::topics::RUN_SUFFIX;

/// The longest topic name that brokers take.
const MAX_TOPIC_NAME: usize = 249;

/// `[topics]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TopicsSection {
    /// What the names of the program's own topics begin with.
    pub prefix: String,
    /// Partitions of the events topic.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replication: u16,
    /// Whether a run's topics outlive it.
    pub keep: bool,
    /// What a partition of the events topic may keep at most; 0: the broker's own default.
    pub retention_bytes: Bytes,
    /// An events topic to use as it is; empty: made for each run.
    pub events: String,
    /// A results topic to use as it is; empty: made for each run.
    pub results: String,
}

impl TopicsSection {
    /// Checks what types alone cannot.
    pub(super) fn check(&self, checks: &mut Checks) {
        let many = |what: &str| format!("must be at least 1: {what}");
        checks.must(self.partitions > 0, "topics.partitions", many("a topic has partitions"));
        checks.must(self.partitions <= 10_000, "topics.partitions", "must be at most 10000");
        checks.must(self.replication > 0, "topics.replication", many("1 keeps a single copy"));
        let longest_prefix = MAX_TOPIC_NAME - RUN_SUFFIX;
        checks.must(
            is_topic_name(&self.prefix) && self.prefix.len() <= longest_prefix,
            "topics.prefix",
            format!(
                "must be 1 to {longest_prefix} of the characters a-z, A-Z, 0-9, `.`, `_` and `-`"
            ),
        );
        for (key, name) in [("topics.events", &self.events), ("topics.results", &self.results)] {
            checks.must(
                name.is_empty() || is_topic_name(name),
                key,
                format!(
                    "must be a topic's name, 1 to {MAX_TOPIC_NAME} of the characters a-z, A-Z, \
                     0-9, `.`, `_` and `-` \
                     (and not `.` or `..`), or empty for a topic of the run's own, but is `{name}`"
                ),
            );
        }
        checks.must(
            self.events.is_empty() || self.events != self.results,
            "topics.results",
            "must not be the events topic: give results a topic of their own",
        );
        checks.must(
            self.retention_bytes.0 == 0 || self.retention_bytes.0 >= 1 << 20,
            "topics.retention_bytes",
            "must be at least 1MiB, or 0 for the broker's default",
        );
    }
}

/// Whether brokers take the name for a topic.
fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=MAX_TOPIC_NAME).contains(&name.len())
        && name.chars().all(legal)
        && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_are_what_brokers_take() {
        for name in ["a", "a.b-c_D9", &"x".repeat(249)] {
            assert!(is_topic_name(name), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
            assert!(!is_topic_name(name), "{name}");
        }
    }
}
