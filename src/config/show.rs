//! Settings written out: as TOML with origins, as JSON, as the flags that bring them about. Never a
//! secret.

use std::fmt::Write;

use serde_json::Value as Json;

use super::defaults::{DefaultEntry, DefaultSetting, default_entries};
use super::layers::Layers;
use super::matrix::{VARY, WITH};
use super::presets::preset;
use super::problem::DEFAULT_ORIGIN;
use super::resolved::ResolvedSettings;
use super::settings::Settings;
use crate::broker;
use crate::secrets::REDACTED;

/// The tables whose keys are free, and may have dots.
fn free_tables() -> impl Iterator<Item = &'static str> {
    broker::property_tables().map(|table| table.key).chain([VARY, WITH])
}

impl Settings {
    /// All settings as JSON, secrets redacted.
    pub fn to_json(&self) -> Json {
        let mut json = serde_json::to_value(self).unwrap_or(Json::Null);
        for (key, values) in &self.matrix.vary {
            if broker::is_secret_setting(key) {
                json["matrix"]["vary"][key] = vec![REDACTED; values.len()].into();
            }
        }
        for (choice, settings) in &self.matrix.with {
            for key in settings.keys().filter(|key| broker::is_secret_setting(key)) {
                json["matrix"]["with"][choice][key] = REDACTED.into();
            }
        }
        if !self.server.token.is_empty() {
            json["server"]["token"] = REDACTED.into();
        }
        json
    }
}

impl ResolvedSettings {
    /// The settings as TOML, in the order of the defaults' file, each with where it was set;
    /// secrets redacted.
    pub fn to_toml(&self) -> String {
        let json = self.settings.to_json();
        let mut text = String::new();
        for entry in default_entries() {
            match entry {
                DefaultEntry::Section { name, .. } => {
                    let _ = writeln!(text, "{}[{name}]", if text.is_empty() { "" } else { "\n" });
                    if free_tables().any(|table| table == name) {
                        self.write_free_table(name, &json, &mut text);
                    }
                }
                DefaultEntry::Setting(DefaultSetting { key, .. }) => {
                    let name = key.rsplit('.').next().unwrap_or(&key);
                    let value = toml_value(at(&json, &key).unwrap_or(&Json::Null));
                    let _ = writeln!(text, "{name} = {value}{}", self.origin_comment(&key));
                }
            }
        }
        text
    }

    fn write_free_table(&self, table: &str, json: &Json, text: &mut String) {
        if let Some(Json::Object(entries)) = at(json, table) {
            for (name, value) in entries {
                let origin = self.origin_comment(&format!("{table}.{name}"));
                let _ =
                    writeln!(text, "{} = {}{origin}", Json::from(name.as_str()), toml_value(value));
            }
        }
    }

    fn origin_comment(&self, path: &str) -> String {
        match self.origins.get(path).map(String::as_str) {
            None | Some(DEFAULT_ORIGIN) => String::new(),
            Some(origin) => format!(" # {}", origin.replace(['\n', '\r'], " ")),
        }
    }

    /// The arguments of `streamgauge run` that bring these settings about on a machine without any
    /// configuration; secrets are left out.
    pub fn rerun_arguments(&self) -> String {
        let workload =
            Some(self.settings.workload.name.as_str()).filter(|name| preset(name).is_some());
        let flags = self.flags_over(workload);
        [workload.unwrap_or_default(), &flags].join(" ").trim().to_owned()
    }

    /// The arguments of a command without a workload that bring these settings about.
    pub fn set_arguments(&self) -> String {
        self.flags_over(None)
    }

    /// What differs from the plain workload, as flags.
    fn flags_over(&self, workload: Option<&str>) -> String {
        let plain = Layers { workload: workload.map(str::to_owned), ..Layers::default() };
        let base = plain.load().map_or(Json::Null, |plain| plain.settings.to_json());
        let json = self.settings.to_json();
        // What only the daemon reads, and what makes a matrix of runs, makes no run another one.
        let is_no_runs = |path: &str| {
            ["server.", "schedule.", "history.", "matrix."].iter().any(|of| path.starts_with(of))
        };
        let is_shown = |path: &str| !is_no_runs(path) && !broker::is_secret_setting(path);
        let flag = |path: &String| {
            let value = at(&json, path)
                .filter(|&value| at(&base, path) != Some(value) && is_shown(path))?;
            let text = match value {
                Json::String(text) => text.clone(),
                other => toml_value(other),
            };
            Some(format!("--set {}", shell_quoted(&format!("{path}={text}"))))
        };
        self.origins.keys().filter_map(flag).collect::<Vec<_>>().join(" ")
    }
}

/// The value at a dotted path; below a table with free keys the rest is one key.
pub(crate) fn at<'a>(json: &'a Json, path: &str) -> Option<&'a Json> {
    let below = |table: &'static str| Some((table, path.strip_prefix(table)?.strip_prefix('.')?));
    let (path, entry) = match free_tables().find_map(below) {
        Some((table, entry)) => (table, Some(entry)),
        None => (path, None),
    };
    path.split('.').chain(entry).try_fold(json, |json, key| json.get(key))
}

/// JSON's text of scalars and lists is TOML too; strings need only the escapes that both have.
pub(crate) fn toml_value(value: &Json) -> String {
    match value {
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                format!("{} = {}", Json::from(name.as_str()), toml_value(value))
            });
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Json::Array(values) => {
            format!("[{}]", values.iter().map(toml_value).collect::<Vec<_>>().join(", "))
        }
        // The one character that JSON leaves as it is and TOML does not.
        Json::String(_) => value.to_string().replace('\u{7f}', "\\u007f"),
        other => other.to_string(),
    }
}

/// A word for a POSIX shell.
pub(crate) fn shell_quoted(word: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(harmless) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
