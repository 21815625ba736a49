//! The published schemas of documents, made from their types.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// Ends of names of figures that are never negative: units, and what is asked for.
const NOT_NEGATIVE: [&str; 8] =
    ["_ms", "_s", "seconds", "per_second", "per_event", "target", "_ms_avg", "_ms_max"];

/// What ends so and may be negative all the same.
const SIGNED: [&str; 1] = ["wall_step_ms"];

/// The schema of a document as it is written.
pub(crate) fn of<T: JsonSchema>(file: &str, title: &str, about: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    tighten("", &mut schema);
    let id = format!("https://github.com/streamgauge/streamgauge/schemas/{file}");
    schema["$id"] = json!(id);
    schema["title"] = json!(title);
    schema["description"] = json!(about);
    schema
}

/// Compares a schema with the published one, or publishes it.
#[track_caller]
pub(crate) fn check(file: &str, published: &str, generated: &Value) {
    if std::env::var_os("STREAMGAUGE_WRITE").is_some() {
        let path = format!("{}/schemas/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, format!("{generated:#}\n")).unwrap();
        return;
    }
    let stored: Value = serde_json::from_str(published).unwrap();
    assert!(
        stored == *generated,
        "schemas/{file}: run this test with STREAMGAUGE_WRITE=1 to write it anew"
    );
}

/// Documents have no keys but those of their types, and no number of bits; `name` is the schema's
/// key in its document.
fn tighten(name: &str, schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    let is_number = map.get("type").is_some_and(|kind| {
        let names = |kind: &Value| kind == "number" || kind == "integer";
        names(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(names))
    });
    if is_number {
        map.remove("format");
        let is_signed =
            !NOT_NEGATIVE.iter().any(|end| name.ends_with(end)) || SIGNED.contains(&name);
        if !is_signed && !map.contains_key("exclusiveMinimum") {
            map.entry("minimum").or_insert_with(|| json!(0));
        }
    }
    if map.contains_key("properties") {
        map.insert("additionalProperties".to_owned(), json!(false));
    }
    for (key, inner) in map.iter_mut() {
        match (key.as_str(), inner) {
            ("properties" | "$defs" | "patternProperties", Value::Object(members)) => {
                members.iter_mut().for_each(|(name, inner)| tighten(name, inner));
            }
            ("oneOf" | "anyOf" | "allOf", Value::Array(list)) => {
                for inner in list {
                    tighten(name, inner);
                }
            }
            ("items" | "additionalProperties", inner) => tighten("", inner),
            _ => {}
        }
    }
}

#[test]
fn the_reports_schema_is_up_to_date() {
    let generated = of::<super::Report>(
        "report.schema.json",
        "streamgauge report, schema version 1",
        "The report of one run. `null` means that nothing was measured; it is never written as 0. \
         Units are in the names: \
         _s and seconds are seconds, _ms milliseconds, _us microseconds, _bytes bytes, _per_second \
         events per second.",
    );
    check("report.schema.json", super::SCHEMA, &generated);
}
