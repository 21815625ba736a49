//! The reports of all stages put together: totals, whole-run histograms, and a row for each second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::{Nanos, SECOND, to_millis};
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::{LatencyKind, PerLatency};
use crate::stage_id::StageId;

/// One latency in one second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Quantiles {
    /// Samples.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub count: u64,
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 99 % of the samples do not exceed it, milliseconds.
    pub p99_ms: f64,
    /// The greatest, milliseconds.
    pub max_ms: f64,
}

/// One second of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Second {
    /// Seconds since the run's base.
    pub second: i64,
    /// Its first millisecond, since the Unix epoch.
    pub start_ms: i64,
    /// Events that the schedule asks for; `null` where there is no schedule.
    pub target: Option<f64>,
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
    /// Watermark per partition at its end, milliseconds since the Unix epoch; `null` before the
    /// first and after the last event.
    pub watermarks_ms: BTreeMap<u32, Option<i64>>,
    /// The latencies of this second.
    pub latency: PerLatency<Quantiles>,
}

/// Puts the stages' reports together: totals, whole-run histograms and the series.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    base_ns: Nanos,
    /// `None`: nobody asks for a rate.
    targets: Option<Targets>,
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
    /// For a run that starts at `base_ns` with `target` events per second; `None`: nobody asks for
    /// a rate.
    pub(crate) fn new(base_ns: Nanos, target: Option<f64>) -> Self {
        Self {
            base_ns,
            targets: target.map(|target| Targets(vec![(Nanos::MIN, target)])),
            stages: BTreeMap::new(),
            latencies: BTreeMap::new(),
            open: BTreeMap::new(),
            series: Vec::new(),
        }
    }

    /// The target from `at_ns` on.
    pub(crate) fn set_target(&mut self, at_ns: Nanos, target: f64) {
        if let Some(targets) = &mut self.targets {
            targets.0.push((at_ns, target));
        }
    }

    fn close(&mut self, second: i64, open: OpenSecond) {
        let from = self.base_ns.saturating_add(second.saturating_mul(SECOND));
        let to = from.saturating_add(SECOND);
        let target = self.targets.as_ref().map(|targets| targets.mean(from, to));
        self.series.push(open.close(second, to_millis(from), target));
    }

    /// Adds one stage's report; gives the seconds that it completes. Its last one (`is_last`)
    /// completes none: it may come well before its second is over, and before other stages have
    /// told of the second before.
    pub(crate) fn add(
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
    pub(crate) fn totals(&self) -> StageCounters {
        let mut totals = StageCounters::default();
        self.stages.values().for_each(|counters| totals.add(counters));
        totals
    }

    /// The latest closed second.
    pub(crate) fn latest(&self) -> Option<&Second> {
        self.series.last()
    }

    /// Ends the run: closes every second, gives series and whole-run histograms.
    pub(crate) fn finish(mut self) -> (Vec<Second>, BTreeMap<LatencyKind, LatencyHistogram>) {
        for (second, open) in std::mem::take(&mut self.open) {
            self.close(second, open);
        }
        (self.series, self.latencies)
    }
}

impl OpenSecond {
    fn close(self, second: i64, start_ms: i64, target: Option<f64>) -> Second {
        let watermark = |at: Nanos| (at != Nanos::MIN && at != Nanos::MAX).then(|| to_millis(at));
        let watermarks = self.delta.watermarks.into_iter();
        Second {
            second,
            start_ms,
            target,
            produced: self.delta.produced,
            acknowledged: self.delta.acknowledged,
            consumed: self.delta.consumed,
            results: self.delta.results_written,
            lag: self.delta.lag,
            in_flight: self.delta.in_flight,
            watermarks_ms: watermarks.map(|(partition, at)| (partition, watermark(at))).collect(),
            latency: PerLatency::from_fn(|kind| self.latencies.get(&kind).and_then(Quantiles::of)),
        }
    }
}

impl Second {
    /// Leaves out what a step of the wall clock spoils.
    #[must_use]
    pub fn unspoiled(self, clock_stepped: bool) -> Self {
        Self { latency: self.latency.unspoiled(clock_stepped), ..self }
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
        let mut collector = Collector::new(0, Some(1000.0));
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
        let targets: Vec<f64> =
            collector.finish().0.iter().filter_map(|second| second.target).collect();
        assert_eq!(targets, [1000.0, 1000.0, 1750.0, 2000.0]);
    }

    #[test]
    fn seconds_hold_deltas_and_totals_hold_sums() {
        let mut collector = Collector::new(0, Some(10.0));
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
        assert_eq!(series[4].latency.get(LatencyKind::PublishDelay).unwrap().count, 2);
        assert_eq!(latencies[&LatencyKind::PublishDelay].count(), 10);
    }
}
