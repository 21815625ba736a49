//! Names of the report that meant something else in an older version of its schema.

use std::fmt;

/// A path whose meaning changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedMeaning {
    /// The path in the report.
    pub path: &'static str,
    /// The schema version that has the new meaning.
    pub since: u32,
    /// What it was before.
    pub before: &'static str,
    /// What it is.
    pub now: &'static str,
}

/// What *produced* means.
pub const PRODUCED: ChangedMeaning = ChangedMeaning {
    path: "throughput.produced_per_second",
    since: 2,
    before: "of events handed to the client",
    now: "of acknowledged events",
};

/// What peak memory is the peak of.
const PEAK: ChangedMeaning = ChangedMeaning {
    path: "resources.peak_rss_bytes",
    since: 2,
    before: "since the process started",
    now: "of the run",
};

/// All of them.
pub const CHANGED_MEANINGS: [ChangedMeaning; 2] = [PRODUCED, PEAK];

impl ChangedMeaning {
    /// Whether it means one thing in one of the versions, and another in the other.
    fn lies_between(&self, versions: [u32; 2]) -> bool {
        let [first, second] = versions.map(|version| version < self.since);
        first != second
    }
}

impl fmt::Display for ChangedMeaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, since, before, now } = self;
        write!(f, "`{path}` is {now} since schema version {since}, and was {before}")
    }
}

/// Those of a list that mean one thing in one version, and another in the other.
pub fn between(
    list: &[ChangedMeaning],
    versions: [u32; 2],
) -> impl Iterator<Item = &ChangedMeaning> {
    list.iter().filter(move |changed| changed.lies_between(versions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meaning_changes_between_the_versions_around_it() {
        let changed = ChangedMeaning { since: 3, ..PRODUCED };
        let crossed = [[1, 1], [2, 2], [1, 2], [2, 3], [3, 2], [1, 4], [3, 4], [4, 4]]
            .map(|versions| changed.lies_between(versions));
        assert_eq!(crossed, [false, false, false, true, true, true, false, false]);
    }
}
