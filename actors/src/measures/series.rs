//! The series of a run: a row for each second.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::measures::backlog::{Backlog, Load};
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::{LatencyKind, PerLatency};

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

/// A row of a run's series: one second, or several where a run is long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Second {
    /// Seconds since the run's base.
    pub second: i64,
    /// Seconds that the row stands for; counts, and `target`, are sums over them.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default = "one")]
    pub seconds: u32,
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
    /// How far the consumer side was behind the schedule: the least in this second, milliseconds;
    /// `null`: not known.
    #[serde(default)]
    pub behind_ms: Option<f64>,
    /// Events that stood in queues at its end.
    #[serde(flatten)]
    pub backlog: Backlog,
    /// Who was busy.
    #[serde(default)]
    pub load: Load,
    /// Watermark per partition at its end, milliseconds since the Unix epoch; `null` before the
    /// first and after the last event.
    pub watermarks_ms: BTreeMap<u32, Option<i64>>,
    /// The latencies of this second.
    pub latency: PerLatency<Quantiles>,
}

fn one() -> u32 {
    1
}

impl Second {
    /// It and the row behind it as one, whose quantiles are of these samples.
    pub(crate) fn with(self, next: Self, samples: &BTreeMap<LatencyKind, Histogram<u64>>) -> Self {
        let latency = PerLatency::from_fn(|kind| {
            let [a, b] = [self.latency.get(kind), next.latency.get(kind)];
            let max_ms = a.into_iter().chain(b).map(|row| row.max_ms).reduce(f64::max)?;
            let samples = samples.get(&kind).filter(|samples| !samples.is_empty())?;
            let quantile_ms = |of| (samples.value_at_quantile(of) as f64 / 1000.0).min(max_ms);
            let (p50_ms, p99_ms) = (quantile_ms(0.5), quantile_ms(0.99));
            Some(Quantiles { count: samples.len(), p50_ms, p99_ms, max_ms })
        });
        Self {
            second: self.second,
            // Seconds that nobody told of lie between them.
            seconds: (next.second - self.second) as u32 + next.seconds,
            start_ms: self.start_ms,
            target: self.target.zip(next.target).map(|(a, b)| a + b),
            produced: self.produced + next.produced,
            acknowledged: self.acknowledged + next.acknowledged,
            consumed: self.consumed + next.consumed,
            results: self.results + next.results,
            behind_ms: [self.behind_ms, next.behind_ms].into_iter().flatten().reduce(f64::min),
            load: self.load.mean_with(next.load, [self.seconds, next.seconds]),
            latency,
            ..next
        }
    }

    /// The row that it belongs to where each stands for so many seconds.
    pub(crate) fn place(&self, span: i64) -> i64 {
        self.second.div_euclid(span)
    }

    /// A sum over the row, per second.
    pub fn per_second(&self, sum: u64) -> f64 {
        sum as f64 / f64::from(self.seconds)
    }

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
