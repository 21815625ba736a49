//! What can go wrong on the command line, and the exit code of each.

use std::io::{self, Write};
use std::process::ExitCode;

use streamgauge_actors::Grade;

use super::exit;
use super::say::say;
use crate::config::ConfigError;

/// What a command ends with, unless it fails.
pub(super) type CliResult = Result<ExitCode, CliError>;

/// A command that failed.
#[derive(Debug)]
pub(super) enum CliError {
    /// Arguments that make no sense together.
    Usage(String),
    /// The broker does not answer.
    Unreachable(String),
    /// The configuration cannot be used.
    Config(ConfigError),
    /// Anything else.
    Runtime(anyhow::Error),
    /// Who read our output has gone: nothing is wrong.
    OutputClosed,
}

impl CliError {
    /// The process's exit code.
    fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => Grade::Pass.exit_code(),
            Self::Runtime(_) => Grade::Error.exit_code(),
            Self::Usage(_) => exit::USAGE,
            Self::Unreachable(_) => exit::UNREACHABLE,
            Self::Config(_) => exit::BAD_CONFIGURATION,
        }
    }

    /// What is wrong, a line each.
    pub(super) fn messages(&self) -> Vec<String> {
        match self {
            Self::OutputClosed => Vec::new(),
            Self::Usage(message) | Self::Unreachable(message) => vec![message.clone()],
            Self::Config(error) => error.problems.iter().map(ToString::to_string).collect(),
            Self::Runtime(error) => vec![format!("{error:#}")],
        }
    }

    /// Says what is wrong on standard error, and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        for message in self.messages() {
            say!("error: {message}");
        }
        let _ = io::stderr().flush();
        ExitCode::from(self.exit_code())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Runtime(error.into())
        }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        match error.io_error_kind() {
            Some(kind) => io::Error::from(kind).into(),
            None => Self::Runtime(error.into()),
        }
    }
}
