//! The other truth: what producers say they sent, held against the schedule drawn again.

use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::truth::ledger::AcknowledgedCount;
use crate::workload::arrivals::{ArrivalKind, Arrivals};
use crate::workload::spec::RunSpec;

/// What a claim costs besides its events, in draws.
const CLAIM_DRAWS: u64 = 16;

/// What may wait to be compared, in windows: some megabytes.
const MAX_WAITING: usize = 1 << 18;
/// What a claim takes besides its windows, in windows.
const CLAIM_WINDOWS: usize = 5;

/// How a producer's schedule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerEnd {
    /// Nothing intended at this time or later was sent.
    pub end_ns: Nanos,
    /// Events before that which were given up.
    pub never_sent: u64,
    /// Whether those were too many to be counted.
    pub is_estimated: bool,
}

/// What the comparison found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScheduleTotals {
    /// Events sent that were compared.
    pub(crate) checked: u64,
    /// Events of the schedule that were neither sent nor given up.
    pub(crate) skipped: u64,
    /// Events that were sent, or given up, and that the schedule does not have.
    pub(crate) unscheduled: u64,
}

/// Compares, window by window and producer by producer, in small steps. It draws the arrivals alone
/// and from the seed, so that a generator that skips is found as surely as a broker that loses.
#[derive(Clone, Debug)]
pub(crate) struct ScheduleAudit {
    base_ns: Nanos,
    window_ns: Nanos,
    producers: Vec<ProducerSchedule>,
    claims: VecDeque<Claim>,
    /// What `claims` take, in windows.
    waiting: usize,
    max_waiting: usize,
    is_too_much: bool,
    /// Events that will not be compared: too much waited, or it was not counted.
    left_out: u64,
    totals: ScheduleTotals,
}

/// The schedule of one producer, drawn as far as it was compared.
#[derive(Clone, Debug)]
struct ProducerSchedule {
    arrivals: Arrivals,
    /// Drawn in the window that is under way.
    drawn: u64,
}

/// What a producer says of its windows before some time.
#[derive(Clone, Debug)]
struct Claim {
    producer: u32,
    until_ns: Nanos,
    /// Windows in order, and the events sent in each.
    sent: VecDeque<(i64, u64)>,
    /// What it took when it came, in windows.
    windows: usize,
    /// Events that were given up and not found in the schedule yet.
    never_sent: u64,
    /// Whether some were found: then nothing was sent any more.
    is_given_up: bool,
}

impl ScheduleAudit {
    /// Of a run that begins at `base_ns`; `None`: it has no schedule, or nobody asks for this.
    pub(crate) fn if_wanted(spec: &RunSpec, base_ns: Nanos) -> Option<Self> {
        let is_wanted = spec.workload.check_schedule && spec.workload.arrivals != ArrivalKind::Max;
        is_wanted.then(|| Self::new(spec, base_ns))
    }

    /// Of a run that begins at `base_ns`.
    pub(crate) fn new(spec: &RunSpec, base_ns: Nanos) -> Self {
        let workload = &spec.workload;
        let producers = (0..workload.producers)
            .map(|producer| ProducerSchedule { arrivals: spec.arrivals(producer), drawn: 0 });
        Self {
            base_ns,
            window_ns: workload.window.as_nanos(),
            producers: producers.collect(),
            claims: VecDeque::new(),
            waiting: 0,
            max_waiting: MAX_WAITING,
            is_too_much: false,
            left_out: 0,
            totals: ScheduleTotals::default(),
        }
    }

    /// All producers have another rate from a time on: events per second over all of them.
    pub(crate) fn set_rate(&mut self, at_ns: Nanos, events_per_second: f64) {
        let rate = events_per_second / self.producers.len() as f64;
        for producer in &mut self.producers {
            producer.arrivals.set_rate(at_ns - self.base_ns, rate);
        }
    }

    /// Takes what a producer says: it sent so much in these windows, and no more in any before
    /// `complete_before` that is not among them.
    pub(crate) fn claim(
        &mut self,
        producer: u32,
        complete_before: i64,
        windows: &[(i64, Vec<AcknowledgedCount>)],
        end: Option<ProducerEnd>,
    ) {
        let until_ns = end.map_or_else(
            || complete_before.saturating_mul(self.window_ns),
            |end| end.end_ns - self.base_ns,
        );
        let sum = |counts: &[AcknowledgedCount]| {
            counts.iter().map(|count| count.acknowledged + count.unknown).sum()
        };
        let sent: VecDeque<(i64, u64)> =
            windows.iter().map(|(window, counts)| (*window, sum(counts))).collect();
        // What was not counted cannot be compared; and where too much waits, a producer's later
        // windows cannot be compared without the earlier ones.
        self.is_too_much |= self.waiting >= self.max_waiting;
        if self.is_too_much || end.is_some_and(|end| end.is_estimated) {
            self.left_out += sum_of(&sent);
            return;
        }
        let never_sent = end.map_or(0, |end| end.never_sent);
        let windows = sent.len() + CLAIM_WINDOWS;
        self.waiting += windows;
        let is_given_up = false;
        self.claims.push_back(Claim { producer, until_ns, sent, windows, never_sent, is_given_up });
    }

    /// Events that producers say they sent, and that were not compared.
    pub(crate) fn unchecked(&self) -> u64 {
        self.left_out + self.claims.iter().map(|claim| sum_of(&claim.sent)).sum::<u64>()
    }

    /// What was found so far.
    pub(crate) fn totals(&self) -> ScheduleTotals {
        self.totals
    }

    /// Compares on, about so many events; false: there is nothing to compare.
    pub(crate) fn step(&mut self, mut draws: u64) -> bool {
        let is_any = !self.claims.is_empty();
        while draws > 0 && self.compare_first(&mut draws) {}
        is_any
    }

    /// Compares the first claim, as far as the draws go; false: there is none, or it is not done.
    fn compare_first(&mut self, draws: &mut u64) -> bool {
        let Some(claim) = self.claims.front_mut() else { return false };
        let producer = &mut self.producers[claim.producer as usize];
        *draws = draws.saturating_sub(CLAIM_DRAWS);
        loop {
            let next_ns = producer.arrivals.peek();
            if next_ns >= claim.until_ns {
                break;
            }
            let window = next_ns.div_euclid(self.window_ns);
            let end_ns = (window + 1).saturating_mul(self.window_ns).min(claim.until_ns);
            let (count, is_all) = producer.arrivals.skip_before(end_ns, *draws);
            producer.drawn += count;
            *draws -= count.min(*draws);
            if !is_all {
                return false;
            }
            let scheduled = std::mem::take(&mut producer.drawn);
            self.totals.unscheduled += claim.skip_before(window);
            let sent = claim.sent.pop_front_if(|sent| sent.0 == window).map_or(0, |sent| sent.1);
            self.totals.add(scheduled, sent, claim);
        }
        // Nothing of the schedule lies in these windows.
        self.totals.unscheduled += claim.skip_before(i64::MAX) + claim.never_sent;
        self.waiting -= claim.windows;
        self.claims.pop_front();
        true
    }
}

impl Claim {
    /// Takes the windows before this one, of which the schedule has no events; gives the events
    /// that were sent in them.
    fn skip_before(&mut self, window: i64) -> u64 {
        let mut events = 0;
        while let Some((_, sent)) = self.sent.pop_front_if(|sent| sent.0 < window) {
            events += sent;
        }
        events
    }
}

fn sum_of(sent: &VecDeque<(i64, u64)>) -> u64 {
    sent.iter().map(|(_, events)| events).sum()
}

impl ScheduleTotals {
    /// A window of the schedule has `drawn` events, and the producer says that it sent `sent`.
    fn add(&mut self, drawn: u64, sent: u64, claim: &mut Claim) {
        self.checked += sent;
        // What is given up is all behind some place.
        let holes = if claim.is_given_up { sent } else { 0 };
        let never = drawn.saturating_sub(sent).min(claim.never_sent);
        claim.never_sent -= never;
        claim.is_given_up |= never > 0;
        self.skipped += drawn.saturating_sub(sent) - never + holes;
        self.unscheduled += sent.saturating_sub(drawn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::testing::small_spec;
    use crate::units::{Rate, Span};

    const BASE: Nanos = 1_700_000_000 * SECOND;

    /// One producer of 1,000 events a second, in windows of a second.
    fn spec() -> RunSpec {
        small_spec("schedule").with(|spec| {
            spec.workload.producers = 1;
            spec.workload.rate = Rate(1000.0);
            spec.workload.arrivals = ArrivalKind::PoissonNormalized;
            spec.workload.window = Span::from_nanos(SECOND);
        })
    }

    fn sent(window: i64, acknowledged: u64) -> (i64, Vec<AcknowledgedCount>) {
        let count = AcknowledgedCount {
            campaign_id: 1,
            acknowledged,
            unknown: 0,
            max_produce_ms: 1,
            max_unknown_produce_ms: 0,
        };
        (window, vec![count])
    }

    fn end(seconds: i64, never_sent: u64) -> ProducerEnd {
        ProducerEnd { end_ns: BASE + seconds * SECOND, never_sent, is_estimated: false }
    }

    fn compared(mut audit: ScheduleAudit) -> (u64, u64, u64) {
        while audit.step(100) {}
        let ScheduleTotals { checked, skipped, unscheduled } = audit.totals();
        (checked, skipped, unscheduled)
    }

    #[test]
    fn what_was_sent_is_what_was_scheduled_or_is_named() {
        let audit = ScheduleAudit::new(&spec(), BASE);
        let claims = |first: u64, second: u64| {
            let mut audit = audit.clone();
            audit.claim(0, 1, &[sent(0, first)], None);
            audit.claim(0, i64::MAX, &[sent(1, second)], Some(end(2, 0)));
            compared(audit)
        };
        assert_eq!(claims(1000, 1000), (2000, 0, 0));
        assert_eq!(claims(999, 1000), (1999, 1, 0));
        assert_eq!(claims(1000, 1001), (2001, 0, 1));
        let mut silent = audit.clone();
        silent.claim(0, 3, &[sent(0, 1000), sent(2, 1000)], None);
        assert_eq!(compared(silent), (2000, 1000, 0), "a window that was left out");
    }

    #[test]
    fn what_was_given_up_is_no_fault_where_it_is_all_that_lies_behind() {
        let audit = ScheduleAudit::new(&spec(), BASE);
        let claims = |windows: &[(i64, Vec<AcknowledgedCount>)], never_sent| {
            let mut audit = audit.clone();
            audit.claim(0, i64::MAX, windows, Some(end(3, never_sent)));
            compared(audit)
        };
        assert_eq!(claims(&[sent(0, 1000), sent(1, 400)], 1600), (1400, 0, 0));
        assert_eq!(claims(&[sent(0, 1000), sent(1, 400)], 1599), (1400, 1, 0));
        assert_eq!(claims(&[sent(0, 1000), sent(1, 400)], 1601), (1400, 0, 1));
        assert_eq!(claims(&[sent(0, 1000), sent(2, 1000)], 1000), (2000, 1000, 0), "a hole");
    }

    #[test]
    fn where_too_much_waits_the_rest_is_left_out_and_counted() {
        let mut audit = ScheduleAudit::new(&spec(), BASE);
        audit.max_waiting = 2 * (CLAIM_WINDOWS + 1);
        for window in 0..5 {
            audit.claim(0, window + 1, &[sent(window, 1000)], None);
        }
        assert_eq!(audit.unchecked(), 5000);
        while audit.step(100) {}
        audit.claim(0, i64::MAX, &[sent(5, 1000)], Some(end(6, 0)));
        assert_eq!((audit.unchecked(), compared(audit)), (4000, (2000, 0, 0)));
    }

    #[test]
    fn a_change_of_the_rate_is_part_of_the_schedule() {
        let mut audit = ScheduleAudit::new(&spec(), BASE);
        audit.set_rate(BASE + SECOND, 2000.0);
        audit.claim(0, i64::MAX, &[sent(0, 1000), sent(1, 2000)], Some(end(2, 0)));
        assert_eq!(audit.unchecked(), 3000);
        assert_eq!(compared(audit), (3000, 0, 0));
    }
}
