//! A threshold: what a run must satisfy, as an expression over the paths of its JSON report.
//!
//! ```text
//! latency.result_latency.p99_ms < 50
//! audit.events_lost == 0
//! throughput.produced_per_second >= 39.5e3
//! ```
//!
//! A path is any figure that stands in the report under a name of its own, as its published schema
//! lists them. Units are in the names, so that numbers have none.

use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use crate::nearest::nearest;

/// The published schema of the report, whose numbers have the paths.
const REPORT_SCHEMA: &str = include_str!("../../schemas/report.schema.json");

/// How an observed value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
}

impl Operator {
    /// All of them as they are written; those that begin like another one come first.
    const ALL: [(&'static str, Self); 6] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    #[allow(
        clippy::float_cmp,
        reason = "who asks for equality asks for it exactly: counts are whole numbers"
    )]
    fn holds(self, observed: f64, limit: f64) -> bool {
        match self {
            Self::Less => observed < limit,
            Self::AtMost => observed <= limit,
            Self::Greater => observed > limit,
            Self::AtLeast => observed >= limit,
            Self::Equal => observed == limit,
            Self::Unequal => observed != limit,
        }
    }
}

/// One condition on a run's report.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    path: String,
    operator: Operator,
    limit: f64,
}

impl Threshold {
    /// Reads an expression: a path of the report, one of `<` `<=` `>` `>=` `==` `!=`, a number.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead; an unknown path with the nearest one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shape = "write a path of the report, one of < <= > >= == !=, and a number, as \
                     `latency.result_latency.p99_ms < 50`";
        let at = text
            .find(['<', '>', '=', '!'])
            .ok_or_else(|| format!("`{text}` compares nothing: {shape}"))?;
        let (path, rest) = (text[..at].trim_end(), &text[at..]);
        let operator = Operator::ALL.into_iter().find(|(sign, _)| rest.starts_with(sign));
        let (sign, operator) =
            operator.ok_or_else(|| format!("`{text}` has no operator that is known: {shape}"))?;
        let limit = number(rest[sign.len()..].trim_start()).ok_or_else(|| {
            format!(
                "`{text}` must end in a plain number, as 50, 0.5 or 1e6 (units are in the \
                     paths' names)"
            )
        })?;
        if !paths().iter().any(|known| known == path) {
            let hint = match nearest(path, paths().iter().map(String::as_str)) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "any number in the JSON report has one, as `latency.result_latency.p99_ms`"
                    .to_owned(),
            };
            return Err(format!("`{text}`: `{path}` is no path of a number in the report; {hint}"));
        }
        let path = path.to_owned();
        Ok(Self { text, path, operator, limit })
    }

    /// The expression, as it was written, with single spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The path of the report that it is about.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value at its path in a report as JSON, and whether it holds. What was not measured
    /// satisfies nothing.
    pub fn judge(&self, report: &Value) -> (Option<f64>, bool) {
        let observed = self
            .path
            .split('.')
            .try_fold(report, |value, key| value.get(key))
            .and_then(Value::as_f64);
        let passed = observed.is_some_and(|observed| self.operator.holds(observed, self.limit));
        (observed, passed)
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A finite number in decimal or scientific notation.
fn number(text: &str) -> Option<f64> {
    // Rust reads words like `inf` too.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// Every path that a threshold may have.
pub(super) fn paths() -> &'static [String] {
    static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let schema: Value = serde_json::from_str(REPORT_SCHEMA).expect("our own schema is JSON");
        let mut paths = Vec::new();
        collect(&schema, &schema, "", &mut paths);
        // It follows from the thresholds.
        paths.retain(|path| path != "exit_code");
        paths
    });
    &PATHS
}

/// Adds the paths of all numbers below `node`; lists have no paths.
fn collect(schema: &Value, node: &Value, path: &str, paths: &mut Vec<String>) {
    if let Some(reference) = node["$ref"].as_str() {
        let target = reference.strip_prefix('#').and_then(|pointer| schema.pointer(pointer));
        return collect(schema, target.unwrap_or(&Value::Null), path, paths);
    }
    let alternatives = ["oneOf", "anyOf"].map(|key| node[key].as_array());
    for alternative in alternatives.into_iter().flatten().flatten() {
        collect(schema, alternative, path, paths);
    }
    for (key, inner) in node["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        collect(schema, inner, &path, paths);
    }
    if is_number(node) {
        paths.push(path.to_owned());
    }
}

/// Whether a schema allows numbers.
fn is_number(node: &Value) -> bool {
    let names_one = |kind: &Value| kind == "integer" || kind == "number";
    let allowed = node["enum"].as_array().into_iter().flatten().chain([&node["const"]]);
    names_one(&node["type"])
        || node["type"].as_array().is_some_and(|kinds| kinds.iter().any(names_one))
        || allowed.into_iter().any(Value::is_number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn judged(expression: &str, report: &Value) -> (Option<f64>, bool) {
        let threshold = Threshold::parse(expression).unwrap();
        assert_eq!(threshold.text().replace(' ', ""), expression.replace(' ', ""));
        threshold.judge(report)
    }

    #[test]
    fn every_operator_compares() {
        let report = json!({"audit": {"events_lost": 3}});
        for (operator, below, equal, above) in [
            ("<", true, false, false),
            ("<=", true, true, false),
            (">", false, false, true),
            (">=", false, true, true),
            ("==", false, true, false),
            ("!=", true, false, true),
        ] {
            for (limit, expected) in [("4", below), ("3", equal), ("2", above)] {
                for text in [
                    format!("audit.events_lost{operator}{limit}"),
                    format!(" audit.events_lost  {operator} {limit} "),
                ] {
                    assert_eq!(judged(&text, &report), (Some(3.0), expected), "{text}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_plain_decimal_or_scientific() {
        let report = json!({"throughput": {"produced_per_second": 40_000.5}});
        for (limit, holds) in
            [("4e4", true), ("40000.4", true), ("+4.1E+4", false), ("1e6", false), ("-1", true)]
        {
            assert_eq!(
                judged(&format!("throughput.produced_per_second > {limit}"), &report).1,
                holds,
                "{limit}"
            );
        }
        for limit in [
            "", "fifty", "50ms", "50 ms", "inf", "NaN", "1e999", "0x10", "1_000", "5 < 6", "= 5",
            "1,5",
        ] {
            let error =
                Threshold::parse(&format!("throughput.produced_per_second > {limit}")).unwrap_err();
            assert!(error.contains("plain number"), "{limit}: {error}");
        }
    }

    #[test]
    fn what_was_not_measured_satisfies_nothing() {
        for report in [
            json!({"latency": {"result_latency": null}}),
            json!({"latency": {"result_latency": {"p99_ms": null}}}),
        ] {
            for operator in ["<", ">=", "!="] {
                let text = format!("latency.result_latency.p99_ms {operator} 50");
                assert_eq!(judged(&text, &report), (None, false), "{text}");
            }
        }
    }

    #[test]
    fn an_unknown_path_names_the_nearest_one() {
        for (path, nearest) in [
            ("latency.result_latency.p99", "latency.result_latency.p99_ms"),
            ("latency.result_latncy.p99_ms", "latency.result_latency.p99_ms"),
            ("audit.event_lost", "audit.events_lost"),
            ("events_lost", "audit.events_lost"),
            ("exit_code", ""),
            ("windows.0.count", ""),
            ("verdict", ""),
            ("", ""),
        ] {
            let error = Threshold::parse(&format!("{path} < 50")).unwrap_err();
            assert!(
                error.contains(&format!("`{path}` is no path")) && error.contains(nearest),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_comparison_is_refused() {
        for text in [
            "",
            "audit.events_lost",
            "audit.events_lost = 0",
            "audit.events_lost =< 0",
            "audit.events_lost ! 0",
        ] {
            let error = Threshold::parse(text).unwrap_err();
            assert!(error.contains("<= > >= == !="), "{text}: {error}");
        }
    }

    #[test]
    fn paths_are_of_single_numbers() {
        for path in [
            "schema_version",
            "seed",
            "audit.events_lost",
            "drain.per_second",
            "host.cores",
            "wall_step_ms",
        ] {
            assert!(paths().iter().any(|known| known == path), "{path}");
        }
        let in_lists = ["windows", "series", "findings", "thresholds", "faults"];
        assert!(
            !paths()
                .iter()
                .any(|path| in_lists.iter().any(|list| path.starts_with(&format!("{list}."))))
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            path in prop::sample::select(paths()),
            (sign, operator) in prop::sample::select(&Operator::ALL[..]),
            limit in prop::num::f64::NORMAL | prop::num::f64::ZERO,
            (before, after) in (" {0,3}", " {0,3}"),
            scientific: bool,
        ) {
            let limit_text = if scientific { format!("{limit:e}") } else { limit.to_string() };
            let text = format!("{path}{before}{sign}{after}{limit_text}");
            let read = Threshold::parse(&text).unwrap();
            let parts = (read.path(), read.operator, read.limit);
            prop_assert_eq!(parts, (path.as_str(), operator, limit));
            prop_assert_eq!(&Threshold::parse(read.text()).unwrap(), &read);
        }

        #[test]
        fn nothing_written_is_a_panic(
            text in "\\PC{0,40}", operator in "[<>=!]{0,3}", rest in "\\PC{0,10}",
        ) {
            // Whatever comes of it.
            let _ = Threshold::parse(&format!("{text}{operator}{rest}"));
        }
    }
}
