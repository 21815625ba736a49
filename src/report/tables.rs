//! The tables and lines that people read, in the terminal and in Markdown alike.

use streamgauge_actors::{
    AuditTotals, Backlog, LatencyKind, Limit, StageCounters, SustainedVerdict, Verdict,
    WindowAudit, Words,
};

use super::numbers::{bytes, compact, exact, grouped, millis, rate};
use super::{LatencyFigures, ModeName, PeakSource, Report, Resources, ThresholdRow};

/// Columns for a threshold's expression; a longer one is cut.
const MAX_EXPRESSION: usize = 50;

/// A rate that differs by more than this part is told beside another.
const NOTABLE_SHARE: f64 = 0.005;

/// A table as text: every row is as long as the header; the first `left` columns are words, the
/// others numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Column names.
    pub header: Vec<&'static str>,
    /// Columns of words.
    pub left: usize,
    /// Rows.
    pub rows: Vec<Vec<String>>,
}

/// Verdict in capitals: `PASS`.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Aborted => "ABORTED",
    }
}

/// What was run, where: a line.
pub fn subject(report: &Report) -> String {
    let broker = &report.broker;
    let warmup = if report.warmup_s > 0.0 {
        format!(" after {:.0} s of warm-up", report.warmup_s)
    } else {
        String::new()
    };
    format!(
        "{} on {} {} ({}), {:.1} s{warmup}, run {}, started {}",
        report.workload,
        broker.kind,
        broker.version,
        broker.guarantee,
        report.duration_s,
        report.run_id,
        report.started_at
    )
}

/// Rates and counts of events: lines.
pub fn throughput(report: &Report) -> Vec<String> {
    let (events, rates) = (&report.events, &report.throughput);
    let mut lines = Vec::new();
    // What was handed over and not acknowledged shows only where it is much.
    let differs = |(handed_over, produced): &(f64, f64)| {
        (handed_over - produced).abs() > NOTABLE_SHARE * produced
    };
    let pair = rates.handed_over_per_second.zip(rates.produced_per_second).filter(differs);
    let handed_over = pair.map(|(handed_over, _)| handed_over);
    let known: Vec<String> = [
        ("target", rates.target_per_second),
        ("handed over", handed_over),
        ("produced", rates.produced_per_second),
        ("consumed", rates.consumed_per_second),
    ]
    .into_iter()
    .filter(|(_, value)| value.is_some())
    .map(|(name, value)| format!("{name} {}", rate(value)))
    .collect();
    if !known.is_empty() {
        lines.push(format!("throughput: {}", known.join(", ")));
    }
    if let Some(drain) = &report.drain {
        lines.push(match drain.seconds {
            Some(seconds) => {
                format!(
                    "drained: {} events in {seconds:.2} s, {}",
                    grouped(drain.events),
                    rate(drain.per_second)
                )
            }
            None => "drained: no window was closed by the log itself".to_owned(),
        });
    }
    let counts = counts(events).into_iter().map(|(name, n)| format!("{} {name}", grouped(n)));
    let counts: Vec<String> = counts.collect();
    lines.push(format!("events: {}", counts.join(", ")));
    lines
}

/// Whether the run kept up, and how its backlog went: a line; `None`: there was nothing to keep up
/// with.
pub fn sustained(report: &Report) -> Option<String> {
    let sustained = &report.sustained;
    let what = match (sustained.verdict, &sustained.undecided) {
        (SustainedVerdict::Sustained, _) => "yes".to_owned(),
        (SustainedVerdict::NotSustained, _) => {
            format!("NO, the limit was the {}", sustained.limit.map_or("broker", Limit::name))
        }
        (SustainedVerdict::NotTested, Some(_)) => "cannot be told".to_owned(),
        (SustainedVerdict::NotTested, None) => return None,
    };
    let mut parts = vec![format!("kept up: {what}")];
    if let (Some(growth), Some(resolution)) = (sustained.growth_s, sustained.resolution_s) {
        let judged = sustained.judged_s;
        parts.push(format!(
            "backlog {growth:+.3} s in {judged} s (up to {resolution:.1} s is none)"
        ));
    }
    if let Some(burst) = sustained.burst_s.filter(|burst| *burst >= 0.05) {
        parts.push(format!("of which {burst:.1} s may be the schedule's own bursts"));
    }
    if sustained.verdict == SustainedVerdict::NotSustained {
        let Backlog { unsent, unacknowledged, unread } = sustained.backlog;
        let [unsent, unacknowledged, unread] = [unsent, unacknowledged, unread].map(grouped);
        parts.push(format!("in the end {unsent} unsent"));
        parts.push(format!("{unacknowledged} unacknowledged, {unread} unread"));
    }
    parts.extend(sustained.drain_s.map(|seconds| format!("drained in {seconds:.3} s")));
    Some(parts.join(", "))
}

/// The counts of events that are told, those that are always there first.
fn counts(events: &StageCounters) -> Vec<(&'static str, u64)> {
    let mut always: Vec<(&str, u64)> = Vec::new();
    let mut if_any: Vec<(&str, u64)> = Vec::new();
    for row in StageCounters::ROWS {
        let (name, list) = match row.words {
            Words::Always(name) => (name, &mut always),
            Words::IfAny(name) => (name, &mut if_any),
            Words::Never => continue,
        };
        match list.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += (row.value)(events),
            None => list.push((name, (row.value)(events))),
        }
    }
    always.extend(if_any.into_iter().filter(|(_, n)| *n > 0));
    always
}

/// The latencies, in milliseconds.
pub fn latency(report: &Report) -> Rows {
    let figure = |figures: Option<&LatencyFigures>, of: fn(&LatencyFigures) -> Option<f64>| {
        millis(figures.and_then(of))
    };
    let row = |(kind, figures): (LatencyKind, Option<&LatencyFigures>)| {
        vec![
            kind.name().to_owned(),
            kind.row().brief.to_owned(),
            figure(figures, |f| f.avg_ms),
            figure(figures, |f| f.p50_ms),
            figure(figures, |f| f.p90_ms),
            figure(figures, |f| f.p99_ms),
            figure(figures, |f| f.p999_ms),
            figure(figures, |f| f.max_ms),
        ]
    };
    Rows {
        header: vec!["latency, ms", "from→to", "avg", "p50", "p90", "p99", "p99.9", "max"],
        left: 2,
        rows: report.latency.iter().map(row).collect(),
    }
}

/// What was checked, and what was wrong.
pub fn audit(report: &Report, audit: &AuditTotals) -> Rows {
    let none = || "-".to_owned();
    let count = |n: u64| compact(n);
    // Results alone tell of counts; what became of single events only their own topic does.
    let results_alone = report.mode == ModeName::Latency;
    let single = |n: u64| if results_alone { none() } else { count(n) };
    let expected = report.windows.iter().map(|window| window.expected).fold(0, u64::saturating_add);
    let checked = if results_alone { expected } else { report.events.acknowledged };
    Rows {
        header: vec![
            "audit",
            "checked",
            "wrong",
            "missing",
            "extra",
            "lost",
            "duplicated",
            "reordered",
        ],
        left: 1,
        rows: vec![
            vec![
                "windows".to_owned(),
                grouped(audit.windows),
                count(audit.windows.saturating_sub(audit.windows_exact)),
                none(),
                none(),
                none(),
                none(),
                none(),
            ],
            vec![
                "results".to_owned(),
                grouped(audit.results),
                count(audit.results_wrong),
                count(audit.results_missing),
                none(),
                none(),
                count(audit.results_duplicated),
                none(),
            ],
            vec![
                "events".to_owned(),
                grouped(checked),
                none(),
                count(audit.events_missing),
                count(audit.events_extra),
                single(audit.events_lost),
                single(audit.events_duplicated),
                single(audit.events_reordered),
            ],
        ],
    }
}

/// Thresholds, one a row.
pub fn thresholds(thresholds: &[ThresholdRow]) -> Rows {
    let row = |threshold: &ThresholdRow| {
        let mut expression = threshold.expression.clone();
        if expression.chars().count() > MAX_EXPRESSION {
            expression = expression.chars().take(MAX_EXPRESSION - 1).chain(['…']).collect();
        }
        let result = if threshold.passed { "passed" } else { "FAILED" };
        vec![
            result.to_owned(),
            expression,
            threshold.observed.map_or_else(|| "not measured".to_owned(), exact),
        ]
    };
    Rows {
        header: vec!["result", "threshold", "observed"],
        left: 2,
        rows: thresholds.iter().map(row).collect(),
    }
}

/// Windows, one a row.
pub fn windows(windows: &[WindowAudit]) -> Rows {
    let row = |window: &WindowAudit| {
        let counts = if window.exact { "exact" } else { "WRONG" };
        let part = match (window.warmup, window.partial) {
            (false, false) => "",
            (true, false) => " warm-up",
            (false, true) => " partial",
            (true, true) => " warm+part",
        };
        vec![
            format!("{counts}{part}"),
            match window.windows {
                1 => window.window_id.to_string(),
                more => format!("{} +{}", window.window_id, more - 1),
            },
            time_of_day(window.window_start_ms),
            grouped(window.count),
            grouped(window.expected),
            millis(window.result_latency_ms_avg),
            millis(window.result_latency_ms_max),
        ]
    };
    Rows {
        header: vec!["counts", "window", "starts", "counted", "expected", "avg ms", "max ms"],
        left: 1,
        rows: windows.iter().map(row).collect(),
    }
}

/// `hh:mm:ss` (UTC) of a time in milliseconds since the Unix epoch.
fn time_of_day(at_ms: i64) -> String {
    let seconds = at_ms.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The greatest resident memory, and whether more may have come and gone.
pub fn peak_memory(resources: &Resources) -> String {
    let sampled =
        if resources.peak_rss_by == Some(PeakSource::Samples) { " (sampled)" } else { "" };
    bytes(resources.peak_rss_bytes) + sampled
}

/// What the program used: a line.
pub fn resources(report: &Report) -> String {
    let resources = &report.resources;
    let number =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let host = &report.host;
    let cores = host.cores.map_or_else(|| "-".to_owned(), grouped);
    format!(
        "resources: {} CPU s ({} µs/event), peak memory {}, {} threads; {cores} cores, {} memory, \
         {}",
        number(resources.cpu_seconds),
        number(resources.cpu_us_per_event),
        peak_memory(resources),
        resources.threads.map_or_else(|| "-".to_owned(), grouped),
        bytes(host.memory_bytes),
        host.cpu.as_deref().or(host.kernel.as_deref()).unwrap_or("unknown machine"),
    )
}
