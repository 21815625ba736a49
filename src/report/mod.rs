//! Placeholder of the report.

use std::io::Write;
use std::path::Path;

use streamgauge_actors::outcome::RunOutcome;

/// What a report says beside the outcome.
#[derive(Clone, Debug)]
pub struct ReportContext {
    /// The resolved settings, secrets redacted.
    pub settings_json: serde_json::Value,
    /// The command that runs it again.
    pub rerun: String,
}

/// A report.
#[derive(Clone, Debug)]
pub struct Report;

impl Report {
    /// The report on an outcome.
    pub fn new(_outcome: &RunOutcome, _context: &ReportContext) -> Self {
        Self
    }

    /// Writes it to a file, the format by its extension.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, _path: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    /// Prints it.
    ///
    /// # Errors
    /// When `to` cannot be written.
    pub fn print(&self, _to: &mut dyn Write, _color: bool) -> std::io::Result<()> {
        Ok(())
    }

    /// As JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}
