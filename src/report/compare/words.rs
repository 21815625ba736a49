//! A comparison for people: the conclusion first, then the figures.

use streamgauge_actors::Verdict;

use super::comparison::{Comparison, MetricRow, MetricVerdict};
use crate::report::numbers::{grouped, wrap};
use crate::report::tables::{self, Rows};
use crate::report::terminal::{WIDTH, table};

/// What is to be said of the metrics, in a sentence.
pub(crate) fn figures(metrics: &[MetricRow]) -> String {
    let among = |finding: MetricVerdict| metrics.iter().filter(move |row| row.finding == finding);
    let named = |finding: MetricVerdict| {
        let text =
            |row: &MetricRow| format!("{} {}", short(&row.metric), percent(row.relative_change));
        among(finding).map(text).collect::<Vec<_>>().join(", ")
    };
    let count = |finding: MetricVerdict| among(finding).count();
    match (count(MetricVerdict::Worse), count(MetricVerdict::Better)) {
        (0, 0) if count(MetricVerdict::NoDifference) + count(MetricVerdict::OnTarget) > 0 => {
            "no significant difference".to_owned()
        }
        (0, 0) => "nothing could be tested".to_owned(),
        (_, 0) => format!("significantly worse: {}", named(MetricVerdict::Worse)),
        (0, _) => format!("significantly better: {}", named(MetricVerdict::Better)),
        (_, _) => format!(
            "significantly worse: {}; better: {}",
            named(MetricVerdict::Worse),
            named(MetricVerdict::Better)
        ),
    }
}

/// The comparison in a sentence.
pub(super) fn conclusion(comparison: &Comparison) -> String {
    let figures = figures(&comparison.metrics);
    let counts = match comparison.audit.as_slice() {
        [] => "",
        _ => "; counts of the audit are worse",
    };
    if comparison.both_passed() {
        return figures + counts;
    }
    let failed: Vec<String> = [("base", &comparison.base), ("candidate", &comparison.candidate)]
        .into_iter()
        .filter(|(_, side)| side.verdict != Verdict::Pass)
        .map(|(name, side)| format!("the {name} did not pass ({})", tables::verdict(side.verdict)))
        .collect();
    format!("NO RESULT: {}; its figures would say: {figures}{counts}", failed.join(", "))
}

/// The comparison for a terminal, at most [`WIDTH`] columns wide.
pub fn terminal(comparison: &Comparison) -> String {
    let mut lines = wrap(&comparison.conclusion, WIDTH, "  ");
    let mut add = |label: &str, text: &dyn std::fmt::Display| {
        lines.extend(wrap(&format!("{label}{text}"), WIDTH, "  "));
    };
    for warning in &comparison.warnings {
        add("warning: ", warning);
    }
    for line in sides(comparison) {
        add("", &line);
    }
    for difference in &comparison.differences {
        add("unlike: ", difference);
    }
    for difference in &comparison.across {
        add("across: ", difference);
    }
    // The machines stand in a warning already.
    for difference in comparison.circumstances.iter().filter(|each| !each.key.starts_with("host."))
    {
        add("differs: ", difference);
    }
    lines.push(String::new());
    lines.extend(table(&rows(comparison)));
    lines.push(String::new());
    if !comparison.audit.is_empty() {
        lines.extend(table(&counts(comparison)));
        lines.push(String::new());
    }
    for line in notes(comparison) {
        lines.extend(wrap(&line, WIDTH, "  "));
    }
    lines.join("\n") + "\n"
}

/// The comparison as Markdown.
pub fn markdown(comparison: &Comparison) -> String {
    use crate::report::markdown::{self, escape, list};
    let mut blocks = vec![format!("# {}", escape(&comparison.conclusion))];
    blocks.extend(
        comparison.warnings.iter().map(|warning| format!("> **Warning:** {}", escape(warning))),
    );
    let differences =
        comparison.differences.iter().map(|difference| format!("unlike: {difference}"));
    let across = comparison.across.iter().map(|difference| format!("across: {difference}"));
    let circumstances =
        comparison.circumstances.iter().map(|difference| format!("differs: {difference}"));
    let differing = differences.chain(across).chain(circumstances);
    blocks.push(list(sides(comparison).into_iter().chain(differing)));
    blocks.push(markdown::table(&rows(comparison)));
    if !comparison.audit.is_empty() {
        blocks.push(markdown::table(&counts(comparison)));
    }
    blocks.push(list(notes(comparison).into_iter()));
    blocks.join("\n\n") + "\n"
}

fn sides(comparison: &Comparison) -> [String; 2] {
    [("base", &comparison.base), ("candidate", &comparison.candidate)].map(|(name, side)| {
        let verdict = tables::verdict(side.verdict);
        format!(
            "{name}: {} on {}, run {}, started {}: {verdict}",
            side.workload, side.broker, side.run_id, side.started_at
        )
    })
}

/// The metrics, one a row.
fn rows(comparison: &Comparison) -> Rows {
    let mean = |row: &MetricRow, of: Option<super::Sample>| {
        of.map_or_else(|| "-".to_owned(), |of| figure(row, of.mean))
    };
    let row = |row: &MetricRow| {
        vec![
            short(&row.metric),
            mean(row, row.base),
            mean(row, row.candidate),
            row.difference.map_or_else(|| "-".to_owned(), |_| percent(row.relative_change)),
            interval(row),
            said(row),
        ]
    };
    let information = comparison.information.iter().map(|row| {
        let number = |value: Option<f64>| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
        };
        let is_the_same = row.is_within_resolution();
        let change = row
            .base
            .and(row.candidate)
            .filter(|_| !is_the_same)
            .map_or_else(|| "-".to_owned(), |_| percent(row.relative_change));
        vec![
            short(&row.metric),
            number(row.base),
            number(row.candidate),
            change,
            "-".to_owned(),
            if is_the_same { "the same" } else { "not tested" }.to_owned(),
        ]
    });
    Rows {
        header: vec!["mean of", "base", "candidate", "change", "95 % interval", "finding"],
        left: 1,
        rows: comparison.metrics.iter().map(row).chain(information).collect(),
    }
}

fn counts(comparison: &Comparison) -> Rows {
    Rows {
        header: vec!["audit", "base", "candidate"],
        left: 1,
        rows: comparison
            .audit
            .iter()
            .map(|row| {
                let base = row.base.map_or_else(|| "-".to_owned(), grouped);
                vec![
                    row.count.trim_start_matches("audit.").to_owned(),
                    base,
                    grouped(row.candidate),
                ]
            })
            .collect(),
    }
}

/// What the table's words mean, and how many values they rest on.
fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for row in &comparison.metrics {
        let Some(reason) = row.reason else { continue };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, metrics)) => metrics.push(short(&row.metric)),
            None => reasons.push((reason, vec![short(&row.metric)])),
        }
    }
    notes.extend(
        reasons.into_iter().map(|(reason, metrics)| format!("{reason}: {}", metrics.join(", "))),
    );
    let tests = comparison.metrics.iter().filter(|row| row.test.is_some()).count();
    notes.push(format!(
        "{tests} metric(s) tested by second or window of the measured part: Welch's t-test, values \
         counted by how \
         independent they are, chances adjusted for the number of tests (Holm), significant below \
         {}",
        comparison.alpha
    ));
    notes
}

/// A metric's name in few letters: `publish_latency p99`.
pub(crate) fn short(metric: &str) -> String {
    match metric {
        "windows.result_latency_ms_avg" => "result per window".to_owned(),
        other => other
            .trim_start_matches("throughput.")
            .trim_start_matches("resources.")
            .trim_end_matches("_ms")
            .replace("_per_second", "/s")
            .replace("_us_per_event", " µs/event")
            .replace('.', " "),
    }
}

/// A mean, in its unit.
fn figure(row: &MetricRow, mean: f64) -> String {
    if row.metric.starts_with("throughput.") && mean >= 10.0 {
        grouped(mean.round() as u64)
    } else {
        crate::report::numbers::millis(Some(mean))
    }
}

/// A share in percent, with its sign.
pub(crate) fn percent(share: Option<f64>) -> String {
    match share {
        None => "from 0".to_owned(),
        Some(share) => {
            let percent = share * 100.0;
            let text = match percent.abs() {
                0.0..0.995 => format!("{percent:+.2} %"),
                0.995..99.95 => format!("{percent:+.1} %"),
                0.0..9999.5 => format!("{percent:+.0} %"),
                _ => format!("{percent:+.0e} %"),
            };
            // -0.0 is no change.
            if text == "-0.00 %" { "+0.00 %".to_owned() } else { text }
        }
    }
}

/// The confidence interval as shares of the base's mean.
pub(crate) fn interval(row: &MetricRow) -> String {
    let Some((test, base)) = row.test.zip(row.base).filter(|(_, base)| base.mean > 0.0) else {
        return "-".to_owned();
    };
    let end = |end: f64| {
        let share = percent(Some(end / base.mean));
        share.trim_end_matches(" %").to_owned()
    };
    format!("{}..{}", end(test.low), end(test.high))
}

pub(crate) fn said(row: &MetricRow) -> String {
    match row.finding {
        MetricVerdict::Better => format!("better, {}", certainty(row.p_adjusted)),
        MetricVerdict::Worse => format!("WORSE, {}", certainty(row.p_adjusted)),
        MetricVerdict::NoDifference if row.test.is_some() => "not significant".to_owned(),
        MetricVerdict::NoDifference => "the same".to_owned(),
        MetricVerdict::OnTarget => "on target".to_owned(),
        MetricVerdict::Untested => "not tested".to_owned(),
    }
}

/// How sure a difference is, in a few letters: by its chance, or because neither side varies.
pub(super) fn certainty(p_adjusted: Option<f64>) -> String {
    p_adjusted.map_or_else(|| "constant".to_owned(), chance)
}

/// A chance in a few letters: `p 0.03`.
fn chance(p: f64) -> String {
    match p {
        ..0.001 => "p<0.001".to_owned(),
        0.995.. => "p 1".to_owned(),
        _ if p < 0.01 => format!("p {p:.3}"),
        _ => format!("p {p:.2}"),
    }
}
