//! `streamgauge history`: lists earlier runs.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use streamgauge_actors::{RunState, Verdict};

use super::error::CliResult;
use super::output::{self, OutputArgs, OutputFormat, Row};
use super::say::say;
use super::session::Session;
use crate::history::{FILE, Filter, History, RunRow};
use crate::report::numbers::{compact, millis};
use crate::report::tables;

/// Columns for a workload's name; a longer one is cut.
const WORKLOAD_WIDTH: usize = 15;

/// List earlier runs, the newest first
#[derive(Args)]
pub(super) struct HistoryArgs {
    /// So many at most
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    limit: u32,
    /// Only those that ended so
    #[arg(long, value_enum, value_name = "STATE")]
    status: Option<Status>,
    /// Only those with this verdict
    #[arg(long, value_parser = verdict, value_name = "VERDICT")]
    verdict: Option<Verdict>,
    #[command(flatten)]
    output: OutputArgs,
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let all = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Aborted];
    let names = all.map(Verdict::name).join(", ");
    all.into_iter()
        .find(|verdict| verdict.name() == text)
        .ok_or_else(|| format!("write one of {names}"))
}

/// The states that the history tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Status {
    /// Under way
    Running,
    /// Played to its end
    Completed,
    /// Ended by an error
    Failed,
    /// Ended on request
    Stopped,
}

impl From<Status> for RunState {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Running,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Stopped => Self::Stopped,
        }
    }
}

impl Row for RunRow {
    const TITLES: &'static [&'static str] =
        &["run", "workload", "broker", "verdict", "events/s", "p99 ms"];

    fn cells(&self) -> Vec<String> {
        let mut workload = self.workload.clone();
        if workload.chars().count() > WORKLOAD_WIDTH {
            workload = workload.chars().take(WORKLOAD_WIDTH - 1).chain(['…']).collect();
        }
        let mark = if self.rate_changes > 0 { "*" } else { "" };
        let per_second = self
            .produced_per_second
            .map_or_else(|| "-".to_owned(), |rate| compact(rate.round() as u64) + mark);
        let verdict = self.verdict.map_or("running", tables::verdict);
        vec![
            self.run_id.clone(),
            workload,
            self.broker.clone(),
            verdict.to_owned(),
            per_second,
            millis(self.result_latency_p99_ms),
        ]
    }
}

pub(super) fn run(session: &Session, args: &HistoryArgs) -> CliResult {
    let folder = session.state_folder();
    // Verdicts are picked out of all.
    let limit = args.verdict.is_none().then_some(args.limit);
    let filter = Filter { status: args.status.map(RunState::from), limit, before: None };
    let mut runs = match History::open_existing(&folder)? {
        Some(history) => history.list(&filter)?,
        None => Vec::new(),
    };
    runs.retain(|run| args.verdict.is_none() || run.verdict == args.verdict);
    runs.truncate(args.limit as usize);
    if runs.is_empty() && args.output.output == OutputFormat::Table {
        let is_all = args.status.is_none() && args.verdict.is_none();
        let hint = if is_all { "; `streamgauge run smoke` makes one" } else { "" };
        say!("no such runs in {}{hint}", folder.join(FILE).display());
        return Ok(ExitCode::SUCCESS);
    }
    output::list(&runs, args.output.output)?;
    if args.output.output == OutputFormat::Table && runs.iter().any(|run| run.rate_changes > 0) {
        say!("* the rate was changed while the run was under way");
    }
    Ok(ExitCode::SUCCESS)
}
