//! One cell of a matrix, as its report has it.

use std::collections::BTreeMap;

use serde::Serialize;
use streamgauge_actors::{PerLatency, Verdict};

use super::figures::{CellFigure, CellFigures, Figure, MatrixRun};
use super::plan::Plan;
use crate::report::{BrokerReport, LatencyFigures, tables};

/// One cell.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CellReport {
    /// Its number, from 1.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub cell: usize,
    /// Its values: `embedded, 10k/s`.
    pub name: String,
    /// The varied settings with their values; `null`: makes no difference to this cell's broker.
    pub settings: BTreeMap<String, Option<String>>,
    /// Whether it was asked for; if not, it was added as a floor.
    pub asked: bool,
    /// Whether it is on the embedded log, the harness's own floor, while others are not.
    pub is_floor: bool,
    /// The number of the cell that is the floor of this one.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub floor: Option<usize>,
    /// The number of the cell that it is compared with.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub baseline: Option<usize>,
    /// The broker, as it described itself; `null`: no run reached it.
    pub broker: Option<BrokerReport>,
    /// What a reader must know about its runs' figures, each once.
    pub notes: Vec<String>,
    /// The gravest verdict of its runs; `null`: none was begun.
    pub verdict: Option<Verdict>,
    /// Whether its figures are a result: at least one run was played to its end, and none failed or
    /// was inconclusive.
    pub valid: bool,
    /// The gravest reason of the gravest run.
    pub reason: Option<String>,
    /// How many runs had each verdict.
    pub verdicts: BTreeMap<&'static str, usize>,
    /// Its runs, by their ids.
    pub run_ids: Vec<String>,
    /// The rate asked for; `null` with arrivals `max`.
    pub target_per_second: Option<f64>,
    /// The figures over all runs that were played to their end.
    pub figures: BTreeMap<String, CellFigure>,
    /// The latencies, the histograms of these runs merged.
    pub latency: PerLatency<LatencyFigures>,
}

impl CellReport {
    /// Its number and name.
    pub fn title(&self) -> String {
        format!("#{} {}", self.cell, self.name)
    }

    /// One figure.
    pub fn figure(&self, figure: Figure) -> Option<&CellFigure> {
        self.figures.get(&figure.name())
    }

    /// Why it is no result, in a few words.
    pub(super) fn no_result(&self) -> String {
        match self.verdict {
            None => format!("{} was not run", self.title()),
            Some(Verdict::Pass | Verdict::Aborted) => {
                format!("no run of {} was played to its end", self.title())
            }
            Some(verdict) => {
                format!("{} did not pass ({})", self.title(), tables::verdict(verdict))
            }
        }
    }
}

/// The report of a cell's runs.
pub(super) fn cell_report(
    plan: &Plan,
    at: usize,
    runs: &[&MatrixRun],
    figures: &CellFigures,
    valid: bool,
) -> CellReport {
    let cell = &plan.cells[at];
    let mut verdicts = BTreeMap::new();
    for run in runs {
        *verdicts.entry(run.verdict().name()).or_insert(0) += 1;
    }
    let gravest = runs.iter().min_by_key(|run| run.grade());
    let completed: Vec<_> = runs.iter().filter_map(|run| run.completed()).collect();
    let reports =
        || runs.iter().filter_map(|run| run.result.as_ref().ok()).map(|(report, _)| report);
    let broker =
        reports().map(|report| &report.broker).find(|broker| !broker.kind.is_empty()).cloned();
    let mut notes: Vec<String> = Vec::new();
    let asked_for = cell.resolved.settings.broker.kind.name();
    if let Some(found) = broker.as_ref().filter(|found| found.kind != asked_for) {
        notes.push(format!(
            "`broker.kind` is {asked_for}, and the broker is {}: is the address right?",
            found.kind
        ));
    }
    for note in reports().flat_map(|report| &report.notes) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    CellReport {
        cell: at + 1,
        name: cell.name.clone(),
        settings: cell.values.clone(),
        asked: cell.asked,
        is_floor: cell.is_floor,
        floor: cell.floor.map(|floor| floor + 1),
        baseline: cell.baseline.map(|baseline| baseline + 1),
        broker,
        notes,
        verdict: gravest.map(|run| run.verdict()),
        valid,
        reason: gravest.map(|run| run.reason().to_owned()),
        verdicts,
        run_ids: reports().map(|report| report.run_id.clone()).collect(),
        target_per_second: completed.first().and_then(|report| report.throughput.target_per_second),
        figures: Figure::ALL
            .into_iter()
            .map(Figure::name)
            .zip(figures.figures.iter().cloned())
            .collect(),
        latency: figures.latency.clone(),
    }
}
