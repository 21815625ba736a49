//! `streamgauge ctl watch`: a run's progress, a line a second, until it is over.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value as Json;
use streamgauge_actors::Grade;

use super::answer::text;
use super::client::Client;
use crate::cli::error::{CliError, CliResult};
use crate::cli::output::OutputFormat;
use crate::cli::say::say;
use crate::report::numbers::{grouped, millis};

/// Follows a run to its end. Data goes to standard output: a line a second, or every event as JSON.
pub(super) fn watch(client: &Client, run_id: &str, format: OutputFormat) -> CliResult {
    let mut event = String::new();
    for line in client.lines(&format!("/api/v1/runs/{run_id}/events"))? {
        let line = line
            .map_err(|error| CliError::Runtime(anyhow::anyhow!("the daemon is gone: {error}")))?;
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut event);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data: Json = serde_json::from_str(data)?;
            if let Some(code) = show(&event, &data, format)? {
                return Ok(code);
            }
        }
    }
    Err(CliError::Runtime(anyhow::anyhow!("the daemon ended before the run did")))
}

/// Shows one event; the exit code, if it is the last.
fn show(event: &str, data: &Json, format: OutputFormat) -> Result<Option<ExitCode>, CliError> {
    let mut out = std::io::stdout().lock();
    match (format, event) {
        (OutputFormat::Table, "second") => writeln!(out, "{}", second_line(data))?,
        (OutputFormat::Table, "window") => writeln!(out, "{}", window_line(data))?,
        (OutputFormat::Table, "finished") => {
            let verdict = text(&data["verdict"]).to_uppercase();
            writeln!(out, "{verdict}: {}", text(&data["reasons"][0]))?;
        }
        (OutputFormat::Table, _) => {}
        _ => {
            let row = serde_json::json!({"event": event, "data": data});
            writeln!(out, "{row}")?;
        }
    }
    out.flush()?;
    if event != "finished" {
        return Ok(None);
    }
    if data["links"].is_null() {
        say!("the run ended without a report");
    }
    // A run that never began, or was left behind by a daemon that was killed, has none.
    let code = data["exit_code"].as_u64().and_then(|code| u8::try_from(code).ok());
    Ok(Some(ExitCode::from(code.unwrap_or(Grade::Error.exit_code()))))
}

/// In 80 columns; the latency is that of events up to their consumption.
fn second_line(row: &Json) -> String {
    let count = |key: &str| row[key].as_u64().map_or_else(|| "-".to_owned(), grouped);
    // A long run's rows stand for more than a second.
    let seconds = row["seconds"].as_u64().unwrap_or(1).max(1);
    let rate = |key: &str| {
        row[key].as_u64().map_or_else(|| "-".to_owned(), |count| grouped(count / seconds))
    };
    format!(
        "{:>5} s  {:>9}/s sent  {:>9}/s consumed  lag {:>7}  p99 {:>6} ms",
        row["second"].as_i64().unwrap_or(0),
        rate("produced"),
        rate("consumed"),
        count("lag"),
        millis(row["latency"]["event_latency"]["p99_ms"].as_f64()),
    )
}

fn window_line(row: &Json) -> String {
    let count = |key: &str| row[key].as_u64().map_or_else(|| "-".to_owned(), grouped);
    let exact = if row["exact"].as_bool() == Some(true) { "exact" } else { "WRONG" };
    let latency = millis(row["result_latency_ms_max"].as_f64());
    format!(
        "  window {:>5}  {exact}  {} of {} events, {latency} ms",
        row["window_id"],
        count("count"),
        count("expected")
    )
}
