//! What the charts plot, and what each says in words.

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Map, Value, json};
use streamgauge_actors::{LatencyKind, Quantiles, Second, Subject, WindowAudit};

use super::dash::dash;
use crate::report::numbers::{grouped, millis};
use crate::report::{LatencyFigures, Report};

/// Points that a chart has at most; a longer series is thinned.
const MAX_POINTS: usize = 3600;

/// Steps per halving of the distance to 100 %, as in the `.hdr` form.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// One chart of the run's course.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    /// What the script draws it by.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it shows, in words.
    pub text: String,
    /// Whether it takes the page's whole width.
    pub wide: bool,
}

/// The charts that there is something to show in.
pub fn charts(report: &Report) -> Vec<Chart> {
    let mut charts = Vec::new();
    let seconds = &report.series;
    if !seconds.is_empty() {
        let rates = [
            ("produced", extremes(report, |row| row.per_second(row.produced))),
            ("acknowledged", extremes(report, |row| row.per_second(row.acknowledged))),
            ("consumed", extremes(report, |row| row.per_second(row.consumed))),
        ];
        let target = report.throughput.target_per_second.map_or_else(
            || "no target".to_owned(),
            |target| format!("target {}", grouped(target.round() as u64)),
        );
        let rates = rates.map(|(name, range)| format!("{name} {range}")).join("; ");
        charts.push(Chart {
            name: "rate",
            title: "Events per second against the target",
            text: format!("Events per second over {} seconds: {target}; {rates}.", sum(seconds)),
            wide: true,
        });
        let behind = seconds.iter().filter_map(|row| row.behind_ms).reduce(f64::max);
        charts.extend(behind.map(|behind| Chart {
            name: "behind",
            title: "Behind schedule, ms",
            text: format!(
                "The least in each second that the reading was behind the schedule: at most {} \
                 milliseconds.",
                millis(Some(behind))
            ),
            wide: false,
        }));
        let most = |of: fn(&Second) -> u64| grouped(seconds.iter().map(of).max().unwrap_or(0));
        charts.push(Chart {
            name: "backlog",
            title: "Backlog, by where events stood",
            text: format!(
                "At the end of each second: unsent at most {}, unacknowledged at most {}, unread \
                 at most {}.",
                most(|row| row.backlog.unsent),
                most(|row| row.backlog.unacknowledged),
                most(|row| row.backlog.unread)
            ),
            wide: false,
        });
    }
    let measured: Vec<f64> =
        report.windows.iter().filter_map(|window| window.result_latency_ms_max).collect();
    if !measured.is_empty() {
        let greatest = measured.iter().copied().fold(0.0, f64::max);
        let rows = &report.windows;
        let windows = count_windows(rows.iter().filter(|row| row.result_latency_ms_max.is_some()));
        let wrong = count_windows(rows.iter().filter(|row| !row.exact));
        charts.push(Chart {
            name: "windows",
            title: "Result latency of each window, ms",
            text: format!(
                "Result latency of {} windows: at most {} milliseconds; {wrong} windows have wrong \
                 counts.",
                windows,
                millis(Some(greatest))
            ),
            wide: false,
        });
    }
    charts
}

/// From the least to the greatest value of the measured part's whole seconds.
fn extremes(report: &Report, of: fn(&Second) -> f64) -> String {
    let (from, until) =
        (report.warmup_s.ceil() as i64, (report.warmup_s + report.duration_s).floor() as i64);
    let measured = report.series.iter().filter(|row| (from..until).contains(&row.second)).map(of);
    let (least, most) = measured
        .fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    if least > most {
        return "not measured".to_owned();
    }
    format!("{} to {}", grouped(least as u64), grouped(most as u64))
}

/// What the course of one latency shows, in words; `None` where no second has samples.
pub fn over_time(report: &Report, kind: LatencyKind) -> Option<String> {
    let samples: Vec<_> = report.series.iter().filter_map(|row| row.latency.get(kind)).collect();
    let greatest =
        |of: fn(&Quantiles) -> f64| samples.iter().map(|second| of(second)).fold(0.0, f64::max);
    (!samples.is_empty()).then(|| {
        format!(
            "{} by {}, {} of them with samples: median at most {} milliseconds, 99th \
             percentile at most {}.",
            kind.name(),
            by_row(report),
            samples.len(),
            millis(Some(greatest(|second| second.p50_ms))),
            millis(Some(greatest(|second| second.p99_ms)))
        )
    })
}

fn by_row(report: &Report) -> String {
    match row_seconds(report) {
        1 => "second".to_owned(),
        seconds => format!("{seconds} seconds"),
    }
}

/// What the distribution of one latency shows, in words.
pub fn distribution_text(kind: LatencyKind, figures: &LatencyFigures) -> Option<String> {
    figures.max_ms?;
    Some(format!(
        "{} by percentile, milliseconds: 50 % at most {}, 90 % {}, 99 % {}, 99.9 % {}, all {}.",
        kind.name(),
        dash(millis(figures.p50_ms)),
        dash(millis(figures.p90_ms)),
        dash(millis(figures.p99_ms)),
        dash(millis(figures.p999_ms)),
        dash(millis(figures.max_ms))
    ))
}

/// How many windows rows stand for.
pub(super) fn count_windows<'a>(rows: impl IntoIterator<Item = &'a WindowAudit>) -> u64 {
    rows.into_iter().map(|row| row.windows).sum()
}

/// What to say where a point stands for more than a second, or a window.
pub fn thinned(report: &Report) -> Option<String> {
    let seconds = stride(report.series.len()) * row_seconds(report);
    let per_row = report.windows.iter().map(|row| row.windows as usize).max().unwrap_or(1);
    let windows = stride(report.windows.len()) * per_row;
    let plural = if windows == 1 { "" } else { "s" };
    (seconds > 1 || windows > 1).then(|| {
        format!(
            "A point stands for {seconds} s (or {windows} window{plural}): rates are their mean, \
             latencies and \
             backlogs their greatest."
        )
    })
}

/// Everything that is plotted.
///
/// # Errors
/// When a stored histogram cannot be read.
pub fn data(report: &Report) -> anyhow::Result<Value> {
    let seconds: Vec<&[Second]> = report.series.chunks(stride(report.series.len())).collect();
    let column = |of: &dyn Fn(&[Second]) -> Value| {
        Value::Array(seconds.iter().map(|rows| of(rows)).collect())
    };
    let mean = |of: fn(&Second) -> u64| {
        column(&|rows| {
            json!(rounded(rows.iter().map(|row| of(row) as f64).sum::<f64>() / sum(rows) as f64))
        })
    };
    let greatest = |of: fn(&Second) -> u64| column(&|rows| json!(rows.iter().map(of).max()));
    let mut latency = Map::new();
    let mut distribution = Map::new();
    for (kind, figures) in report.latency.iter() {
        let worst = |of: fn(&Quantiles) -> f64| {
            column(&|rows| json!(most(rows.iter().filter_map(|row| row.latency.get(kind)).map(of))))
        };
        latency.insert(
            kind.name().to_owned(),
            json!({
                "of_windows": kind.row().of == Subject::Window,
                "p50": worst(|second| second.p50_ms),
                "p99": worst(|second| second.p99_ms),
            }),
        );
        if let Some(figures) = figures.filter(|figures| figures.max_ms.is_some()) {
            distribution
                .insert(kind.name().to_owned(), by_percentile(&figures.decode_histogram()?));
        }
    }
    Ok(json!({
        "warmup_s": report.warmup_s,
        "seconds": column(&|rows| json!(rows[0].second)),
        "target": column(&|rows| {
            // While the run drains, nothing is asked for any more.
            let until = report.warmup_s + report.duration_s;
            let asked = rows.iter().filter(|row| (row.second as f64) < until);
            let targets = asked.filter_map(|row| Some((row.target?, f64::from(row.seconds))));
            let both = targets.reduce(|a, b| (a.0 + b.0, a.1 + b.1));
            json!(both.map(|(target, seconds)| rounded(target / seconds)))
        }),
        "produced": mean(|row| row.produced),
        "acknowledged": mean(|row| row.acknowledged),
        "consumed": mean(|row| row.consumed),
        "behind_ms": column(&|rows| json!(most(rows.iter().filter_map(|row| row.behind_ms)))),
        "unsent": greatest(|row| row.backlog.unsent),
        "unacknowledged": greatest(|row| row.backlog.unacknowledged),
        "unread": greatest(|row| row.backlog.unread),
        "latency": latency,
        "windows": windows(report),
        "distribution": distribution,
    }))
}

/// The windows' result latencies by their start, seconds since the run's base.
fn windows(report: &Report) -> Value {
    let base_ms = report.series.first().map(|row| row.start_ms - row.second * 1000);
    let base_ms = base_ms.or_else(|| Some(report.windows.first()?.window_start_ms)).unwrap_or(0);
    let groups: Vec<&[WindowAudit]> = report.windows.chunks(stride(report.windows.len())).collect();
    let column = |of: &dyn Fn(&[WindowAudit]) -> Value| {
        Value::Array(groups.iter().map(|rows| of(rows)).collect())
    };
    let avg =
        |rows: &[WindowAudit]| most(rows.iter().filter_map(|window| window.result_latency_ms_avg));
    let greatest =
        |rows: &[WindowAudit]| most(rows.iter().filter_map(|window| window.result_latency_ms_max));
    json!({
        "start": column(&|rows| json!((rows[0].window_start_ms - base_ms) as f64 / 1000.0)),
        "avg": column(&|rows| json!(avg(rows))),
        "max": column(&|rows| json!(greatest(rows))),
        "wrong": column(&|rows| {
            let wrong = rows.iter().any(|window| !window.exact);
            json!(wrong.then(|| greatest(rows).unwrap_or(0.0)))
        }),
    })
}

/// A distribution as `1 / (1 - percentile)`, on whose logarithm the percentiles are even, and
/// milliseconds.
fn by_percentile(histogram: &Histogram<u64>) -> Value {
    let (mut at, mut ms) = (Vec::new(), Vec::new());
    // The greatest of n samples stands where the share beyond it is 1/n.
    let last = (histogram.len() as f64).max(1.0);
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        let beyond = 1.0 - step.quantile_iterated_to();
        let place = if beyond > 0.0 { (1.0 / beyond).min(last) } else { last };
        if at.last().is_some_and(|&before| place <= before) {
            // Rounding may bring two steps together: the later one is the greater.
            at.pop();
            ms.pop();
        }
        at.push(place);
        ms.push(rounded(step.value_iterated_to() as f64 / 1000.0));
    }
    json!({"at": at, "ms": ms})
}

/// Seconds that these rows stand for.
fn sum(rows: &[Second]) -> u64 {
    rows.iter().map(|row| u64::from(row.seconds)).sum()
}

/// Seconds that a row stands for; the last one may stand for fewer.
fn row_seconds(report: &Report) -> usize {
    report.series.first().map_or(1, |row| row.seconds as usize)
}

/// How many rows a point stands for.
fn stride(rows: usize) -> usize {
    rows.div_ceil(MAX_POINTS).max(1)
}

fn most(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.map(rounded).reduce(f64::max)
}

/// To the microsecond (or a thousandth of an event): what is beyond it is not measured.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
