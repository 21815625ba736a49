//! The JSON Schema of a configuration file, and what it says of a setting's values.

use serde_json::Value as Json;

/// The JSON Schema of a configuration file.
pub const SCHEMA: &str = include_str!("../../schemas/config.schema.json");

/// What a setting's values are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueShape {
    /// A number, a unit, a switch, a name out of a choice: no comma in it.
    Plain,
    /// Any text.
    Text,
    /// A list.
    List,
}

impl ValueShape {
    /// By the schema. What is not in it (properties of librdkafka) is a text.
    pub(super) fn of(key: &str) -> Self {
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

/// Whether a value of this setting is a list itself.
pub(crate) fn is_list_setting(key: &str) -> bool {
    ValueShape::of(key) == ValueShape::List
}
