//! Flags of the commands that read a topic which others fill.

use clap::{Args, ValueEnum};
use streamgauge_actors::{Follow, Span, StartAt};

use super::error::CliError;
use crate::broker;
use crate::config::Settings;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum From {
    /// The first record that is still stored.
    Earliest,
    /// What comes from now on.
    Latest,
}

/// `--from`, `--until-idle`
#[derive(Args)]
pub(super) struct FollowFlags {
    /// Where reading begins
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        default_value = "earliest",
        help_heading = "Reading"
    )]
    from: From,
    /// End once nothing came for so long, as 5s; without it only a signal ends it
    #[arg(long, value_name = "TIME", value_parser = span, help_heading = "Reading")]
    until_idle: Option<Span>,
}

fn span(text: &str) -> Result<Span, String> {
    match text.parse::<Span>()? {
        span if span.is_zero() => Err("must be above 0, as `5s`".to_owned()),
        span => Ok(span),
    }
}

impl FollowFlags {
    /// How far the topic is read.
    pub(super) fn follow(&self) -> Follow {
        let from = match self.from {
            From::Earliest => StartAt::Earliest,
            From::Latest => StartAt::Latest,
        };
        Follow { from, until_idle_ns: self.until_idle.map(Span::as_nanos) }
    }

    /// The flags as arguments, for the line that makes the run again.
    pub(super) fn arguments(&self) -> Vec<String> {
        let from = match self.from {
            From::Earliest => "earliest",
            From::Latest => "latest",
        };
        let mut arguments = vec!["--from".to_owned(), from.to_owned()];
        if let Some(span) = self.until_idle {
            arguments.extend(["--until-idle".to_owned(), span.to_string()]);
        }
        arguments
    }
}

/// Refuses to follow what cannot be there: a topic without a name, a log that ends with its
/// process.
pub(super) fn check_followed(settings: &Settings, topic: &str, flag: &str) -> Result<(), CliError> {
    if settings.broker.kind.profile().is_in_process() {
        return Err(CliError::Usage(format!(
            "the embedded log lives only inside a `run`, so nobody else can fill its \
             topics: use {}",
            broker::example_flags()
        )));
    }
    if topic.is_empty() {
        return Err(CliError::Usage(format!("no topic to read: name it with {flag} TOPIC")));
    }
    Ok(())
}
