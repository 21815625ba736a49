//! What tells whether the program itself was the limit.

use serde::Serialize;
use streamgauge_actors::{CLOCK_STEP_LIMIT_NS, LatencyKind, MILLISECOND, SECOND};

use super::dash::dash;
use super::sections::figure_ms;
use crate::report::numbers::{bytes, grouped};
use crate::report::{LatencyFigures, Report};

/// A figure, what it means, and whether it is a sign of trouble.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    name: &'static str,
    value: String,
    note: &'static str,
    bad: bool,
}

/// All figures.
pub fn checks(report: &Report) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |name, value, note, bad| checks.push(Check { name, value, note, bad });
    let (resources, events) = (&report.resources, &report.events);
    add(
        "CPU time",
        number(resources.cpu_seconds, "s"),
        "user and system, the whole process",
        false,
    );
    add(
        "CPU per event",
        number(resources.cpu_us_per_event, "µs"),
        "per event sent, or read where others sent",
        false,
    );
    add("cores used", cores_used(report), "near 100 %: the machine was the limit", false);
    add("peak memory", dash(bytes(resources.peak_rss_bytes)), "resident", false);
    let threads = resources.threads.map_or_else(|| "–".to_owned(), grouped);
    add("threads", threads, "most at once", false);
    let note = "how late events are handed to the client: the generator's own lateness";
    add("publish delay, p50", delay(report, |f| f.p50_ms), note, false);
    add("publish delay, p99", delay(report, |f| f.p99_ms), "the same", false);
    add("publish delay, max", delay(report, |f| f.max_ms), "the same", false);
    let (generator, backpressure) = (events.sent_late_generator, events.sent_late_backpressure);
    let note = "measured events beyond the limit although the client took records";
    add("sent late by the generator", grouped(generator), note, generator > 0);
    let note = "measured events beyond the limit because the client was full";
    add("sent late by backpressure", grouped(backpressure), note, backpressure > 0);
    let full_s = events.backpressure_ns as f64 / SECOND as f64;
    add(
        "backpressure",
        format!("{full_s:.2} s"),
        "time that the client was full, over all producers",
        full_s >= 0.01,
    );
    let step = format!("{:+.3} ms", report.wall_step_ms);
    let limit_ms = CLOCK_STEP_LIMIT_NS as f64 / MILLISECOND as f64;
    let note = "a step beyond 2 ms spoils the result latency";
    add("wall clock against monotonic", step, note, report.wall_step_ms.abs() > limit_ms);
    checks
}

fn number(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2} {unit}"))
}

fn delay(report: &Report, of: fn(&LatencyFigures) -> Option<f64>) -> String {
    let figures = report.latency.get(LatencyKind::OWN_DELAY);
    let ms = figures.and_then(|figures| Some(figure_ms(figures, Some(of(figures)?))));
    ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"))
}

fn cores_used(report: &Report) -> String {
    let seconds = report.warmup_s + report.duration_s;
    let known = report
        .resources
        .cpu_seconds
        .zip(report.host.cores)
        .filter(|&(_, cores)| cores > 0 && seconds > 0.0);
    known.map_or_else(
        || "–".to_owned(),
        |(cpu_seconds, cores)| {
            format!("{:.0} % of {cores}", 100.0 * cpu_seconds / seconds / cores as f64)
        },
    )
}
