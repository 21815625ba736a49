//! The reports of all stages put together: totals, whole-run histograms, and the series.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::clock::{MILLISECOND, Nanos, SECOND, to_millis};
use crate::cpu::MachineCpu;
use crate::measures::backlog::{Backlog, Load};
use crate::measures::counters::StageCounters;
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::{LatencyKind, PerLatency};
use crate::measures::rows::SeriesRows;
use crate::measures::series::{Quantiles, Second};
use crate::stage_id::StageId;

/// Puts the stages' reports together: totals, whole-run histograms and the series.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    base_ns: Nanos,
    /// `None`: nobody asks for a rate.
    targets: Option<Targets>,
    stages: BTreeMap<StageId, LastReport>,
    latencies: BTreeMap<LatencyKind, LatencyHistogram>,
    open: BTreeMap<i64, OpenSecond>,
    /// Acknowledged and not read at the end of the latest closed second; negative where what was
    /// read is not acknowledged yet.
    unread: i64,
    /// The machine's processor time, when it was last looked at.
    machine: Option<(Nanos, MachineCpu)>,
    /// The second that was closed last.
    latest: Option<Second>,
    rows: SeriesRows,
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

/// What a stage told last, and of when.
#[derive(Clone, Debug)]
struct LastReport {
    at_ns: Nanos,
    counters: StageCounters,
}

#[derive(Clone, Debug, Default)]
struct OpenSecond {
    delta: StageCounters,
    /// How far behind the readers were, and the writers.
    readers_behind_ns: Option<Nanos>,
    writers_behind_ns: Option<Nanos>,
    /// Whether aggregators have told of it.
    has_readers: bool,
    /// Producers whose load is in `load`.
    producers: u32,
    load: Load,
    /// Processors that this process used, and others; `None`: not known.
    cpus: Option<(f64, f64)>,
    latencies: BTreeMap<LatencyKind, LatencyHistogram>,
}

/// Seconds that the collector waits for the slowest stage's report: a stage reports a second right
/// after its end.
const REPORT_SLACK_S: i64 = 1;

/// A shorter time says nothing of a stage's load.
const LEAST_LOAD_NS: Nanos = 200 * MILLISECOND;

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
            unread: 0,
            machine: None,
            latest: None,
            rows: SeriesRows::default(),
        }
    }

    /// The target from `at_ns` on.
    pub(crate) fn set_target(&mut self, at_ns: Nanos, target: f64) {
        if let Some(targets) = &mut self.targets {
            targets.0.push((at_ns, target));
        }
    }

    /// The mean target over `from..to`; `None`: nobody asks for a rate.
    pub(crate) fn mean_target(&self, from: Nanos, to: Nanos) -> Option<f64> {
        self.targets.as_ref().map(|targets| targets.mean(from, to))
    }

    fn close(&mut self, second: i64, open: &OpenSecond) -> Second {
        let from = self.base_ns.saturating_add(second.saturating_mul(SECOND));
        let to = from.saturating_add(SECOND);
        let target = self.targets.as_ref().map(|targets| targets.mean(from, to));
        let delta = &open.delta;
        self.unread += delta.acknowledged as i64 - delta.consumed as i64;
        let unread = if self.has_producers() { self.unread.max(0) as u64 } else { delta.lag };
        let closed = open.close(second, to_millis(from), target, unread);
        self.rows.push(closed.clone(), &open.latencies);
        self.latest = Some(closed.clone());
        closed
    }

    fn has_producers(&self) -> bool {
        self.stages.keys().any(|stage| stage.producers() > 0)
    }

    /// Whether the machine's processor time is to be noted: once a second, right after its end.
    pub(crate) fn wants_machine(&self, now: Nanos) -> bool {
        let second = |at: Nanos| (at - self.base_ns).div_euclid(SECOND);
        now >= self.base_ns && self.machine.is_none_or(|(since, _)| second(since) < second(now))
    }

    /// Notes the machine's processor time.
    pub(crate) fn note_machine(&mut self, now: Nanos, cpu: MachineCpu) {
        if let Some((since, before)) = self.machine.replace((now, cpu)) {
            let into_second = (now - self.base_ns).rem_euclid(SECOND);
            let second = self.second_of(now - into_second);
            let cpus = cpu.shares_since(before, now - since);
            self.open.entry(second).or_default().cpus = Some(cpus);
        }
    }

    /// The open second that ended at a time, or was under way then.
    fn second_of(&self, at_ns: Nanos) -> i64 {
        let earliest = self.latest.as_ref().map_or(0, |closed| closed.second + 1);
        (at_ns - 1 - self.base_ns).div_euclid(SECOND).max(earliest)
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
    ) -> Vec<Second> {
        // A report made right at a second's end tells of that second.
        let second = self.second_of(at_ns);
        let open = self.open.entry(second).or_default();
        let before = self.stages.get(&stage);
        let span_ns = at_ns - before.map_or(self.base_ns, |before| before.at_ns);
        open.add(stage, &counters, before.map(|before| &before.counters));
        open.add_load(stage, &counters, before.map(|before| &before.counters), span_ns);
        for (kind, histogram) in latencies.iter().filter(|(_, samples)| !samples.is_empty()) {
            for all in [&mut self.latencies, &mut open.latencies] {
                match all.entry(*kind) {
                    Entry::Occupied(mut known) => known.get_mut().merge(histogram),
                    // A copy need not grow.
                    Entry::Vacant(place) => _ = place.insert(histogram.clone()),
                }
            }
        }
        // They are in the open second, and there may be thousands.
        let counters = StageCounters { watermarks: BTreeMap::new(), ..counters };
        self.stages.insert(stage, LastReport { at_ns, counters });
        let mut closed = Vec::new();
        while let Some(entry) = self.open.first_entry() {
            if is_last || *entry.key() > second - REPORT_SLACK_S {
                break;
            }
            let (second, open) = entry.remove_entry();
            closed.push(self.close(second, &open));
        }
        closed
    }

    /// All stages' totals, without watermarks.
    pub(crate) fn totals(&self) -> StageCounters {
        let mut totals = StageCounters::default();
        self.stages.values().for_each(|last| totals.add(&last.counters));
        totals
    }

    /// The latest closed second.
    pub(crate) fn latest(&self) -> Option<&Second> {
        self.latest.as_ref()
    }

    /// Ends the run: closes every second, gives series and whole-run histograms.
    pub(crate) fn finish(mut self) -> (Vec<Second>, BTreeMap<LatencyKind, LatencyHistogram>) {
        for (second, open) in std::mem::take(&mut self.open) {
            self.close(second, &open);
        }
        (self.rows.into_seconds(), self.latencies)
    }
}

impl OpenSecond {
    /// Adds what a stage's totals have become, from what they were `before`.
    fn add(&mut self, stage: StageId, counters: &StageCounters, before: Option<&StageCounters>) {
        let since = |of: fn(&StageCounters) -> u64| of(counters) - before.map_or(0, of);
        let delta = &mut self.delta;
        delta.produced += since(|of| of.produced);
        delta.acknowledged += since(|of| of.acknowledged);
        delta.consumed += since(|of| of.consumed);
        delta.results_written += since(|of| of.results_written);
        delta.ran_ns += since(|of| of.ran_ns);
        delta.lag += counters.lag;
        delta.in_flight += counters.in_flight;
        delta.unsent += counters.unsent;
        delta.watermarks.extend(&counters.watermarks);
        match stage {
            StageId::Producer(_) | StageId::ProducerGroup { .. } => {
                self.writers_behind_ns = self.writers_behind_ns.max(counters.behind_ns);
            }
            StageId::WindowAggregator(_) => {
                self.has_readers = true;
                self.readers_behind_ns = self.readers_behind_ns.max(counters.behind_ns);
            }
            StageId::ResultWriter | StageId::Latency => {}
        }
    }

    /// Adds how a stage's time went, of the `span_ns` since its report before. What trickles in
    /// behind a second's end tells nothing.
    fn add_load(
        &mut self,
        stage: StageId,
        counters: &StageCounters,
        before: Option<&StageCounters>,
        span_ns: Nanos,
    ) {
        if span_ns < LEAST_LOAD_NS {
            return;
        }
        let share = |of: fn(&StageCounters) -> u64| {
            (of(counters) - before.map_or(0, of)) as f64 / span_ns as f64
        };
        let load = &mut self.load;
        load.cpu_wait = load.cpu_wait.max(share(|of| of.waited_ns));
        match stage {
            StageId::Producer(_) | StageId::ProducerGroup { .. } => {
                self.producers += stage.producers();
                load.client_full += share(|of| of.backpressure_ns);
            }
            StageId::WindowAggregator(_) => {
                load.reader_busy = load.reader_busy.max(1.0 - share(|of| of.idle_ns));
            }
            StageId::ResultWriter | StageId::Latency => {}
        }
    }

    fn close(&self, second: i64, start_ms: i64, target: Option<f64>, unread: u64) -> Second {
        let watermark = |at: Nanos| (at != Nanos::MIN && at != Nanos::MAX).then(|| to_millis(at));
        let watermarks = self.delta.watermarks.iter();
        let stages_cpus = self.delta.ran_ns as f64 / SECOND as f64;
        // What the producers know counts where nobody reads.
        let behind_ns =
            if self.has_readers { self.readers_behind_ns } else { self.writers_behind_ns };
        let share = |value: f64| (value.clamp(0.0, 1.0) * 1000.0).round() / 1000.0;
        let cpus = |value: f64| (value.max(0.0) * 1000.0).round() / 1000.0;
        Second {
            second,
            seconds: 1,
            start_ms,
            target,
            produced: self.delta.produced,
            acknowledged: self.delta.acknowledged,
            consumed: self.delta.consumed,
            results: self.delta.results_written,
            lag: self.delta.lag,
            in_flight: self.delta.in_flight,
            behind_ms: behind_ns.map(|ns| (ns / 1000) as f64 * 1000.0 / MILLISECOND as f64),
            backlog: Backlog {
                unsent: self.delta.unsent,
                unacknowledged: self.delta.in_flight,
                unread,
            },
            load: Load {
                client_full: share(self.load.client_full / f64::from(self.producers.max(1))),
                reader_busy: share(self.load.reader_busy),
                cpu_wait: share(self.load.cpu_wait),
                client_cpus: self.cpus.map(|(own, _)| cpus(own - stages_cpus)),
                foreign_cpus: self.cpus.map(|(_, foreign)| cpus(foreign)),
            },
            watermarks_ms: watermarks.map(|(&partition, &at)| (partition, watermark(at))).collect(),
            latency: PerLatency::from_fn(|kind| self.latencies.get(&kind).and_then(Quantiles::of)),
        }
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
