//! `streamgauge produce`: the producers alone.

use std::path::PathBuf;

use clap::Args;
use streamgauge_actors::Mode;

use super::broker::BrokerFlags;
use super::error::CliResult;
use super::flags::{
    EventsTopicFlag, ReportFlag, ThresholdFlag, TopicShapeFlags, WarmupFlag, WindowFlag,
    WorkloadFlags,
};
use super::output::OutputArgs;
use super::perform::{Job, perform};
use super::session::Session;
use crate::config::Assignment;
use crate::plan::Recipe;

/// Produce events alone, for any consumer to read
#[derive(Args)]
pub(super) struct ProduceArgs {
    /// Preset or TOML file [default: classic]
    workload: Option<String>,
    #[command(flatten)]
    broker: BrokerFlags,
    #[command(flatten)]
    events: EventsTopicFlag,
    #[command(flatten)]
    shape: TopicShapeFlags,
    #[command(flatten)]
    load: WorkloadFlags,
    #[command(flatten)]
    warmup: WarmupFlag,
    #[command(flatten)]
    window: WindowFlag,
    /// Write no progress records: for topics that foreign consumers read
    #[arg(long, help_heading = "Workload")]
    no_progress_records: bool,
    /// Write what was acknowledged, per window, campaign and producer, to a file
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    truth: Option<PathBuf>,
    #[command(flatten)]
    threshold: ThresholdFlag,
    #[command(flatten)]
    report: ReportFlag,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(session: &Session, args: &ProduceArgs) -> CliResult {
    let mut flags = [
        args.broker.settings(),
        args.events.assignments(),
        args.shape.assignments(),
        args.load.assignments(),
        args.warmup.assignments(),
        args.window.assignments(),
    ]
    .concat();
    if args.no_progress_records {
        flags.push(Assignment {
            origin: "flag --no-progress-records".to_owned(),
            key: "workload.progress_records".to_owned(),
            value: "false".to_owned(),
        });
    }
    let resolved =
        session.resolve(&args.threshold.over(session.layers(args.workload.as_deref(), flags)))?;
    perform(
        session,
        &Job {
            recipe: Recipe {
                resolved: &resolved,
                mode: Mode::Produce,
                arguments: Vec::new(),
                truth: None,
                bound: None,
            },
            write_truth: args.truth.as_deref(),
            reports: &args.report.reports,
            format: args.output.output,
        },
    )
}
