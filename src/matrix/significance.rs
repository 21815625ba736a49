//! Whether a cell differs from its baseline: Welch's test of the runs, Holm's adjustment over all
//! comparisons of the matrix.
//!
//! One run is one value: seconds of a run resemble each other, and what differs from run to run
//! (where partitions and files lie, what else the machine did) is the same for all of them. So the
//! seconds, which `compare` must make do with, cannot tell a cell from an accident of its one run;
//! repetitions can.

use serde::Serialize;

use super::cell_report::CellReport;
use super::figures::{CellFigures, Figure};
use super::plan::Plan;
use crate::report::compare::{
    Difference, Metric, MetricRow, OTHER_TARGET, are_unlike, conclude, setting_differences, words,
};

/// Stands where a cell is no result.
pub(super) const NO_RESULT: &str = "not every run passed, so it is no result";

/// Stands where cells differ in a setting that was neither varied nor set for some of them.
const OTHER_WORK: &str = "the cells differ in more than what is varied";

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
    /// The settings in which the two differ; such as `compare` takes by `--across`.
    pub across: Vec<Difference>,
    /// The conclusion, in words.
    pub conclusion: String,
    /// Every figure; the values tested are the runs' own, one each.
    pub metrics: Vec<MetricRow>,
}

/// Two cells that are compared.
struct Pair {
    /// The cell, counted from 0.
    cell: usize,
    /// The one that it is compared with.
    base: usize,
    /// The settings in which they differ.
    across: Vec<Difference>,
    /// The rates asked for, of the base and of the cell.
    targets: [Option<f64>; 2],
    /// Why nothing is to be concluded of the pair.
    reason: Option<&'static str>,
}

impl Pair {
    fn of(plan: &Plan, cells: &[CellReport], cell: usize) -> Option<Self> {
        let base = cells[cell].baseline? - 1;
        let [first, second] = [base, cell].map(|at| plan.cells[at].resolved.settings.to_json());
        let across = setting_differences(&first, &second);
        let is_named = |difference: &Difference| plan.names(&difference.key);
        let reason = if !cells[cell].valid || !cells[base].valid {
            Some(NO_RESULT)
        } else {
            (!across.iter().all(is_named)).then_some(OTHER_WORK)
        };
        let targets = [base, cell].map(|at| cells[at].target_per_second);
        Some(Self { cell, base, across, targets, reason })
    }

    fn row(&self, figure: Figure, [base, cell]: [&Metric; 2]) -> MetricRow {
        let mut row = MetricRow::test(base, cell);
        if let Some(reason) = self.reason {
            row.refuse(reason);
        } else if figure.is_rate() && are_unlike(self.targets) {
            row.leave_untested(OTHER_TARGET);
        }
        row
    }
}

/// Compares every cell with its baseline.
pub fn comparisons(
    plan: &Plan,
    cells: &[CellReport],
    figures: &[CellFigures],
) -> Vec<CellComparison> {
    let pairs: Vec<Pair> =
        (0..cells.len()).filter_map(|cell| Pair::of(plan, cells, cell)).collect();
    let rows = |pair: &Pair| -> Vec<MetricRow> {
        let samples = figures[pair.base].samples.iter().zip(&figures[pair.cell].samples);
        let each = Figure::ALL.into_iter().zip(samples);
        each.map(|(figure, (base, cell))| pair.row(figure, [base, cell])).collect()
    };
    let mut rows: Vec<Vec<MetricRow>> = pairs.iter().map(rows).collect();
    let with_targets = rows.iter_mut().zip(&pairs).flat_map(|(rows, pair)| {
        let targets = pair.targets;
        rows.iter_mut().map(move |row| (row, targets))
    });
    conclude(with_targets.collect());
    pairs
        .into_iter()
        .zip(rows)
        .map(|(pair, metrics)| CellComparison {
            cell: pair.cell + 1,
            baseline: pair.base + 1,
            conclusion: conclusion(&cells[pair.cell], &cells[pair.base], &metrics),
            across: pair.across,
            metrics,
        })
        .collect()
}

fn conclusion(cell: &CellReport, base: &CellReport, metrics: &[MetricRow]) -> String {
    let no_result: Vec<String> =
        [base, cell].iter().filter(|each| !each.valid).map(|each| each.no_result()).collect();
    if no_result.is_empty() {
        words::figures(metrics)
    } else {
        format!("NO RESULT: {}", no_result.join("; "))
    }
}
