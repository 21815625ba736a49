//! The report as one HTML file that needs no network: the verdict first, then tables and charts.
//!
//! - [`chart_data`]: what the charts plot, and what each says in words
//! - [`sections`]: what the tables hold; [`waterfall`]: where the time goes; [`self_check`]:
//!   whether it was us
//! - `html/report.html.jinja`, `html/report.css`, `html/charts.js`: the page; its charts are those
//!   of the live page (`src/assets/charts.js`), drawn by uPlot (`src/assets/uplot`)
//!
//! Everything that comes from a run is escaped by the template; the charts' data are JSON in which
//! no tag can end.

pub mod chart_data;
pub(crate) mod dash;
pub mod sections;
pub mod self_check;
pub mod waterfall;

use anyhow::Context;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;

use super::{Report, tables};

const TEMPLATE: &str = include_str!("html/report.html.jinja");
pub(crate) const STYLES: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/charts.js");
const CHARTS: &str = include_str!("../assets/charts.js");
const CHART_STYLES: &str = include_str!("../assets/charts.css");
const LIBRARY: &str = include_str!("../assets/uplot/uPlot.iife.min.js");
const LIBRARY_STYLES: &str = include_str!("../assets/uplot/uPlot.min.css");

/// What the page may load: nothing. Whoever serves it over HTTP should say the same in the header.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The report as HTML.
///
/// # Errors
/// When a stored histogram cannot be read.
pub fn render(report: &Report) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    // The name ends in `.html.jinja`: that turns escaping on.
    environment
        .add_template("report.html.jinja", TEMPLATE)
        .context("the report's template is wrong")?;
    let template = environment.get_template("report.html.jinja")?;
    let page = Page::of(report);
    let data =
        if page.charts.is_empty() { serde_json::json!({}) } else { chart_data::data(report)? };
    let context = context! {
        // What may stand in the page as it is: our own files, and data made safe.
        styles => Value::from_safe_string(format!("{LIBRARY_STYLES}\n{CHART_STYLES}\n{STYLES}")),
        library => Value::from_safe_string(LIBRARY.to_owned()),
        script => Value::from_safe_string(format!("{CHARTS}\n{SCRIPT}")),
        data => Value::from_safe_string(json_for_html(&data)),
        ..Serde(&page)
    };
    template.render(context).context("cannot render the report")
}

/// What the template is given, all of it to be escaped.
#[derive(Serialize)]
struct Page<'a> {
    policy: &'a str,
    version: &'a str,
    schema_version: u32,
    workload: &'a str,
    run_id: &'a str,
    verdict: sections::VerdictText,
    reason: &'a str,
    also: &'a [String],
    next: &'a str,
    subject: String,
    figures: Vec<sections::KeyFigure>,
    counts: Option<String>,
    sustained: Option<String>,
    notes: &'a [String],
    thresholds: Vec<sections::ThresholdLine>,
    latencies: Vec<sections::Latency>,
    waterfall: waterfall::Waterfall,
    warmup: bool,
    thinned: Option<String>,
    charts: Vec<chart_data::Chart>,
    audit: Option<sections::Table>,
    unknown: Option<String>,
    findings: sections::Findings,
    windows: sections::Windows,
    self_check: Vec<self_check::Check>,
    rerun: &'a str,
    circumstances: Vec<sections::NamedValue>,
    settings: Vec<sections::NamedValue>,
}

impl<'a> Page<'a> {
    fn of(report: &'a Report) -> Self {
        Self {
            policy: CONTENT_SECURITY_POLICY,
            version: &report.versions.streamgauge,
            schema_version: report.schema_version,
            workload: &report.workload,
            run_id: &report.run_id,
            verdict: sections::verdict(report.verdict),
            reason: report.reasons.first().map_or("", String::as_str),
            also: report.reasons.get(1..).unwrap_or_default(),
            next: &report.next,
            subject: tables::subject(report),
            figures: sections::figures(report),
            counts: tables::throughput(report).pop(),
            sustained: tables::sustained(report),
            notes: &report.notes,
            thresholds: sections::thresholds(report),
            latencies: sections::Latency::all(report),
            waterfall: waterfall::waterfall(report),
            warmup: report.warmup_s > 0.0,
            thinned: chart_data::thinned(report),
            charts: chart_data::charts(report),
            audit: sections::audit(report),
            unknown: sections::unknown(report),
            findings: sections::findings(report),
            windows: sections::windows(report),
            self_check: self_check::checks(report),
            rerun: &report.rerun,
            circumstances: sections::circumstances(report),
            settings: sections::settings(&report.config),
        }
    }
}

/// JSON that can stand inside a `<script>` element: no character of it can begin or end a tag or a
/// comment.
fn json_for_html(value: &serde_json::Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        match c {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_in_a_script_can_neither_end_it_nor_begin_a_comment() {
        let value = json!({"</script><!--": "a & b \u{2028} <script>"});
        let text = json_for_html(&value);
        assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn what_is_inlined_cannot_end_its_element() {
        for script in [LIBRARY, CHARTS, SCRIPT] {
            assert!(!script.contains("</script") && !script.contains("<!--"));
        }
        for styles in [STYLES, CHART_STYLES, LIBRARY_STYLES] {
            assert!(
                !styles.contains("</") && !styles.contains("url(") && !styles.contains("@import")
            );
        }
    }
}
