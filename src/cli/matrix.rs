//! `streamgauge matrix`: one workload over lists of settings, every combination several times, one
//! report.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use streamgauge_actors::{Clock, SECOND, Verdict};

use super::broker::connect;
use super::error::{CliError, CliResult};
use super::exit;
use super::flags::{RunFlags, in_a_folder};
use super::output::{self, OutputArgs, OutputFormat};
use super::perform::{RunStart, check_writable, measure, remember};
use super::say::say;
use super::session::Session;
use crate::config::{Assignment, Layers, choices};
use crate::daemon::signals::{self, Signals};
use crate::matrix::cells::Dimension;
use crate::matrix::figures::MatrixRun;
use crate::matrix::format::MatrixFormat;
use crate::matrix::plan::Plan;
use crate::matrix::report::{MatrixContext, MatrixReport};
use crate::matrix::request::{Request, WITH_FLAG, With, is_implied_broker};
use crate::matrix::terminal;
use crate::plan::Recipe;
use crate::report::{Host, Report, Versions, rfc3339, tables};

/// Run one workload over lists of settings, and compare
///
/// Any setting takes a list: --rate 10k/s,20k/s, or --set KEY=V1,V2, or KEY=[V1, V2] where a comma
/// is part of a value, as in addresses. Every combination is a cell. Every cell is run once a
/// round, each round in another order, so that what changes on the machine falls on all alike. The
/// same on the embedded log is shown as the harness's own floor.
#[derive(Args)]
#[command(after_help = after_help())]
#[allow(clippy::doc_markdown, reason = "help texts are shown as they are")]
pub(super) struct MatrixArgs {
    /// Preset or TOML file, maybe with a [matrix] table [default: classic]
    workload: Option<String>,
    /// How often every cell is run [default: 3]
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Matrix")]
    repetitions: Option<String>,
    /// Add no cells on the embedded log
    #[arg(long, help_heading = "Matrix")]
    no_floor: bool,
    /// Compare each cell with the one that has this value and is otherwise the same, as
    /// broker.kind=kafka; repeatable [default: all with the first]
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "Matrix")]
    baseline: Vec<(String, String)>,
    /// Where a setting has a value, set another one too, as broker.kind=redpanda
    /// broker.kafka.bootstrap_servers=b:9092; repeatable
    #[arg(
        long,
        num_args = 2,
        value_names = ["KEY=VALUE", "KEY=VALUE"],
        value_parser = pair,
        help_heading = "Matrix"
    )]
    with: Vec<(String, String)>,
    /// Write each run's JSON report to this folder, besides the history
    #[arg(long, value_name = "DIR", help_heading = "Reports")]
    runs_to: Option<PathBuf>,
    /// Write the report to a file, its form by its extension: html, md, json or csv; repeatable
    #[arg(
        long = "report",
        value_name = "FILE",
        value_parser = report_file,
        help_heading = "Reports"
    )]
    reports: Vec<PathBuf>,
    #[command(flatten)]
    flags: RunFlags,
    #[command(flatten)]
    output: OutputArgs,
}

fn after_help() -> String {
    format!(
        "Exit codes: the gravest of all runs; {} where a signal ended it and nothing was graver.",
        signals::EXIT_CODES
    )
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` has no `=`: write section.key=value"))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn report_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    MatrixFormat::from_path(&path).map_err(|error| error.to_string())?;
    in_a_folder(path)
}

pub(super) fn run(session: &Session, args: &MatrixArgs) -> CliResult {
    let plan = Plan::new(request(session, args))?;
    // Every run has a line of its own.
    session.start_logging(&plan.base, 1)?;
    args.reports.iter().map(PathBuf::as_path).try_for_each(check_writable)?;
    if let Some(folder) = &args.runs_to {
        let cannot = |error| {
            CliError::Usage(format!("cannot write to the folder `{}`: {error}", folder.display()))
        };
        let trial = folder.join(format!(".streamgauge-{}", std::process::id()));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&trial, ""))
            .and_then(|()| fs::remove_file(&trial))
            .map_err(cannot)?;
    }
    let signals = Signals::watch()?;
    reach_brokers(session, &plan)?;
    announce(session, &plan);
    let started_at = rfc3339(session.clock.now());
    let (versions, host) = (Versions::of_program(), Host::describe());
    let report = |runs: &[MatrixRun]| {
        let context = MatrixContext {
            started_at: started_at.clone(),
            finished_at: rfc3339(session.clock.now()),
            aborted: runs.len() < plan.runs()
                || runs.iter().any(|run| run.verdict() == Verdict::Aborted),
            versions: versions.clone(),
            host: host.clone(),
        };
        MatrixReport::new(&plan, runs, &context)
    };
    let runs = play(session, &plan, &signals, args.runs_to.as_deref(), &|runs| {
        // Whatever ends the program, what was measured is in the files.
        let written = report(runs)
            .and_then(|report| args.reports.iter().try_for_each(|path| report.write(path)));
        if let Err(error) = written {
            tracing::warn!("{error:#}");
        }
    });
    let report = report(&runs)?;
    hand_out(&report, args)?;
    Ok(exit::of_runs(report.grade(), signals.received()))
}

/// What the arguments ask for: those that hold several values are varied, the others are set.
fn request(session: &Session, args: &MatrixArgs) -> Request {
    let mut varied: Vec<Dimension> = Vec::new();
    let mut flags: Vec<Assignment> = Vec::new();
    for Assignment { origin, key, value } in
        session.set().iter().cloned().chain(args.flags.settings())
    {
        let assignment = Assignment { origin, key, value };
        let is_named = varied.iter().any(|dimension| dimension.key == assignment.key)
            || flags.iter().any(|flag| flag.key == assignment.key);
        if is_named && is_implied_broker(&assignment) {
            continue;
        }
        let Assignment { origin, key, value } = assignment;
        // As `[matrix.vary]` names them.
        let key = key.strip_prefix("matrix.vary.").map_or_else(|| key.clone(), str::to_owned);
        let mut choices = choices(&key, &value);
        // A later one lies over an earlier one.
        varied.retain(|dimension| dimension.key != key);
        if choices.len() == 1 {
            flags.push(Assignment { origin, key, value: choices.remove(0) });
        } else {
            flags.retain(|flag| flag.key != key);
            varied.push(Dimension { key, origin, choices });
        }
    }
    let own = |flag: &str, key: &str, value: &str| Assignment {
        origin: format!("flag --{flag}"),
        key: format!("matrix.{key}"),
        value: value.to_owned(),
    };
    flags.extend(args.repetitions.as_ref().map(|value| own("repetitions", "repetitions", value)));
    flags.extend(args.no_floor.then(|| own("no-floor", "floor", "false")));
    let with = |pair: &[(String, String)]| match pair {
        [(key, value), (further, text)] => Some(With {
            key: key.clone(),
            value: value.clone(),
            assignment: Assignment {
                origin: WITH_FLAG.to_owned(),
                key: further.clone(),
                value: text.clone(),
            },
        }),
        _ => None,
    };
    let layers = Layers { flags, ..session.layers(args.workload.as_deref(), Vec::new()) };
    Request {
        layers: args.flags.threshold().over(layers),
        varied,
        with: args.with.chunks(2).filter_map(with).collect(),
        baseline: args.baseline.clone(),
    }
}

/// Refuses to begin while a broker does not answer. All are asked at once, lest their timeouts add
/// up.
fn reach_brokers(session: &Session, plan: &Plan) -> Result<(), CliError> {
    let mut asked = Vec::new();
    for cell in &plan.cells {
        let settings = serde_json::to_string(&cell.resolved.settings.broker)?;
        if !asked.iter().any(|(known, _)| *known == settings) {
            asked.push((settings, &cell.resolved));
        }
    }
    let answers: Vec<Result<_, CliError>> = std::thread::scope(|scope| {
        let ask = |&(_, resolved): &(String, _)| {
            scope.spawn(move || connect(resolved, session.clock.clone()).map(drop))
        };
        let asking: Vec<_> = asked.iter().map(ask).collect();
        let gone =
            |_| Err(CliError::Runtime(anyhow::anyhow!("the thread that asks a broker panicked")));
        asking.into_iter().map(|thread| thread.join().unwrap_or_else(gone)).collect()
    });
    let mut unreachable: Vec<String> = Vec::new();
    for answer in answers {
        match answer {
            Err(CliError::Unreachable(message)) if unreachable.contains(&message) => {}
            Err(CliError::Unreachable(message)) => unreachable.push(message),
            other => other?,
        }
    }
    if unreachable.is_empty() {
        Ok(())
    } else {
        Err(CliError::Unreachable(unreachable.join("\nerror: ")))
    }
}

/// Says what is to come.
fn announce(session: &Session, plan: &Plan) {
    if session.is_quiet() {
        return;
    }
    let varied = if plan.varied.is_empty() {
        "nothing is varied (any setting takes a list, as --rate 10k/s,20k/s)".to_owned()
    } else {
        format!("varied: {}", plan.varied.join(", "))
    };
    let added = plan.cells.iter().filter(|cell| !cell.asked).count();
    let floors = if added > 0 {
        format!(" ({added} of them the floor, on the embedded log)")
    } else {
        String::new()
    };
    let about = std::time::Duration::from_secs((plan.expected_ns() / SECOND).max(1) as u64);
    say!(
        "matrix: {} cell(s){floors}, {} run(s), about {}; {varied}",
        plan.cells.len(),
        plan.runs(),
        humantime::format_duration(about)
    );
}

/// Makes the runs, one after the other; a signal ends them after the present one. `after_round`
/// gets those of every round but the last.
fn play(
    session: &Session,
    plan: &Plan,
    signals: &Signals,
    folder: Option<&Path>,
    after_round: &dyn Fn(&[MatrixRun]),
) -> Vec<MatrixRun> {
    let mut runs: Vec<MatrixRun> = Vec::new();
    let order = plan
        .order
        .iter()
        .enumerate()
        .flat_map(|(round, cells)| cells.iter().map(move |&cell| (round, cell)));
    for (place, (round, cell)) in order.enumerate() {
        if signals.received().is_some() {
            break;
        }
        if runs.last().is_some_and(|last| last.round < round) {
            after_round(&runs);
        }
        let which = format!(
            "run {}/{}, round {}, #{} {}",
            place + 1,
            plan.runs(),
            round + 1,
            cell + 1,
            plan.cells[cell].name
        );
        let label = format!("{which}  ");
        let result = Recipe::whole_run(&plan.cells[cell].resolved)
            .map_err(CliError::from)
            .and_then(|recipe| measure(session, &recipe, RunStart::now(), signals, &label))
            .map(|record| keep(session, plan, record.report, folder))
            .map_err(|error| error.messages().join("; "));
        let run = MatrixRun { cell, round, place, result };
        if !session.is_quiet() {
            let id = run.result.as_ref().map_or("not begun", |(report, _)| report.run_id.as_str());
            say!("{which}: {}: {} ({id})", tables::verdict(run.verdict()), run.reason());
        }
        runs.push(run);
    }
    runs
}

/// Keeps the whole report where `report` and `compare` find it, and what the matrix needs of it.
fn keep(
    session: &Session,
    plan: &Plan,
    mut report: Report,
    folder: Option<&Path>,
) -> (Report, Option<String>) {
    remember(session, &report, &plan.base.settings.history);
    let file =
        folder.map(|folder| folder.join(format!("{}.json", report.run_id))).and_then(|path| {
            let written = report.write(&path);
            match written {
                Ok(()) => Some(path.display().to_string()),
                Err(error) => {
                    tracing::warn!("{error:#}");
                    None
                }
            }
        });
    // Hours of a matrix need not stay in memory second by second.
    report.series = Vec::new();
    report.windows = Vec::new();
    report.findings = Vec::new();
    (report, file)
}

/// Writes the report wherever it was asked for.
fn hand_out(report: &MatrixReport, args: &MatrixArgs) -> Result<(), CliError> {
    let mut written = Ok(());
    for path in &args.reports {
        // Every file is tried, and the report is printed whatever becomes of them.
        match report.write(path) {
            Ok(()) => say!("report: {}", path.display()),
            Err(error) => written = Err(error),
        }
    }
    let text = match args.output.output {
        OutputFormat::Table => terminal::render(report, output::colour()),
        OutputFormat::Json => report.to_json()?,
        OutputFormat::Ndjson => report.to_ndjson()?,
    };
    match output::text(&text) {
        // Who has seen enough of the report still wants to know how the runs went.
        Ok(()) | Err(CliError::OutputClosed) => {}
        Err(error) => return Err(error),
    }
    Ok(written.context("the runs are over, but their report is not complete")?)
}
