//! Which form a report file gets, and how it is written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Report, csv, hdr, html, markdown};

/// The form of a report file, chosen by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.json`: the whole report, by `schemas/report.schema.json`.
    Json,
    /// `.html`: for people, with charts, in one file.
    Html,
    /// `.md`: for people.
    Markdown,
    /// `.csv`: the per-second series.
    Csv,
    /// `.hdr`: the percentile distributions of all latencies.
    Hdr,
}

/// A path whose extension names no form of report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot tell the report's format from `{}`: its name must end in {known}", path.display())]
pub struct UnknownFormat {
    /// The path.
    pub path: PathBuf,
    /// The extensions that name one.
    pub known: String,
}

/// The form that a file of this name gets, of those listed with their extensions.
pub(crate) fn by_extension<F: Copy>(
    path: &Path,
    forms: &[(F, &'static str)],
) -> Result<F, UnknownFormat> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let found = forms.iter().find(|(_, name)| extension.eq_ignore_ascii_case(name));
    found.map(|(form, _)| *form).ok_or_else(|| {
        let names: Vec<_> = forms.iter().map(|(_, name)| format!(".{name}")).collect();
        let (last, others) = names.split_last().map_or(("", &[][..]), |(l, o)| (l.as_str(), o));
        UnknownFormat { path: path.to_owned(), known: format!("{} or {last}", others.join(", ")) }
    })
}

impl Format {
    /// All forms, with their extensions.
    pub const ALL: [(Format, &'static str); 5] = [
        (Format::Json, "json"),
        (Format::Html, "html"),
        (Format::Markdown, "md"),
        (Format::Csv, "csv"),
        (Format::Hdr, "hdr"),
    ];

    /// The form that a file of this name gets; checked before a run, so that no run is made for
    /// nothing.
    ///
    /// # Errors
    /// [`UnknownFormat`] lists the known extensions.
    pub fn from_path(path: &Path) -> Result<Self, UnknownFormat> {
        by_extension(path, &Self::ALL)
    }

    /// The report in this form.
    ///
    /// # Errors
    /// When a stored histogram cannot be read.
    pub fn render(self, report: &Report) -> anyhow::Result<String> {
        match self {
            Self::Json => Ok(report.to_json()?),
            Self::Html => html::render(report),
            Self::Markdown => Ok(markdown::render(report)),
            Self::Csv => Ok(csv::render(report)),
            Self::Hdr => hdr::render(report),
        }
    }
}

impl Report {
    /// Writes the report to a file, in the form that its extension names: whole or not at all.
    ///
    /// # Errors
    /// An unknown extension, or a file that cannot be written; the message names it.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = Format::from_path(path)?.render(self)?;
        replace(path, text.as_bytes())
            .with_context(|| format!("cannot write the report to `{}`", path.display()))
    }
}

/// Puts a file in place atomically: a temporary file beside it, flushed to disk, then renamed.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(beside);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell; a leftover is hidden and named after this process.
        let _ = fs::remove_file(&temporary);
    }
    written
}
