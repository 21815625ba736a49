//! Which form a report file gets.

use std::path::Path;

use anyhow::Context;

use super::report::MatrixReport;
use super::{csv, html, markdown};
use crate::report::format::{UnknownFormat, by_extension, replace};

/// The form of a report file, chosen by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixFormat {
    /// `.html`: for people, with charts, in one file.
    Html,
    /// `.md`: for people.
    Markdown,
    /// `.json`: the whole report, by `schemas/matrix.schema.json`.
    Json,
    /// `.csv`: the runs, one a line.
    Csv,
}

impl MatrixFormat {
    /// All forms, with their extensions.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Html, "html"), (Self::Markdown, "md"), (Self::Json, "json"), (Self::Csv, "csv")];

    /// The form that a file of this name gets.
    ///
    /// # Errors
    /// [`UnknownFormat`] lists the known extensions.
    pub fn from_path(path: &Path) -> Result<Self, UnknownFormat> {
        by_extension(path, &Self::ALL)
    }
}

impl MatrixReport {
    /// The report in this form.
    ///
    /// # Errors
    /// None that a report made by this program can cause.
    pub fn render(&self, format: MatrixFormat) -> anyhow::Result<String> {
        match format {
            MatrixFormat::Html => html::render(self),
            MatrixFormat::Markdown => Ok(markdown::render(self)),
            MatrixFormat::Json => Ok(self.to_json()?),
            MatrixFormat::Csv => Ok(csv::render(self)),
        }
    }

    /// Writes the report to a file, in the form that its extension names: whole or not at all.
    ///
    /// # Errors
    /// An unknown extension, or a file that cannot be written; the message names it.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = self.render(MatrixFormat::from_path(path)?)?;
        replace(path, text.as_bytes())
            .with_context(|| format!("cannot write the report to `{}`", path.display()))
    }
}
