//! The log, on standard error: lines for people, or JSON for programs, one object a line with all
//! fields at its top (those of the stage that speaks included: `run_id`, `generation`, `actor`).

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value as Json, json};
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
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || LogLines {
        to: io::stderr(),
        clears,
        format,
        lost: &LOST,
    });
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

/// Lines of the log that could not be written, and of which nothing was told yet.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Where lines of the log go, and a line of progress may stand: that is cleared for a line of the
/// log, and drawn again below. A line that cannot be written is counted, and told of once one can
/// be: a log whose reader has gone, or whose disk is full, harms nothing.
struct LogLines<W> {
    to: W,
    clears: bool,
    format: LogFormat,
    lost: &'static AtomicU64,
}

/// A line of the log that tells of those that could not be written.
fn told_lost(lost: u64, format: LogFormat) -> String {
    let mut time = String::new();
    // A string takes any text.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let message = format!("{lost} line(s) of the log could not be written");
    match format {
        LogFormat::Human => format!("{time}  WARN {message}\n"),
        LogFormat::Json => {
            let target = module_path!();
            let line =
                json!({"timestamp": time, "level": "WARN", "target": target, "message": message});
            format!("{line}\n")
        }
    }
}

impl<W: Write> Write for LogLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let mut text = Vec::with_capacity(line.len());
        if std::mem::take(&mut self.clears) {
            text.extend_from_slice(b"\r\x1b[2K");
        }
        if lost > 0 {
            text.extend_from_slice(told_lost(lost, self.format).as_bytes());
        }
        text.extend_from_slice(line);
        if self.to.write_all(&text).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What cannot be written is counted where it is written.
        let _ = self.to.flush();
        Ok(())
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

    /// A disk that is full until something is removed.
    struct Disk<'a> {
        full: bool,
        written: &'a mut Vec<u8>,
    }

    impl Write for Disk<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_told_of_once_they_can_be() {
        static LOST_HERE: AtomicU64 = AtomicU64::new(0);
        for format in [LogFormat::Human, LogFormat::Json] {
            let mut written = Vec::new();
            for (full, line) in [(true, "a\n"), (true, "b\n"), (false, "c\n"), (false, "d\n")] {
                let to = Disk { full, written: &mut written };
                let mut log = LogLines { to, clears: false, format, lost: &LOST_HERE };
                log.write_all(line.as_bytes()).unwrap();
                log.flush().unwrap();
            }
            let text = String::from_utf8(written).unwrap();
            let (told, rest) = text.split_once('\n').unwrap();
            assert!(told.contains("2 line(s) of the log could not be written"), "{text}");
            assert_eq!(rest, "c\nd\n");
            assert_eq!(format == LogFormat::Json, serde_json::from_str::<Json>(told).is_ok());
        }
    }

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
