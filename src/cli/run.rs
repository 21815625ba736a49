//! `streamgauge run`: one benchmark in the foreground.

use clap::Args;

use super::error::CliResult;
use super::flags::{ReportFlag, RunFlags};
use super::output::OutputArgs;
use super::perform::{Job, perform};
use super::session::Session;
use crate::plan::Recipe;

/// Run one benchmark: progress, verdict, report
#[derive(Args)]
pub(super) struct RunArgs {
    /// Preset (classic, smoke, high-throughput, low-latency, bursty) or TOML file [default:
    /// classic]
    workload: Option<String>,
    #[command(flatten)]
    flags: RunFlags,
    #[command(flatten)]
    report: ReportFlag,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(session: &Session, args: &RunArgs) -> CliResult {
    let resolved = session.resolve(&args.flags.layers(session, args.workload.as_deref()))?;
    perform(
        session,
        &Job {
            recipe: Recipe::whole_run(&resolved)?,
            write_truth: None,
            reports: &args.report.reports,
            format: args.output.output,
        },
    )
}
