//! The log, on standard error: lines for people, or JSON for programs, one object a line with all
//! fields at its top (those of the stage that speaks included: `run_id`, `generation`, `actor`).

use std::fmt;
use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::broker::PROFILES;
use crate::config::LogFormat;

/// What crates say that nobody wants to read: every start, what any caller may send, an error that
/// comes back to us, too. What the brokers' clients say so is in their profiles.
const QUIETER: [&str; 3] = ["actix_server=warn", "actix_http=off", "mio=warn"];

/// Turns the log on. `level`: a level, or directives; `steps` moves a plain level; `clears`: a line
/// of progress may stand where the log goes.
///
/// # Errors
/// When the level cannot be read.
pub(super) fn start(
    level: &str,
    steps: i32,
    format: LogFormat,
    clears: bool,
) -> Result<(), String> {
    let filter = EnvFilter::try_new(directives(level, steps)).map_err(|error| error.to_string())?;
    let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let clears = clears && io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || OverProgress { clears });
    // An error means that a logger is set already, as in tests: then that one is used.
    let _ = match format {
        LogFormat::Human => builder.with_ansi(colour).with_target(false).try_init(),
        LogFormat::Json => builder
            .with_ansi(false)
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .try_init(),
    };
    Ok(())
}

/// A plain level moved by `steps`, what is too talkative kept down; directives stay as they are.
fn directives(level: &str, steps: i32) -> String {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    match LEVELS.iter().position(|known| known.eq_ignore_ascii_case(level.trim())) {
        Some(at) => match LEVELS[(at as i32 + steps).clamp(0, LEVELS.len() as i32 - 1) as usize] {
            "info" => {
                let clients = PROFILES.iter().flat_map(|profile| profile.quiet);
                ["info"]
                    .iter()
                    .chain(&QUIETER)
                    .chain(clients)
                    .copied()
                    .collect::<Vec<_>>()
                    .join(",")
            }
            level => level.to_owned(),
        },
        None => level.to_owned(),
    }
}

/// Standard error, where a line of progress may stand: it is cleared for a line of the log, and
/// drawn again below.
struct OverProgress {
    clears: bool,
}

impl Write for OverProgress {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        if std::mem::take(&mut self.clears) {
            stderr.write_all(b"\r\x1b[2K")?;
        }
        stderr.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// One JSON object a line.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let fields =
                extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
            // What the JSON field formatter wrote is JSON.
            if let Ok(Json::Object(fields)) = serde_json::from_str(fields) {
                line.extend(fields);
            }
        }
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Json::Object(line))
    }
}

/// Takes an event's fields.
struct Fields<'a>(&'a mut Map<String, Json>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Json>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_move_and_directives_stay() {
        assert_eq!(
            (directives("info", 1), directives("INFO", -1)),
            ("debug".to_owned(), "warn".to_owned())
        );
        assert_eq!(
            (directives("info", 9), directives("info", -9)),
            ("trace".to_owned(), "off".to_owned())
        );
        assert_eq!(directives("info,librdkafka=debug", 2), "info,librdkafka=debug");
        assert!(directives("warn", 1).starts_with("info,actix_server=warn"));
    }
}
