//! `streamgauge latency`: the latency actor alone, on a results topic that others fill.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use streamgauge_actors::{KnownTruth, Mode};

use super::broker::BrokerFlags;
use super::error::{CliError, CliResult};
use super::flags::{ReportFlag, ResultsTopicFlag, ThresholdFlag, WindowFlag};
use super::follow::{FollowFlags, check_followed};
use super::output::OutputArgs;
use super::perform::{Job, perform};
use super::session::Session;
use crate::plan::Recipe;
use crate::report::truth_file::{TruthFile, TruthFrame};

/// Measure and audit the results of any processor
#[derive(Args)]
pub(super) struct LatencyArgs {
    #[command(flatten)]
    broker: BrokerFlags,
    #[command(flatten)]
    results: ResultsTopicFlag,
    #[command(flatten)]
    follow: FollowFlags,
    #[command(flatten)]
    window: WindowFlag,
    /// Audit the results against what `produce --truth` wrote
    #[arg(long, value_name = "FILE", help_heading = "Reading")]
    truth: Option<PathBuf>,
    #[command(flatten)]
    threshold: ThresholdFlag,
    #[command(flatten)]
    report: ReportFlag,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(session: &Session, args: &LatencyArgs) -> CliResult {
    let flags =
        [args.broker.settings(), args.results.assignments(), args.window.assignments()].concat();
    let resolved = session.resolve(&args.threshold.over(session.layers(None, flags)))?;
    check_followed(&resolved.settings, &resolved.settings.topics.results, "--results-topic")?;
    let truth = match &args.truth {
        Some(path) => {
            let read =
                TruthFile::read(path).map_err(|error| CliError::Usage(format!("{error:#}")))?;
            let TruthFrame { run_id, base_ns, window_ns, .. } = read.frame;
            Some(Arc::new(KnownTruth { run_id, base_ns, window_ns, windows: read.windows }))
        }
        None => None,
    };
    let mut arguments = args.follow.arguments();
    if let Some(path) = &args.truth {
        arguments.extend(["--truth".to_owned(), path.display().to_string()]);
    }
    perform(
        session,
        &Job {
            recipe: Recipe {
                resolved: &resolved,
                mode: Mode::Latency(args.follow.follow()),
                arguments,
                truth,
                bound: None,
            },
            write_truth: None,
            reports: &args.report.reports,
            format: args.output.output,
        },
    )
}
