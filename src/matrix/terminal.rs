//! The report for people, at most [`WIDTH`] columns wide: the verdict first.

use streamgauge_actors::Verdict;

use super::report::MatrixReport;
use super::tables;
use crate::report::numbers::wrap;
use crate::report::tables::verdict;
use crate::report::terminal::{WIDTH, command, table};

/// Runs shown at most.
const MAX_RUNS: usize = 40;

/// The report as text; `colour` sets the verdict off by ANSI colours.
pub fn render(report: &MatrixReport, colour: bool) -> String {
    let mut lines = headline(report, colour);
    for reason in report.reasons.iter().skip(1) {
        lines.extend(wrap(&format!("  also: {reason}"), WIDTH, "    "));
    }
    lines.extend(command("next: ", &report.next));
    lines.push(String::new());
    for line in tables::subject(report) {
        lines.extend(wrap(&line, WIDTH, "  "));
    }
    lines.push(String::new());
    let names = tables::names(report);
    if !names.is_empty() {
        lines.extend(names.iter().flat_map(|name| wrap(name, WIDTH, "   ")));
        lines.push(String::new());
    }
    lines.extend(table(&tables::overview(report, false, false)));
    let floor = tables::overview(report, true, false);
    if !floor.rows.is_empty() {
        lines.push(String::new());
        lines.push("the harness's own floor, on the embedded log:".to_owned());
        lines.extend(table(&floor));
    }
    lines.push(String::new());
    for comparison in &report.comparisons {
        lines.extend(wrap(&tables::conclusion(report, comparison), WIDTH, "  "));
    }
    for figure in tables::figures(report) {
        lines.push(String::new());
        lines.push(figure.title());
        lines.extend(table(&tables::figure_table(report, figure, false)));
    }
    lines.push(String::new());
    for note in tables::notes(report) {
        lines.extend(wrap(&note, WIDTH, "  "));
    }
    lines.push(String::new());
    lines.extend(runs(report));
    lines.extend(command("rerun: ", &report.rerun));
    lines.join("\n") + "\n"
}

fn headline(report: &MatrixReport, colour: bool) -> Vec<String> {
    let word = verdict(report.verdict);
    let reason = report.reasons.first().map_or("", String::as_str);
    let mut lines = wrap(&format!("{word}: {reason}"), WIDTH, "  ");
    if colour {
        let code = match report.verdict {
            Verdict::Pass => 32,
            Verdict::Fail => 31,
            Verdict::Inconclusive | Verdict::Aborted => 33,
        };
        lines[0] = lines[0].replacen(word, &format!("\u{1b}[1;{code}m{word}\u{1b}[0m"), 1);
    }
    lines
}

/// The runs by their ids, by which `report` and `compare` take them.
fn runs(report: &MatrixReport) -> Vec<String> {
    let mut rows = tables::runs(report);
    if rows.rows.is_empty() {
        return Vec::new();
    }
    let more = rows.rows.len().saturating_sub(MAX_RUNS);
    rows.rows.truncate(MAX_RUNS);
    let mut lines = table(&rows);
    if more > 0 {
        lines.push(format!("{more} more run(s) in the JSON report"));
    }
    lines.push(String::new());
    lines
}
