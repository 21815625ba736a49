//! The judged windows of a run in a bounded number of rows, and which windows were judged.

use std::collections::BTreeMap;

use crate::truth::findings::WindowAudit;

/// Rows that are kept.
const MAX_ROWS: usize = 4096;
/// Stretches of judged windows that are told apart.
const MAX_STRETCHES: usize = 4096;

/// A row for each window at first; where they become too many, neighbours that are alike (exact or
/// not, whole or not) become one, again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct WindowRows {
    rows: BTreeMap<Place, KeptWindow>,
    /// A row stands for `1 << shift` windows at most.
    shift: u32,
}

/// Where a row belongs: a stretch of windows, and what is the same of all in it.
type Place = (i64, Alike);

/// Warm-up, partial, exact.
type Alike = (bool, bool, bool);

/// A row, and how many latencies its mean is of.
#[derive(Clone, Debug)]
struct KeptWindow {
    row: WindowAudit,
    latencies: u64,
}

impl WindowRows {
    /// Adds a window that was judged; `latencies`: how many its mean is of.
    pub(crate) fn push(&mut self, row: WindowAudit, latencies: u64) {
        self.put(KeptWindow { row, latencies });
        while self.rows.len() > MAX_ROWS && self.shift < i64::BITS - 1 {
            self.shift += 1;
            for row in std::mem::take(&mut self.rows).into_values() {
                self.put(row);
            }
        }
    }

    fn put(&mut self, new: KeptWindow) {
        let WindowAudit { window_id, warmup, partial, exact, .. } = new.row;
        let place = (window_id >> self.shift, (warmup, partial, exact));
        let row = match self.rows.remove(&place) {
            Some(before) if before.row.window_id <= window_id => before.with(&new),
            Some(before) => new.with(&before),
            None => new,
        };
        self.rows.insert(place, row);
    }

    /// All rows, in order.
    pub(crate) fn into_rows(self) -> Vec<WindowAudit> {
        let mut rows: Vec<WindowAudit> = self.rows.into_values().map(|kept| kept.row).collect();
        rows.sort_by_key(|row| row.window_id);
        rows
    }
}

impl KeptWindow {
    /// It and a later one as one.
    fn with(self, next: &Self) -> Self {
        let latencies = self.latencies + next.latencies;
        let sum_ms =
            |kept: &Self| kept.row.result_latency_ms_avg.unwrap_or(0.0) * kept.latencies as f64;
        let [a, b] = [&self.row, &next.row];
        let row = WindowAudit {
            windows: a.windows + b.windows,
            window_end_ms: a.window_end_ms.max(b.window_end_ms),
            campaigns: a.campaigns.saturating_add(b.campaigns),
            count: a.count.saturating_add(b.count),
            expected: a.expected.saturating_add(b.expected),
            result_latency_ms_avg: (latencies > 0)
                .then(|| (sum_ms(&self) + sum_ms(next)) / latencies as f64),
            result_latency_ms_max: [a.result_latency_ms_max, b.result_latency_ms_max]
                .into_iter()
                .flatten()
                .reduce(f64::max),
            ..self.row
        };
        Self { row, latencies }
    }
}

/// Which windows were judged: stretches of them without a gap.
#[derive(Clone, Debug, Default)]
pub(crate) struct JudgedWindows {
    /// The first window of each stretch, and the last.
    stretches: BTreeMap<i64, i64>,
}

impl JudgedWindows {
    /// Whether a window was judged. Of very many stretches the oldest two are taken for one: what
    /// comes for a window between them, for which nothing was ever produced, is then taken for
    /// something that comes again.
    pub(crate) fn contains(&self, id: i64) -> bool {
        self.stretches.range(..=id).next_back().is_some_and(|(_, &last)| id <= last)
    }

    /// Notes a window that was not judged before.
    pub(crate) fn insert(&mut self, id: i64) {
        let mut last = id;
        if let Some(next) = id.checked_add(1).and_then(|next| self.stretches.remove(&next)) {
            last = next;
        }
        match self.stretches.range_mut(..id).next_back() {
            Some((_, before)) if id.checked_sub(1) == Some(*before) => *before = last,
            _ => drop(self.stretches.insert(id, last)),
        }
        if self.stretches.len() > MAX_STRETCHES
            && let Some((first, _)) = self.stretches.pop_first()
            && let Some((_, last)) = self.stretches.pop_first()
        {
            self.stretches.insert(first, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn window(window_id: i64, exact: bool) -> WindowAudit {
        WindowAudit {
            window_id,
            windows: 1,
            window_start_ms: window_id * 10,
            window_end_ms: window_id * 10 + 10,
            partial: false,
            warmup: window_id < 100,
            campaigns: 2,
            count: 5,
            expected: 5 + u64::from(!exact),
            exact,
            result_latency_ms_avg: Some(window_id as f64),
            result_latency_ms_max: Some(window_id as f64 + 1.0),
        }
    }

    #[test]
    fn however_many_windows_there_are_their_rows_are_few_and_lose_nothing() {
        let count = 3 * MAX_ROWS as i64 + 5;
        let mut rows = WindowRows::default();
        // Not quite in order, and one of them wrong.
        for id in (0..count).map(|id| if id < 200 { 199 - id } else { id }) {
            rows.push(window(id, id != 7777), 2);
        }
        let rows = rows.into_rows();
        assert!(rows.len() <= MAX_ROWS && rows.is_sorted_by_key(|row| row.window_id));
        assert_eq!(rows.iter().map(|row| row.windows).sum::<u64>(), count as u64);
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 5 * count as u64);
        let wrong: Vec<_> = rows.iter().filter(|row| !row.exact).collect();
        assert_eq!((wrong.len(), wrong[0].windows, wrong[0].window_id), (1, 1, 7777));
        let warm: Vec<_> = rows.iter().filter(|row| row.warmup).collect();
        assert_eq!(warm.iter().map(|row| row.windows).sum::<u64>(), 100);
        let row = rows.iter().find(|row| row.window_id == 1000).unwrap();
        assert_eq!((row.windows, row.window_start_ms, row.window_end_ms), (4, 10_000, 10_040));
        assert_eq!(row.result_latency_ms_avg, Some(1001.5));
        assert_eq!(row.result_latency_ms_max, Some(1004.0));
    }

    #[test]
    fn too_many_stretches_become_one_from_the_oldest_on() {
        let mut judged = JudgedWindows::default();
        (0..3 * MAX_STRETCHES as i64).for_each(|id| judged.insert(2 * id));
        assert!(judged.stretches.len() <= MAX_STRETCHES);
        let newest = 6 * MAX_STRETCHES as i64;
        assert!(judged.contains(newest - 2) && !judged.contains(newest - 3));
        assert!(judged.contains(0) && !judged.contains(newest) && !judged.contains(-1));
    }

    proptest! {
        #[test]
        fn what_was_judged_is_known(ids in prop::collection::vec(-20_i64..20, 0..60)) {
            let (mut judged, mut all) = (JudgedWindows::default(), BTreeSet::new());
            for id in ids {
                if all.insert(id) {
                    judged.insert(id);
                }
            }
            for id in -25..25 {
                prop_assert_eq!(judged.contains(id), all.contains(&id), "{}", id);
            }
        }
    }
}
