//! The series of a run: a row for each second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measures::backlog::{Backlog, Load};
use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::PerLatency;

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
