//! A run in the foreground: progress while it goes on, its reports at the end, its exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anstream::eprintln;
use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use streamgauge_actors::outcome::{Ending, RunOutcome};
use streamgauge_actors::pipeline::{Mode, RunPlan};
use streamgauge_actors::ports::Broker;
use streamgauge_actors::spec::RunSpec;

use super::error::CliError;
use super::output::{self, Format};
use super::progress::Progress;
use super::session::Session;
use super::{CliResult, broker};
use crate::config::{Resolved, shell_quoted};
use crate::report::{Host, Report, ReportContext, ResourceMeter, Versions, terminal};
use crate::{dead_letters, foreground};

/// What a command asks for.
pub(super) struct Order<'a> {
    /// The command's name, for the line that runs it again.
    pub(super) command: &'static str,
    /// Arguments of the command that are no settings, for the same line.
    pub(super) arguments: Vec<String>,
    /// Its settings.
    pub(super) resolved: &'a Resolved,
    /// Its stages.
    pub(super) mode: Mode,
    /// Changes what the settings make of the run.
    pub(super) adapt: &'a dyn Fn(&mut RunSpec),
    /// Files to write the report to.
    pub(super) reports: &'a [PathBuf],
    /// The form of the report on standard output.
    pub(super) format: Format,
}

/// Makes the run and reports on it.
pub(super) fn perform(session: &Session, order: &Order<'_>) -> CliResult {
    let settings = &order.resolved.settings;
    let mut spec = settings.run_spec(&session.new_run_id())?;
    (order.adapt)(&mut spec);
    let broker = broker::guard(broker::connect(order.resolved)?, settings, Some(&spec.run_id));
    let plan = plan(session, order, spec, broker);

    let signal = watch_signals()?;
    let progress = Progress::new(session.is_quiet());
    let mut meter = ResourceMeter::since_process_start();
    let mut sampled_second = i64::MIN;
    let outcome = foreground::run(plan, &mut |status| {
        // Threads are counted once a second.
        if sampled_second != status.elapsed_s as i64 {
            sampled_second = status.elapsed_s as i64;
            meter.sample();
        }
        progress.show(status);
    });
    progress.finish();
    let outcome = outcome?;

    let context = ReportContext {
        mode: order.mode,
        config: settings.to_json(),
        rerun: rerun(order),
        process_started_ns: session.started_ns,
        resources: meter.finish(),
        host: Host::describe(),
        versions: Versions::new(None, None),
    };
    let report = Report::new(&outcome, &context);
    let mut written = Ok(());
    for path in order.reports {
        // Every file is tried, and the report is printed whatever becomes of them.
        match report.write(path) {
            Ok(()) => eprintln!("report: {}", path.display()),
            Err(error) => written = Err(error),
        }
    }
    print(&report, order.format)?;
    written.context("the run is over, but its report is not complete")?;
    Ok(exit_code(&outcome, signal.load(Ordering::Relaxed)))
}

fn plan(session: &Session, order: &Order<'_>, spec: RunSpec, broker: Arc<dyn Broker>) -> RunPlan {
    let settings = &order.resolved.settings;
    let (produces, writes_results) = match order.mode {
        Mode::Run => (true, true),
        Mode::Produce => (true, false),
        Mode::Aggregate(_) => (false, true),
        Mode::Latency(_) => (false, false),
    };
    RunPlan {
        create_events_topic: produces && settings.topics.events.is_empty(),
        create_results_topic: writes_results && settings.topics.results.is_empty(),
        // What is produced, or aggregated, alone is made for somebody else to read.
        keep_topics: settings.topics.keep || order.mode != Mode::Run,
        dead_letters: dead_letters::factory(Arc::clone(&broker), spec.replication),
        clock: session.clock.clone(),
        mode: order.mode,
        broker,
        spec,
    }
}

fn print(report: &Report, format: Format) -> Result<(), CliError> {
    output::text(&match format {
        Format::Table => terminal::render(report, output::colour()),
        Format::Json => report.to_json()?,
        Format::Ndjson => report.to_ndjson()?,
    })
}

fn rerun(order: &Order<'_>) -> String {
    let settings =
        if order.command == "run" { order.resolved.rerun_arguments() } else { order.resolved.set_arguments() };
    let own = order.arguments.iter().map(|argument| shell_quoted(argument));
    let words = ["streamgauge".to_owned(), order.command.to_owned(), settings].into_iter().chain(own);
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Notes the latest signal; who runs the pipeline acts on it.
fn watch_signals() -> Result<Arc<AtomicUsize>, CliError> {
    let latest = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, Arc::clone(&latest), signal as usize)?;
    }
    Ok(latest)
}

fn exit_code(outcome: &RunOutcome, signal: usize) -> ExitCode {
    let code = outcome.judge().exit_code;
    let stopped = matches!(outcome.ending, Ending::Stopped { .. });
    ExitCode::from(if code == 0 && stopped && signal != 0 { 128 + signal as u8 } else { code })
}
