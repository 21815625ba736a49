//! The files of `grafana/`, and every expression of Prometheus in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// An expression of a dashboard, with Grafana's variables still in it.
pub struct Query {
    /// The panel or annotation.
    pub place: String,
    /// With its `$variables`.
    pub expr: String,
}

/// An alert rule of Prometheus.
pub struct Rule {
    /// Its `alert:`.
    pub name: String,
    /// Its `expr:`, trimmed.
    pub expr: String,
    /// The whole rule.
    pub json: Value,
}

/// The folder `grafana/`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../grafana")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A YAML file of `grafana/`.
pub fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(&folder().join(file)))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every dashboard, by its file's name.
pub fn dashboards() -> Vec<(String, Value)> {
    let mut found: Vec<_> = fs::read_dir(folder().join("dashboards"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let json = serde_json::from_str(&read(&path))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_name().unwrap().to_str().unwrap().to_owned(), json)
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(!found.is_empty(), "no dashboards");
    found
}

/// The elements of an array; none where there is none.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text; empty where there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// All panels, rows and what collapsed rows hold included.
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    list(dashboard, "/panels")
        .iter()
        .flat_map(|panel| std::iter::once(panel).chain(list(panel, "/panels")))
        .collect()
}

/// Every expression of a dashboard: of its panels and of its annotations.
pub fn queries(dashboard: &Value) -> Vec<Query> {
    let of_panels = panels(dashboard).into_iter().flat_map(|panel| {
        let place = text(panel, "/title");
        list(panel, "/targets").iter().map(move |target| (place, text(target, "/expr")))
    });
    let of_annotations = list(dashboard, "/annotations/list")
        .iter()
        .filter(|annotation| annotation.pointer("/target/expr").is_some())
        .map(|annotation| (text(annotation, "/name"), text(annotation, "/target/expr")));
    of_panels
        .chain(of_annotations)
        .map(|(place, expr)| Query { place: place.to_owned(), expr: expr.to_owned() })
        .collect()
}

/// The rules of `alerts.yml`.
pub fn rules() -> Vec<Rule> {
    let file = yaml("alerts.yml");
    let rules = list(&file, "/groups/0/rules");
    assert!(!rules.is_empty(), "no alert rules");
    rules
        .iter()
        .map(|rule| Rule {
            name: text(rule, "/alert").to_owned(),
            expr: text(rule, "/expr").trim().to_owned(),
            json: rule.clone(),
        })
        .collect()
}

/// The metrics that an expression names: ours, those of the process, and Prometheus' own `up`.
pub fn metrics_in(expr: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    // Every other part lies within quotes.
    let outside = expr.split('"').step_by(2);
    outside
        .flat_map(|part| part.split(|c| !is_word(c)))
        .filter(|word| {
            word.starts_with("streamgauge_") || word.starts_with("process_") || *word == "up"
        })
        .map(str::to_owned)
        .collect()
}
