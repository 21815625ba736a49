//! How data is written to standard output: tables for people, JSON for programs.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

use super::error::CliError;

/// The form of what is listed or reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Ndjson,
}

/// `-o`, for commands that list or report.
#[derive(Args)]
pub(super) struct OutputArgs {
    /// Form of what goes to standard output
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub(super) output: OutputFormat,
}

/// A row of a list.
pub(super) trait Row: Serialize {
    /// The columns' titles.
    const TITLES: &'static [&'static str];

    /// The columns.
    fn cells(&self) -> Vec<String>;
}

/// Writes a list to standard output.
pub(super) fn list<R: Row>(rows: &[R], format: OutputFormat) -> Result<(), CliError> {
    list_with(rows, format, || {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(R::TITLES.iter().map(|title| title.to_uppercase()));
        for row in rows {
            table.add_row(row.cells());
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    })
}

/// Writes a list to standard output; `people` makes the lines for people.
pub(super) fn list_with<R: Serialize>(
    rows: &[R],
    format: OutputFormat,
    people: impl FnOnce() -> Vec<String>,
) -> Result<(), CliError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        OutputFormat::Table => {
            for line in people() {
                writeln!(out, "{line}")?;
            }
        }
        OutputFormat::Json => {
            serde_json::to_writer_pretty(&mut out, rows)?;
            writeln!(out)?;
        }
        OutputFormat::Ndjson => {
            for row in rows {
                serde_json::to_writer(&mut out, row)?;
                writeln!(out)?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// Writes a text to standard output.
pub(super) fn text(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))
    };
    Ok(written.map_err(named)?)
}

/// Whether standard output takes colours: a terminal, and `NO_COLOR` is not set.
pub(super) fn colour() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}
