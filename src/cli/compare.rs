//! `streamgauge compare`: whether one run is better than another, worse, or not significantly
//! different.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use streamgauge_actors::Grade;

use super::error::{CliError, CliResult};
use super::say::say;
use super::session::Session;
use super::{exit, output, stored};
use crate::report::compare::allowance::{self, Allowance};
use crate::report::compare::{Comparison, Regression, compare, words};

/// How grave it is where something got worse by more than the limit.
const REGRESSED: Grade = Grade::FellShort;

/// Compare two runs: significance tested, unlike workloads refused
///
/// Each metric's values by second (or window) of the measured part are tested by Welch's t-test,
/// corrected for their autocorrelation and for the number of metrics. Broker, version and machine
/// may differ; workload and client's settings may not, unless they are named.
#[derive(Args)]
#[command(after_help = after_help())]
pub(super) struct CompareArgs {
    /// The run to compare with: its JSON report, or its id in the history
    base: String,
    /// The run to compare: its JSON report, or its id in the history
    candidate: String,
    /// Compare across this setting, or all of this section: it may differ, as workload.rate;
    /// repeatable
    #[arg(long, value_name = "KEY", value_parser = setting)]
    across: Vec<String>,
    /// Compare whatever differs
    #[arg(long)]
    force: bool,
    /// Exit with 99 if anything got worse: the verdict, a count of the audit, or a metric,
    /// significantly and by more than this (5%)
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    fail_on_regression: Option<Limit>,
    /// Form of what goes to standard output
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: ComparisonForm,
}

fn after_help() -> String {
    let (compared, unlike, regressed) =
        (Grade::Pass.exit_code(), exit::USAGE, REGRESSED.exit_code());
    format!(
        "Exit codes: {compared} compared; {unlike} the runs are unlike, or a report cannot be \
         read;\n{regressed} a regression, with --fail-on-regression."
    )
}

/// The form of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ComparisonForm {
    /// For people.
    Table,
    /// One JSON document, indented.
    Json,
    /// One JSON document in one line.
    Ndjson,
    /// Markdown.
    Md,
}

/// A share, written in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit(f64);

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Written as it was read: 0.07 is 7 %, not 7.000000000000001 %.
        write!(f, "{} %", (self.0 * 1e10).round() / 1e8)
    }
}

fn setting(name: &str) -> Result<String, String> {
    allowance::check(name).map(|()| name.to_owned())
}

fn share(text: &str) -> Result<Limit, String> {
    let wrong = || format!("`{text}` is no percentage of 0% or more: write 5%");
    let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim_end();
    if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(wrong());
    }
    let percent: f64 = number.parse().map_err(|_| wrong())?;
    if percent.is_finite() { Ok(Limit(percent / 100.0)) } else { Err(wrong()) }
}

/// What `-o json` prints: the comparison, and the gate's answer where one was asked for.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    #[serde(skip_serializing_if = "Option::is_none")]
    regression_limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regressions: Option<&'a [Regression]>,
}

pub(super) fn run(session: &Session, args: &CompareArgs) -> CliResult {
    let base = stored::report(session, &args.base)?;
    let candidate = stored::report(session, &args.candidate)?;
    let allowance =
        Allowance::across(args.across.iter().cloned(), args.force).map_err(CliError::Usage)?;
    let comparison = compare(&base, &candidate, &allowance).map_err(|unlike| {
        let keys = unlike.differences.iter().map(|difference| difference.key.as_str());
        let hint = match keys.into_iter().find(|key| allowance::check(key).is_ok()) {
            Some(key) => format!("--across {key} compares across that setting; "),
            None => String::new(),
        };
        CliError::Usage(format!("{unlike}\n{hint}--force compares them all the same"))
    })?;
    let regressions = args.fail_on_regression.map(|limit| comparison.regressions(limit.0));
    let answer = Answer {
        comparison: &comparison,
        regression_limit: args.fail_on_regression.map(|limit| limit.0),
        regressions: regressions.as_deref(),
    };
    let text = match args.output {
        ComparisonForm::Table => words::terminal(&comparison),
        ComparisonForm::Md => words::markdown(&comparison),
        ComparisonForm::Json => serde_json::to_string_pretty(&answer)? + "\n",
        ComparisonForm::Ndjson => serde_json::to_string(&answer)? + "\n",
    };
    match output::text(&text) {
        // A gate answers by its exit code, whoever reads on.
        Ok(()) | Err(CliError::OutputClosed) => {}
        Err(error) => return Err(error),
    }
    if let Some(limit) = args.fail_on_regression {
        for (metric, change) in comparison.ungated(limit.0) {
            let change = words::percent(change);
            say!(
                "warning: {metric}: {change}, but not tested, so that the gate says nothing of it"
            );
        }
    }
    Ok(gate(args.fail_on_regression, &regressions.unwrap_or_default()))
}

/// Says on standard error what got worse.
fn gate(limit: Option<Limit>, regressions: &[Regression]) -> ExitCode {
    let Some(limit) = limit.filter(|_| !regressions.is_empty()) else { return ExitCode::SUCCESS };
    say!("error: worse than the limit of {limit} allows:");
    for regression in regressions {
        say!("  {regression}");
    }
    exit::of_runs(REGRESSED, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_percentage() {
        let limits =
            ["5%", "0%", " 7 %", ".5%", "250%"].map(|text| share(text).unwrap().to_string());
        assert_eq!(limits, ["5 %", "0 %", "7 %", "0.5 %", "250 %"]);
        for text in [
            "", "%", "5", "-5%", "+5%", "NaN%", "inf%", "1e999%", "five%", "5%%", "0x5%", "5 p%",
            "5%5",
        ] {
            assert!(share(text).unwrap_err().contains("write 5%"), "{text}");
        }
    }
}
