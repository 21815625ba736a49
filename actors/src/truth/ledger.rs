//! The ground truth: what the producers had acknowledged, per window, campaign and producer.
//!
//! It shares neither state nor window code with the aggregator: producers file each acknowledged
//! event under the window of its intended time by [`window_of`], the auditor compares
//! (`latency/auditor.rs`).

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::truth::table::Truth;

/// The window of an event, by definition: (event time - base) div window.
#[inline]
pub fn window_of(event_time_ns: Nanos, base_ns: Nanos, window_ns: Nanos) -> i64 {
    (event_time_ns - base_ns).div_euclid(window_ns)
}

/// What a producer knows of one campaign in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcknowledgedCount {
    /// The campaign.
    pub campaign_id: u32,
    /// Events acknowledged.
    pub acknowledged: u64,
    /// Events whose fate only the log knows.
    pub unknown: u64,
    /// The greatest `produce_time` of the acknowledged ones, milliseconds since the Unix epoch; 0:
    /// there is none.
    pub max_produce_ms: i64,
    /// The same of those of unknown fate.
    pub max_unknown_produce_ms: i64,
}

/// What was acknowledged, of windows not yet judged.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    complete_before: Vec<i64>,
    windows: BTreeMap<i64, Vec<Truth>>,
}

impl Ledger {
    /// An empty ledger for `producers` producers.
    pub(crate) fn new(producers: u32) -> Self {
        Self { complete_before: vec![i64::MIN; producers as usize], windows: BTreeMap::new() }
    }

    /// A ledger that is complete already.
    pub(crate) fn of(truth: &[(i64, Vec<Truth>)]) -> Self {
        Self { complete_before: Vec::new(), windows: truth.iter().cloned().collect() }
    }

    /// Files what a producer had acknowledged.
    /// `complete_before`: no later call adds to this producer's windows before that id.
    pub(crate) fn record(
        &mut self,
        producer: u32,
        complete_before: i64,
        windows: &[(i64, Vec<AcknowledgedCount>)],
    ) {
        for (window_id, counts) in windows {
            let truths = counts.iter().map(|count| Truth {
                campaign_id: u64::from(count.campaign_id),
                producer,
                acknowledged: count.acknowledged,
                unknown: count.unknown,
                max_produce_ms: count.max_produce_ms,
                max_unknown_produce_ms: count.max_unknown_produce_ms,
            });
            self.windows.entry(*window_id).or_default().extend(truths);
        }
        let complete = &mut self.complete_before[producer as usize];
        *complete = complete_before.max(*complete);
    }

    /// Every window before this id is complete: each producer was acknowledged past its end.
    pub(crate) fn complete_before(&self) -> i64 {
        self.complete_before.iter().copied().min().unwrap_or(i64::MIN)
    }

    /// Removes a window and gives its truths, sorted by campaign and producer; empty where no event
    /// fell into it.
    pub(crate) fn take(&mut self, window_id: i64) -> Vec<Truth> {
        let mut truths = self.windows.remove(&window_id).unwrap_or_default();
        truths.sort_unstable();
        truths
    }

    /// The windows that still have truths.
    pub(crate) fn windows(&self) -> impl Iterator<Item = i64> + '_ {
        self.windows.keys().copied()
    }
}

/// A producer's own counts, on their way into the ledger: per window and campaign, with what is
/// still in flight.
#[derive(Clone, Debug)]
pub(crate) struct ProducerLedger {
    campaigns: usize,
    windows: BTreeMap<i64, WindowTally>,
    /// The window of the latest count, taken out of the map: nearly every event falls into it.
    recent: WindowTally,
    recent_id: i64,
}

#[derive(Clone, Debug, Default)]
struct WindowTally {
    in_flight: u64,
    acknowledged: Vec<CampaignTally>,
    unknown: BTreeMap<u32, CampaignTally>,
}

/// Events of one campaign, and the greatest `produce_time` of them.
#[derive(Clone, Copy, Debug, Default)]
struct CampaignTally {
    count: u64,
    max_produce_ms: i64,
}

impl CampaignTally {
    #[inline]
    fn add(&mut self, produce_ms: i64) {
        self.count += 1;
        self.max_produce_ms = self.max_produce_ms.max(produce_ms);
    }
}

impl ProducerLedger {
    /// No counts yet; campaigns are `1..=campaigns`.
    pub(crate) fn new(campaigns: u32) -> Self {
        let recent = WindowTally::default();
        Self {
            campaigns: campaigns as usize,
            windows: BTreeMap::new(),
            recent,
            recent_id: i64::MIN,
        }
    }

    #[inline]
    fn window(&mut self, window_id: i64) -> &mut WindowTally {
        if window_id != self.recent_id {
            self.switch(window_id);
        }
        &mut self.recent
    }

    #[cold]
    fn switch(&mut self, window_id: i64) {
        let campaigns = self.campaigns;
        let next = self.windows.remove(&window_id).unwrap_or_else(|| WindowTally {
            acknowledged: vec![CampaignTally::default(); campaigns],
            ..WindowTally::default()
        });
        let before = std::mem::replace(&mut self.recent, next);
        if self.recent_id != i64::MIN {
            self.windows.insert(self.recent_id, before);
        }
        self.recent_id = window_id;
    }

    /// An event of this window was handed to the client.
    #[inline]
    pub(crate) fn sent(&mut self, window_id: i64) {
        self.window(window_id).in_flight += 1;
    }

    /// An event was acknowledged.
    #[inline]
    pub(crate) fn acknowledged(&mut self, window_id: i64, campaign_id: u32, produce_ms: i64) {
        let window = self.window(window_id);
        window.in_flight -= 1;
        window.acknowledged[campaign_id as usize - 1].add(produce_ms);
    }

    /// An event is surely not in the log.
    pub(crate) fn rejected(&mut self, window_id: i64) {
        self.window(window_id).in_flight -= 1;
    }

    /// An event is perhaps in the log.
    pub(crate) fn unknown(&mut self, window_id: i64, campaign_id: u32, produce_ms: i64) {
        let window = self.window(window_id);
        window.in_flight -= 1;
        window.unknown.entry(campaign_id).or_default().add(produce_ms);
    }

    /// Takes the windows that are done: before `sent_before` (no more events of theirs will be
    /// sent) with nothing in flight, up to the first one that still waits. Gives them with the id
    /// that all windows before are complete.
    pub(crate) fn take_complete(
        &mut self,
        sent_before: i64,
    ) -> (i64, Vec<(i64, Vec<AcknowledgedCount>)>) {
        if self.recent_id != i64::MIN {
            self.windows.insert(self.recent_id, std::mem::take(&mut self.recent));
            self.recent_id = i64::MIN;
        }
        let mut complete = Vec::new();
        while let Some(entry) = self.windows.first_entry() {
            let id = *entry.key();
            if id >= sent_before {
                break;
            }
            if entry.get().in_flight > 0 {
                return (id, complete);
            }
            complete.push((id, entry.remove().counts()));
        }
        (sent_before, complete)
    }
}

impl WindowTally {
    fn counts(mut self) -> Vec<AcknowledgedCount> {
        let known = self.acknowledged.iter().zip(1_u32..).filter(|(tally, _)| tally.count > 0);
        let mut counts: Vec<AcknowledgedCount> = known
            .map(|(&acknowledged, campaign_id)| {
                let unknown = self.unknown.remove(&campaign_id).unwrap_or_default();
                AcknowledgedCount::of(campaign_id, acknowledged, unknown)
            })
            .collect();
        counts.extend(self.unknown.into_iter().map(|(campaign_id, unknown)| {
            AcknowledgedCount::of(campaign_id, CampaignTally::default(), unknown)
        }));
        counts
    }
}

impl AcknowledgedCount {
    fn of(campaign_id: u32, acknowledged: CampaignTally, unknown: CampaignTally) -> Self {
        Self {
            campaign_id,
            acknowledged: acknowledged.count,
            unknown: unknown.count,
            max_produce_ms: acknowledged.max_produce_ms,
            max_unknown_produce_ms: unknown.max_produce_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acknowledged(
        campaign_id: u32,
        acknowledged: u64,
        unknown: u64,
        (max_produce_ms, max_unknown_produce_ms): (i64, i64),
    ) -> AcknowledgedCount {
        AcknowledgedCount {
            campaign_id,
            acknowledged,
            unknown,
            max_produce_ms,
            max_unknown_produce_ms,
        }
    }

    #[test]
    fn a_window_is_complete_once_every_producer_is_acknowledged_past_its_end() {
        let mut ledger = Ledger::new(2);
        let count = acknowledged(4, 7, 0, (5, 0));
        ledger.record(0, 3, &[(2, vec![count])]);
        assert_eq!(ledger.complete_before(), i64::MIN);
        ledger.record(1, 2, &[]);
        assert_eq!(ledger.complete_before(), 2);
        let truth = Truth {
            campaign_id: 4,
            producer: 0,
            acknowledged: 7,
            unknown: 0,
            max_produce_ms: 5,
            max_unknown_produce_ms: 0,
        };
        assert_eq!(ledger.take(2), vec![truth]);
        assert_eq!(ledger.take(2), vec![]);
    }

    #[test]
    fn a_window_with_events_in_flight_holds_the_later_ones() {
        let mut counts = ProducerLedger::new(2);
        counts.sent(0);
        counts.sent(1);
        counts.acknowledged(1, 2, 40);
        assert_eq!(counts.take_complete(2), (0, vec![]));
        counts.unknown(0, 1, 30);
        let (complete_before, windows) = counts.take_complete(2);
        assert_eq!(complete_before, 2);
        assert_eq!(windows[0], (0, vec![acknowledged(1, 0, 1, (0, 30))]));
        assert_eq!(windows[1], (1, vec![acknowledged(2, 1, 0, (40, 0))]));
    }

    proptest! {
        #[test]
        fn every_acknowledged_event_is_handed_over_once(
            events in prop::collection::vec((0i64..6, 1u32..4), 0..200),
        ) {
            let mut counts = ProducerLedger::new(3);
            let mut found: BTreeMap<(i64, u32), u64> = BTreeMap::new();
            let mut expected: BTreeMap<(i64, u32), u64> = BTreeMap::new();
            let mut sorted = events.clone();
            sorted.sort_unstable();
            for (i, &(window, campaign)) in sorted.iter().enumerate() {
                counts.sent(window);
                counts.acknowledged(window, campaign, 1);
                *expected.entry((window, campaign)).or_default() += 1;
                let sent_before = if i + 1 == sorted.len() { i64::MAX } else { window };
                for (window, rows) in counts.take_complete(sent_before).1 {
                    for row in rows {
                        let before = found.insert((window, row.campaign_id), row.acknowledged);
                        prop_assert!(before.is_none());
                    }
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
