//! The figures of a run that are compared: one value a second, or a window, of its measured part.

use serde::Serialize;
use streamgauge_actors::{LatencyKind, Quantiles, Second};

use super::ends::Ends;
use super::meaning::PRODUCED;
use super::welch::Sample;
use crate::report::{ModeName, Report};

/// Which direction of a metric is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// A latency.
    Lower,
    /// A rate.
    Higher,
}

/// What one value of a metric stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// A second of a run.
    Second,
    /// A window of a run.
    Window,
    /// A whole run.
    Run,
}

/// One metric of one run, or of several.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name: `publish_latency.p99_ms`.
    pub name: String,
    /// What a value stands for.
    pub per: Per,
    /// Which direction is good.
    pub better: Better,
    /// Its values, in the order of time.
    pub values: Vec<f64>,
    /// The step in which the values are measured: they differ by as much, even where they look the
    /// same.
    pub resolution: f64,
    /// Where it begins and ends, in every run that the values are of; empty: it is no latency.
    pub ends: Vec<Ends>,
}

/// The step in which a latency of this value is measured: that of its clocks, or that of the
/// histogram. (Three significant digits: no bucket is wider than a 1024th of its value.)
pub(crate) fn latency_step(resolution_ms: f64, value_ms: f64) -> f64 {
    resolution_ms.max(value_ms / 1024.0)
}

impl Metric {
    /// What the values say of their mean: neighbouring seconds resemble each other, whole runs are
    /// independent.
    pub(crate) fn sample(&self) -> Option<Sample> {
        match self.per {
            Per::Second | Per::Window => Sample::of(&self.values),
            Per::Run => Sample::independent(&self.values, self.resolution),
        }
    }
}

/// All metrics, the same ones for every report, in the order of a comparison; without values where
/// nothing was measured.
pub fn metrics(report: &Report) -> Vec<Metric> {
    let rate = |name: &str, has: bool, of: fn(&Second) -> u64| Metric {
        name: name.to_owned(),
        per: Per::Second,
        // An event.
        resolution: 1.0,
        better: Better::Higher,
        values: if has { rates(report, of) } else { Vec::new() },
        ends: Vec::new(),
    };
    let mode = report.mode;
    let produces = matches!(mode, ModeName::Run | ModeName::Produce);
    let consumes = matches!(mode, ModeName::Run | ModeName::Aggregate);
    let of_produced: fn(&Second) -> u64 = if report.schema_version < PRODUCED.since {
        |row| row.produced
    } else {
        |row| row.acknowledged
    };
    let mut metrics = vec![
        rate(PRODUCED.path, produces, of_produced),
        rate("throughput.consumed_per_second", consumes, |row| row.consumed),
    ];
    for kind in LatencyKind::ALL {
        let figure = |figure: &str, of: fn(&Quantiles) -> f64| {
            latency(
                format!("{}.{figure}", kind.name()),
                Per::Second,
                (kind, report),
                measured(report).filter_map(|row| row.latency.get(kind)).map(of).collect(),
            )
        };
        metrics.extend([
            figure("p50_ms", |second| second.p50_ms),
            figure("p99_ms", |second| second.p99_ms),
        ]);
    }
    let windows = report.windows.iter().filter(|window| !window.warmup && !window.partial);
    metrics.push(latency(
        "windows.result_latency_ms_avg".to_owned(),
        Per::Window,
        (LatencyKind::HEADLINE, report),
        windows.filter_map(|window| window.result_latency_ms_avg).collect(),
    ));
    metrics
}

fn latency(
    name: String,
    per: Per,
    (kind, report): (LatencyKind, &Report),
    values: Vec<f64>,
) -> Metric {
    let own_ms = report.latency.get(kind).map_or(0.0, |figures| figures.resolution_ms);
    let mean_ms = values.iter().sum::<f64>() / values.len().max(1) as f64;
    Metric {
        name,
        per,
        better: Better::Lower,
        resolution: latency_step(own_ms.max(kind.resolution_ms()), mean_ms),
        ends: vec![Ends::of(kind, report)],
        values,
    }
}

/// The rows after the warm-up. The last ones may lie behind the schedule's end, while the last
/// windows are closed.
fn measured(report: &Report) -> impl Iterator<Item = &Second> {
    let from = report.warmup_s.ceil() as i64;
    report.series.iter().filter(move |row| row.second >= from)
}

/// Events per second in each row: with a schedule, of its whole seconds but the last, since the
/// stages' last reports come only after its end; without one, from the first second with events to
/// the last, these two left out, since they are parts of seconds.
fn rates(report: &Report, of: fn(&Second) -> u64) -> Vec<f64> {
    let scheduled = matches!(report.mode, ModeName::Run | ModeName::Produce);
    if scheduled {
        let until = (report.warmup_s + report.duration_s).floor() as i64 - 1;
        return measured(report)
            .filter(|row| row.second + i64::from(row.seconds) <= until)
            .map(|row| row.per_second(of(row)))
            .collect();
    }
    let all: Vec<f64> = report.series.iter().map(|row| row.per_second(of(row))).collect();
    let busy = |count: &f64| *count > 0.0;
    let (first, last) = (all.iter().position(busy), all.iter().rposition(busy));
    let whole = first.zip(last).and_then(|(first, last)| all.get(first + 1..last));
    whole.unwrap_or_default().to_vec()
}
