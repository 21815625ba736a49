//! A run in the foreground: progress while it goes on, its reports at the end, its exit code.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use streamgauge_actors::{Clock, Mode, Nanos, RunClock, RunOutcome, to_millis};

use super::broker::connect;
use super::error::{CliError, CliResult};
use super::output::{self, OutputFormat};
use super::progress::Progress;
use super::say::say;
use super::session::Session;
use crate::config::HistorySection;
use crate::daemon::foreground::{self, Conclusion};
use crate::daemon::signals::{self, Signals};
use crate::history::{FinishedRun, History};
use crate::plan::{PlannedRun, Recipe};
use crate::report::truth_file::TruthFile;
use crate::report::{Report, ReportContext, ResourceMeter, terminal};

/// What a command is to do.
pub(super) struct Job<'a> {
    /// What the run is made from.
    pub(super) recipe: Recipe<'a>,
    /// File to write what was acknowledged to.
    pub(super) write_truth: Option<&'a Path>,
    /// Files to write the report to.
    pub(super) reports: &'a [PathBuf],
    /// The form of the report on standard output.
    pub(super) format: OutputFormat,
}

/// When a run starts, and from when on what it uses counts.
pub(super) struct RunStart {
    clock: Arc<RunClock>,
    process_started_ns: Nanos,
    meter: ResourceMeter,
}

impl RunStart {
    /// The one run of a process.
    pub(super) fn of_process(session: &Session) -> Self {
        Self {
            clock: session.clock.clone(),
            process_started_ns: session.started_ns,
            meter: ResourceMeter::since_process_start(),
        }
    }

    /// One of several runs, with a clock of its own: an older one would have drifted away from the
    /// broker's.
    pub(super) fn now() -> Self {
        let clock = Arc::new(RunClock::start());
        Self { process_started_ns: clock.now(), clock, meter: ResourceMeter::start() }
    }
}

/// A run that is over.
pub(super) struct RunRecord {
    /// Its report.
    pub(super) report: Report,
    /// Everything measured.
    outcome: Arc<RunOutcome>,
}

/// Makes the run and reports on it.
pub(super) fn perform(session: &Session, job: &Job<'_>) -> CliResult {
    job.reports.iter().map(PathBuf::as_path).chain(job.write_truth).try_for_each(check_writable)?;
    let start = RunStart::of_process(session);
    let signals = Signals::watch()?;
    let RunRecord { report, outcome } = measure(session, &job.recipe, start, &signals, "")?;
    if job.recipe.mode == Mode::Run {
        remember(session, &report, &job.recipe.resolved.settings.history);
    }
    let mut written = write_truth(job, &outcome);
    for path in job.reports {
        // Every file is tried, and the report is printed whatever becomes of them.
        match report.write(path) {
            Ok(()) => say!("report: {}", path.display()),
            Err(error) => written = Err(error),
        }
    }
    match print(&report, job.format) {
        // Who has seen enough of the report still wants to know how the run went.
        Ok(()) | Err(CliError::OutputClosed) => {}
        Err(error) => return Err(error),
    }
    written.context("the run is over, but its report is not complete")?;
    Ok(ExitCode::from(report.exit_code))
}

/// Makes the run, and its report. `label`: what its progress begins with.
pub(super) fn measure(
    session: &Session,
    recipe: &Recipe<'_>,
    start: RunStart,
    signals: &Signals,
    label: &str,
) -> Result<RunRecord, CliError> {
    let RunStart { clock, process_started_ns, mut meter } = start;
    let PlannedRun { plan, context } =
        recipe.plan(clock, process_started_ns, session.state_folder(), connect)?;
    let progress = Progress::new(session.is_quiet(), label);
    let mut sampled_second = i64::MIN;
    let conclusion = foreground::run(plan, signals, &mut |status| {
        // Threads are counted once a second.
        if sampled_second != status.elapsed_s as i64 {
            sampled_second = status.elapsed_s as i64;
            meter.sample();
        }
        progress.show(status);
    });
    progress.finish();
    let Conclusion { outcome, signal } = conclusion?;
    let stopped_by_signal = signal.map(|signal| signals::exit_code(signal) as u8);
    let context = ReportContext { resources: meter.finish(), stopped_by_signal, ..context };
    Ok(RunRecord { report: Report::new(&outcome, &context), outcome })
}

/// Puts the run into the history. It is over, and reported in any case: where that fails, a warning
/// is all.
pub(super) fn remember(session: &Session, report: &Report, keep: &HistorySection) {
    let remembered = History::open(&session.state_folder()).and_then(|history| {
        history.finish(&FinishedRun::of(report)?)?;
        history.prune(keep, to_millis(session.clock.now()))
    });
    if let Err(error) = remembered {
        tracing::warn!("the run is not in the history, or older ones are still in it: {error:#}");
    }
}

/// Refuses a file that cannot be written, before the run rather than after it. Leaves it as it is.
pub(super) fn check_writable(path: &Path) -> Result<(), CliError> {
    let present = path.metadata();
    if present.as_ref().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        // Opening a pipe might wait for its reader.
        return Ok(());
    }
    let opened = File::options().append(true).create(true).open(path);
    opened.map_err(|error| {
        CliError::Usage(format!("cannot write to `{}`: {error}", path.display()))
    })?;
    if present.is_err() {
        drop(fs::remove_file(path));
    }
    Ok(())
}

/// Writes what the producers had acknowledged, where that was asked for.
fn write_truth(job: &Job<'_>, outcome: &RunOutcome) -> anyhow::Result<()> {
    let Some(path) = job.write_truth else { return Ok(()) };
    let base_ns = outcome.base_ns.context("there is no truth: the run never began")?;
    let RunOutcome { spec, truth, .. } = outcome;
    TruthFile::new(&spec.run_id, base_ns, spec.workload.window.as_nanos(), truth.clone())
        .write(path)
}

fn print(report: &Report, format: OutputFormat) -> Result<(), CliError> {
    output::text(&match format {
        OutputFormat::Table => terminal::render(report, output::colour()),
        OutputFormat::Json => report.to_json()?,
        OutputFormat::Ndjson => report.to_ndjson()?,
    })
}
