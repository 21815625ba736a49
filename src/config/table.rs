//! TOML as tables, each value with where it was set.

use config::{File, FileFormat, Map, Source, Value, ValueKind};

use super::problem::SettingProblem;
use crate::nearest::nearest;

pub(super) type Table = Map<String, Value>;

/// Reads TOML, noting the origin at every value.
pub(super) fn parse(text: &str, origin: &str) -> Result<Table, SettingProblem> {
    let table = File::from_str(text, FileFormat::Toml).collect().map_err(|error| {
        let cause = match error {
            config::ConfigError::FileParse { cause, .. } => cause.to_string(),
            other => other.to_string(),
        };
        // Without the line itself: it may hold a secret.
        let lines: Vec<&str> =
            cause.lines().map(str::trim).filter(|line| !line.contains('|')).collect();
        let message = format!("is no readable TOML: {}", lines.join(": "));
        SettingProblem { origin: origin.to_owned(), key: String::new(), message }
    })?;
    Ok(table.into_iter().map(|(key, value)| (key, with_origin(value, origin))).collect())
}

fn with_origin(value: Value, origin: &str) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => ValueKind::Table(
            table.into_iter().map(|(key, value)| (key, with_origin(value, origin))).collect(),
        ),
        kind => kind,
    };
    Value::new(Some(&origin.to_owned()), kind)
}

/// The value at a dotted path.
pub(super) fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => match &table.get(section)?.kind {
            ValueKind::Table(inner) => find(inner, rest),
            _ => None,
        },
    }
}

/// The nearest key to one that is unknown, as a hint behind a message.
pub(super) fn nearest_key(known: &Table, key: &str) -> String {
    let mut paths = Vec::new();
    paths_of(known, "", &mut paths);
    match nearest(key, paths.iter().map(String::as_str)) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => "; `streamgauge config show` lists all keys".to_owned(),
    }
}

fn paths_of(table: &Table, above: &str, paths: &mut Vec<String>) {
    for (key, value) in table {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        if let ValueKind::Table(inner) = &value.kind {
            paths_of(inner, &path, paths);
        }
        paths.push(path);
    }
    paths.sort();
}

/// Reads a text as what the default is; what cannot be read stays a text, and is refused later with
/// its key.
pub(super) fn typed(text: &str, default: &ValueKind) -> ValueKind {
    let plain = text.trim();
    let read = match default {
        ValueKind::Boolean(_) => plain.parse().map(ValueKind::Boolean).ok(),
        ValueKind::I64(_) | ValueKind::U64(_) => {
            let signed = plain.parse().map(ValueKind::I64).ok();
            signed.or_else(|| plain.parse().map(ValueKind::U64).ok())
        }
        ValueKind::Float(_) => plain.parse().map(ValueKind::Float).ok(),
        ValueKind::Array(_) if plain.starts_with('[') => {
            let table = parse(&format!("list = {plain}"), "").ok();
            table.and_then(|mut table| table.remove("list")).map(|value| value.kind)
        }
        ValueKind::Array(_) => {
            let items = plain.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(ValueKind::Array(items.map(Value::from).collect()))
        }
        _ => None,
    };
    read.unwrap_or_else(|| ValueKind::String(text.to_owned()))
}
