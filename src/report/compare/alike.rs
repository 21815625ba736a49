//! Whether two runs had the same work to do, and what else was different.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::allowance::Allowance;
use super::meaning::{CHANGED_MEANINGS, between};
use crate::broker::{BrokerKind, PROFILES, Profile};
use crate::report::Report;

/// Sections of the configuration that say what the work is, whole.
const SECTIONS: [&str; 3] = ["workload", "aggregator", "result_writer"];

/// Single settings that do.
const SETTINGS: [&str; 3] = ["topics.partitions", "topics.replication", "topics.retention_bytes"];

/// Settings of those sections that change no work: a name, and the seed of what is random in it.
const EXCEPT: [&str; 2] = ["workload.name", "workload.seed"];

/// A setting, or a circumstance, that two runs have not in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// What two runs have not in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Likeness {
    /// Settings that differ and were named: the runs are compared across them.
    pub across: Vec<Difference>,
    /// Settings that differ and were not: the runs had different work to do.
    pub differences: Vec<Difference>,
    /// What else makes figures of the two mean different things, a sentence each.
    pub mixed: Vec<String>,
}

impl Likeness {
    /// Of two runs.
    pub fn of(base: &Report, candidate: &Report, allowance: &Allowance) -> Self {
        let mode = |report: &Report| {
            let name = serde_json::to_value(report.mode).unwrap_or_default();
            BTreeMap::from([("mode".to_owned(), name)])
        };
        let modes = differences(&mode(base), &mode(candidate));
        let settings = setting_differences(&base.config, &candidate.config);
        let all = modes.into_iter().chain(settings);
        let (across, differences) = all.partition(|difference| allowance.names(&difference.key));
        Self { across, differences, mixed: mixed(base, candidate) }
    }

    /// Whether the runs can be compared as they are.
    pub fn is_alike(&self) -> bool {
        self.differences.is_empty() && self.mixed.is_empty()
    }
}

/// What no setting tells and yet sets figures of two runs apart, a sentence each.
fn mixed(base: &Report, candidate: &Report) -> Vec<String> {
    let versions = [base.schema_version, candidate.schema_version];
    let meanings = between(&CHANGED_MEANINGS, versions).map(|changed| {
        format!("{} ({} in the base, {} in the candidate)", changed, versions[0], versions[1])
    });
    let is_changed = |(_, report): &(&str, &Report)| !report.rate_changes.is_empty();
    let rates = [("base", base), ("candidate", candidate)].into_iter().filter(is_changed);
    let rates = rates.map(|(side, report)| {
        let times = report.rate_changes.len();
        format!(
            "the rate of the {side} was changed while it ran ({times} time(s)): it had another \
             schedule than its settings say"
        )
    });
    meanings.chain(rates).collect()
}

/// The settings in which the work of two runs differs, by their resolved configurations: workload,
/// and the client's settings of each broker that either of them used.
pub fn setting_differences(base: &Value, candidate: &Value) -> Vec<Difference> {
    let used: BTreeSet<&str> =
        [base, candidate].into_iter().filter_map(profile).map(|used| used.section).collect();
    let profiles: Vec<&Profile> =
        PROFILES.into_iter().filter(|profile| used.contains(profile.section)).collect();
    differences(&work(base, &profiles), &work(candidate, &profiles))
}

/// What is compared, or may explain a difference: broker, programs, machine.
pub fn circumstances(base: &Report, candidate: &Report) -> Vec<Difference> {
    let (mut first, mut second) = (surroundings(base), surroundings(candidate));
    if let (Some(one), Some(other)) = (profile(&base.config), profile(&candidate.config))
        && one.section != other.section
    {
        // Two clients: what both have settings for goes by one name.
        flatten("client", &client(&base.config, one), &mut first);
        flatten("client", &client(&candidate.config, other), &mut second);
    }
    differences(&first, &second)
}

/// What is known of the broker that a configuration names.
fn profile(config: &Value) -> Option<&'static Profile> {
    let name = config.pointer("/broker/kind")?.as_str()?;
    Some(name.parse::<BrokerKind>().ok()?.profile())
}

/// A client's settings, but for those that change nothing that is measured.
fn client(config: &Value, profile: &Profile) -> Value {
    let mut section = config.pointer(&pointer(profile.section)).cloned().unwrap_or_default();
    for key in profile.unmeasured {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        let table = if table.is_empty() { String::new() } else { pointer(table) };
        if let Some(Value::Object(members)) = section.pointer_mut(&table) {
            members.remove(name);
        }
    }
    section
}

/// Where a setting is in a configuration.
fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

fn work(config: &Value, profiles: &[&Profile]) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    for key in SECTIONS.into_iter().chain(SETTINGS) {
        if let Some(value) = config.pointer(&pointer(key)) {
            flatten(key, value, &mut settings);
        }
    }
    for profile in profiles {
        flatten(profile.section, &client(config, profile), &mut settings);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::is_setting;

    fn config(kind: &str, section: &str, settings: Value) -> Value {
        let mut config = json!({"workload": {"rate": "40k/s"}, "broker": {"kind": kind}});
        config["broker"][section] = settings;
        config
    }

    fn keys(base: &Value, candidate: &Value) -> Vec<String> {
        setting_differences(base, candidate).into_iter().map(|each| each.key).collect()
    }

    #[test]
    fn settings_of_every_client_are_found_but_those_that_change_nothing() {
        for profile in PROFILES {
            let section = profile.section.trim_start_matches("broker.");
            let kind = profile.name();
            let base = config(kind, section, json!({"linger": 1, "table": {"deep": "a"}}));
            let candidate = config(kind, section, json!({"linger": 2, "table": {"deep": "b"}}));
            let found =
                [format!("broker.{section}.linger"), format!("broker.{section}.table.deep")];
            assert_eq!(keys(&base, &candidate), found);
            for key in profile.unmeasured {
                assert!(is_setting(&format!("{}.{key}", profile.section)), "{key}");
                let mut other = base.clone();
                let mut inner = json!("elsewhere");
                for part in key.rsplit('.') {
                    inner = json!({ part: inner });
                }
                for (name, value) in inner.as_object().unwrap() {
                    other["broker"][section][name] = value.clone();
                }
                assert_eq!(keys(&base, &other), Vec::<String>::new(), "{key}");
            }
        }
    }

    #[test]
    fn a_broker_that_neither_run_used_does_not_count() {
        let base = config("embedded", "kafka", json!({"events_linger": "5ms"}));
        let candidate = config("embedded", "kafka", json!({"events_linger": "50ms"}));
        assert_eq!(keys(&base, &candidate), Vec::<String>::new());
        let on_kafka = config("redpanda", "kafka", json!({"events_linger": "50ms"}));
        assert_eq!(keys(&base, &on_kafka), ["broker.kafka.events_linger"]);
    }

    #[test]
    fn properties_and_retention_count() {
        let base = config("kafka", "kafka", json!({"properties": {}}));
        let compressed = json!({"properties": {"compression.type": "lz4"}});
        let mut candidate = config("kafka", "kafka", compressed);
        candidate["topics"] = json!({"retention_bytes": "1GiB", "keep": true});
        let found = ["broker.kafka.properties.compression.type", "topics.retention_bytes"];
        assert_eq!(keys(&base, &candidate), found);
    }
}
