//! Where the time goes: the latencies as bars on one scale.

use serde::Serialize;
use streamgauge_actors::{LatencyKind, Subject};

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

/// What a group of bars has in common.
fn title(subject: Subject) -> &'static str {
    match subject {
        Subject::Event => "An event, from its intended time",
        Subject::Window => "A window, from its end (result latency: from its last event)",
    }
}

/// The bars: medians and 99th percentiles, from 0 to the greatest end of any.
pub fn waterfall(report: &Report) -> Waterfall {
    let figures = |kind: LatencyKind| {
        let figures = report.latency.get(kind)?;
        Some((figures, figures.p50_ms?, figures.p99_ms?))
    };
    let after = |kind: LatencyKind| kind.row().after.and_then(figures);
    let start = |kind: LatencyKind| after(kind).map_or(0.0, |(_, p50, _)| p50);
    let ends = LatencyKind::ALL.into_iter().filter_map(|kind| Some(start(kind) + figures(kind)?.2));
    let scale = ends.fold(0.0, f64::max);
    let percent = |ms: f64| {
        let share = if scale > 0.0 { ms / scale } else { 0.0 };
        format!("{:.3}", 100.0 * share.clamp(0.0, 1.0))
    };
    let mut opened = None;
    let mut rows = Vec::new();
    for kind in LatencyKind::ALL {
        let Some((of, p50, p99)) = figures(kind) else { continue };
        let subject = kind.row().of;
        let is_first = opened.replace(subject) != Some(subject);
        rows.push(Bar {
            group: is_first.then(|| title(subject)),
            name: kind.name(),
            left: percent(start(kind)),
            near: percent(p50),
            far: percent(p99),
            p50: figure_ms(of, Some(p50)),
            p99: figure_ms(of, Some(p99)),
        });
    }
    Waterfall { scale: format!("{} ms", millis(Some(scale))), rows }
}
