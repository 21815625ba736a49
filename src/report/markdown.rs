//! The report as Markdown.

use super::Report;
use super::tables::{self, Rows};

/// The report for people, as a Markdown document.
pub fn render(report: &Report) -> String {
    let verdict = tables::verdict(report.verdict);
    let reason = report.reasons.first().map_or("", String::as_str);
    let mut text = format!("# {verdict}: {reason}\n\nNext:\n\n{}\n", code(&report.next));
    for reason in report.reasons.iter().skip(1) {
        text.push_str(&format!("- also: {reason}\n"));
    }
    text.push_str(&format!("\n{}\n\n", escape(&tables::subject(report))));
    for line in tables::throughput(report) {
        text.push_str(&format!("- {line}\n"));
    }
    text.push_str(&format!("\n## Latency\n\n{}", table(&tables::latency(report))));
    for note in &report.notes {
        text.push_str(&format!("\n> {}\n", escape(note)));
    }
    if let Some(sums) = &report.audit {
        text.push_str(&format!("\n## Audit\n\n{}", table(&tables::audit(report, sums))));
    }
    if !report.findings.is_empty() {
        text.push_str("\n## Findings\n\n");
        for finding in &report.findings {
            text.push_str(&format!("- {finding}\n"));
        }
    }
    if !report.windows.is_empty() {
        text.push_str(&format!("\n## Windows\n\n{}", table(&tables::windows(&report.windows))));
    }
    let config = serde_json::to_string_pretty(&report.config).unwrap_or_default();
    text.push_str(&format!(
        "\n## Reproduction\n\n{}\n- {}\n- streamgauge {}, librdkafka {}, fluvio {}\n- seed {}\n\n```json\n{config}\n```\n",
        code(&report.rerun),
        escape(&tables::resources(report)),
        report.versions.streamgauge,
        report.versions.librdkafka.as_deref().unwrap_or("-"),
        report.versions.fluvio.as_deref().unwrap_or("-"),
        report.seed,
    ));
    text
}

fn code(command: &str) -> String {
    format!("```sh\n{command}\n```\n")
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn table(rows: &Rows) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut text = line(&mut rows.header.iter().map(|&name| name.to_owned()));
    let rules = (0..rows.header.len()).map(|i| if i < rows.left { ":--" } else { "--:" }.to_owned());
    text.push_str(&line(&mut { rules }));
    for row in &rows.rows {
        text.push_str(&line(&mut row.iter().map(|cell| escape(cell))));
    }
    text
}
