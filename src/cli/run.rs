//! `streamgauge run`: one benchmark in the foreground.

use clap::Args;
use streamgauge_actors::pipeline::Mode;

use super::CliResult;
use super::flags::{
    AggregatorFlags, BrokerFlags, EventsTopicFlag, KeepTopicsFlag, ReportFlag, ResultsTopicFlag, TopicShapeFlags,
    WarmupFlag, WindowFlag, WorkloadFlags,
};
use super::output::OutputArgs;
use super::perform::{Order, perform};
use super::session::Session;

/// Run one benchmark: progress, verdict, report
#[derive(Args)]
pub(super) struct RunArgs {
    /// Preset (classic, smoke, high-throughput, low-latency, bursty) or TOML file [default: classic]
    workload: Option<String>,
    #[command(flatten)]
    broker: BrokerFlags,
    #[command(flatten)]
    events: EventsTopicFlag,
    #[command(flatten)]
    results: ResultsTopicFlag,
    #[command(flatten)]
    shape: TopicShapeFlags,
    #[command(flatten)]
    keep: KeepTopicsFlag,
    #[command(flatten)]
    load: WorkloadFlags,
    #[command(flatten)]
    warmup: WarmupFlag,
    #[command(flatten)]
    window: WindowFlag,
    #[command(flatten)]
    aggregator: AggregatorFlags,
    #[command(flatten)]
    report: ReportFlag,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(session: &Session, args: &RunArgs) -> CliResult {
    let flags = [
        args.broker.settings(),
        args.events.assignments(),
        args.results.assignments(),
        args.shape.assignments(),
        args.keep.assignments(),
        args.load.assignments(),
        args.warmup.assignments(),
        args.window.assignments(),
        args.aggregator.assignments(),
    ]
    .concat();
    let resolved = session.settings(args.workload.as_deref(), flags)?;
    perform(
        session,
        &Order {
            command: "run",
            arguments: Vec::new(),
            resolved: &resolved,
            mode: Mode::Run,
            adapt: &|_| {},
            reports: &args.report.reports,
            format: args.output.output,
        },
    )
}
