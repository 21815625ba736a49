//! `config/default.toml`: every setting, its default, what it is, and who may set it.

use super::problem::DEFAULT_ORIGIN;
use super::table::{Table, find, parse};

/// The commented defaults, TOML.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Whether a request to the daemon may set something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByRequest {
    /// It is the daemon's own.
    Never,
    /// Any request may.
    Always,
    /// As long as no credentials would be shown to the broker.
    WithoutCredentials,
}

impl ByRequest {
    /// Who may set it, as the comment behind a setting says it.
    const MARKS: [(&'static str, Self); 2] = [
        (" # by request without credentials", Self::WithoutCredentials),
        (" # by request", Self::Always),
    ];
}

/// A setting, as the defaults' file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DefaultSetting {
    /// The setting: `workload.rate`.
    pub(crate) key: String,
    /// Its default, TOML.
    pub(crate) default: &'static str,
    /// What it is.
    pub(crate) about: String,
    /// Whether a request may set it.
    pub(crate) by_request: ByRequest,
}

/// What stands in the defaults' file, below its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DefaultEntry {
    /// A section begins.
    Section {
        /// Its name.
        name: &'static str,
        /// What is said of it; empty where its first setting follows at once.
        about: String,
    },
    /// A setting of that section.
    Setting(DefaultSetting),
}

/// The entries of the defaults' file, in their order.
pub(crate) fn default_entries() -> Vec<DefaultEntry> {
    let mut entries: Vec<DefaultEntry> = Vec::new();
    let mut section = "";
    let mut comment = String::new();
    for line in DEFAULTS.lines().chain([""]) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
            comment.clear();
            entries.push(DefaultEntry::Section { name, about: String::new() });
        } else if let Some(text) = line.strip_prefix('#') {
            comment += if comment.is_empty() { text.trim_start() } else { text };
        } else if let Some((key, rest)) = line.split_once(" = ") {
            let mark = ByRequest::MARKS
                .into_iter()
                .find_map(|(mark, by_request)| Some((rest.strip_suffix(mark)?, by_request)));
            let (default, by_request) = mark.unwrap_or((rest, ByRequest::Never));
            let (key, about) = (format!("{section}.{key}"), std::mem::take(&mut comment));
            entries.push(DefaultEntry::Setting(DefaultSetting { key, default, about, by_request }));
        } else if let Some(DefaultEntry::Section { about, .. }) = entries.last_mut() {
            *about = std::mem::take(&mut comment);
        }
    }
    entries
}

/// Every setting, in the order of the defaults' file.
pub(crate) fn default_settings() -> Vec<DefaultSetting> {
    let settings = default_entries().into_iter().filter_map(|entry| match entry {
        DefaultEntry::Section { .. } => None,
        DefaultEntry::Setting(setting) => Some(setting),
    });
    settings.collect()
}

/// Every setting's key, in the order of the defaults' file.
pub(crate) fn setting_keys() -> Vec<String> {
    default_settings().into_iter().map(|setting| setting.key).collect()
}

/// The defaults as a table: all the keys there are, and their types.
pub(super) fn default_table() -> Table {
    parse(DEFAULTS, DEFAULT_ORIGIN).expect("our own defaults are TOML")
}

/// Whether there is such a setting, or section.
pub(crate) fn is_setting(key: &str) -> bool {
    find(&default_table(), key).is_some()
}

/// Whether a request may set this; `None`: there is no such setting, or it is a section.
pub(crate) fn by_request(key: &str) -> Option<ByRequest> {
    let setting = default_settings().into_iter().find(|setting| setting.key == key);
    setting.map(|setting| setting.by_request)
}
