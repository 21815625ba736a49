//! Whether others' windows are those of the truth, or all lie elsewhere by the same distance.

use std::collections::HashMap;

use crate::clock::{MILLISECOND, Nanos};
use crate::measures::run_measures::Misalignment;
use crate::stream::result::ResultRecord;
use crate::truth::table::KnownTruth;

/// Part of the results that must be found in the truth at the same distance.
const MOST: f64 = 0.5;

/// How far all windows of these results lie from those of the truth; `None`: they do not, or it
/// cannot be told. Two windows are the same where a campaign's greatest `produce_time` is.
pub(super) fn misalignment<'a>(
    results: impl Iterator<Item = &'a ResultRecord> + Clone,
    truth: &KnownTruth,
) -> Option<Misalignment> {
    other_phase(results.clone(), truth).or_else(|| other_place(results, truth))
}

/// The start of a result's window, as it says, or as its number says.
fn start_ns(result: &ResultRecord, truth: &KnownTruth) -> Nanos {
    if result.window_end > result.window_start {
        result.window_start.saturating_mul(MILLISECOND)
    } else {
        truth.start_ns(result.window_id)
    }
}

/// All windows begin at another phase: no window is one of the truth's.
fn other_phase<'a>(
    results: impl Iterator<Item = &'a ResultRecord>,
    truth: &KnownTruth,
) -> Option<Misalignment> {
    let mut phases =
        results.map(|result| (start_ns(result, truth) - truth.base_ns).rem_euclid(truth.window_ns));
    let phase_ns = phases.next().filter(|&phase_ns| phase_ns != 0)?;
    phases
        .all(|other| other == phase_ns)
        .then_some(Misalignment { off_ns: phase_ns, is_phase: true })
}

/// All windows that are found in the truth are found as far away.
fn other_place<'a>(
    results: impl Iterator<Item = &'a ResultRecord>,
    truth: &KnownTruth,
) -> Option<Misalignment> {
    let mut places: HashMap<(u64, i64), i64> = HashMap::new();
    for (window_id, truths) in &truth.windows {
        for of_campaign in truths.chunk_by(|a, b| a.campaign_id == b.campaign_id) {
            let newest = of_campaign.iter().map(|truth| truth.max_produce_ms).max().unwrap_or(0);
            places.insert((of_campaign[0].campaign_id, newest), *window_id);
        }
    }
    let (mut all, mut found, mut off_ns) = (0_u64, 0_u64, None);
    for result in results {
        all += 1;
        let Some(&place) = places.get(&(result.campaign_id, result.max_produce_time)) else {
            continue;
        };
        let distance = start_ns(result, truth) - truth.start_ns(place);
        if *off_ns.get_or_insert(distance) != distance {
            return None;
        }
        found += 1;
    }
    let off_ns = off_ns.filter(|&off_ns| off_ns != 0 && found as f64 > MOST * all as f64)?;
    Some(Misalignment { off_ns, is_phase: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::truth::table::Truth;

    const BASE: Nanos = 1_700_000_003 * SECOND;

    fn truth() -> KnownTruth {
        let row = |window: i64, campaign_id| Truth {
            campaign_id,
            producer: 0,
            acknowledged: 5,
            unknown: 0,
            max_produce_ms: BASE / MILLISECOND + window * 10_000 + 9_000 + campaign_id as i64,
            max_unknown_produce_ms: 0,
        };
        let windows =
            (0..20).map(|window| (window, vec![row(window, 1), row(window, 2)])).collect();
        KnownTruth { run_id: "r".to_owned(), base_ns: BASE, window_ns: 10 * SECOND, windows }
    }

    /// The results of the truth, whose windows lie `off_ns` elsewhere.
    fn results(off_ns: Nanos, has_bounds: bool) -> Vec<ResultRecord> {
        let truth = truth();
        let result = |window_id: i64, of: &Truth| {
            let start = (truth.start_ns(window_id) + off_ns) / MILLISECOND;
            ResultRecord {
                run_id: String::new(),
                window_id: window_id + off_ns.div_euclid(10 * SECOND),
                window_start: if has_bounds { start } else { 0 },
                window_end: if has_bounds { start + 10_000 } else { 0 },
                campaign_id: of.campaign_id,
                count: of.acknowledged,
                max_produce_time: of.max_produce_ms,
            }
        };
        let rows = truth.windows.iter();
        rows.flat_map(|(id, rows)| rows.iter().map(|of| result(*id, of))).collect()
    }

    fn found(off_ns: Nanos, has_bounds: bool) -> Option<(Nanos, bool)> {
        let found = misalignment(results(off_ns, has_bounds).iter(), &truth());
        found.map(|found| (found.off_ns, found.is_phase))
    }

    #[test]
    fn windows_that_all_lie_elsewhere_are_told() {
        assert_eq!((found(0, true), found(0, false)), (None, None));
        assert_eq!(found(3600 * SECOND, true), Some((3600 * SECOND, false)), "a time zone");
        assert_eq!(found(-20 * SECOND, false), Some((-20 * SECOND, false)), "other numbers");
        assert_eq!(found(7 * SECOND, true), Some((7 * SECOND, true)), "another phase");
    }

    #[test]
    fn what_is_only_wrong_here_and_there_is_not_misaligned() {
        let mut results = results(0, true);
        results[3].window_id += 1;
        results[3].window_start += 10_000;
        results[3].window_end += 10_000;
        assert_eq!(misalignment(results.iter(), &truth()), None);
    }
}
