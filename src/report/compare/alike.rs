//! Whether two runs had the same work to do, and what else was different.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::report::Report;

/// Sections of the configuration that say what the work is, whole.
const SECTIONS: [&str; 3] = ["workload", "aggregator", "result_writer"];

/// Single settings that do.
const SETTINGS: [&str; 2] = ["topics.partitions", "topics.replication"];

/// Settings of those sections that change no work: a name, and the seed of what is random in it.
const EXCEPT: [&str; 2] = ["workload.name", "workload.seed"];

/// A setting, or a circumstance, that two runs have not in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The setting's key (`workload.rate`), or the path of the circumstance in the report
    /// (`host.cpu`).
    pub key: String,
    /// Its value in the base; `null`: not there.
    pub base: Value,
    /// Its value in the candidate; `null`: not there.
    pub candidate: Value,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |value: &Value| match value {
            Value::Null => "not there".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        write!(
            f,
            "{}: {} (base), {} (candidate)",
            self.key,
            text(&self.base),
            text(&self.candidate)
        )
    }
}

/// The settings in which the work of two runs differs; empty: their figures can be compared.
pub fn workload_differences(base: &Report, candidate: &Report) -> Vec<Difference> {
    differences(&workload(base), &workload(candidate))
}

/// What is compared, or may explain a difference: broker, programs, machine.
pub fn circumstances(base: &Report, candidate: &Report) -> Vec<Difference> {
    differences(&surroundings(base), &surroundings(candidate))
}

fn workload(report: &Report) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::from([(
        "mode".to_owned(),
        serde_json::to_value(report.mode).unwrap_or_default(),
    )]);
    for section in SECTIONS {
        if let Some(value) = report.config.get(section) {
            flatten(section, value, &mut settings);
        }
    }
    for key in SETTINGS {
        let pointer = format!("/{}", key.replace('.', "/"));
        if let Some(value) = report.config.pointer(&pointer) {
            settings.insert(key.to_owned(), value.clone());
        }
    }
    for key in EXCEPT {
        settings.remove(key);
    }
    settings
}

fn surroundings(report: &Report) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let parts = [
        ("broker.kind", serde_json::to_value(&report.broker.kind)),
        ("broker.version", serde_json::to_value(&report.broker.version)),
        ("broker.guarantee", serde_json::to_value(&report.broker.guarantee)),
        ("versions", serde_json::to_value(&report.versions)),
        ("host", serde_json::to_value(&report.host)),
        ("seed", serde_json::to_value(report.seed)),
    ];
    for (path, value) in parts {
        flatten(path, &value.unwrap_or_default(), &mut found);
    }
    found
}

/// Every leaf of `value`, by its path; a list is one leaf.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                flatten(&format!("{path}.{name}"), member, into);
            }
        }
        leaf => _ = into.insert(path.to_owned(), leaf.clone()),
    }
}

fn differences(
    base: &BTreeMap<String, Value>,
    candidate: &BTreeMap<String, Value>,
) -> Vec<Difference> {
    let mut keys: Vec<&String> = base.keys().chain(candidate.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let value =
        |of: &BTreeMap<String, Value>, key: &String| of.get(key).cloned().unwrap_or_default();
    keys.into_iter()
        .map(|key| Difference {
            key: key.clone(),
            base: value(base, key),
            candidate: value(candidate, key),
        })
        .filter(|difference| !same(&difference.base, &difference.candidate))
        .collect()
}

/// 1 and 1.0 are one number.
fn same(left: &Value, right: &Value) -> bool {
    left == right
        || left
            .as_f64()
            .zip(right.as_f64())
            .is_some_and(|(left, right)| left.total_cmp(&right).is_eq())
}
