//! `[matrix]`: what `streamgauge matrix` varies; and how a text holds several values of a setting.

use std::collections::BTreeMap;

use config::{Value, ValueKind};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::layers::{DEFAULT_ORIGIN, Merge, PROPERTIES, Table, find, parse};
use super::{DEFAULTS, SCHEMA};

/// The table of what is varied: its keys are settings.
pub(super) const VARY: &str = "matrix.vary";

/// The table of what goes with a choice: its keys are `setting=value`, theirs settings.
pub(super) const WITH: &str = "matrix.with";

/// Sections in which nothing makes a run another one.
const NO_RUN: [&str; 5] = ["matrix", "server", "schedule", "history", "log"];

/// `[matrix]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MatrixSection {
    /// How often every cell is run.
    pub repetitions: u32,
    /// What the order of the runs derives from.
    pub seed: u64,
    /// Whether cells on the embedded log are added.
    pub floor: bool,
    /// Settings with the values that each of them takes.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, Vec<Json>>"))]
    pub vary: BTreeMap<String, Vec<String>>,
    /// Further settings of the cells in which a setting has a certain value: `setting=value`, then
    /// settings.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, BTreeMap<String, Json>>"))]
    pub with: BTreeMap<String, BTreeMap<String, String>>,
}

/// Why this setting cannot be varied; `None`: it can, or there is no such setting.
fn cannot_vary(known: &Table, key: &str) -> Option<String> {
    let section = key.split('.').next().unwrap_or_default();
    if NO_RUN.contains(&section) && find(known, key).is_some() {
        return Some(
            "makes no run another one: vary a setting of [broker], [topics], [workload] …"
                .to_owned(),
        );
    }
    match find(known, key).map(|known| &known.kind) {
        Some(ValueKind::Table(_)) => {
            Some(format!("is a section: name one of its settings, as `{key}.…`"))
        }
        _ => None,
    }
}

impl Merge {
    /// `[matrix.vary]`: settings, each with a list of values, kept as texts.
    pub(super) fn varied(&mut self, table: Table, origin: &str) -> Table {
        let mut kept = Table::new();
        for (key, value) in leaves(table) {
            let path = format!("{VARY}.{key}");
            match &value.kind {
                ValueKind::Array(items) if !items.is_empty() => {
                    if self.can_vary(&key, &path, origin) {
                        let texts: Vec<Value> =
                            items.iter().map(|item| text_of(item).into()).collect();
                        kept.insert(key, Value::new(Some(&origin.to_owned()), texts));
                    }
                }
                _ => self.problem(
                    origin,
                    &path,
                    "must be a list of values, as [\"10k/s\", \"20k/s\"]",
                ),
            }
        }
        kept
    }

    /// `[matrix.with]`: `setting=value`, each with settings, their values kept as texts.
    pub(super) fn with(&mut self, table: Table, origin: &str) -> Table {
        let mut kept = Table::new();
        for (choice, value) in table {
            let path = format!("{WITH}.{choice}");
            let ValueKind::Table(settings) = value.kind else {
                self.problem(
                    origin,
                    &path,
                    "must hold settings, as { \"broker.kafka.bootstrap_servers\" = \"b:9092\" }",
                );
                continue;
            };
            let Some((key, _)) = choice.split_once('=') else {
                self.problem(
                    origin,
                    &path,
                    "must be a setting and its value, as \"broker.kind=redpanda\"",
                );
                continue;
            };
            let mut texts = Table::new();
            for (setting, value) in leaves(settings) {
                let path = format!("{path}.{setting}");
                if self.can_vary(&setting, &path, origin) {
                    texts.insert(setting, Value::new(Some(&origin.to_owned()), text_of(&value)));
                }
            }
            if self.can_vary(key.trim(), &path, origin) {
                kept.insert(choice, texts.into());
            }
        }
        kept
    }

    /// Whether a run can be given another value of this setting; if not, that is a problem of
    /// `path`.
    pub(super) fn can_vary(&mut self, key: &str, path: &str, origin: &str) -> bool {
        if is_property(key) {
            return true;
        }
        if let Some(why) = cannot_vary(&self.known, key) {
            self.problem(origin, path, why);
            return false;
        }
        if find(&self.known, key).is_none() {
            let hint = self.nearest_key(key);
            self.problem(origin, path, format!("names no setting{hint}"));
            return false;
        }
        true
    }
}

/// The values of a table whose keys have dots, by their whole keys: `"a.b" = 1` and `a.b = 1`
/// alike.
fn leaves(table: Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value.kind {
            ValueKind::Table(inner) => {
                found.extend(
                    leaves(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)),
                );
            }
            _ => found.push((key, value)),
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

/// Why this setting cannot be varied; `None`: it can, or there is no such setting.
pub(crate) fn refused_in_matrix(key: &str) -> Option<String> {
    parse(DEFAULTS, DEFAULT_ORIGIN).ok().and_then(|known| cannot_vary(&known, key))
}

/// The values that `text` holds for this setting. `[a, b]` is a list for any setting (for one that
/// is a list itself: `[["a"], ["b", "c"]]`); `a,b` is one for numbers, units, switches and names
/// out of a choice. In a free text (addresses, names, properties) and in a list a comma is part of
/// the value.
pub(crate) fn choices(key: &str, text: &str) -> Vec<String> {
    let plain = text.trim();
    let kind = Kind::of(key);
    if let Some(items) = bracketed(plain) {
        let is_of_lists =
            items.iter().all(|item| matches!(item.kind, ValueKind::Array(_))) && !items.is_empty();
        if kind != Kind::List || is_of_lists {
            return items.iter().map(text_of).collect();
        }
    }
    match kind {
        Kind::Plain => plain.split(',').map(|choice| choice.trim().to_owned()).collect(),
        Kind::Text | Kind::List => vec![text.to_owned()],
    }
}

/// Whether it is a property of librdkafka's, which may have any name.
pub(crate) fn is_property(key: &str) -> bool {
    key.strip_prefix(PROPERTIES).is_some_and(|name| name.len() > 1 && name.starts_with('.'))
}

/// Whether a value of this setting is a list itself.
pub(crate) fn is_list_setting(key: &str) -> bool {
    Kind::of(key) == Kind::List
}

/// The items of a TOML array.
fn bracketed(text: &str) -> Option<Vec<Value>> {
    if !text.starts_with('[') || !text.ends_with(']') {
        return None;
    }
    match parse(&format!("list = {text}"), "").ok()?.remove("list")?.kind {
        ValueKind::Array(items) => Some(items),
        _ => None,
    }
}

/// A value as a flag would have it.
fn text_of(value: &Value) -> String {
    match &value.kind {
        ValueKind::Array(items) => {
            format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join(", "))
        }
        _ => value.clone().into_string().unwrap_or_default(),
    }
}

/// A value within a list, as TOML.
fn item(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => Json::from(text.as_str()).to_string(),
        _ => text_of(value),
    }
}

/// What a setting's values are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number, a unit, a switch, a name out of a choice: no comma in it.
    Plain,
    /// Any text.
    Text,
    /// A list.
    List,
}

impl Kind {
    /// By the schema. What is not in it (properties of librdkafka) is a text.
    fn of(key: &str) -> Self {
        let Ok(schema) = serde_json::from_str::<Json>(SCHEMA) else { return Self::Text };
        let mut at = &schema;
        for part in key.split('.') {
            let Some(inner) =
                resolved(&schema, at).get("properties").and_then(|inner| inner.get(part))
            else {
                return Self::Text;
            };
            at = inner;
        }
        let at = resolved(&schema, at);
        match at.get("type").and_then(Json::as_str) {
            Some("string") if at.get("enum").is_none() && at.get("const").is_none() => Self::Text,
            Some("array") => Self::List,
            _ => Self::Plain,
        }
    }
}

/// The schema that a reference points to.
fn resolved<'a>(schema: &'a Json, at: &'a Json) -> &'a Json {
    let target = at
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|path| schema.pointer(path.trim_start_matches('#')));
    target.unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_parts_only_what_cannot_hold_one() {
        for (key, text, expected) in [
            ("workload.rate", "10k/s,20k/s", &["10k/s", "20k/s"][..]),
            ("workload.rate", "10k/s", &["10k/s"]),
            ("workload.rate", "[\"10k/s\", 20000]", &["10k/s", "20000"]),
            ("workload.rate", "10k/s,", &["10k/s", ""]),
            ("broker.kind", "embedded, kafka", &["embedded", "kafka"]),
            ("workload.arrivals", "uniform,mmpp", &["uniform", "mmpp"]),
            ("topics.partitions", "1,2,4", &["1", "2", "4"]),
            ("topics.keep", "true,false", &["true", "false"]),
            ("aggregator.allowed_lateness", "auto,1s", &["auto", "1s"]),
            ("workload.zipf_exponent", "0,1.5", &["0", "1.5"]),
            ("broker.kafka.bootstrap_servers", "a:1,b:2", &["a:1,b:2"]),
            ("broker.kafka.bootstrap_servers", "[\"a:1,b:2\", \"c:3\"]", &["a:1,b:2", "c:3"]),
            ("broker.kafka.bootstrap_servers", "[::1]:9092", &["[::1]:9092"]),
            ("broker.kafka.properties.compression.type", "[\"none\", \"lz4\"]", &["none", "lz4"]),
            ("broker.kafka.properties.ssl.cipher.suites", "a,b", &["a,b"]),
            ("workload.ad_types", "a,b", &["a,b"]),
            ("workload.ad_types", "[\"a\", \"b\"]", &["[\"a\", \"b\"]"]),
            ("workload.ad_types", "[[\"a\"], [\"b\", \"c,d\"]]", &["[\"a\"]", "[\"b\", \"c,d\"]"]),
            (
                "thresholds.expressions",
                "[\"audit.events_lost == 0\"]",
                &["[\"audit.events_lost == 0\"]"],
            ),
        ] {
            assert_eq!(choices(key, text), expected, "{key}={text}");
        }
    }
}
