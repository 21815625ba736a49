//! Settings, and where each was set.

use std::collections::BTreeMap;

use super::problem::{ConfigError, located};
use super::settings::Settings;
use streamgauge_actors::SettingError;

/// A setting given as text: by a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Where it was set: `flag --rate`.
    pub origin: String,
    /// The setting: `workload.rate`.
    pub key: String,
    /// Its value, as text.
    pub value: String,
}

/// Settings, and where each was set.
#[derive(Clone, Debug)]
pub struct ResolvedSettings {
    /// The settings.
    pub settings: Settings,
    /// Where each key was set.
    pub origins: BTreeMap<String, String>,
}

impl ResolvedSettings {
    /// The error with where its setting was set.
    pub(crate) fn located(&self, error: SettingError) -> ConfigError {
        ConfigError { problems: vec![located(error, &self.origins)] }
    }
}
