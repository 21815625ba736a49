//! What every command starts from: the settings resolved, logging on.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgAction, Args};
use streamgauge_actors::clock::{Clock, Nanos, RunClock};
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use crate::config::{self, Assignment, ConfigError, Layers, LogFormat, Resolved, Settings};
use crate::topics::state_folder;

/// Flags of every command.
#[derive(Args)]
#[allow(clippy::doc_markdown, reason = "help texts are shown as they are")]
pub(super) struct Global {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// Any setting, as topics.keep=true; repeatable
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = assignment, help_heading = "Settings")]
    set: Vec<Assignment>,
    /// Folder for history and the record of own topics
    /// [default: $XDG_STATE_HOME/streamgauge, else ~/.local/state/streamgauge]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    state_dir: Option<PathBuf>,
    /// Log more; repeatable
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Settings")]
    verbose: u8,
    /// Log less, and show no progress; repeatable
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Settings")]
    quiet: u8,
}

fn assignment(text: &str) -> Result<Assignment, String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`: write section.key=value"))?;
    Ok(Assignment { origin: "flag --set".to_owned(), key: key.trim().to_owned(), value: value.to_owned() })
}

/// One call of the program.
pub(super) struct Session {
    global: Global,
    /// The clock of the whole process.
    pub(super) clock: Arc<RunClock>,
    /// When the process started, by that clock.
    pub(super) started_ns: Nanos,
}

impl Session {
    pub(super) fn new(global: Global, clock: Arc<RunClock>) -> Self {
        let started_ns = clock.now();
        Self { global, clock, started_ns }
    }

    /// Whether progress is unwelcome.
    pub(super) fn is_quiet(&self) -> bool {
        self.global.quiet > 0
    }

    /// Where history and the record of own topics are kept.
    pub(super) fn state_folder(&self) -> PathBuf {
        self.global.state_dir.clone().unwrap_or_else(state_folder)
    }

    /// The layers with a command's own flags on top, those by their own names over `--set`.
    pub(super) fn layers(&self, workload: Option<&str>, flags: Vec<Assignment>) -> Layers {
        let mut layers = Layers::of_process();
        layers.config_file.clone_from(&self.global.config);
        layers.workload = workload.map(str::to_owned);
        layers.flags.clone_from(&self.global.set);
        layers.flags.extend(flags);
        layers
    }

    /// Resolves the settings, and turns logging on.
    pub(super) fn settings(&self, workload: Option<&str>, flags: Vec<Assignment>) -> Result<Resolved, CliError> {
        self.resolve(&self.layers(workload, flags))
    }

    /// Resolves these layers, and turns logging on.
    pub(super) fn resolve(&self, layers: &Layers) -> Result<Resolved, CliError> {
        let resolved = layers.load()?;
        self.start_logging(&resolved)?;
        Ok(resolved)
    }

    /// The id of a run that starts now.
    pub(super) fn new_run_id(&self) -> String {
        config::run_id(self.clock.now(), config::random_bits())
    }

    fn start_logging(&self, resolved: &Resolved) -> Result<(), CliError> {
        let Settings { log, .. } = &resolved.settings;
        let directives = louder(&log.level, i32::from(self.global.verbose) - i32::from(self.global.quiet));
        let filter = EnvFilter::try_new(&directives).map_err(|error| {
            let origin = resolved.origins.get("log.level").map_or("settings", String::as_str);
            ConfigError::one(
                origin,
                "log.level",
                format!("cannot be read: {error}; write `info`, or `warn,streamgauge=debug`"),
            )
        })?;
        let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let clears = !self.is_quiet() && io::stderr().is_terminal();
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || OverProgress { clears })
            .with_ansi(colour);
        // An error means that a logger is set already, as in tests: then that one is used.
        let _ = match log.format {
            LogFormat::Human => builder.with_target(false).try_init(),
            LogFormat::Json => builder.json().try_init(),
        };
        Ok(())
    }
}

/// Standard error, where a line of progress may stand: it is cleared for a line of the log, and drawn again below.
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

/// A plain level moved by `steps`; directives stay as they are.
fn louder(level: &str, steps: i32) -> String {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    match LEVELS.iter().position(|known| known.eq_ignore_ascii_case(level.trim())) {
        Some(at) => LEVELS[(at as i32 + steps).clamp(0, LEVELS.len() as i32 - 1) as usize].to_owned(),
        None => level.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_move_and_directives_stay() {
        assert_eq!((louder("info", 1), louder("INFO", -1)), ("debug".to_owned(), "warn".to_owned()));
        assert_eq!((louder("info", 9), louder("info", -9)), ("trace".to_owned(), "off".to_owned()));
        assert_eq!(louder("info,librdkafka=debug", 2), "info,librdkafka=debug");
    }

    #[test]
    fn an_assignment_has_an_equals_sign() {
        let given = assignment("a.b = c=d").map(|given| (given.key, given.value));
        assert_eq!(given, Ok(("a.b".to_owned(), " c=d".to_owned())));
        assert!(assignment("a.b").unwrap_err().contains("section.key=value"));
    }
}
