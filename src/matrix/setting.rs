//! One setting of a cell, by its key.

use serde_json::Value as Json;

use crate::config::{Assignment, Layers, Settings, at, toml_value};

/// Whether a setting has this value, however it is written.
pub(super) fn has(settings: &Settings, key: &str, value: &str) -> bool {
    let json = settings.to_json();
    let value = value.trim();
    let Some(own) = at(&json, key) else { return false };
    shown(&json, key) == value || read(key, value).as_ref() == Some(own)
}

/// A setting's value as the settings have it, from a text; `None`: it cannot be read.
fn read(key: &str, text: &str) -> Option<Json> {
    let flag = Assignment { origin: String::new(), key: key.to_owned(), value: text.to_owned() };
    let settings = Layers { flags: vec![flag], ..Layers::default() }.load().ok()?.settings;
    at(&settings.to_json(), key).cloned()
}

/// Takes a setting out.
pub(super) fn remove(settings: &mut Json, key: &str) {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let section = section
        .split('.')
        .filter(|part| !part.is_empty())
        .try_fold(settings, |json, part| json.get_mut(part));
    if let Some(section) = section.and_then(Json::as_object_mut) {
        section.remove(name);
    }
}

/// A setting's value as people read it.
pub(super) fn shown(json: &Json, key: &str) -> String {
    match at(json, key) {
        Some(Json::String(text)) => text.clone(),
        Some(other) => toml_value(other),
        None => "not set".to_owned(),
    }
}
