//! What the sections of the page hold, as text.

use serde::Serialize;
use serde_json::Value;
use streamgauge_actors::{AuditTotals, LatencyKind, Verdict, WindowAudit};

use super::chart_data::{self, count_windows};
use super::dash::dash;
use crate::report::numbers::{bytes, exact, grouped, millis, rate};
use crate::report::tables::{self, Rows};
use crate::report::{Drain, LatencyFigures, ModeName, Report, ThresholdRow};

/// Rows of the table of windows at most.
const MAX_WINDOWS: usize = 1000;

/// Windows up to which the table is open from the start.
const OPEN_WINDOWS: usize = 60;

/// Findings shown at most: the first ones.
const MAX_FINDINGS: usize = 100;

/// The verdict: sign and word, so that its colour is no more than an ornament.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct VerdictText {
    word: &'static str,
    class: &'static str,
    sign: &'static str,
}

/// The verdict.
pub fn verdict(verdict: Verdict) -> VerdictText {
    let (class, sign) = match verdict {
        Verdict::Pass => ("pass", "✓"),
        Verdict::Fail => ("fail", "✗"),
        Verdict::Inconclusive => ("inconclusive", "?"),
        Verdict::Aborted => ("aborted", "■"),
    };
    VerdictText { word: tables::verdict(verdict), class, sign }
}

/// A figure with its name, and what to know about it.
#[derive(Clone, Debug, Serialize)]
pub struct KeyFigure {
    name: &'static str,
    value: String,
    note: String,
    bad: bool,
}

impl KeyFigure {
    fn new(name: &'static str, value: String, note: String) -> Self {
        Self { name, value: dash(value), note, bad: false }
    }

    /// The 99th percentile of a latency.
    fn of_latency(name: &'static str, report: &Report, kind: LatencyKind) -> Self {
        let figures = report.latency.get(kind);
        let value = figures
            .filter(|of| of.p99_ms.is_some())
            .map_or_else(|| "–".to_owned(), |of| format!("{} ms", figure_ms(of, of.p99_ms)));
        let note = figures.map_or_else(
            || "not measured".to_owned(),
            |of| format!("median {} ms", figure_ms(of, of.p50_ms)),
        );
        Self::new(name, value, note)
    }

    /// A rate against the target.
    fn of_rate(name: &'static str, report: &Report, value: Option<f64>) -> Self {
        let target = report.throughput.target_per_second.filter(|&target| target > 0.0);
        let note = match value.zip(target) {
            Some((value, target)) => {
                format!("{:.1} % of the target, {}", 100.0 * value / target, rate(Some(target)))
            }
            None => "no target".to_owned(),
        };
        Self::new(name, rate(value), note)
    }

    fn of_drain(drain: &Drain) -> Self {
        let note = drain
            .seconds
            .map_or_else(|| "no window was closed".to_owned(), |s| format!("in {s:.2} s"));
        let note = format!("{} events {note}", grouped(drain.events));
        Self::new("drained", rate(drain.per_second), note)
    }

    /// Exact windows, and events that went wrong.
    fn of_audit(audit: &AuditTotals) -> [Self; 2] {
        let wrong = audit.windows.saturating_sub(audit.windows_exact);
        let value = format!("{} of {}", grouped(audit.windows_exact), grouped(audit.windows));
        let note = if wrong == 0 {
            "windows, every count exact".to_owned()
        } else {
            format!("windows; {} WRONG", grouped(wrong))
        };
        let exact = Self { bad: wrong > 0, ..Self::new("exact", value, note) };
        let broken = audit.events_lost + audit.events_duplicated + audit.events_reordered;
        let note = format!(
            "lost {}, duplicated {}, reordered {}",
            grouped(audit.events_lost),
            grouped(audit.events_duplicated),
            grouped(audit.events_reordered)
        );
        let gone_wrong = Self::new("events gone wrong", grouped(broken), note);
        [exact, Self { bad: broken > 0, ..gone_wrong }]
    }
}

/// The figures to see first.
pub fn figures(report: &Report) -> Vec<KeyFigure> {
    let mut figures = vec![if report.mode == ModeName::Produce {
        KeyFigure::of_latency("publish latency, p99", report, LatencyKind::PublishLatency)
    } else {
        KeyFigure::of_latency("result latency, p99", report, LatencyKind::ResultLatency)
    }];
    if report.mode == ModeName::Run {
        let intended = LatencyKind::ResultLatencyIntended;
        figures.push(KeyFigure::of_latency("result, from intended, p99", report, intended));
        figures.push(KeyFigure::of_latency("end to end, p99", report, LatencyKind::EndToEnd));
    }
    let rates = &report.throughput;
    if matches!(report.mode, ModeName::Run | ModeName::Produce) {
        figures.push(KeyFigure::of_rate("produced", report, rates.produced_per_second));
    }
    if matches!(report.mode, ModeName::Run | ModeName::Aggregate) {
        figures.push(KeyFigure::of_rate("consumed", report, rates.consumed_per_second));
    }
    figures.extend(report.drain.as_ref().map(KeyFigure::of_drain));
    figures.extend(report.audit.iter().flat_map(KeyFigure::of_audit));
    let per_event = report
        .resources
        .cpu_us_per_event
        .map_or_else(|| "–".to_owned(), |us| format!("{us:.2} µs"));
    figures.push(KeyFigure::new(
        "CPU per event",
        per_event,
        "of this program, all stages".to_owned(),
    ));
    figures
}

/// A threshold, and whether the run satisfied it.
#[derive(Clone, Debug, Serialize)]
pub struct ThresholdLine {
    expression: String,
    observed: String,
    passed: bool,
}

/// The thresholds, if there were any.
pub fn thresholds(report: &Report) -> Vec<ThresholdLine> {
    let row = |row: &ThresholdRow| ThresholdLine {
        expression: row.expression.clone(),
        observed: row.observed.map_or_else(|| "–".to_owned(), exact),
        passed: row.passed,
    };
    report.thresholds.iter().map(row).collect()
}

/// One latency: its row in the table, and its charts.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    name: &'static str,
    from: &'static str,
    to: &'static str,
    cells: Vec<String>,
    over_time: Option<String>,
    distribution: Option<String>,
}

impl Latency {
    /// All of them, measured or not.
    pub fn all(report: &Report) -> Vec<Self> {
        report.latency.iter().map(|(kind, figures)| Self::of(report, kind, figures)).collect()
    }

    fn of(report: &Report, kind: LatencyKind, figures: Option<&LatencyFigures>) -> Self {
        let row = kind.row();
        let samples = figures.map_or_else(
            || "–".to_owned(),
            |f| {
                if f.negative > 0 {
                    format!("{} (and {} negative)", grouped(f.count), grouped(f.negative))
                } else {
                    grouped(f.count)
                }
            },
        );
        let figure = |of: fn(&LatencyFigures) -> Option<f64>| {
            figures.map_or_else(|| "–".to_owned(), |figures| figure_ms(figures, of(figures)))
        };
        let mut cells = vec![samples];
        cells.extend([
            // Many samples in coarse steps have a finer mean.
            dash(millis(figures.and_then(|f| f.avg_ms))),
            figure(|f| f.p50_ms),
            figure(|f| f.p90_ms),
            figure(|f| f.p95_ms),
            figure(|f| f.p99_ms),
            figure(|f| f.p999_ms),
            figure(|f| f.max_ms),
        ]);
        Self {
            name: row.name,
            from: row.from,
            to: row.to,
            cells,
            over_time: chart_data::over_time(report, kind),
            distribution: figures.and_then(|figures| chart_data::distribution_text(kind, figures)),
        }
    }
}

/// Milliseconds; what is below the finest step that a sample can show is no zero.
pub(super) fn figure_ms(figures: &LatencyFigures, ms: Option<f64>) -> String {
    match ms {
        Some(ms) if ms < figures.resolution_ms => format!("<{}", figures.resolution_ms),
        Some(ms) if ms < 0.0095 => format!("{ms:.3}"),
        ms => dash(millis(ms)),
    }
}

/// A table with rows that may be wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Row>,
}

/// A row, and whether it shows something wrong.
#[derive(Clone, Debug, Serialize)]
struct Row {
    wrong: bool,
    cells: Vec<String>,
}

impl Table {
    fn of(rows: Rows, mut is_wrong: impl FnMut(usize, &[String]) -> bool) -> Self {
        let made = rows.rows.into_iter().enumerate().map(|(i, cells)| {
            let cells: Vec<String> = cells.into_iter().map(dash).collect();
            Row { wrong: is_wrong(i, &cells), cells }
        });
        Self { header: rows.header, rows: made.collect() }
    }
}

/// The audit; `None`: none was made.
pub fn audit(report: &Report) -> Option<Table> {
    let sums = report.audit.as_ref()?;
    // The first two columns are a name and what was checked: all others count what is wrong.
    Some(Table::of(tables::audit(report, sums), |_, cells| {
        cells[2..].iter().any(|cell| cell != "–" && cell != "0")
    }))
}

/// What is to be said of deliveries whose fate only the log knew.
pub fn unknown(report: &Report) -> Option<String> {
    let unknown =
        report.audit.as_ref().map(|audit| audit.unknown).filter(|&unknown| unknown > 0)?;
    Some(format!(
        "{} deliveries of unknown fate, resolved by what the log holds.",
        grouped(unknown)
    ))
}

/// Lines, and how many more there are.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    rows: Vec<String>,
    rest: Option<String>,
}

/// What is wrong, located.
pub fn findings(report: &Report) -> Findings {
    let rest = report.findings.len().saturating_sub(MAX_FINDINGS);
    Findings {
        rows: report.findings.iter().take(MAX_FINDINGS).map(ToString::to_string).collect(),
        rest: (rest > 0).then(|| format!("{} more in the JSON report.", grouped(rest as u64))),
    }
}

/// The windows that are shown, and what is not.
#[derive(Clone, Debug, Serialize)]
pub struct Windows {
    summary: String,
    shown: String,
    rest: Option<String>,
    open: bool,
    #[serde(flatten)]
    table: Table,
}

/// The windows: all of them up to a limit; beyond it the wrong ones first, then the last ones.
pub fn windows(report: &Report) -> Windows {
    let all = &report.windows;
    let wrong = all.iter().filter(|window| !window.exact).count();
    // From the end, so that of too many the last ones stay.
    let mut room_for_wrong = wrong.min(MAX_WINDOWS);
    let mut room_for_exact = (MAX_WINDOWS - room_for_wrong).min(all.len() - wrong);
    let mut kept: Vec<WindowAudit> = Vec::new();
    for window in all.iter().rev() {
        let room = if window.exact { &mut room_for_exact } else { &mut room_for_wrong };
        if *room > 0 {
            *room -= 1;
            kept.push(window.clone());
        }
    }
    kept.reverse();
    let all_windows = count_windows(all);
    let wrong_windows = count_windows(all.iter().filter(|row| !row.exact));
    let hidden = all_windows - count_windows(&kept);
    let hidden_wrong = wrong_windows - count_windows(kept.iter().filter(|row| !row.exact));
    Windows {
        summary: match wrong_windows {
            0 => format!("{} windows, all counts exact.", grouped(all_windows)),
            _ => format!(
                "{} windows, {} with WRONG counts (marked ✗).",
                grouped(all_windows),
                grouped(wrong_windows)
            ),
        },
        shown: if hidden == 0 {
            "All windows".to_owned()
        } else {
            format!("{} windows", grouped(all_windows - hidden))
        },
        rest: (hidden > 0).then(|| {
            format!(
                "{} are not shown here, {} of them wrong: the JSON report has them all.",
                grouped(hidden),
                grouped(hidden_wrong)
            )
        }),
        open: wrong > 0 || all.len() <= OPEN_WINDOWS,
        table: Table::of(tables::windows(&kept), |i, _| !kept[i].exact),
    }
}

/// A name and its value.
#[derive(Clone, Debug, Serialize)]
pub struct NamedValue {
    name: String,
    value: String,
}

impl NamedValue {
    fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// What ran, and where.
pub fn circumstances(report: &Report) -> Vec<NamedValue> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let (broker, versions, host, topics) =
        (&report.broker, &report.versions, &report.host, &report.topics);
    let mode = match report.mode {
        ModeName::Run => "run",
        ModeName::Produce => "produce",
        ModeName::Aggregate => "aggregate",
        ModeName::Latency => "latency",
    };
    let stamps =
        if broker.log_append_time { "stamped by the log" } else { "not stamped by the log" };
    let mut rows = vec![
        NamedValue::new(
            "run",
            format!("{} ({mode}), generation {}", report.run_id, report.generation),
        ),
        NamedValue::new("started", report.started_at.clone()),
        NamedValue::new("seed", report.seed.to_string()),
        NamedValue::new(
            "broker",
            format!(
                "{} {}, {}, insertion time {stamps}",
                broker.kind, broker.version, broker.guarantee
            ),
        ),
        NamedValue::new("topics", format!("{}, {}", topics.events, topics.results)),
        NamedValue::new("streamgauge", versions.streamgauge.clone()),
    ];
    let clients = versions.clients();
    rows.extend(clients.map(|(name, version)| NamedValue::new(name, version.unwrap_or("–"))));
    rows.extend([
        NamedValue::new("processor", or_none(&host.cpu)),
        NamedValue::new("cores", host.cores.map_or_else(|| "–".to_owned(), grouped)),
        NamedValue::new("memory", dash(bytes(host.memory_bytes))),
        NamedValue::new("kernel", or_none(&host.kernel)),
    ]);
    rows
}

/// Every setting with its value.
pub fn settings(config: &Value) -> Vec<NamedValue> {
    fn collect(path: &str, value: &Value, into: &mut Vec<NamedValue>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    let path =
                        if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    collect(&path, member, into);
                }
            }
            leaf => into.push(NamedValue::new(path, leaf.to_string())),
        }
    }
    let mut rows = Vec::new();
    if !config.is_null() {
        collect("", config, &mut rows);
    }
    rows
}
