//! Reports of runs that are over.

use std::fs;
use std::path::Path;

use super::error::CliError;
use super::session::Session;
use crate::report::Report;

/// The report in a file.
pub(super) fn report(_session: &Session, id_or_file: &str) -> Result<Report, CliError> {
    let path = Path::new(id_or_file);
    let text = fs::read_to_string(path)
        .map_err(|error| CliError::Usage(format!("cannot read the report `{}`: {error}", path.display())))?;
    Report::from_json(&text)
        .map_err(|error| CliError::Usage(format!("`{}` is no JSON report of streamgauge: {error}", path.display())))
}
