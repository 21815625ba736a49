//! Settings written out: as TOML with origins, as JSON, as the flags that bring them about. Never a
//! secret.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::broker::kafka::{REDACTED, is_secret};

use super::layers::{DEFAULT_ORIGIN, PROPERTIES};
use super::matrix::{VARY, WITH};
use super::{ConfigError, DEFAULTS, KafkaSection, Layers, Resolved, Settings, preset};

/// The tables whose keys are free, and may have dots.
const FREE_TABLES: [&str; 3] = [PROPERTIES, VARY, WITH];

/// Whether the value of an entry of `[broker.kafka.properties]` must never be shown; a file's name
/// may be.
fn is_secret_entry(name: &str) -> bool {
    !name.to_ascii_lowercase().ends_with("_file") && is_secret(name)
}

/// Whether the value of a setting must never be shown.
pub(crate) fn is_secret_setting(key: &str) -> bool {
    key.strip_prefix(PROPERTIES)
        .and_then(|name| name.strip_prefix('.'))
        .is_some_and(is_secret_entry)
}

/// What a file holds, the line end at its end aside.
pub(crate) fn read_secret(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Refuses what no caller could send in a header.
///
/// # Errors
/// What is wrong with it, to follow its name.
pub(crate) fn check_token(token: &str) -> Result<(), &'static str> {
    match token {
        "" => Err("is empty"),
        token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(()),
        _ => Err("must be one line of visible ASCII characters, without spaces"),
    }
}

impl KafkaSection {
    /// The properties with those read from files in place.
    ///
    /// # Errors
    /// [`ConfigError`] when a file cannot be read.
    pub fn resolved_properties(
        &self,
    ) -> Result<std::collections::BTreeMap<String, String>, ConfigError> {
        let read = |(name, value): (&String, &String)| match name.strip_suffix("_file") {
            None => Ok((name.clone(), value.clone())),
            Some(property) => match read_secret(value) {
                Ok(text) => Ok((property.to_owned(), text)),
                Err(error) => Err(ConfigError::one(
                    value,
                    format!("{PROPERTIES}.{name}"),
                    format!(
                        "names a file that cannot be read: {error}; check path and permissions"
                    ),
                )),
            },
        };
        self.properties.iter().map(read).collect()
    }
}

impl Settings {
    /// All settings as JSON, secrets redacted.
    pub fn to_json(&self) -> Json {
        let mut json = serde_json::to_value(self).unwrap_or(Json::Null);
        if let Some(Json::Object(properties)) = json.pointer_mut("/broker/kafka/properties") {
            for (name, value) in properties {
                if is_secret_entry(name) {
                    *value = REDACTED.into();
                }
            }
        }
        for (key, values) in &self.matrix.vary {
            if is_secret_setting(key) {
                json["matrix"]["vary"][key] = vec![REDACTED; values.len()].into();
            }
        }
        for (choice, settings) in &self.matrix.with {
            for key in settings.keys().filter(|key| is_secret_setting(key)) {
                json["matrix"]["with"][choice][key] = REDACTED.into();
            }
        }
        if !self.server.token.is_empty() {
            json["server"]["token"] = REDACTED.into();
        }
        json
    }
}

impl Resolved {
    /// The settings as TOML, in the order of the defaults' file, each with where it was set;
    /// secrets redacted.
    pub fn to_toml(&self) -> String {
        let json = self.settings.to_json();
        let mut text = String::new();
        let mut section = String::new();
        for line in DEFAULTS.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut section);
                let _ = writeln!(text, "{}[{section}]", if text.is_empty() { "" } else { "\n" });
                if FREE_TABLES.contains(&section.as_str()) {
                    self.write_free_table(&section, &json, &mut text);
                }
            } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#'))
            {
                let path = format!("{section}.{key}");
                let value = toml_value(at(&json, &path).unwrap_or(&Json::Null));
                let _ = writeln!(text, "{key} = {value}{}", self.origin_comment(&path));
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

    /// The same over the defaults alone, for commands without a workload.
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
        let is_shown = |path: &str| {
            if is_no_runs(path) {
                return false;
            }
            let property =
                path.strip_prefix(PROPERTIES).unwrap_or_default().trim_start_matches('.');
            property.is_empty() || !is_secret_entry(property)
        };
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
    let (path, entry) = match FREE_TABLES.into_iter().find_map(below) {
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
