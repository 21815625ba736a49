//! What a matrix is asked for: by flags, and by `[matrix]` of its file.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::cells::{BROKER, Dimension};
use super::problems::Problems;
use super::setting::has;
use crate::broker::{self, BrokerKind};
use crate::config::{self, Assignment, Layers, ResolvedSettings, Settings, at};

/// The origin of what goes with a choice by a flag.
pub const WITH_FLAG: &str = "flag --with";

/// What a matrix is made of.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The layers with all that is not varied.
    pub layers: Layers,
    /// What flags vary, over what `[matrix.vary]` does.
    pub varied: Vec<Dimension>,
    /// Further settings of the cells in which a setting has a certain value, over `[matrix.with]`.
    pub with: Vec<With>,
    /// Settings and the values that they have in the cells compared with; empty: all cells are
    /// compared with the first.
    pub baseline: Vec<(String, String)>,
}

/// A setting of the cells in which another one has a certain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct With {
    /// The setting looked at.
    pub key: String,
    /// The value that it must have.
    pub value: String,
    /// What is set then.
    pub assignment: Assignment,
}

impl With {
    /// Whether a cell with these settings is one of those meant.
    pub(super) fn fits(&self, settings: &Settings) -> bool {
        has(settings, &self.key, &self.value)
    }
}

/// Whether an address implied the broker: whatever names brokers lies over that.
pub fn is_implied_broker(assignment: &Assignment) -> bool {
    let implies = |flag: &str| broker::addresses().any(|(_, address)| address.flag == flag);
    assignment.key == BROKER && assignment.origin.strip_prefix("flag --").is_some_and(implies)
}

/// What is varied: what flags vary, over what `[matrix.vary]` does; the broker first.
pub(super) fn dimensions(request: &Request, base: Option<&ResolvedSettings>) -> Vec<Dimension> {
    let flags = request.layers.flags.iter().filter(|flag| !is_implied_broker(flag));
    let flag_keys: BTreeSet<&str> = flags.map(|flag| flag.key.as_str()).collect();
    let mut dimensions = request.varied.clone();
    for (key, choices) in base.map(|base| &base.settings.matrix.vary).into_iter().flatten() {
        // A flag for the same setting lies over the file's list, be it with one value or several.
        let is_varied = dimensions.iter().any(|dimension| dimension.key == *key);
        if flag_keys.contains(key.as_str()) || is_varied {
            continue;
        }
        let origin = base.and_then(|base| base.origins.get(&format!("matrix.vary.{key}")));
        let origin = origin.map_or("settings", String::as_str).to_owned();
        dimensions.push(Dimension { key: key.clone(), origin, choices: choices.clone() });
    }
    in_order(&mut dimensions);
    if dimensions.first().is_none_or(|first| first.key != BROKER) {
        let kind = base.map_or_else(BrokerKind::in_process, |base| base.settings.broker.kind);
        let choices = vec![kind.name().to_owned()];
        let broker = Dimension { key: BROKER.to_owned(), origin: String::new(), choices };
        dimensions.insert(0, broker);
    }
    dimensions
}

/// Further settings of some cells: those of `[matrix.with]`, then those of flags.
pub(super) fn further_settings(
    of_flags: Vec<With>,
    base: Option<&ResolvedSettings>,
    problems: &mut Problems,
) -> Vec<With> {
    let mut with = base.map(of_file).unwrap_or_default();
    with.extend(of_flags);
    let known = everything();
    let is_unknown =
        |each: &&With| at(&known, &each.key).is_none() && broker::property(&each.key).is_none();
    for each in with.iter().filter(is_unknown) {
        let message = "is an unknown key, so no cell has a value of it";
        problems.add(&each.assignment.origin, &each.key, message);
    }
    with
}

/// Sorts dimensions by the order of the defaults' file, the broker first.
fn in_order(dimensions: &mut [Dimension]) {
    let keys = config::setting_keys();
    let place = |key: &str| keys.iter().position(|known| known == key).unwrap_or(usize::MAX);
    dimensions.sort_by_key(|dimension| (place(&dimension.key), dimension.key.clone()));
}

/// `[matrix.with]`.
fn of_file(base: &ResolvedSettings) -> Vec<With> {
    let mut found = Vec::new();
    for (choice, settings) in &base.settings.matrix.with {
        let Some((key, value)) = choice.split_once('=') else { continue };
        for (setting, text) in settings {
            let origin = base.origins.get(&format!("matrix.with.{choice}.{setting}"));
            let origin = origin.map_or("settings", String::as_str).to_owned();
            let assignment = Assignment { origin, key: setting.clone(), value: text.clone() };
            found.push(With {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                assignment,
            });
        }
    }
    found
}

/// All settings, to ask for names.
fn everything() -> Json {
    Layers::default().load().map_or(Json::Null, |resolved| resolved.settings.to_json())
}
