//! `streamgauge aggregate`: aggregators and result writer alone, on a topic that others fill.

use clap::Args;
use streamgauge_actors::{Aggregate, Mode, Nanos, time_of_text};

use super::broker::BrokerFlags;
use super::error::CliResult;
use super::flags::{
    AggregatorFlags, EventsTopicFlag, KeepTopicsFlag, ReportFlag, ResultsTopicFlag, ThresholdFlag,
    TopicShapeFlags, WindowFlag,
};
use super::follow::{FollowFlags, check_followed};
use super::output::OutputArgs;
use super::perform::{Job, perform};
use super::session::Session;
use crate::plan::Recipe;

/// Aggregate a topic that others fill
#[derive(Args)]
pub(super) struct AggregateArgs {
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
    follow: FollowFlags,
    #[command(flatten)]
    window: WindowFlag,
    /// Align windows on this time: nanoseconds since the Unix epoch, or 2026-11-23T00:00:00Z
    #[arg(
        long,
        value_name = "TIME",
        value_parser = base_event_time,
        default_value = "0",
        help_heading = "Aggregation"
    )]
    base_event_time: Nanos,
    /// Take only campaigns 1 to N; without it any campaign is taken
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Aggregation"
    )]
    campaigns: Option<u32>,
    #[command(flatten)]
    aggregator: AggregatorFlags,
    #[command(flatten)]
    threshold: ThresholdFlag,
    #[command(flatten)]
    report: ReportFlag,
    #[command(flatten)]
    output: OutputArgs,
}

fn base_event_time(text: &str) -> Result<Nanos, String> {
    if let Ok(nanos) = text.parse() {
        return Ok(nanos);
    }
    time_of_text(text).ok_or_else(|| {
        format!(
            "`{text}` is no time: write nanoseconds since the Unix epoch, or a time like \
             2026-11-23T00:00:00Z or 2026-11-23T05:30:00+05:30"
        )
    })
}

pub(super) fn run(session: &Session, args: &AggregateArgs) -> CliResult {
    let flags = [
        args.broker.settings(),
        args.events.assignments(),
        args.results.assignments(),
        args.shape.assignments(),
        args.keep.assignments(),
        args.window.assignments(),
        args.aggregator.assignments(),
    ]
    .concat();
    let resolved = session.resolve(&args.threshold.over(session.layers(None, flags)))?;
    let settings = &resolved.settings;
    check_followed(settings, &settings.topics.events, "--events-topic")?;
    let idle_timeout = settings.aggregator.idle_timeout;
    let mode = Mode::Aggregate(Aggregate {
        follow: args.follow.follow(),
        base_event_time_ns: args.base_event_time,
        campaigns: args.campaigns,
        idle_timeout_ns: (!idle_timeout.is_zero()).then(|| idle_timeout.as_nanos()),
    });
    let mut arguments = args.follow.arguments();
    arguments.extend(["--base-event-time".to_owned(), args.base_event_time.to_string()]);
    if let Some(campaigns) = args.campaigns {
        arguments.extend(["--campaigns".to_owned(), campaigns.to_string()]);
    }
    perform(
        session,
        &Job {
            recipe: Recipe { resolved: &resolved, mode, arguments, truth: None, bound: None },
            write_truth: None,
            reports: &args.report.reports,
            format: args.output.output,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_event_times() {
        assert_eq!(base_event_time("0"), Ok(0));
        assert_eq!(base_event_time("1700000000123456789"), Ok(1_700_000_000_123_456_789));
        assert_eq!(base_event_time("1970-01-01T00:00:01Z"), Ok(1_000_000_000));
        assert_eq!(base_event_time("1970-01-01T05:30:01+05:30"), Ok(1_000_000_000));
        assert_eq!(base_event_time("1970-01-01 00:00:01"), Ok(1_000_000_000));
        assert!(base_event_time("yesterday").unwrap_err().contains("2026"));
    }
}
