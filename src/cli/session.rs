//! What every command starts from: the settings resolved, logging on.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgAction, Args};
use streamgauge_actors::{Clock, Nanos, RunClock};

use super::error::CliError;
use super::logging;
use crate::broker::topics::state_folder;
use crate::config::{self, Assignment, ConfigError, Layers, ResolvedSettings, Settings};

/// Flags of every command.
#[derive(Args)]
#[allow(clippy::doc_markdown, reason = "help texts are shown as they are")]
pub(super) struct Global {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// Any setting, as topics.keep=true; repeatable
    #[arg(
        long,
        global = true,
        value_name = "KEY=VALUE",
        value_parser = assignment,
        help_heading = "Settings"
    )]
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
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` has no `=`: write section.key=value"))?;
    Ok(Assignment {
        origin: "flag --set".to_owned(),
        key: key.trim().to_owned(),
        value: value.to_owned(),
    })
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

    /// What `--set` gives.
    pub(super) fn set(&self) -> &[Assignment] {
        &self.global.set
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
    pub(super) fn settings(
        &self,
        workload: Option<&str>,
        flags: Vec<Assignment>,
    ) -> Result<ResolvedSettings, CliError> {
        self.resolve(&self.layers(workload, flags))
    }

    /// Resolves these layers, and turns logging on.
    pub(super) fn resolve(&self, layers: &Layers) -> Result<ResolvedSettings, CliError> {
        let resolved = layers.load()?;
        self.start_logging(&resolved, 0)?;
        Ok(resolved)
    }

    /// The id of a run that starts now.
    pub(super) fn new_run_id(&self) -> String {
        config::run_id(self.clock.now(), config::random_bits())
    }

    /// Turns logging on. `further`: steps by which a command logs less on its own account.
    pub(super) fn start_logging(
        &self,
        resolved: &ResolvedSettings,
        further: i32,
    ) -> Result<(), CliError> {
        let Settings { log, .. } = &resolved.settings;
        let steps = i32::from(self.global.verbose) - i32::from(self.global.quiet) - further;
        logging::start(&log.level, steps, log.format, !self.is_quiet()).map_err(|error| {
            let origin = resolved.origins.get("log.level").map_or("settings", String::as_str);
            let message =
                format!("cannot be read: {error}; write `info`, or `warn,streamgauge=debug`");
            ConfigError::one(origin, "log.level", message).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_has_an_equals_sign() {
        let given = assignment("a.b = c=d").map(|given| (given.key, given.value));
        assert_eq!(given, Ok(("a.b".to_owned(), " c=d".to_owned())));
        assert!(assignment("a.b").unwrap_err().contains("section.key=value"));
    }
}
