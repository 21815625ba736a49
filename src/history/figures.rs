//! A run's columns in the table `runs`, taken from its report.

use std::time::UNIX_EPOCH;

use anyhow::Context;
use rusqlite::types::Value;
use streamgauge_actors::{AuditTotals, SECOND};

use super::words::name;
use crate::report::Report;

/// One of the audit's sums.
type Sum = fn(&AuditTotals) -> u64;

/// Column and value, for every column that a finished run has.
pub(super) fn figures(report: &Report) -> anyhow::Result<Vec<(String, Value)>> {
    let Report { events, throughput, resources, .. } = report;
    let failed = report.thresholds.iter().filter(|threshold| !threshold.passed).count();
    let mut figures: Vec<(String, Value)> = [
        ("run_id", report.run_id.clone().into()),
        ("state", name(report.ending.how).into()),
        ("mode", name(report.mode).into()),
        ("workload", report.workload.clone().into()),
        ("broker", report.broker.kind.clone().into()),
        ("broker_version", report.broker.version.clone().into()),
        ("streamgauge_version", report.versions.streamgauge.clone().into()),
        ("verdict", name(report.verdict).into()),
        ("reason", report.reasons.first().cloned().into()),
        ("exit_code", i64::from(report.exit_code).into()),
        ("thresholds_failed", integer(failed as u64)),
        ("started_at_ms", milliseconds(&report.started_at)?.into()),
        ("finished_at_ms", milliseconds(&report.finished_at)?.into()),
        ("warmup_s", report.warmup_s.into()),
        ("duration_s", report.duration_s.into()),
        ("seed", report.seed.to_string().into()),
        ("rate_changes", integer(report.rate_changes.len() as u64)),
        ("target_per_second", throughput.target_per_second.into()),
        ("produced_per_second", throughput.produced_per_second.into()),
        ("consumed_per_second", throughput.consumed_per_second.into()),
        ("events_produced", integer(events.produced)),
        ("events_acknowledged", integer(events.acknowledged)),
        ("events_consumed", integer(events.consumed)),
        ("events_late", integer(events.late)),
        ("events_malformed", integer(events.malformed.total())),
        ("backpressure_s", (events.backpressure_ns as f64 / SECOND as f64).into()),
        ("cpu_seconds", resources.cpu_seconds.into()),
        ("cpu_us_per_event", resources.cpu_us_per_event.into()),
        ("peak_rss_bytes", resources.peak_rss_bytes.map_or(Value::Null, integer)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let sum = |of: Sum| report.audit.as_ref().map_or(Value::Null, |audit| integer(of(audit)));
    let sums: [(&str, Sum); 10] = [
        ("windows", |audit| audit.windows),
        ("windows_exact", |audit| audit.windows_exact),
        ("results", |audit| audit.results),
        ("results_duplicated", |audit| audit.results_duplicated),
        ("results_missing", |audit| audit.results_missing),
        ("events_missing", |audit| audit.events_missing),
        ("events_extra", |audit| audit.events_extra),
        ("events_lost", |audit| audit.events_lost),
        ("events_duplicated", |audit| audit.events_duplicated),
        ("events_reordered", |audit| audit.events_reordered),
    ];
    figures.extend(sums.into_iter().map(|(name, of)| (name.to_owned(), sum(of))));
    for (kind, latency) in report.latency.iter() {
        figures.push((
            format!("{}_p50_ms", kind.name()),
            latency.and_then(|latency| latency.p50_ms).into(),
        ));
        figures.push((
            format!("{}_p99_ms", kind.name()),
            latency.and_then(|latency| latency.p99_ms).into(),
        ));
    }
    Ok(figures)
}

/// SQLite's integers are signed; no count reaches their end.
fn integer(count: u64) -> Value {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}

/// Milliseconds since the Unix epoch, of a time in a report.
fn milliseconds(rfc3339: &str) -> anyhow::Result<i64> {
    let time =
        humantime::parse_rfc3339(rfc3339).with_context(|| format!("`{rfc3339}` is no time"))?;
    Ok(time.duration_since(UNIX_EPOCH).context("a run before 1970")?.as_millis() as i64)
}
