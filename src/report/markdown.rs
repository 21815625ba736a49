//! The report as Markdown.

use super::Report;
use super::tables::{self, Rows};

/// The report for people, as a Markdown document.
pub fn render(report: &Report) -> String {
    let verdict = tables::verdict(report.verdict);
    let reason = report.reasons.first().map_or("", String::as_str);
    let mut blocks = vec![format!("# {verdict}: {}", escape(reason))];
    if report.reasons.len() > 1 {
        blocks.push(list(report.reasons.iter().skip(1).map(|reason| format!("also: {reason}"))));
    }
    blocks.extend(["Next:".to_owned(), code("sh", &report.next)]);
    blocks.push(escape(&tables::subject(report)));
    blocks.push(list(tables::throughput(report).into_iter().chain(tables::sustained(report))));
    blocks.extend(["## Latency".to_owned(), table(&tables::latency(report))]);
    blocks.extend(report.notes.iter().map(|note| format!("> {}", escape(note))));
    if !report.thresholds.is_empty() {
        blocks.extend(["## Thresholds".to_owned(), table(&tables::thresholds(&report.thresholds))]);
    }
    if let Some(sums) = &report.audit {
        blocks.extend(["## Audit".to_owned(), table(&tables::audit(report, sums))]);
    }
    if !report.findings.is_empty() {
        blocks.extend([
            "## Findings".to_owned(),
            list(report.findings.iter().map(ToString::to_string)),
        ]);
    }
    if !report.windows.is_empty() {
        blocks.extend(["## Windows".to_owned(), table(&tables::windows(&report.windows))]);
    }
    blocks.extend(["## Reproduction".to_owned(), code("sh", &report.rerun)]);
    let versions = &report.versions;
    let clients =
        versions.clients().map(|(name, version)| format!("{name} {}", version.unwrap_or("none")));
    let programs = format!(
        "streamgauge {}, {}; seed {}",
        versions.streamgauge,
        clients.join(", "),
        report.seed
    );
    blocks.push(list([tables::resources(report), programs].into_iter()));
    blocks.push(code("json", &format!("{:#}", report.config)));
    blocks.join("\n\n") + "\n"
}

pub(crate) fn list(items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!("- {}", escape(&item))).collect::<Vec<_>>().join("\n")
}

pub(crate) fn code(language: &str, text: &str) -> String {
    format!("```{language}\n{text}\n```")
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

pub(crate) fn table(rows: &Rows) -> String {
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let header = rows.header.iter().map(|&name| name.to_owned()).collect();
    let rules = (0..rows.header.len())
        .map(|i| if i < rows.left { ":--" } else { "--:" }.to_owned())
        .collect();
    let mut lines = vec![line(header), line(rules)];
    lines.extend(rows.rows.iter().map(|row| line(row.iter().map(|cell| escape(cell)).collect())));
    lines.join("\n")
}
