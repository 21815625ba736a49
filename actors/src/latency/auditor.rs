//! The audit: every result read back against the ledger, every defect named.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::{Nanos, to_millis};
use crate::latency::comparison::ScheduleComparison;
use crate::measures::counters::StageCounters;
use crate::stage::flow::{EventsAcknowledged, WindowWritten};
use crate::stream::result::ResultRecord;
use crate::truth::findings::{AuditTotals, Finding, FindingKind, MAX_FINDINGS, WindowAudit};
use crate::truth::ledger::Ledger;
use crate::truth::table::{Truth, TruthTable};
use crate::truth::windows::{JudgedWindows, WindowRows};
use crate::workload::frame::WindowFrame;

#[derive(Clone, Debug, Default)]
struct OpenWindow {
    /// By campaign.
    results: BTreeMap<u64, ResultClaim>,
    written: Option<u64>,
    by_producer: BTreeMap<u64, Vec<u64>>,
    /// Whether all latencies of its results came, where they come apart from the results.
    measured: bool,
    latency_sum_ms: f64,
    latency_max_ms: Option<f64>,
    latency_count: u64,
}

/// What a result says of its events.
#[derive(Clone, Copy, Debug)]
struct ResultClaim {
    count: u64,
    max_produce_ms: i64,
    has_right_bounds: bool,
}

impl OpenWindow {
    fn add_latency(&mut self, latency_ms: f64) {
        self.latency_sum_ms += latency_ms;
        self.latency_count += 1;
        self.latency_max_ms =
            Some(self.latency_max_ms.map_or(latency_ms, |max| max.max(latency_ms)));
    }
}

impl ResultClaim {
    /// Whether it says what its events say, whose count is right. Of unknown events any may be in
    /// it.
    fn is_true(&self, truths: &[Truth]) -> bool {
        let acknowledged = truths.iter().map(|truth| truth.max_produce_ms).max().unwrap_or(0);
        let unknown = truths.iter().map(|truth| truth.max_unknown_produce_ms).max().unwrap_or(0);
        // An older program's truth does not tell.
        let is_known = truths.iter().all(|truth| {
            (truth.acknowledged == 0 || truth.max_produce_ms != 0)
                && (truth.unknown == 0 || truth.max_unknown_produce_ms != 0)
        });
        let is_time = (acknowledged..=acknowledged.max(unknown)).contains(&self.max_produce_ms);
        self.has_right_bounds && (is_time || !is_known)
    }
}

/// Judges windows as soon as both sides are complete: the ledger (every producer acknowledged past
/// its end) and the results (as many read back as the writer handed over).
#[derive(Clone, Debug)]
pub(super) struct Auditor {
    frame: WindowFrame,
    /// Whether a window waits for [`Self::measured`], too.
    latencies_apart: bool,
    ledger: Ledger,
    open: BTreeMap<i64, OpenWindow>,
    judged: JudgedWindows,
    totals: AuditTotals,
    rows: WindowRows,
    /// Windows judged since the last call of [`Self::take_judged`].
    fresh: Vec<WindowAudit>,
    findings: Vec<Finding>,
}

impl Auditor {
    /// An auditor of a run of `producers` producers.
    pub(super) fn new(frame: WindowFrame, producers: u32) -> Self {
        Self {
            frame,
            latencies_apart: false,
            ledger: Ledger::new(producers),
            open: BTreeMap::new(),
            judged: JudgedWindows::default(),
            totals: AuditTotals::default(),
            rows: WindowRows::default(),
            fresh: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Results come without their latency, which is told for a window at once by
    /// [`Self::measured`].
    pub(super) fn with_latencies_apart(self) -> Self {
        Self { latencies_apart: true, ..self }
    }

    /// An auditor of results whose whole truth is known beforehand.
    pub(super) fn with_truth(frame: WindowFrame, truth: &TruthTable) -> Self {
        Self { ledger: Ledger::of(truth), ..Self::new(frame, 0) }
    }

    /// The frame it judges in.
    pub(super) fn frame(&self) -> &WindowFrame {
        &self.frame
    }

    /// The schedule ends earlier than planned: the window around `end_ns` is partial.
    pub(super) fn end_at(&mut self, end_ns: Nanos) {
        self.frame.end_at(end_ns);
    }

    /// Files what a producer had acknowledged.
    pub(super) fn acknowledged(&mut self, message: &EventsAcknowledged) {
        self.ledger.record(message.producer, message.complete_before, &message.windows);
    }

    /// Notes how many results of a window the writer handed over.
    pub(super) fn written(&mut self, message: WindowWritten) {
        let open = self.open.entry(message.window_id).or_default();
        open.written = Some(message.results);
        open.by_producer = message.by_producer.into_iter().collect();
    }

    /// Takes a result read back, with its result latency where it counts for the figures.
    pub(super) fn result(&mut self, result: &ResultRecord, result_latency_ms: Option<f64>) {
        let again = self.judged.contains(result.window_id)
            || self
                .open
                .get(&result.window_id)
                .is_some_and(|open| open.results.contains_key(&result.campaign_id));
        if again {
            self.totals.results_duplicated += 1;
            self.find(FindingKind::ResultDuplicated, result.window_id, result.campaign_id, None, 1);
            return;
        }
        self.totals.results += 1;
        let open = self.open.entry(result.window_id).or_default();
        let (id, frame) = (result.window_id, &self.frame);
        let claim = ResultClaim {
            count: result.count,
            max_produce_ms: result.max_produce_time,
            has_right_bounds: result.window_start == to_millis(frame.start(id))
                && result.window_end == to_millis(frame.end(id)),
        };
        open.results.insert(result.campaign_id, claim);
        if let Some(latency) = result_latency_ms {
            open.add_latency(latency);
        }
    }

    /// Takes the latencies of all results of a window.
    pub(super) fn measured(&mut self, window_id: i64, latencies_ms: impl Iterator<Item = f64>) {
        if self.judged.contains(window_id) {
            return;
        }
        let open = self.open.entry(window_id).or_default();
        open.measured = true;
        latencies_ms.for_each(|latency| open.add_latency(latency));
    }

    /// Judges every window that both sides are complete for.
    pub(super) fn judge_complete(&mut self) {
        let complete_before = self.ledger.complete_before();
        let ready: Vec<i64> = self
            .open
            .range(..complete_before)
            .filter(|(_, open)| {
                open.written.is_some_and(|written| open.results.len() as u64 >= written)
            })
            .filter(|(_, open)| open.measured || !self.latencies_apart)
            .map(|(&id, _)| id)
            .collect();
        for id in ready {
            self.judge(id);
        }
    }

    /// Takes what came of the comparison with the schedule.
    pub(super) fn compared(&mut self, comparison: &ScheduleComparison) {
        comparison.write_to(&mut self.totals);
    }

    /// Judges all that is left: nothing more will come from either side.
    pub(super) fn judge_rest(&mut self) {
        let rest: BTreeSet<i64> = self.open.keys().copied().chain(self.ledger.windows()).collect();
        for id in rest {
            self.judge(id);
        }
    }

    fn judge(&mut self, window_id: i64) {
        let mut open = self.open.remove(&window_id).unwrap_or_default();
        let truths = self.ledger.take(window_id);
        let (mut expected, mut exact) = (0, true);
        for truths in truths.chunk_by(|a, b| a.campaign_id == b.campaign_id) {
            let campaign_id = truths[0].campaign_id;
            // Others write any count at all, and a truth comes from a file.
            let sum =
                |count: fn(&Truth) -> u64| truths.iter().map(count).fold(0, u64::saturating_add);
            let (acknowledged, unknown) =
                (sum(|truth| truth.acknowledged), sum(|truth| truth.unknown));
            expected = acknowledged.saturating_add(expected);
            self.totals.unknown = unknown.saturating_add(self.totals.unknown);
            let claim = open.results.get(&campaign_id).copied();
            let found = claim.map(|claim| claim.count);
            if found.is_none() && acknowledged > 0 {
                self.totals.results_missing += 1;
                self.find(FindingKind::ResultMissing, window_id, campaign_id, None, 1);
            }
            // Without a result all of everyone's events are missing.
            let shows_producers = open.written.is_some() || found.is_none();
            let found = found.unwrap_or(0);
            let missing = acknowledged.saturating_sub(found);
            let extra = found.saturating_sub(acknowledged.saturating_add(unknown));
            let in_panes = open.by_producer.get(&campaign_id).map_or(&[][..], Vec::as_slice);
            let panes = shows_producers.then_some(in_panes);
            let (missing, extra) = self.name_producers(window_id, truths, panes, missing, extra);
            self.totals.events_missing = self.totals.events_missing.saturating_add(missing);
            self.totals.events_extra = self.totals.events_extra.saturating_add(extra);
            let is_exact = missing == 0 && extra == 0;
            exact &= is_exact;
            // A wrong count has a wrong greatest time as a rule, and is told already.
            if let Some(claim) = claim.filter(|claim| !claim.is_true(truths) && is_exact) {
                self.totals.results_wrong += 1;
                self.find(FindingKind::ResultWrong, window_id, campaign_id, None, 1);
                tracing::debug!(window_id, campaign_id, ?claim, "a result is wrong");
            }
        }
        for (&campaign_id, &ResultClaim { count, .. }) in &open.results {
            if truths.binary_search_by_key(&campaign_id, |truth| truth.campaign_id).is_err() {
                exact = false;
                self.totals.events_extra = count.saturating_add(self.totals.events_extra);
                self.name_strays(window_id, campaign_id, open.by_producer.get(&campaign_id), count);
            }
        }
        self.totals.windows += 1;
        self.totals.windows_exact += u64::from(exact);
        let row = WindowAudit {
            window_id,
            windows: 1,
            window_start_ms: to_millis(self.frame.start(window_id)),
            window_end_ms: to_millis(self.frame.end(window_id)),
            partial: self.frame.is_partial(window_id),
            warmup: self.frame.is_warmup(window_id),
            campaigns: open.results.len() as u64,
            count: open.results.values().map(|claim| claim.count).fold(0, u64::saturating_add),
            expected,
            exact,
            result_latency_ms_avg: (open.latency_count > 0)
                .then(|| open.latency_sum_ms / open.latency_count as f64),
            result_latency_ms_max: open.latency_max_ms.take(),
        };
        self.fresh.push(row.clone());
        self.rows.push(row, open.latency_count);
        self.judged.insert(window_id);
    }

    /// Compares each producer's acknowledged count with its part of the panes (`in_panes`: events
    /// per producer; `None`: another program's results, which do not tell), so that a finding names
    /// it. One producer's missing event and another's extra one leave the sum right: gives the
    /// events missing and extra with those.
    fn name_producers(
        &mut self,
        window: i64,
        truths: &[Truth],
        in_panes: Option<&[u64]>,
        missing: u64,
        extra: u64,
    ) -> (u64, u64) {
        let campaign = truths[0].campaign_id;
        let (mut named_missing, mut named_extra) = (0, 0);
        if let Some(in_panes) = in_panes {
            for truth in truths {
                let in_pane = in_panes.get(truth.producer as usize).copied().unwrap_or(0);
                let less = truth.acknowledged.saturating_sub(in_pane);
                let more = in_pane.saturating_sub(truth.acknowledged + truth.unknown);
                named_missing += less;
                named_extra += more;
                self.find(FindingKind::EventsMissing, window, campaign, Some(truth.producer), less);
                self.find(FindingKind::EventsExtra, window, campaign, Some(truth.producer), more);
            }
            for (producer, &more) in (0..).zip(in_panes) {
                if truths.iter().all(|truth| truth.producer != producer) {
                    named_extra += more;
                    self.find(FindingKind::EventsExtra, window, campaign, Some(producer), more);
                }
            }
        }
        // What the panes do not show was lost or added behind them: whose events these are is known
        // of one producer only.
        let sole = (truths.len() == 1).then_some(truths[0].producer);
        self.find(
            FindingKind::EventsMissing,
            window,
            campaign,
            sole,
            missing.saturating_sub(named_missing),
        );
        self.find(
            FindingKind::EventsExtra,
            window,
            campaign,
            sole,
            extra.saturating_sub(named_extra),
        );
        (missing.max(named_missing), extra.max(named_extra))
    }

    /// A result that nobody produced for: names whose events its panes hold.
    fn name_strays(&mut self, window: i64, campaign: u64, in_panes: Option<&Vec<u64>>, count: u64) {
        self.find(FindingKind::ResultExtra, window, campaign, None, 1);
        let mut named = 0;
        for (producer, &events) in (0..).zip(in_panes.into_iter().flatten()) {
            named += events;
            self.find(FindingKind::EventsExtra, window, campaign, Some(producer), events);
        }
        self.find(FindingKind::EventsExtra, window, campaign, None, count.saturating_sub(named));
    }

    fn find(
        &mut self,
        kind: FindingKind,
        window_id: i64,
        campaign_id: u64,
        producer: Option<u32>,
        count: u64,
    ) {
        if count > 0 && self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                kind,
                window_id: Some(window_id),
                campaign_id: Some(campaign_id),
                producer,
                partition: None,
                count,
            });
        }
    }

    /// The findings since the last call.
    pub(super) fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// The sums so far.
    pub(super) fn totals(&self) -> &AuditTotals {
        &self.totals
    }

    /// Brings the counters of judged windows up to date.
    pub(super) fn count_judged(&self, counters: &mut StageCounters) {
        counters.windows_judged = self.totals.windows;
        counters.windows_incorrect = self.totals.windows - self.totals.windows_exact;
    }

    /// Whether every producer has handed over all its counts.
    pub(super) fn acknowledged_complete(&self) -> bool {
        self.ledger.complete_before() == i64::MAX
    }

    /// The windows judged, in window order.
    pub(super) fn take_rows(&mut self) -> Vec<WindowAudit> {
        std::mem::take(&mut self.rows).into_rows()
    }

    /// The windows judged since the last call.
    pub(super) fn take_judged(&mut self) -> Vec<WindowAudit> {
        std::mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::ledger::AcknowledgedCount;

    const FRAME: WindowFrame = WindowFrame {
        base_ns: 0,
        window_ns: 1_000_000,
        measure_from_ns: 0,
        end_ns: Nanos::MAX,
        scheduled: true,
    };

    fn result(campaign_id: u64, count: u64) -> ResultRecord {
        ResultRecord {
            run_id: String::new(),
            window_id: 0,
            window_start: 0,
            window_end: 1,
            campaign_id,
            count,
            max_produce_time: 1,
        }
    }

    #[test]
    fn a_missing_event_of_one_producer_is_not_made_up_for_by_an_extra_one_of_another() {
        let mut auditor = Auditor::new(FRAME, 2);
        let counts = vec![AcknowledgedCount {
            campaign_id: 1,
            acknowledged: 5,
            unknown: 0,
            max_produce_ms: 1,
            max_unknown_produce_ms: 0,
        }];
        for producer in 0..2 {
            let windows = vec![(0, counts.clone())];
            auditor.acknowledged(&EventsAcknowledged {
                producer,
                complete_before: i64::MAX,
                windows,
                end: None,
            });
        }
        auditor.written(WindowWritten {
            window_id: 0,
            results: 1,
            by_producer: vec![(1, vec![4, 6])],
        });
        auditor.result(&result(1, 10), None);
        auditor.judge_complete();
        assert!(!auditor.totals().exact());
        assert_eq!((auditor.totals().events_missing, auditor.totals().events_extra), (1, 1));
        let found: Vec<_> =
            auditor.take_findings().iter().map(|f| (f.kind, f.producer, f.count)).collect();
        assert_eq!(
            found,
            [(FindingKind::EventsMissing, Some(0), 1), (FindingKind::EventsExtra, Some(1), 1)]
        );
    }

    #[test]
    fn a_result_that_says_another_time_or_other_bounds_is_wrong_though_its_count_is_right() {
        let lies: [fn(&mut ResultRecord); 4] = [
            |result| result.max_produce_time = 2,
            |result| result.max_produce_time = 0,
            |result| result.window_start = -1,
            |result| result.window_end = 2,
        ];
        for lie in lies {
            let mut auditor = Auditor::with_truth(FRAME, &vec![(0, vec![truth(0, 5)])]);
            let mut wrong = result(3, 5);
            lie(&mut wrong);
            auditor.result(&wrong, None);
            auditor.judge_rest();
            let AuditTotals { results_wrong, windows, windows_exact, .. } = *auditor.totals();
            assert_eq!((results_wrong, windows, windows_exact), (1, 1, 1), "{wrong:?}");
            assert!(!auditor.totals().exact());
            assert_eq!(auditor.take_findings()[0].kind, FindingKind::ResultWrong);
        }
    }

    #[test]
    fn events_of_unknown_fate_may_be_the_latest_of_a_result_or_not() {
        let truth = Truth { unknown: 1, max_unknown_produce_ms: 9, ..truth(0, 5) };
        for (time, is_wrong) in [(1, 0), (9, 0), (10, 1), (0, 1)] {
            let mut auditor = Auditor::with_truth(FRAME, &vec![(0, vec![truth])]);
            auditor.result(&ResultRecord { max_produce_time: time, ..result(3, 5) }, None);
            auditor.judge_rest();
            assert_eq!(auditor.totals().results_wrong, is_wrong, "{time}");
        }
    }

    #[test]
    fn exact_results_of_another_program_leave_no_finding() {
        let truth = |producer| Truth { campaign_id: 1, ..truth(producer, 5) };
        let mut auditor = Auditor::with_truth(FRAME, &vec![(0, vec![truth(0), truth(1)])]);
        auditor.result(&result(1, 10), None);
        auditor.judge_rest();
        assert!(auditor.totals().exact());
        assert_eq!(auditor.take_findings(), []);
    }

    fn truth(producer: u32, acknowledged: u64) -> Truth {
        Truth {
            campaign_id: 3,
            producer,
            acknowledged,
            unknown: 0,
            max_produce_ms: 1,
            max_unknown_produce_ms: 0,
        }
    }

    fn judge_others(truths: Vec<Truth>, counts: &[u64]) -> (AuditTotals, Vec<Finding>) {
        let mut auditor = Auditor::with_truth(FRAME, &vec![(7, truths)]);
        for (campaign_id, &count) in (3..).zip(counts) {
            let (window_start, window_end) = (7, 8);
            let run_id = String::new();
            let result = ResultRecord {
                run_id,
                window_id: 7,
                window_start,
                window_end,
                campaign_id,
                count,
                max_produce_time: 1,
            };
            auditor.result(&result, None);
        }
        auditor.judge_rest();
        (auditor.totals().clone(), auditor.take_findings())
    }

    #[test]
    fn results_of_others_are_found_wrong_only_where_they_are() {
        let both = || vec![truth(0, 5), truth(1, 6)];
        let (totals, findings) = judge_others(both(), &[11]);
        assert!(totals.exact() && findings.is_empty(), "{findings:?}");
        let (totals, findings) = judge_others(both(), &[9]);
        assert_eq!((totals.events_missing, findings.len()), (2, 1), "{findings:?}");
        // Whose events are missing cannot be told from the outside, unless only one produced.
        assert_eq!((findings[0].count, findings[0].producer), (2, None));
        let (_, findings) = judge_others(vec![truth(4, 5)], &[6]);
        assert_eq!((findings[0].kind, findings[0].producer), (FindingKind::EventsExtra, Some(4)));
    }

    #[test]
    fn counts_beyond_all_reason_are_still_counted() {
        let (totals, _) =
            judge_others(vec![truth(0, u64::MAX), truth(1, u64::MAX)], &[0, u64::MAX, u64::MAX]);
        assert_eq!((totals.events_missing, totals.events_extra), (u64::MAX, u64::MAX));
    }
}
