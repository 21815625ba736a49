//! Whether a cell differs from its baseline: Welch's test of the runs, Holm's adjustment over all
//! comparisons of the matrix.
//!
//! One run is one value: seconds of a run resemble each other, and what differs from run to run
//! (where partitions and files lie, what else the machine did) is the same for all of them. So the
//! seconds, which `compare` must make do with, cannot tell a cell from an accident of its one run;
//! repetitions can.

use serde::Serialize;

use streamgauge_actors::LatencyKind;

use super::cell_report::CellReport;
use super::figures::{CellFigures, Figure};
use crate::report::compare::{MetricRow, MetricVerdict, conclude};

/// Stands where a cell is no result.
pub(super) const NO_RESULT: &str = "not every run passed, so it is no result";

/// Stands where different rates were asked for.
pub(super) const OTHER_TARGET: &str = "another rate was asked for";

/// Stands where the latency ends at different points.
const OTHER_END: &str = "one ends at the insertion, the other at the acknowledgement";

/// A cell compared with its baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CellComparison {
    /// The cell's number.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub cell: usize,
    /// The number of the cell that it is compared with.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub baseline: usize,
    /// The conclusion, in words.
    pub conclusion: String,
    /// Every figure; the values tested are the runs' own, one each.
    pub metrics: Vec<MetricRow>,
}

/// Compares every cell with its baseline.
pub fn comparisons(cells: &[CellReport], figures: &[CellFigures]) -> Vec<CellComparison> {
    let pairs = || cells.iter().enumerate().filter_map(|(at, cell)| Some((at, cell.baseline? - 1)));
    let targets =
        |(at, base): (usize, usize)| [cells[base].target_per_second, cells[at].target_per_second];
    let mut rows: Vec<Vec<MetricRow>> = pairs()
        .map(|pair| {
            let is_result = cells[pair.0].valid && cells[pair.1].valid;
            let each = Figure::ALL.into_iter().enumerate();
            each.map(|(i, figure)| {
                let ends = [pair.0, pair.1]
                    .map(|at| cells[at].broker.as_ref().map(|broker| broker.log_append_time));
                let is_alike =
                    figure.kind() != Some(LatencyKind::ResultLatency) || ends[0] == ends[1];
                row(
                    figure,
                    is_result,
                    is_alike,
                    targets(pair),
                    [&figures[pair.1].samples[i], &figures[pair.0].samples[i]],
                )
            })
            .collect()
        })
        .collect();
    conclude(
        rows.iter_mut()
            .zip(pairs())
            .flat_map(|(rows, pair)| rows.iter_mut().map(move |row| (row, targets(pair))))
            .collect(),
    );
    pairs()
        .zip(rows)
        .map(|((at, base), metrics)| CellComparison {
            cell: at + 1,
            baseline: base + 1,
            conclusion: conclusion(&cells[at], &cells[base], &metrics),
            metrics,
        })
        .collect()
}

fn row(
    figure: Figure,
    is_result: bool,
    is_alike: bool,
    targets: [Option<f64>; 2],
    [base, candidate]: [&crate::report::compare::Metric; 2],
) -> MetricRow {
    let mut row = MetricRow::test(base, candidate);
    let other_target =
        figure.is_rate() && targets.iter().all(Option::is_some) && targets[0] != targets[1];
    let reason = match (is_result, other_target, is_alike) {
        (false, ..) => Some(NO_RESULT),
        (true, true, _) => Some(OTHER_TARGET),
        (true, false, false) => Some(OTHER_END),
        (true, false, true) => None,
    };
    if reason.is_some() {
        (row.test, row.finding, row.reason) = (None, MetricVerdict::Untested, reason);
    }
    if !is_result {
        // Not even a tendency is to be read from it.
        (row.difference, row.relative_change) = (None, None);
    }
    row
}

fn conclusion(cell: &CellReport, base: &CellReport, metrics: &[MetricRow]) -> String {
    use crate::report::compare::words;
    let no_result: Vec<String> =
        [base, cell].iter().filter(|each| !each.valid).map(|each| each.no_result()).collect();
    if no_result.is_empty() {
        words::figures(metrics)
    } else {
        format!("NO RESULT: {}", no_result.join("; "))
    }
}
