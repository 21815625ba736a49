//! `[matrix]`: what `streamgauge matrix` varies.

use std::collections::BTreeMap;

use config::{Value, ValueKind};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use serde_json::Value as Json;
use streamgauge_actors::Checks;

use super::choices::text_of;
use super::defaults::default_table;
use super::problem::SettingProblem;
use super::table::{Table, find, nearest_key};
use crate::broker;

/// Runs of one cell of a matrix at most.
const MAX_REPETITIONS: u32 = 1000;

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

impl MatrixSection {
    /// Checks what types alone cannot.
    pub(super) fn check(&self, checks: &mut Checks) {
        let repetitions = self.repetitions;
        checks.must(
            (1..=MAX_REPETITIONS).contains(&repetitions),
            "matrix.repetitions",
            format!("must be 1 to {MAX_REPETITIONS}, but is {repetitions}"),
        );
    }
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

/// Reads the tables of `[matrix]` whose keys are settings; what is wrong becomes a problem.
pub(super) struct MatrixTables<'a> {
    pub(super) known: &'a Table,
    pub(super) origin: &'a str,
    pub(super) problems: &'a mut Vec<SettingProblem>,
}

impl MatrixTables<'_> {
    /// `[matrix.vary]`: settings, each with a list of values, kept as texts.
    pub(super) fn varied(&mut self, table: Table) -> Table {
        let mut kept = Table::new();
        for (key, value) in leaves(table) {
            let path = format!("{VARY}.{key}");
            match &value.kind {
                ValueKind::Array(items) if !items.is_empty() => {
                    if self.can_vary(&key, &path) {
                        let texts: Vec<Value> =
                            items.iter().map(|item| text_of(item).into()).collect();
                        kept.insert(key, self.placed(texts));
                    }
                }
                _ => self.problem(&path, "must be a list of values, as [\"10k/s\", \"20k/s\"]"),
            }
        }
        kept
    }

    /// `[matrix.with]`: `setting=value`, each with settings, their values kept as texts.
    pub(super) fn with(&mut self, table: Table) -> Table {
        let mut kept = Table::new();
        for (choice, value) in table {
            let path = format!("{WITH}.{choice}");
            let ValueKind::Table(settings) = value.kind else {
                let message = "must hold settings, as { \"broker.kafka.bootstrap_servers\" = \
                               \"b:9092\" }";
                self.problem(&path, message);
                continue;
            };
            let Some((key, _)) = choice.split_once('=') else {
                let message = "must be a setting and its value, as \"broker.kind=redpanda\"";
                self.problem(&path, message);
                continue;
            };
            let mut texts = Table::new();
            for (setting, value) in leaves(settings) {
                if self.can_vary(&setting, &format!("{path}.{setting}")) {
                    texts.insert(setting, self.placed(text_of(&value)));
                }
            }
            if self.can_vary(key.trim(), &path) {
                kept.insert(choice, texts.into());
            }
        }
        kept
    }

    /// Whether a run can be given another value of this setting; if not, that is a problem of
    /// `path`.
    pub(super) fn can_vary(&mut self, key: &str, path: &str) -> bool {
        if broker::property(key).is_some() {
            return true;
        }
        if let Some(why) = cannot_vary(self.known, key) {
            self.problem(path, &why);
            return false;
        }
        if find(self.known, key).is_none() {
            let hint = nearest_key(self.known, key);
            self.problem(path, &format!("names no setting{hint}"));
            return false;
        }
        true
    }

    fn placed(&self, kind: impl Into<ValueKind>) -> Value {
        Value::new(Some(&self.origin.to_owned()), kind)
    }

    fn problem(&mut self, path: &str, message: &str) {
        self.problems.push(SettingProblem {
            origin: self.origin.to_owned(),
            key: path.to_owned(),
            message: message.to_owned(),
        });
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
    cannot_vary(&default_table(), key)
}
