//! The report as Markdown.

use super::report::MatrixReport;
use super::tables;
use crate::report::markdown::{code, escape, list, table};
use crate::report::tables::verdict;

/// The report for people, as a Markdown document.
pub fn render(report: &MatrixReport) -> String {
    let reason = report.reasons.first().map_or("", String::as_str);
    let mut blocks = vec![format!("# {}: {}", verdict(report.verdict), escape(reason))];
    if report.reasons.len() > 1 {
        blocks.push(list(report.reasons.iter().skip(1).map(|reason| format!("also: {reason}"))));
    }
    blocks.extend(["Next:".to_owned(), code("sh", &report.next)]);
    blocks.push(list(tables::subject(report).into_iter()));
    blocks.extend(["## Cells".to_owned(), table(&tables::overview(report, false, true))]);
    let floor = tables::overview(report, true, true);
    if !floor.rows.is_empty() {
        blocks
            .extend(["## The harness's own floor, on the embedded log".to_owned(), table(&floor)]);
    }
    if !report.comparisons.is_empty() {
        blocks.push("## Differences".to_owned());
        blocks.push(list(
            report.comparisons.iter().map(|comparison| tables::conclusion(report, comparison)),
        ));
    }
    for figure in tables::figures(report) {
        blocks.extend([
            format!("## {}", figure.title()),
            table(&tables::figure_table(report, figure, true)),
        ]);
    }
    blocks.push(list(tables::notes(report).into_iter()));
    blocks.extend(["## Runs".to_owned(), table(&tables::runs(report))]);
    blocks.extend([
        "## Reproduction".to_owned(),
        code("sh", &report.rerun),
        code("json", &format!("{:#}", report.config)),
    ]);
    blocks.join("\n\n") + "\n"
}
