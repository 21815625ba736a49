//! Merges the panes of all partitions into the results of a window.
//!
//! A pane is *set* for its partition, never added, so that one sent twice is harmless. A window is
//! merged when every partition has closed it.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::stage::flow::{ClosedPane, Follower, PanesClosed};

/// One campaign's merged count in one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MergedCampaign {
    /// The campaign.
    pub campaign_id: u64,
    /// Events over all partitions.
    pub count: u64,
    /// Greatest `produce_time`, milliseconds since the Unix epoch.
    pub max_produce_ms: i64,
    /// Greatest event time.
    pub max_event_ns: Nanos,
    /// Events per producer.
    pub by_producer: Vec<u64>,
}

/// A window that every partition has closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MergedWindow {
    /// The window.
    pub window_id: i64,
    /// The campaigns with events, by id.
    pub campaigns: Vec<MergedCampaign>,
    /// Whether every partition's own log closed it (and not an idle time, or the end of reading).
    pub by_log: bool,
}

/// Panes of windows that some partition has not closed yet.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    closed_before: Vec<i64>,
    closed_by_log_before: Vec<i64>,
    is_idle: Vec<bool>,
    windows: BTreeMap<i64, BTreeMap<u32, ClosedPane>>,
    merged_before: i64,
}

impl Merge {
    /// Nothing closed yet in any of `partitions` partitions.
    pub(crate) fn new(partitions: u32) -> Self {
        let nothing = vec![i64::MIN; partitions as usize];
        Self {
            closed_before: nothing.clone(),
            closed_by_log_before: nothing,
            is_idle: vec![false; partitions as usize],
            windows: BTreeMap::new(),
            merged_before: i64::MIN,
        }
    }

    /// Sets a partition's panes, and notes how far it has closed.
    pub(crate) fn set(&mut self, message: PanesClosed) {
        let PanesClosed { partition, closed_before, panes, by_log, is_idle } = message;
        self.is_idle[partition as usize] = is_idle;
        for pane in panes {
            if pane.window_id >= self.merged_before {
                #[cfg(feature = "planted-bugs")]
                let pane = self.added(partition, pane);
                self.windows.entry(pane.window_id).or_default().insert(partition, pane);
            }
        }
        let before = &mut self.closed_before[partition as usize];
        *before = closed_before.max(*before);
        if by_log {
            let before = &mut self.closed_by_log_before[partition as usize];
            *before = closed_before.max(*before);
        }
    }

    /// The bug [`AddedPane`](crate::planted::Bug::AddedPane), if it is planted.
    #[cfg(feature = "planted-bugs")]
    fn added(&self, partition: u32, mut pane: ClosedPane) -> ClosedPane {
        let before = self.windows.get(&pane.window_id).and_then(|panes| panes.get(&partition));
        if let Some(before) =
            before.filter(|_| crate::planted::planted(crate::planted::Bug::AddedPane))
        {
            pane.entries
                .iter_mut()
                .zip(&before.entries)
                .for_each(|(sum, entry)| sum.count += entry.count);
        }
        pane
    }

    /// Every window before this id is closed by every partition.
    pub(crate) fn closed_before(&self) -> i64 {
        self.closed_before.iter().copied().min().unwrap_or(i64::MIN)
    }

    /// How far partitions follow that are idle.
    pub(crate) fn follower(&self) -> Follower {
        let all = || self.closed_before.iter().zip(&self.is_idle);
        let least = all().filter(|(_, is_idle)| !**is_idle).map(|(before, _)| *before).min();
        let greatest = || all().map(|(before, _)| *before).max().unwrap_or(i64::MIN);
        Follower {
            closed_before: least.unwrap_or_else(greatest),
            are_all_idle: least.is_none() && !self.is_idle.is_empty(),
        }
    }

    /// Whether no pane waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Whether [`Self::next_window`] has one to give.
    pub(crate) fn has_ready(&self) -> bool {
        self.windows
            .first_key_value()
            .is_some_and(|(&window_id, _)| window_id < self.closed_before())
    }

    /// Takes the next window that every partition has closed, in window order.
    pub(crate) fn next_window(&mut self) -> Option<MergedWindow> {
        let closed_before = self.closed_before();
        let entry = self.windows.first_entry().filter(|entry| *entry.key() < closed_before)?;
        let (window_id, panes) = entry.remove_entry();
        self.merged_before = window_id + 1;
        let mut campaigns: BTreeMap<u64, MergedCampaign> = BTreeMap::new();
        for pane in panes.values() {
            let producers = pane.by_producer.len() / pane.entries.len().max(1);
            for (i, entry) in pane.entries.iter().enumerate() {
                let row = &pane.by_producer[i * producers..(i + 1) * producers];
                let merged = campaigns.entry(entry.campaign_id).or_insert_with(|| MergedCampaign {
                    campaign_id: entry.campaign_id,
                    count: 0,
                    max_produce_ms: i64::MIN,
                    max_event_ns: Nanos::MIN,
                    by_producer: Vec::new(),
                });
                merged.count += entry.count;
                merged.max_produce_ms = merged.max_produce_ms.max(entry.max_produce_ms);
                merged.max_event_ns = merged.max_event_ns.max(entry.max_event_ns);
                merged.by_producer.resize(merged.by_producer.len().max(producers), 0);
                merged.by_producer.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
            }
        }
        let by_log = self.closed_by_log_before.iter().all(|&before| window_id < before);
        Some(MergedWindow { window_id, campaigns: campaigns.into_values().collect(), by_log })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::flow::PaneEntry;
    use proptest::prelude::*;

    /// Campaign, count, greatest produce time.
    type Row = (u64, u64, i64);

    fn pane(window_id: i64, rows: &[Row]) -> ClosedPane {
        ClosedPane {
            window_id,
            entries: rows
                .iter()
                .map(|&(campaign_id, count, max_produce_ms)| PaneEntry {
                    campaign_id,
                    count,
                    max_produce_ms,
                    max_event_ns: max_produce_ms,
                })
                .collect(),
            by_producer: rows.iter().map(|&(_, count, _)| count).collect(),
        }
    }

    fn closed(partition: u32, closed_before: i64, panes: Vec<ClosedPane>) -> PanesClosed {
        PanesClosed { partition, closed_before, panes, by_log: true, is_idle: false }
    }

    #[test]
    fn a_window_waits_for_every_partition_and_takes_a_pane_once() {
        let mut merge = Merge::new(2);
        merge.set(closed(0, 1, vec![pane(0, &[(1, 5, 100)])]));
        merge.set(closed(0, 1, vec![pane(0, &[(1, 5, 100)])]));
        assert_eq!(merge.next_window(), None);
        merge.set(closed(1, 2, vec![pane(0, &[(1, 2, 110), (3, 1, 90)])]));
        let merged = merge.next_window().unwrap();
        let counts: Vec<_> =
            merged.campaigns.iter().map(|c| (c.campaign_id, c.count, c.max_produce_ms)).collect();
        assert_eq!(counts, vec![(1, 7, 110), (3, 1, 90)]);
        assert_eq!(merge.next_window(), None);
        merge.set(closed(0, 1, vec![pane(0, &[(1, 5, 100)])]));
        merge.set(closed(0, i64::MAX, vec![]));
        assert_eq!(merge.next_window(), None, "a pane of a merged window is not merged again");
    }

    #[test]
    fn idle_partitions_follow_the_others_and_where_all_are_idle_the_first() {
        let mut merge = Merge::new(3);
        let follower = |merge: &mut Merge, partition, closed_before, is_idle| {
            merge.set(PanesClosed { is_idle, ..closed(partition, closed_before, vec![]) });
            merge.follower()
        };
        follower(&mut merge, 0, 7, false);
        follower(&mut merge, 1, 4, false);
        let told = follower(&mut merge, 2, 2, true);
        assert_eq!(told, Follower { closed_before: 4, are_all_idle: false });
        follower(&mut merge, 1, 4, true);
        let told = follower(&mut merge, 0, 7, true);
        assert_eq!(told, Follower { closed_before: 7, are_all_idle: true });
        let told = follower(&mut merge, 1, 4, false);
        assert_eq!(told, Follower { closed_before: 4, are_all_idle: false });
    }

    proptest! {
        #[test]
        fn the_order_of_partitions_does_not_matter(
            panes in prop::collection::vec((0u32..3, 0i64..4, 1u64..4, 1u64..9), 0..40),
            seed in any::<u64>(),
        ) {
            let mut in_order = Merge::new(3);
            let mut shuffled = Merge::new(3);
            let mut by_pane: BTreeMap<(i64, u32), Vec<Row>> = BTreeMap::new();
            for (partition, window, campaign, count) in panes {
                let rows = by_pane.entry((window, partition)).or_default();
                if rows.iter().all(|row| row.0 != campaign) {
                    rows.push((campaign, count, window));
                }
            }
            for (&(window, partition), rows) in &by_pane {
                in_order.set(closed(partition, i64::MIN, vec![pane(window, rows)]));
            }
            let mut keys: Vec<_> = by_pane.keys().copied().collect();
            keys.sort_by_key(|&(w, p)| (w as u64 * 31 + u64::from(p)).wrapping_mul(seed | 1));
            for (window, partition) in keys {
                let rows = &by_pane[&(window, partition)];
                shuffled.set(closed(partition, i64::MIN, vec![pane(window, rows)]));
            }
            for partition in 0..3 {
                in_order.set(closed(partition, i64::MAX, vec![]));
                shuffled.set(closed(partition, i64::MAX, vec![]));
            }
            let a: Vec<_> = std::iter::from_fn(|| in_order.next_window()).collect();
            let b: Vec<_> = std::iter::from_fn(|| shuffled.next_window()).collect();
            prop_assert!(a.is_sorted_by(|x, y| x.window_id < y.window_id));
            prop_assert_eq!(a, b);
        }
    }
}
