use std::sync::Arc;

use streamgauge_actors::{
    MILLISECOND,
    testing::{SimClock, small_spec},
};

use streamgauge_actors::{LatencyHistogram, Nanos, SECOND, StageCounters, StageId, StageMeasured};

use super::state::MAX_SUBJECTS;
use super::*;

fn metrics() -> (Metrics, Arc<SimClock>) {
    let clock = Arc::new(SimClock::at(1000 * SECOND));
    let workloads = ["classic".to_owned()];
    let thresholds = ["audit.events_lost == 0".to_owned()];
    (Metrics::new("embedded", &workloads, &thresholds, Arc::<SimClock>::clone(&clock)), clock)
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn measured(produced: u64, latency_ns: Nanos) -> RunFact {
    let mut samples = LatencyHistogram::default();
    samples.record(latency_ns);
    RunFact::Measured(Arc::new(StageMeasured {
        stage: StageId::Producer(0),
        at_ns: 1000 * SECOND,
        clock_stepped: false,
        totals: StageCounters { produced, ..StageCounters::default() },
        watermarks: BTreeMap::new(),
        latencies: vec![(LatencyKind::PublishDelay, samples)],
        seconds: Vec::new(),
        windows: Vec::new(),
        mailbox: 3,
        supervisor_mailbox: 1,
    }))
}

fn accepted() -> RunFact {
    let spec = small_spec("r1").with(|spec| {
        spec.workload.name = "classic".to_owned();
    });
    RunFact::Accepted { spec: Arc::new(spec), started_at_ns: 900 * SECOND }
}

const LABELS: &str = "broker=\"embedded\",workload=\"classic\"";

#[test]
fn every_series_exists_before_the_first_run() {
    let (metrics, _) = metrics();
    let text = metrics.render().unwrap();
    for series in [
        format!("streamgauge_events_produced_total{{{LABELS}}}"),
        format!("streamgauge_broker_errors_total{{{LABELS},kind=\"connection\",stage=\"probe\"}}"),
        format!("streamgauge_result_latency_seconds_count{{{LABELS}}}"),
        format!(
            "streamgauge_latency_quantile_seconds{{{LABELS},quantile=\"0.99\",\
             stage=\"event_latency\"}}"
        ),
        format!(
            "streamgauge_last_run_threshold_passed{{{LABELS},threshold=\"audit.events_lost == 0\"}}"
        ),
        format!("streamgauge_broker_up{{{LABELS}}}"),
        format!("streamgauge_runs_total{{{LABELS},outcome=\"pass\"}}"),
    ] {
        let at_zero = text.lines().any(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_default();
            same_series(name, &series) && value == "0"
        });
        assert!(at_zero, "no {series} 0 in:\n{text}");
    }
}

/// Whether two series are the same, whatever the order of their labels.
fn same_series(a: &str, b: &str) -> bool {
    let parts = |series: &str| {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let mut labels: Vec<String> =
            labels.trim_end_matches('}').split(',').map(str::to_owned).collect();
        labels.sort();
        (name.to_owned(), labels)
    };
    parts(a) == parts(b)
}

#[test]
fn counters_go_on_from_run_to_run() {
    let (metrics, _) = metrics();
    let series = format!("streamgauge_events_produced_total{{{LABELS}}}");
    let produced = |metrics: &Metrics| value(&metrics.render().unwrap(), &series);
    metrics.hear("embedded", true, &accepted());
    metrics.hear("embedded", true, &measured(10, MILLISECOND));
    metrics.hear("embedded", true, &measured(25, MILLISECOND));
    assert_eq!(produced(&metrics), Some(25.0));
    metrics.hear("embedded", true, &accepted());
    assert_eq!(produced(&metrics), Some(25.0), "a run that is followed at once is not forgotten");
    metrics.hear("embedded", true, &measured(5, MILLISECOND));
    assert_eq!(produced(&metrics), Some(30.0));
}

#[test]
fn quantiles_look_back_ten_seconds() {
    let (metrics, clock) = metrics();
    let p99 = |metrics: &Metrics| {
        let text = metrics.render().unwrap();
        let line = text.lines().find(|line| {
            line.starts_with("streamgauge_latency_quantile_seconds")
                && line.contains("stage=\"publish_delay\"")
                && line.contains("quantile=\"0.99\"")
        });
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).unwrap()
    };
    metrics.hear("embedded", true, &accepted());
    assert!(p99(&metrics).is_nan(), "nothing was measured, which is not 0");
    metrics.hear("embedded", true, &measured(1, 80 * MILLISECOND));
    clock.advance(5 * SECOND);
    metrics.hear("embedded", true, &measured(2, 2 * MILLISECOND));
    assert!((p99(&metrics) - 0.080).abs() < 0.001);
    clock.advance(8 * SECOND);
    assert!((p99(&metrics) - 0.002).abs() < 0.0001);
    clock.advance(9 * SECOND);
    assert!(p99(&metrics).is_nan());
}

#[test]
fn workloads_without_end_do_not_make_series_without_end() {
    let (metrics, _) = metrics();
    for i in 0..2 * MAX_SUBJECTS {
        let spec = small_spec("r1").with(|spec| {
            spec.workload.name = format!("w{i}");
        });
        metrics.hear(
            "embedded",
            true,
            &RunFact::Accepted { spec: Arc::new(spec), started_at_ns: 0 },
        );
    }
    let text = metrics.render().unwrap();
    let series =
        text.lines().filter(|line| line.starts_with("streamgauge_windows_closed_total{")).count();
    assert!(series <= MAX_SUBJECTS + 1, "{series}");
    assert!(text.contains("workload=\"other\""));
}
