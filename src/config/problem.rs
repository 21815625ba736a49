//! What is wrong with a configuration: where it was set, which key, and what to do.

use std::collections::BTreeMap;
use std::fmt;

use streamgauge_actors::SettingError;

/// The origin of what nobody set.
pub(super) const DEFAULT_ORIGIN: &str = "default";

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// Where it was set: a file, a variable of the environment, a flag.
    pub origin: String,
    /// The setting; empty where a file cannot be read at all.
    pub key: String,
    /// Lower case; what is wrong and what to do.
    pub message: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.message)
        } else {
            write!(f, "{}: `{}` {}", self.origin, self.key, self.message)
        }
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order in which it was found.
    pub problems: Vec<SettingProblem>,
}

impl ConfigError {
    /// A single problem.
    pub fn one(
        origin: impl Into<String>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            problems: vec![SettingProblem {
                origin: origin.into(),
                key: key.into(),
                message: message.into(),
            }],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What is wrong with a setting, with where it was set: itself, or something in its section.
pub(super) fn located(error: SettingError, origins: &BTreeMap<String, String>) -> SettingProblem {
    let SettingError { key, message } = error;
    let section = format!("{key}.");
    let inside = || {
        let mut below = origins.iter().filter(|(path, _)| path.starts_with(&section));
        below.find(|(_, origin)| *origin != DEFAULT_ORIGIN).map(|(_, origin)| origin)
    };
    let origin = origins.get(&key).or_else(inside).map_or("settings", String::as_str).to_owned();
    SettingProblem { origin, key, message }
}
