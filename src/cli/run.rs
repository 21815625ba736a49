//! `streamgauge run`: one benchmark in the foreground.

use clap::Args;
use streamgauge_actors::Mode;

use super::error::CliResult;
use super::flags::{ReportFlag, RunFlags};
use super::output::OutputArgs;
use super::perform::{Order, perform};
use super::session::Session;
use crate::plan::check_whole_run;

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
    check_whole_run(&resolved)?;
    perform(
        session,
        &Order {
            command: "run",
            arguments: Vec::new(),
            resolved: &resolved,
            mode: Mode::Run,
            adapt: &|_| {},
            truth: None,
            write_truth: None,
            reports: &args.report.reports,
            format: args.output.output,
        },
    )
}
