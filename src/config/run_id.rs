//! What tells runs apart: their ids, and the tags in their events.

use streamgauge_actors::{Nanos, SECOND};

/// A run id from the time (nanoseconds since the Unix epoch) and some random bits:
/// `20261123-031522-7f3a`. Sorts by time.
pub fn run_id(now: Nanos, random: u64) -> String {
    let since = std::time::Duration::from_secs((now / SECOND).max(0) as u64);
    let text = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string();
    let digits: String =
        text.replace('T', "-").chars().filter(|&c| c == '-' || c.is_ascii_digit()).collect();
    // 2026-11-23-031522
    let (date, time) = digits.rsplit_once('-').unwrap_or((&digits, ""));
    format!("{}-{time}-{:04x}", date.replace('-', ""), random & 0xffff)
}

/// 48 bits that mark a run's events, from its id: FNV-1a (Fowler, Noll and Vo), folded.
pub fn run_tag(run_id: &str) -> u64 {
    let hash = run_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    (hash >> 48 ^ hash) & ((1 << 48) - 1)
}

/// 64 random bits from the system, to tell runs of the same second apart.
pub fn random_bits() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn run_ids_sort_by_time_and_tags_differ() {
        let at = |second: i64, random| run_id(second * SECOND, random);
        assert_eq!(at(1_795_403_722, 0x7f3a), "20261123-031522-7f3a");
        assert!(at(1_795_403_722, 0xffff) < at(1_795_403_723, 0));
        let tags: HashSet<u64> =
            (0..1000).map(|random| run_tag(&at(1_795_403_722, random))).collect();
        assert_eq!(tags.len(), 1000);
        assert!(tags.iter().all(|tag| *tag < 1 << 48));
    }
}
