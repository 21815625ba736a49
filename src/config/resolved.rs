//! Settings, and where each was set.

use std::collections::BTreeMap;

use super::presets::PRESETS;
use super::problem::{ConfigError, DEFAULT_ORIGIN, located};
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
    /// Whether somebody set it: no default, and no preset.
    pub(crate) fn is_chosen(&self, key: &str) -> bool {
        let is_preset = |origin: &str| {
            let name = origin.strip_prefix("preset ");
            name.is_some_and(|name| PRESETS.iter().any(|preset| preset.name == name))
        };
        let origin = self.origins.get(key).map_or(DEFAULT_ORIGIN, String::as_str);
        origin != DEFAULT_ORIGIN && !is_preset(origin)
    }

    /// The error with where its setting was set.
    pub(crate) fn located(&self, error: SettingError) -> ConfigError {
        ConfigError { problems: vec![located(error, &self.origins)] }
    }
}
