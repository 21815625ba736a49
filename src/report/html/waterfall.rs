//! Where the time goes: the latencies as bars on one scale.

use serde::Serialize;
use streamgauge_actors::LatencyKind;

use super::sections::figure_ms;
use crate::report::Report;
use crate::report::numbers::millis;

/// The latencies as bars, one under the other.
#[derive(Clone, Debug, Serialize)]
pub struct Waterfall {
    scale: String,
    rows: Vec<Bar>,
}

/// One bar; places and lengths in percent of the scale.
#[derive(Clone, Debug, Serialize)]
struct Bar {
    group: Option<&'static str>,
    name: &'static str,
    left: String,
    near: String,
    far: String,
    p50: String,
    p99: String,
}

/// Where a latency stands: the group that it opens, and the latency at whose end it begins.
struct Step {
    opens: Option<&'static str>,
    kind: LatencyKind,
    after: Option<LatencyKind>,
}

/// An event's way, then a window's.
const STEPS: [Step; 6] = [
    Step {
        opens: Some("An event, from its intended time"),
        kind: LatencyKind::PublishDelay,
        after: None,
    },
    Step { opens: None, kind: LatencyKind::PublishLatency, after: Some(LatencyKind::PublishDelay) },
    Step { opens: None, kind: LatencyKind::EventLatency, after: None },
    Step {
        opens: Some("A window, from its end (result latency: from its last event)"),
        kind: LatencyKind::CloseLatency,
        after: None,
    },
    Step { opens: None, kind: LatencyKind::ResultLatency, after: None },
    Step { opens: None, kind: LatencyKind::EndToEnd, after: None },
];

/// The bars: medians and 99th percentiles, from 0 to the greatest end of any.
pub fn waterfall(report: &Report) -> Waterfall {
    let figures = |kind: LatencyKind| {
        let figures = report.latency.get(kind)?;
        Some((figures, figures.p50_ms?, figures.p99_ms?))
    };
    let start = |step: &Step| step.after.and_then(figures).map_or(0.0, |(_, p50, _)| p50);
    let ends = STEPS.iter().filter_map(|step| Some(start(step) + figures(step.kind)?.2));
    let scale = ends.fold(0.0, f64::max);
    let percent = |ms: f64| {
        let share = if scale > 0.0 { ms / scale } else { 0.0 };
        format!("{:.3}", 100.0 * share.clamp(0.0, 1.0))
    };
    // A group whose first latency was not measured is opened by the next.
    let mut opened = None;
    let mut rows = Vec::new();
    for step in &STEPS {
        opened = step.opens.or(opened);
        let Some((of, p50, p99)) = figures(step.kind) else { continue };
        rows.push(Bar {
            group: opened.take(),
            name: step.kind.name(),
            left: percent(start(step)),
            near: percent(p50),
            far: percent(p99),
            p50: figure_ms(of, Some(p50)),
            p99: figure_ms(of, Some(p99)),
        });
    }
    Waterfall { scale: format!("{} ms", millis(Some(scale))), rows }
}
