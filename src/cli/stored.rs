//! Reports made earlier: from the history, by a run's id, or from a JSON file.

use std::fs;
use std::path::Path;

use super::error::CliError;
use super::session::Session;
use crate::history::{Filter, History, RunRow};
use crate::nearest::nearest;
use crate::report::Report;

/// The name of the newest run that has a report.
const LATEST: &str = "latest";

/// Runs named at most where an id fits none, or several.
const NAMED: usize = 5;

/// The report that is meant by a file's path, a run's id, the beginning of a single id, or
/// `latest`.
///
/// # Errors
/// [`CliError::Usage`] when there is none: what was looked for where, and what there is instead.
pub(super) fn report(session: &Session, id_or_file: &str) -> Result<Report, CliError> {
    let path = Path::new(id_or_file);
    if path.is_file() {
        return of_file(path);
    }
    let is_path = path.components().count() > 1
        || path.extension().is_some_and(|extension| extension == "json");
    if is_path || path.exists() {
        return Err(CliError::Usage(format!(
            "there is no file `{id_or_file}`: name a JSON report, or a run's id"
        )));
    }
    of_run(session, id_or_file)
}

fn of_file(path: &Path) -> Result<Report, CliError> {
    let usage = |what: String| CliError::Usage(format!("`{}` {what}", path.display()));
    let text =
        fs::read_to_string(path).map_err(|error| usage(format!("cannot be read: {error}")))?;
    Report::from_json(&text).map_err(|error| {
        usage(format!("is no JSON report: {error}; `run --report FILE.json` writes one"))
    })
}

fn of_run(session: &Session, id: &str) -> Result<Report, CliError> {
    let folder = session.state_folder();
    let Some(history) = History::open_existing(&folder)? else {
        return Err(CliError::Usage(format!(
            "no run `{id}`: there is no history in `{}` yet (`streamgauge run` makes one; \
             --state-dir names another folder), nor a file of this name",
            folder.display()
        )));
    };
    let run = find(&history, id)?;
    match history.report(&run.run_id)? {
        Some(report) => Ok(report),
        None if run.state.is_busy() => Err(CliError::Usage(format!(
            "run {} has no report yet: it is still under way, or its process was killed",
            run.run_id
        ))),
        None => Err(CliError::Usage(format!(
            "run {} ended without a report: {}",
            run.run_id,
            run.reason.as_deref().unwrap_or("nobody knows why")
        ))),
    }
}

/// The run that `id` names.
fn find(history: &History, id: &str) -> Result<RunRow, CliError> {
    if id == LATEST {
        let latest = history.latest()?;
        let none = || format!("no run in `{}` has a report yet", history.path().display());
        return latest.ok_or_else(|| CliError::Usage(none()));
    }
    if let Some(run) = history.run(id)? {
        return Ok(run);
    }
    let mut alike = if id.is_empty() { Vec::new() } else { history.beginning_with(id)? };
    match alike.len() {
        1 => Ok(alike.remove(0)),
        0 => Err(unknown(history, id)?),
        n => {
            let more = if n > NAMED { ", ..." } else { "" };
            Err(CliError::Usage(format!(
                "`{id}` may mean {n} runs: {}{more}; write more of it",
                names(&alike)
            )))
        }
    }
}

fn unknown(history: &History, id: &str) -> Result<CliError, CliError> {
    let runs = history.list(&Filter::default())?;
    let hint = match nearest(id, runs.iter().map(|run| run.run_id.as_str())) {
        Some(nearest) => format!("did you mean `{nearest}`? The newest are {}", names(&runs)),
        None if runs.is_empty() => "it is empty".to_owned(),
        None => format!("the newest are {}", names(&runs)),
    };
    let place = history.path().display();
    Ok(CliError::Usage(format!(
        "no run `{id}` in the history, {place} (nor a file of this name): {hint}"
    )))
}

/// The first few ids.
fn names(runs: &[RunRow]) -> String {
    runs.iter().take(NAMED).map(|run| run.run_id.as_str()).collect::<Vec<_>>().join(", ")
}
