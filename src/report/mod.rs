//! Placeholder of the report.

use std::path::Path;

use streamgauge_actors::clock::Nanos;
use streamgauge_actors::outcome::RunOutcome;
use streamgauge_actors::pipeline::Mode;

/// What a report says besides what the pipeline measured.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ReportContext {
    pub mode: Mode,
    pub config: serde_json::Value,
    pub rerun: String,
    pub process_started_ns: Nanos,
    pub resources: Resources,
    pub host: Host,
    pub versions: Versions,
}

/// What the program itself used.
#[derive(Clone, Debug, Default)]
pub struct Resources;

/// Measures resources.
#[derive(Clone, Debug)]
pub struct ResourceMeter;

#[allow(missing_docs)]
impl ResourceMeter {
    pub fn since_process_start() -> Self {
        Self
    }

    pub fn sample(&mut self) {}

    pub fn finish(self) -> Resources {
        Resources
    }
}

/// The machine.
#[derive(Clone, Debug, Default)]
pub struct Host;

#[allow(missing_docs)]
impl Host {
    pub fn describe() -> Self {
        Self
    }
}

/// What was running.
#[derive(Clone, Debug, Default)]
pub struct Versions;

#[allow(missing_docs)]
impl Versions {
    pub fn new(_librdkafka: Option<String>, _fluvio: Option<String>) -> Self {
        Self
    }
}

/// The form of a report file.
#[derive(Clone, Copy, Debug)]
pub struct Format;

#[allow(missing_docs)]
impl Format {
    /// # Errors
    /// An unknown extension.
    pub fn from_path(path: &Path) -> anyhow::Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json" | "md" | "csv" | "hdr") => Ok(Self),
            _ => anyhow::bail!(
                "cannot tell the report's format from `{}`: its name must end in .json, .md, .csv or .hdr",
                path.display()
            ),
        }
    }
}

/// A report.
#[derive(Clone, Debug)]
pub struct Report;

#[allow(missing_docs)]
impl Report {
    pub fn new(_outcome: &RunOutcome, _context: &ReportContext) -> Self {
        Self
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, _path: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    /// # Errors
    /// Never.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(String::new())
    }

    /// # Errors
    /// Never.
    pub fn to_ndjson(&self) -> serde_json::Result<String> {
        Ok(String::new())
    }
}

/// The report for a terminal.
pub mod terminal {
    /// The report as text.
    pub fn render(_report: &super::Report, _colour: bool) -> String {
        String::new()
    }
}
