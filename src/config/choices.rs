//! How a text holds several values of a setting.

use config::{Value, ValueKind};
use serde_json::Value as Json;

use super::schema::ValueShape;
use super::table::parse;

/// The values that `text` holds for this setting. `[a, b]` is a list for any setting (for one that
/// is a list itself: `[["a"], ["b", "c"]]`); `a,b` is one for numbers, units, switches and names
/// out of a choice. In a free text (addresses, names, properties) and in a list a comma is part of
/// the value.
pub(crate) fn choices(key: &str, text: &str) -> Vec<String> {
    let plain = text.trim();
    let shape = ValueShape::of(key);
    if let Some(items) = bracketed(plain) {
        let is_of_lists =
            items.iter().all(|item| matches!(item.kind, ValueKind::Array(_))) && !items.is_empty();
        if shape != ValueShape::List || is_of_lists {
            return items.iter().map(text_of).collect();
        }
    }
    match shape {
        ValueShape::Plain => plain.split(',').map(|choice| choice.trim().to_owned()).collect(),
        ValueShape::Text | ValueShape::List => vec![text.to_owned()],
    }
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
pub(super) fn text_of(value: &Value) -> String {
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
