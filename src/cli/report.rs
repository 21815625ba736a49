//! `streamgauge report`: shows the report of a run made earlier, in any form.

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::error::CliResult;
use super::session::Session;
use super::{output, stored};
use crate::report::{Format, terminal};

/// Show the report of an earlier run, in any form
#[derive(Args)]
pub(super) struct ReportArgs {
    /// A run's id (see `history`), its beginning, `latest`, or a JSON report
    #[arg(value_name = "ID_OR_FILE")]
    run: String,
    /// Form of the report
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = forms())]
    output: ReportForm,
}

/// How a report is shown.
#[derive(Clone, Copy, Debug)]
enum ReportForm {
    /// For people, as after a run.
    Table,
    /// JSON on one line.
    Ndjson,
    /// What a report file holds.
    File(Format),
}

impl ReportForm {
    fn named(name: &str) -> Self {
        match Format::ALL.into_iter().find(|(_, extension)| *extension == name) {
            Some((format, _)) => Self::File(format),
            None if name == "ndjson" => Self::Ndjson,
            None => Self::Table,
        }
    }
}

/// Every form that a report file has, and two more.
fn forms() -> impl TypedValueParser<Value = ReportForm> {
    let names = ["table", "ndjson"].into_iter().chain(Format::ALL.map(|(_, extension)| extension));
    PossibleValuesParser::new(names).map(|name| ReportForm::named(&name))
}

pub(super) fn run(session: &Session, args: &ReportArgs) -> CliResult {
    let report = stored::report(session, &args.run)?;
    output::text(&match args.output {
        ReportForm::Table => terminal::render(&report, output::colour()),
        ReportForm::Ndjson => report.to_ndjson()?,
        ReportForm::File(format) => format.render(&report)?,
    })?;
    Ok(ExitCode::SUCCESS)
}
