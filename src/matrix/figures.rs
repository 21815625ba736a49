//! What is taken from each run's report, and summed up over a cell's runs.

use std::collections::BTreeMap;

use serde::Serialize;
use streamgauge_actors::{Grade, LatencyKind, PerLatency, RunState, Verdict};

use crate::report::compare::ends::Ends;
use crate::report::compare::{Better, Metric, Per, latency_step};
use crate::report::{LatencyFigures, Report};

/// A figure that every run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Events handed to the client, per second.
    Produced,
    /// Events taken by the aggregators, per second.
    Consumed,
    /// Processor time of the program per event.
    Cpu,
    /// A latency's median.
    Median(LatencyKind),
    /// A latency's 99th percentile.
    P99(LatencyKind),
}

use Figure::{Consumed, Cpu, Median, P99, Produced};
use LatencyKind::{EndToEnd, EventLatency, PublishLatency, ResultLatency, ResultLatencyIntended};

impl Figure {
    /// All that are shown and compared, in the order of a report.
    pub const ALL: [Self; 13] = [
        Produced,
        Consumed,
        Cpu,
        Median(ResultLatency),
        P99(ResultLatency),
        Median(ResultLatencyIntended),
        P99(ResultLatencyIntended),
        Median(EndToEnd),
        P99(EndToEnd),
        Median(PublishLatency),
        P99(PublishLatency),
        Median(EventLatency),
        P99(EventLatency),
    ];

    /// Its path in a run's report, below `latency` for latencies.
    pub fn name(self) -> String {
        match self {
            Produced => "throughput.produced_per_second".to_owned(),
            Consumed => "throughput.consumed_per_second".to_owned(),
            Cpu => "resources.cpu_us_per_event".to_owned(),
            Median(kind) => format!("{}.p50_ms", kind.name()),
            P99(kind) => format!("{}.p99_ms", kind.name()),
        }
    }

    /// Which direction is good.
    pub fn better(self) -> Better {
        if self.is_rate() { Better::Higher } else { Better::Lower }
    }

    /// Its value in one run.
    fn of_run(self, report: &Report) -> Option<f64> {
        match self {
            Produced => report.throughput.produced_per_second,
            Consumed => report.throughput.consumed_per_second,
            Cpu => report.resources.cpu_us_per_event,
            Median(kind) => report.latency.get(kind)?.p50_ms,
            P99(kind) => report.latency.get(kind)?.p99_ms,
        }
    }

    /// The step in which it is measured in one run.
    fn resolution(self, report: &Report) -> f64 {
        match self {
            // An event more or less.
            Produced | Consumed if report.duration_s > 0.0 => 1.0 / report.duration_s,
            Produced | Consumed => 0.0,
            Cpu => report.cpu_resolution_us_per_event().unwrap_or(0.0),
            Median(kind) | P99(kind) => report.latency.get(kind).map_or(0.0, |latency| {
                latency_step(latency.resolution_ms, self.of_run(report).unwrap_or(0.0))
            }),
        }
    }

    /// Where it begins and ends in one run, if it is a latency that the run has.
    fn ends(self, report: &Report) -> Option<Ends> {
        self.of_run(report)?;
        Some(Ends::of(self.kind()?, report))
    }

    /// The latency that it is of.
    fn kind(self) -> Option<LatencyKind> {
        match self {
            Produced | Consumed | Cpu => None,
            Median(kind) | P99(kind) => Some(kind),
        }
    }

    /// Whether it is a rate: what the run was asked for, in the first place.
    pub(super) fn is_rate(self) -> bool {
        matches!(self, Produced | Consumed)
    }

    /// Its value over all runs of a cell: of latencies that of the merged histogram, else the mean.
    fn of_cell(self, latency: &PerLatency<LatencyFigures>, values: &[f64]) -> Option<f64> {
        match self {
            Median(kind) => latency.get(kind)?.p50_ms,
            P99(kind) => latency.get(kind)?.p99_ms,
            Produced | Consumed | Cpu => {
                (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
            }
        }
    }
}

/// One run of the matrix.
#[derive(Clone, Debug)]
pub struct MatrixRun {
    /// Its cell, counted from 0.
    pub cell: usize,
    /// Its round, counted from 0.
    pub round: usize,
    /// Its place among all runs, counted from 0.
    pub place: usize,
    /// Its report, and the file that holds it besides the history; or why there is none.
    pub result: Result<(Report, Option<String>), String>,
}

impl MatrixRun {
    /// How grave its verdict is.
    pub fn grade(&self) -> Grade {
        self.result.as_ref().map_or(Grade::Error, |(report, _)| report.grade())
    }

    /// The verdict on it.
    pub fn verdict(&self) -> Verdict {
        self.result.as_ref().map_or(Grade::Error.verdict(), |(report, _)| report.verdict)
    }

    /// Why.
    pub fn reason(&self) -> &str {
        match &self.result {
            Ok((report, _)) => report.reasons.first().map_or("", String::as_str),
            Err(error) => error,
        }
    }

    /// Its report, if it was played to its end.
    pub fn completed(&self) -> Option<&Report> {
        let (report, _) = self.result.as_ref().ok()?;
        (report.ending.how == RunState::Completed).then_some(report)
    }

    /// Its figures by their names.
    pub fn figures(&self) -> BTreeMap<String, Option<f64>> {
        let of = |figure: Figure| self.completed().and_then(|report| figure.of_run(report));
        Figure::ALL.into_iter().map(|figure| (figure.name(), of(figure))).collect()
    }
}

/// One figure over the runs of a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CellFigure {
    /// Of latencies the percentile of all runs' samples together, else the mean of the runs.
    pub value: Option<f64>,
    /// Runs that have it.
    pub runs: usize,
    /// Standard deviation of the runs' own values; `null` with fewer than two.
    pub standard_deviation: Option<f64>,
    /// The least of the runs' own values.
    pub least: Option<f64>,
    /// The greatest.
    pub greatest: Option<f64>,
    /// The value over that of the cell's floor; `null`: it has none.
    pub relative_to_floor: Option<f64>,
}

/// All figures of a cell.
#[derive(Clone, Debug)]
pub struct CellFigures {
    /// The latencies, the histograms of all runs merged.
    pub latency: PerLatency<LatencyFigures>,
    /// The runs' own values, one metric each, in the order of [`Figure::ALL`].
    pub samples: Vec<Metric>,
    /// The figures, in the same order.
    pub figures: Vec<CellFigure>,
}

impl CellFigures {
    /// Of the reports of a cell's runs.
    ///
    /// # Errors
    /// When a stored histogram cannot be read.
    pub fn of(reports: &[&Report]) -> anyhow::Result<Self> {
        let mut latency = PerLatency::default();
        for kind in LatencyKind::ALL {
            let merged = LatencyFigures::merged(
                reports.iter().filter_map(|report| report.latency.get(kind)),
            )?;
            latency.set(kind, merged);
        }
        let sample = |figure: Figure| Metric {
            name: figure.name(),
            per: Per::Run,
            better: figure.better(),
            values: reports.iter().filter_map(|report| figure.of_run(report)).collect(),
            resolution: reports.iter().map(|report| figure.resolution(report)).fold(0.0, f64::max),
            ends: reports.iter().filter_map(|report| figure.ends(report)).collect(),
        };
        let samples: Vec<Metric> = Figure::ALL.into_iter().map(sample).collect();
        let figures = Figure::ALL.into_iter().zip(&samples).map(|(figure, sample)| {
            let values = &sample.values;
            CellFigure {
                value: figure.of_cell(&latency, values),
                runs: values.len(),
                standard_deviation: sample.sample().and_then(|sample| sample.standard_deviation),
                least: values.iter().copied().min_by(f64::total_cmp),
                greatest: values.iter().copied().max_by(f64::total_cmp),
                relative_to_floor: None,
            }
        });
        Ok(Self { figures: figures.collect(), latency, samples })
    }

    /// Puts every figure in relation to the floor's, but rates, and latencies that begin or end
    /// elsewhere.
    pub fn relate(&mut self, floor: &Self) {
        let alike: Vec<bool> = (self.samples.iter().zip(&floor.samples))
            .map(|(own, floor)| Ends::apart(&[&own.ends[..], &floor.ends].concat()).is_none())
            .collect();
        let figures = Figure::ALL.into_iter().zip(alike).zip(&mut self.figures).zip(&floor.figures);
        let related = figures.filter(|(((figure, alike), _), _)| *alike && !figure.is_rate());
        for ((_, own), floor) in related {
            let share = own.value.zip(floor.value).map(|(own, floor)| own / floor);
            own.relative_to_floor = share.filter(|share| share.is_finite());
        }
    }
}
