//! The reports of all stages put together: totals, whole-run histograms, and a row for each second.

use std::collections::BTreeMap;

use crate::clock::{Nanos, SECOND};
use crate::measures::counters::StageCounters;
use crate::measures::histograms::{LatencyHistogram, LatencyKind};
use crate::stage_id::StageId;

/// One latency in one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// Samples.
    pub count: u64,
    /// Milliseconds.
    pub p50_ms: f64,
    /// Milliseconds.
    pub p99_ms: f64,
    /// Milliseconds.
    pub max_ms: f64,
}

/// One second of a run.
#[derive(Clone, Debug)]
pub struct Second {
    /// Seconds since the run's base.
    pub second: i64,
    /// Events that the schedule asks for.
    pub target: f64,
    /// Events handed to the client.
    pub produced: u64,
    /// Events acknowledged.
    pub acknowledged: u64,
    /// Events consumed.
    pub consumed: u64,
    /// Results acknowledged.
    pub results: u64,
    /// Records not consumed yet, at its end.
    pub lag: u64,
    /// Events in flight, at its end.
    pub in_flight: u64,
    /// Watermark per partition, at its end.
    pub watermarks: BTreeMap<u32, Nanos>,
    /// The latencies, in the order of [`LatencyKind::ALL`]; `None` where nothing was measured.
    pub latencies: [Option<Quantiles>; 6],
}

/// Puts the stages' reports together: totals, whole-run histograms and the series.
#[derive(Clone, Debug)]
pub struct Collector {
    base_ns: Nanos,
    targets: Targets,
    stages: BTreeMap<StageId, StageCounters>,
    latencies: BTreeMap<LatencyKind, LatencyHistogram>,
    open: BTreeMap<i64, OpenSecond>,
    series: Vec<Second>,
}

/// Events per second asked for, each from a time on; in order.
#[derive(Clone, Debug)]
struct Targets(Vec<(Nanos, f64)>);

impl Targets {
    /// The mean over `from..to`.
    fn mean(&self, from: Nanos, to: Nanos) -> f64 {
        let ends = self.0.iter().skip(1).map(|&(at, _)| at).chain([Nanos::MAX]);
        let parts = self.0.iter().zip(ends).map(|(&(start, target), end)| {
            let span = end.min(to).saturating_sub(start.max(from)).max(0);
            target * span as f64
        });
        parts.sum::<f64>() / (to - from) as f64
    }
}

#[derive(Clone, Debug, Default)]
struct OpenSecond {
    delta: StageCounters,
    latencies: BTreeMap<LatencyKind, LatencyHistogram>,
}

/// Seconds that the collector waits for the slowest stage's report: a stage reports a second right
/// after its end.
const REPORT_SLACK_S: i64 = 1;

impl Collector {
    /// For a run that starts at `base_ns` with `target` events per second.
    pub fn new(base_ns: Nanos, target: f64) -> Self {
        Self {
            base_ns,
            targets: Targets(vec![(Nanos::MIN, target)]),
            stages: BTreeMap::new(),
            latencies: BTreeMap::new(),
            open: BTreeMap::new(),
            series: Vec::new(),
        }
    }

    /// The target from `at_ns` on.
    pub fn set_target(&mut self, at_ns: Nanos, target: f64) {
        self.targets.0.push((at_ns, target));
    }

    fn close(&mut self, second: i64, open: OpenSecond) {
        let from = self.base_ns.saturating_add(second.saturating_mul(SECOND));
        self.series.push(open.close(second, self.targets.mean(from, from.saturating_add(SECOND))));
    }

    /// Adds one stage's report; gives the seconds that it completes. Its last one (`is_last`)
    /// completes none: it may come well before its second is over, and before other stages have
    /// told of the second before.
    pub fn add(
        &mut self,
        stage: StageId,
        at_ns: Nanos,
        is_last: bool,
        counters: StageCounters,
        latencies: &[(LatencyKind, LatencyHistogram)],
    ) -> &[Second] {
        // A report made right at a second's end tells of that second.
        let earliest = self.series.last().map_or(0, |closed| closed.second + 1);
        let second = (at_ns - 1 - self.base_ns).div_euclid(SECOND).max(earliest);
        let open = self.open.entry(second).or_default();
        let before = self.stages.get(&stage);
        open.delta.produced += counters.produced - before.map_or(0, |b| b.produced);
        open.delta.acknowledged += counters.acknowledged - before.map_or(0, |b| b.acknowledged);
        open.delta.consumed += counters.consumed - before.map_or(0, |b| b.consumed);
        open.delta.results_written +=
            counters.results_written - before.map_or(0, |b| b.results_written);
        open.delta.lag += counters.lag;
        open.delta.in_flight += counters.in_flight;
        open.delta.watermarks.extend(&counters.watermarks);
        for (kind, histogram) in latencies {
            self.latencies.entry(*kind).or_default().merge(histogram);
            open.latencies.entry(*kind).or_default().merge(histogram);
        }
        self.stages.insert(stage, counters);
        let closed_before = self.series.len();
        while let Some(entry) = self.open.first_entry() {
            if is_last || *entry.key() > second - REPORT_SLACK_S {
                break;
            }
            let (second, open) = entry.remove_entry();
            self.close(second, open);
        }
        &self.series[closed_before..]
    }

    /// All stages' totals.
    pub fn totals(&self) -> StageCounters {
        let mut totals = StageCounters::default();
        self.stages.values().for_each(|counters| totals.add(counters));
        totals
    }

    /// The latest closed second.
    pub fn latest(&self) -> Option<&Second> {
        self.series.last()
    }

    /// Ends the run: closes every second, gives series and whole-run histograms.
    pub fn finish(mut self) -> (Vec<Second>, BTreeMap<LatencyKind, LatencyHistogram>) {
        for (second, open) in std::mem::take(&mut self.open) {
            self.close(second, open);
        }
        (self.series, self.latencies)
    }
}

impl OpenSecond {
    fn close(self, second: i64, target: f64) -> Second {
        Second {
            second,
            target,
            produced: self.delta.produced,
            acknowledged: self.delta.acknowledged,
            consumed: self.delta.consumed,
            results: self.delta.results_written,
            lag: self.delta.lag,
            in_flight: self.delta.in_flight,
            watermarks: self.delta.watermarks,
            latencies: LatencyKind::ALL
                .map(|kind| self.latencies.get(&kind).and_then(Quantiles::of)),
        }
    }
}

impl Quantiles {
    /// Of a histogram; `None` where it is empty.
    pub fn of(histogram: &LatencyHistogram) -> Option<Self> {
        Some(Self {
            count: histogram.count(),
            p50_ms: histogram.quantile_ms(0.5)?,
            p99_ms: histogram.quantile_ms(0.99)?,
            max_ms: histogram.max_ms()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_target_is_what_was_asked_for_in_it() {
        let mut collector = Collector::new(0, 1000.0);
        // Told while the seconds before are still open.
        collector.set_target(2 * SECOND + SECOND / 4, 2000.0);
        for second in 1..=4 {
            collector.add(
                StageId::Producer(0),
                second * SECOND,
                false,
                StageCounters::default(),
                &[],
            );
        }
        let targets: Vec<f64> = collector.finish().0.iter().map(|second| second.target).collect();
        assert_eq!(targets, [1000.0, 1000.0, 1750.0, 2000.0]);
    }

    #[test]
    fn seconds_hold_deltas_and_totals_hold_sums() {
        let mut collector = Collector::new(0, 10.0);
        for second in 1..=5i64 {
            for producer in 0..2 {
                let counters =
                    StageCounters { produced: 10 * second as u64, ..StageCounters::default() };
                let mut histogram = LatencyHistogram::default();
                histogram.record(second * 1_000_000);
                let latencies = vec![(LatencyKind::PublishDelay, histogram)];
                collector.add(
                    StageId::Producer(producer),
                    second * SECOND,
                    false,
                    counters,
                    &latencies,
                );
            }
        }
        assert_eq!(collector.totals().produced, 100);
        // A stage that ends in the middle of a second takes nothing from those that have not told
        // of the one before.
        let ended = StageCounters { produced: 55, ..StageCounters::default() };
        assert!(
            collector
                .add(StageId::Producer(0), 5 * SECOND + SECOND / 2, true, ended, &[])
                .is_empty()
        );
        let late = StageCounters { consumed: 7, ..StageCounters::default() };
        collector.add(StageId::WindowAggregator(0), 5 * SECOND, false, late, &[]);
        let (series, latencies) = collector.finish();
        assert_eq!(series.iter().map(|s| s.second).collect::<Vec<_>>(), vec![0, 1, 2, 3, 4, 5]);
        assert!(series[..5].iter().all(|s| s.produced == 20));
        assert_eq!((series[4].consumed, series[5].produced), (7, 5));
        assert_eq!(series[4].latencies[0].unwrap().count, 2);
        assert_eq!(latencies[&LatencyKind::PublishDelay].count(), 10);
    }
}
