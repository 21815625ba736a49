//! The report for people, at most [`WIDTH`] columns wide: the verdict first.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table};
use streamgauge_actors::Verdict;

use super::next_step::words;
use super::numbers::{grouped, wrap};
use super::tables::{self, Rows};
use super::{ModeName, Report};

/// Columns that the report never exceeds.
pub const WIDTH: usize = 80;

/// Rows of the per-window table at most: the last ones.
const MAX_WINDOWS: usize = 20;

/// Findings shown at most: the first ones.
const MAX_FINDINGS: usize = 10;

/// The report as text; `colour` sets the verdict off by ANSI colours.
pub fn render(report: &Report, colour: bool) -> String {
    let mut lines = headline(report, colour);
    for reason in report.reasons.iter().skip(1) {
        lines.extend(wrap(&format!("  also: {reason}"), WIDTH, "    "));
    }
    if report.broker.kind.is_empty() {
        // It failed before it reached a broker: there is nothing to show.
        lines.extend(command("rerun: ", &report.rerun));
        return lines.join("\n") + "\n";
    }
    lines.push(String::new());
    lines.extend(wrap(&tables::subject(report), WIDTH, "  "));
    for line in tables::throughput(report).into_iter().chain(tables::sustained(report)) {
        lines.extend(wrap(&line, WIDTH, "  "));
    }
    lines.push(String::new());
    lines.extend(table(&tables::latency(report)));
    for note in &report.notes {
        lines.extend(wrap(&format!("note: {note}"), WIDTH, "  "));
    }
    lines.push(String::new());
    lines.extend(thresholds(report));
    lines.extend(audit(report));
    lines.extend(findings(report));
    lines.extend(windows(report));
    lines.extend(wrap(&tables::resources(report), WIDTH, "  "));
    lines.extend(command("rerun: ", &report.rerun));
    lines.join("\n") + "\n"
}

/// Verdict, why, and what to try next: one line where it fits.
fn headline(report: &Report, colour: bool) -> Vec<String> {
    let verdict = tables::verdict(report.verdict);
    let reason = report.reasons.first().map_or("", String::as_str);
    let whole = format!("{verdict}: {reason}. Next: {}", report.next);
    let mut lines = if whole.chars().count() <= WIDTH {
        vec![whole]
    } else {
        let mut lines = wrap(&format!("{verdict}: {reason}"), WIDTH, "  ");
        lines.extend(command("next: ", &report.next));
        lines
    };
    if colour {
        let code = match report.verdict {
            Verdict::Pass => 32,
            Verdict::Fail => 31,
            Verdict::Inconclusive | Verdict::Aborted => 33,
        };
        lines[0] = lines[0].replacen(verdict, &format!("\u{1b}[1;{code}m{verdict}\u{1b}[0m"), 1);
    }
    lines
}

fn thresholds(report: &Report) -> Vec<String> {
    if report.thresholds.is_empty() {
        return Vec::new();
    }
    let mut lines = table(&tables::thresholds(&report.thresholds));
    lines.push(String::new());
    lines
}

fn audit(report: &Report) -> Vec<String> {
    let Some(sums) = &report.audit else {
        return match report.mode {
            ModeName::Run | ModeName::Latency => {
                vec!["audit: none was made".to_owned(), String::new()]
            }
            ModeName::Produce | ModeName::Aggregate => Vec::new(),
        };
    };
    let mut lines = table(&tables::audit(report, sums));
    if sums.unknown > 0 {
        let unknown = grouped(sums.unknown);
        lines.push(format!("{unknown} deliveries of unknown fate, resolved by what the log holds"));
    }
    lines.push(String::new());
    lines
}

fn findings(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in report.findings.iter().take(MAX_FINDINGS) {
        lines.extend(wrap(&format!("finding: {finding}"), WIDTH, "  "));
    }
    let more = report.findings.len().saturating_sub(MAX_FINDINGS);
    if more > 0 {
        lines.push(format!("{} more finding(s) in the JSON report", grouped(more as u64)));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

fn windows(report: &Report) -> Vec<String> {
    if report.windows.is_empty() {
        return Vec::new();
    }
    let earlier = report.windows.len().saturating_sub(MAX_WINDOWS);
    let mut lines = table(&tables::windows(&report.windows[earlier..]));
    if earlier > 0 {
        let wrong = report.windows[..earlier].iter().filter(|window| !window.exact).count();
        let (earlier, wrong) = (grouped(earlier as u64), grouped(wrong as u64));
        lines
            .push(format!("{earlier} earlier window(s) in the JSON report, {wrong} of them wrong"));
    }
    lines.push(String::new());
    lines
}

/// A table without borders, with a line under the header.
pub(crate) fn table(rows: &Rows) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Disabled);
    let cells = |row: Vec<String>| {
        row.into_iter().enumerate().map(|(i, text)| {
            let side = if i < rows.left { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(side)
        })
    };
    table.set_header(
        cells(rows.header.iter().map(|&name| name.to_owned()).collect()).collect::<Vec<_>>(),
    );
    for row in &rows.rows {
        table.add_row(cells(row.clone()).collect::<Vec<_>>());
    }
    // A column's separator is one space; where there is room, two look better.
    let lines =
        |table: &Table| table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    table.column_iter_mut().for_each(|column| _ = column.set_padding((0, 1)));
    let roomy = lines(&table);
    if roomy.iter().all(|line| line.chars().count() <= WIDTH) {
        return roomy;
    }
    table.column_iter_mut().for_each(|column| _ = column.set_padding((0, 0)));
    lines(&table)
}

/// A command line that can be pasted into a shell although it is broken into lines.
pub(crate) fn command(label: &str, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = label.to_owned();
    let mut begun = false;
    for word in words(text) {
        let mut word: Vec<char> = word.chars().collect();
        // Two columns stay free for ` \`.
        if begun && line.chars().count() + 1 + word.len() > WIDTH - 2 {
            lines.push(std::mem::replace(&mut line, "  ".to_owned()) + " \\");
        } else if begun {
            line.push(' ');
        }
        // Within quotes a broken line stays broken: such a word may be longer than a line.
        let is_quoted = word.iter().any(|c| matches!(c, '\'' | '"'));
        while !is_quoted && line.chars().count() + word.len() > WIDTH - 2 {
            // A word longer than a line: the shell joins it again.
            let room = WIDTH - 1 - line.chars().count();
            line.extend(word.drain(..room.min(word.len())));
            lines.push(std::mem::take(&mut line) + "\\");
        }
        line.extend(word);
        begun = true;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_never_broken() {
        let quoted =
            format!("'thresholds.expressions=[\"{}\"]'", "audit.events_lost == 0 ".repeat(6));
        let lines = command("rerun: ", &format!("streamgauge run --set {quoted} --seed 7"));
        assert!(lines.iter().any(|line| line.contains(&quoted)), "{lines:#?}");
    }

    #[test]
    fn a_broken_command_is_the_same_for_a_shell() {
        let text = format!(
            "streamgauge run --bootstrap-servers {} --rate 40k/s --seed 7",
            "host:9092,".repeat(20)
        );
        let lines = command("rerun: ", &text);
        assert!(
            lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= WIDTH),
            "{lines:#?}"
        );
        let joined = lines.join("\n").replace("\\\n", "");
        assert_eq!(
            joined.split_whitespace().collect::<Vec<_>>().join(" "),
            format!("rerun: {text}")
        );
    }
}
