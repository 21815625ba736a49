//! The report of a matrix: the JSON document of `schemas/matrix.schema.json`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;
use streamgauge_actors::{Grade, Verdict};

use super::cell_report::{CellReport, cell_report};
use super::cells::Dimension;
use super::figures::{CellFigures, MatrixRun};
use super::plan::Plan;
use super::significance::{CellComparison, comparisons};
use crate::config::{is_list_setting, shell_quoted, toml_value};
use crate::report::compare::welch::ALPHA;
use crate::report::{Host, Versions, tables};

/// The version of the document's schema; it grows when a key changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// The JSON Schema of the document.
pub const SCHEMA: &str = include_str!("../../schemas/matrix.schema.json");

/// What a report says besides what was planned and run.
#[derive(Clone, Debug)]
pub struct MatrixContext {
    /// When the first run started (RFC 3339, UTC).
    pub started_at: String,
    /// When the last one ended.
    pub finished_at: String,
    /// Whether it was stopped before its end.
    pub aborted: bool,
    /// What was running.
    pub versions: Versions,
    /// The machine.
    pub host: Host,
}

/// The report of one matrix.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MatrixReport {
    /// [`SCHEMA_VERSION`].
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    pub schema_version: u32,
    /// The gravest verdict of all runs; `aborted` where it was stopped and nothing is graver.
    pub verdict: Verdict,
    /// Why, the gravest first; never empty.
    #[cfg_attr(test, schemars(length(min = 1), inner(length(min = 1))))]
    pub reasons: Vec<String>,
    /// The exit code that goes with it, the gravest of all runs.
    #[cfg_attr(test, schemars(extend("enum" = [0, 1, 4, 5, 99])))]
    pub exit_code: u8,
    /// The command to try next.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub next: String,
    /// The preset or file that the workload came from.
    pub workload: String,
    /// When the first run started (RFC 3339, UTC).
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub started_at: String,
    /// When the last one ended.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub finished_at: String,
    /// The settings that are varied, with their values in the order of the cells.
    pub varied: Vec<VariedSetting>,
    /// How often every cell was to be run.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub repetitions: u32,
    /// What the order of the runs derives from.
    pub order_seed: u64,
    /// Which cell was to come when: their numbers, round by round.
    pub order: Vec<Vec<usize>>,
    /// The cells.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub cells: Vec<CellReport>,
    /// Every run that was begun, in the order of time.
    pub runs: Vec<RunReport>,
    /// The chance of a false alarm that is put up with, over all comparisons together.
    pub alpha: f64,
    /// Every cell against its baseline.
    pub comparisons: Vec<CellComparison>,
    /// What all cells have in common: the resolved settings, secrets redacted.
    #[cfg_attr(test, schemars(with = "serde_json::Map<String, Json>"))]
    pub config: Json,
    /// What was running.
    pub versions: Versions,
    /// The machine.
    pub host: Host,
    /// The command line that runs the matrix again.
    pub rerun: String,
}

/// A setting that is varied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VariedSetting {
    /// The setting.
    pub key: String,
    /// Its values.
    pub values: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunReport {
    /// Its id, by which history, `report` and `compare` know it; `null`: it could not be begun.
    pub run_id: Option<String>,
    /// The number of its cell.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub cell: usize,
    /// Its round, from 1.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub round: usize,
    /// Its place among all runs, from 1.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub place: usize,
    /// When it started (RFC 3339, UTC).
    pub started_at: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// The exit code that goes with it.
    #[cfg_attr(test, schemars(extend("enum" = [0, 1, 4, 5, 99])))]
    pub exit_code: u8,
    /// The gravest reason for it.
    pub reason: String,
    /// The file that its report was written to, besides the history.
    pub file: Option<String>,
    /// Its own figures; all `null` where it was not played to its end.
    pub figures: BTreeMap<String, Option<f64>>,
}

impl MatrixReport {
    /// How grave its verdict is.
    pub fn grade(&self) -> Grade {
        Grade::of(self.verdict, self.exit_code)
    }

    /// The report of what was run.
    ///
    /// # Errors
    /// When a run's histogram cannot be read.
    pub fn new(plan: &Plan, runs: &[MatrixRun], context: &MatrixContext) -> anyhow::Result<Self> {
        let of_cell = |at: usize| runs.iter().filter(move |run| run.cell == at);
        let mut figures = Vec::new();
        for at in 0..plan.cells.len() {
            figures.push(CellFigures::of(
                &of_cell(at).filter_map(MatrixRun::completed).collect::<Vec<_>>(),
            )?);
        }
        let is_valid = |at: usize| {
            let is_clean =
                of_cell(at).all(|run| matches!(run.verdict(), Verdict::Pass | Verdict::Aborted));
            is_clean && of_cell(at).any(|run| run.completed().is_some())
        };
        for (at, cell) in plan.cells.iter().enumerate() {
            if let Some(floor) = cell.floor.filter(|&floor| is_valid(floor) && is_valid(at)) {
                let floor = figures[floor].clone();
                figures[at].relate(&floor);
            }
        }
        let cells: Vec<CellReport> = (0..plan.cells.len())
            .map(|at| {
                cell_report(plan, at, &of_cell(at).collect::<Vec<_>>(), &figures[at], is_valid(at))
            })
            .collect();
        let grade = match runs.iter().map(MatrixRun::grade).min() {
            None | Some(Grade::Stopped | Grade::Pass) if context.aborted => Grade::Stopped,
            gravest => gravest.unwrap_or(Grade::Pass),
        };
        let comparisons = comparisons(plan, &cells, &figures);
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            verdict: grade.verdict(),
            reasons: reasons(plan, runs, &cells, context.aborted),
            exit_code: grade.exit_code(),
            next: next(runs, &cells, &comparisons),
            workload: plan.base.settings.workload.name.clone(),
            started_at: context.started_at.clone(),
            finished_at: context.finished_at.clone(),
            varied: plan.varied.iter().map(|key| varied(key, &cells)).collect(),
            repetitions: plan.base.settings.matrix.repetitions,
            order_seed: plan.base.settings.matrix.seed,
            order: plan
                .order
                .iter()
                .map(|round| round.iter().map(|cell| cell + 1).collect())
                .collect(),
            comparisons,
            cells,
            runs: runs.iter().map(run_report).collect(),
            alpha: ALPHA,
            config: plan.in_common(),
            versions: context.versions.clone(),
            host: context.host.clone(),
            rerun: rerun(plan),
        })
    }

    /// The document as indented JSON, with a line end.
    ///
    /// # Errors
    /// None that a report made by this program can cause.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// The document as one line of JSON, with a line end.
    ///
    /// # Errors
    /// None that a report made by this program can cause.
    pub fn to_ndjson(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| text + "\n")
    }
}

/// The command to try next: a look at the gravest run that did not pass, else at the first
/// comparison, run by run.
fn next(runs: &[MatrixRun], cells: &[CellReport], comparisons: &[CellComparison]) -> String {
    let id = |run: &MatrixRun| run.result.as_ref().ok().map(|(report, _)| report.run_id.clone());
    let bad =
        runs.iter().filter(|run| matches!(run.verdict(), Verdict::Fail | Verdict::Inconclusive));
    if let Some(gravest) = bad.min_by_key(|run| run.grade()) {
        return id(gravest).map_or_else(
            || "streamgauge doctor".to_owned(),
            |id| format!("streamgauge report {id}"),
        );
    }
    let last_of = |cell: usize| cells.get(cell - 1).and_then(|cell| cell.run_ids.last().cloned());
    let compared = comparisons
        .iter()
        .find_map(|each| Some((last_of(each.baseline)?, last_of(each.cell)?, &each.across)));
    match (compared, runs.iter().find_map(id)) {
        (Some((base, candidate, across)), _) => {
            let named = across.iter().map(|each| format!(" --across {}", shell_quoted(&each.key)));
            format!("streamgauge compare {base} {candidate}{}", named.collect::<String>())
        }
        (None, Some(id)) => format!("streamgauge report {id}"),
        (None, None) => "streamgauge doctor".to_owned(),
    }
}

fn run_report(run: &MatrixRun) -> RunReport {
    let report = run.result.as_ref().ok();
    RunReport {
        run_id: report.map(|(report, _)| report.run_id.clone()),
        cell: run.cell + 1,
        round: run.round + 1,
        place: run.place + 1,
        started_at: report.map(|(report, _)| report.started_at.clone()),
        verdict: run.verdict(),
        exit_code: run.grade().exit_code(),
        reason: run.reason().to_owned(),
        file: report.and_then(|(_, file)| file.clone()),
        figures: run.figures(),
    }
}

fn varied(key: &str, cells: &[CellReport]) -> VariedSetting {
    let mut values: Vec<String> = Vec::new();
    for value in cells.iter().filter_map(|cell| cell.settings[key].clone()) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    VariedSetting { key: key.to_owned(), values }
}

/// Why the verdict is what it is: every cell that is no result, then what passed.
fn reasons(plan: &Plan, runs: &[MatrixRun], cells: &[CellReport], aborted: bool) -> Vec<String> {
    let mut bad: Vec<(Grade, String)> = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let failed: Vec<&MatrixRun> = runs
            .iter()
            .filter(|run| {
                run.cell == at && matches!(run.verdict(), Verdict::Fail | Verdict::Inconclusive)
            })
            .collect();
        let Some(gravest) = failed.iter().min_by_key(|run| run.grade()) else {
            continue;
        };
        let played = runs.iter().filter(|run| run.cell == at).count();
        let which = format!("{} of {played} run(s) of {}", failed.len(), cell.title());
        let text = format!("{which}: {}: {}", tables::verdict(gravest.verdict()), gravest.reason());
        bad.push((gravest.grade(), text));
    }
    bad.sort_by_key(|(grade, _)| *grade);
    let mut reasons: Vec<String> = bad.into_iter().map(|(_, text)| text).collect();
    if aborted {
        reasons.push(format!("stopped after {} of {} run(s)", runs.len(), plan.runs()));
    }
    if reasons.is_empty() {
        reasons.push(format!("all {} run(s) of {} cell(s) passed", runs.len(), cells.len()));
    }
    reasons
}

/// The values of a dimension as a text that is read as these again.
fn as_list(dimension: &Dimension) -> String {
    let items: Vec<String> = dimension
        .choices
        .iter()
        .map(|choice| {
            if is_list_setting(&dimension.key) {
                choice.clone()
            } else {
                toml_value(&Json::from(choice.as_str()))
            }
        })
        .collect();
    format!("[{}]", items.join(", "))
}

/// The command line that runs the matrix again on a machine without any configuration; secrets are
/// left out.
fn rerun(plan: &Plan) -> String {
    let matrix = &plan.base.settings.matrix;
    let mut words = vec!["streamgauge matrix".to_owned(), plan.base.rerun_arguments()];
    let is_secret = crate::broker::is_secret_setting;
    let given = |dimension: &&Dimension| !dimension.origin.is_empty() && !is_secret(&dimension.key);
    for dimension in plan.dimensions.iter().filter(given) {
        words.push(format!(
            "--set {}",
            shell_quoted(&format!("{}={}", dimension.key, as_list(dimension)))
        ));
    }
    for each in plan.with.iter().filter(|each| !is_secret(&each.assignment.key)) {
        let choice = shell_quoted(&format!("{}={}", each.key, each.value));
        let setting = shell_quoted(&format!("{}={}", each.assignment.key, each.assignment.value));
        words.push(format!("--with {choice} {setting}"));
    }
    for (key, value) in &plan.baseline {
        words.push(format!("--baseline {}", shell_quoted(&format!("{key}={value}"))));
    }
    words.push(format!("--repetitions {} --set matrix.seed={}", matrix.repetitions, matrix.seed));
    if !matrix.floor {
        words.push("--no-floor".to_owned());
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema;

    #[test]
    fn the_schema_is_up_to_date() {
        let generated = schema::of::<MatrixReport>(
            "matrix.schema.json",
            "streamgauge matrix, schema version 1",
            "The report of a matrix of runs. `null` means that nothing was measured; it is never \
             written as 0. Cells, rounds \
             and places are counted from 1. Units are in the names, as in the report of a run.",
        );
        schema::check("matrix.schema.json", SCHEMA, &generated);
    }
}
