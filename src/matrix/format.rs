//! Which form a report file gets.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::report::MatrixReport;
use super::{csv, html, markdown};
use crate::report::format::replace;

/// The form of a report file, chosen by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.html`: for people, with charts, in one file.
    Html,
    /// `.md`: for people.
    Markdown,
    /// `.json`: the whole report, by `schemas/matrix.schema.json`.
    Json,
    /// `.csv`: the runs, one a line.
    Csv,
}

/// A path whose extension names no form of a matrix's report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot tell the report's format from `{}`: its name must end in .html, .md, .json or \
         .csv", path.display())]
pub struct UnknownFormat {
    /// The path.
    pub path: PathBuf,
}

impl Format {
    /// All forms, with their extensions.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Html, "html"), (Self::Markdown, "md"), (Self::Json, "json"), (Self::Csv, "csv")];

    /// The form that a file of this name gets.
    ///
    /// # Errors
    /// [`UnknownFormat`] lists the known extensions.
    pub fn from_path(path: &Path) -> Result<Self, UnknownFormat> {
        let extension =
            path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let known = Self::ALL.into_iter().find(|(_, name)| extension.eq_ignore_ascii_case(name));
        known.map(|(format, _)| format).ok_or_else(|| UnknownFormat { path: path.to_owned() })
    }
}

impl MatrixReport {
    /// The report in this form.
    ///
    /// # Errors
    /// None that a report made by this program can cause.
    pub fn render(&self, format: Format) -> anyhow::Result<String> {
        match format {
            Format::Html => html::render(self),
            Format::Markdown => Ok(markdown::render(self)),
            Format::Json => Ok(self.to_json()?),
            Format::Csv => Ok(csv::render(self)),
        }
    }

    /// Writes the report to a file, in the form that its extension names: whole or not at all.
    ///
    /// # Errors
    /// An unknown extension, or a file that cannot be written; the message names it.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = self.render(Format::from_path(path)?)?;
        replace(path, text.as_bytes())
            .with_context(|| format!("cannot write the report to `{}`", path.display()))
    }
}
