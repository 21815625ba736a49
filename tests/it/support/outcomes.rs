//! Outcomes of runs, built by hand.

use std::collections::BTreeMap;

use serde_json::json;
use streamgauge::report::{Host, PeakSource, Report, ReportContext, Resources, Versions};
use streamgauge_actors::{
    Aggregate, ArrivalKind, AuditTotals, Backlog, BrokerDescription, ClockBracket, Ending, Follow,
    LatencyHistogram, LatencyKind, Load, MILLISECOND, MadeTopics, Mode, Nanos, PerLatency,
    Quantiles, Rate, RunMeasures, RunOutcome, RunSpec, SECOND, Second, Span, StageCounters,
    StartAt, Subject, WindowAudit, testing::small_spec,
};

/// Start of window 0: 2023-11-14T22:13:20Z.
pub(crate) const BASE: Nanos = 1_700_000_000 * SECOND;

pub(crate) const FOLLOW: Follow =
    Follow { from: StartAt::Earliest, until_idle_ns: Some(5 * SECOND) };

pub(crate) const AGGREGATE: Mode = Mode::Aggregate(Aggregate {
    follow: FOLLOW,
    base_event_time_ns: 0,
    campaigns: None,
    idle_timeout_ns: None,
});

pub(crate) fn spec() -> RunSpec {
    small_spec("r-7f3a").with(|spec| {
        spec.run_tag = 7;
        "classic".clone_into(&mut spec.workload.name);
        spec.workload.seed = 42;
        spec.topics.partitions = 2;
        spec.workload.rate = Rate(40_000.0);
        spec.workload.arrivals = ArrivalKind::PoissonNormalized;
        spec.workload.duration = Span::from_nanos(60 * SECOND);
        spec.workload.window = Span::from_nanos(10 * SECOND);
        spec.workload.ads_per_campaign = 100;
        spec.workload.ad_types = vec!["image".to_owned()];
        spec.workload.event_types = vec!["view".to_owned()];
        spec.aggregator.max_open_windows = 4;
        spec.result_writer.batch = 100;
        "streamgauge.r-7f3a.events".clone_into(&mut spec.topics.events);
        "streamgauge.r-7f3a.results".clone_into(&mut spec.topics.results);
        "streamgauge.r-7f3a.events.malformed".clone_into(&mut spec.topics.malformed);
        spec.workload.send_delay_limit = Span::from_nanos(10 * MILLISECOND);
        spec.workload.send_delay_share = 0.01;
        spec.supervisor.drain_timeout = Span::from_nanos(30 * SECOND);
    })
}

fn window(window_id: i64) -> WindowAudit {
    WindowAudit {
        window_id,
        windows: 1,
        window_start_ms: BASE / MILLISECOND + window_id * 10_000,
        window_end_ms: BASE / MILLISECOND + (window_id + 1) * 10_000,
        partial: false,
        warmup: false,
        campaigns: 10,
        count: 400_000,
        expected: 400_000,
        exact: true,
        result_latency_ms_avg: Some(3.25),
        result_latency_ms_max: Some(7.0),
    }
}

fn embedded() -> BrokerDescription {
    BrokerDescription {
        kind: "embedded".to_owned(),
        version: "0.1.0".to_owned(),
        cluster_id: None,
        guarantee: "exactly once".to_owned(),
        log_append_time: true,
        limitations: Vec::new(),
    }
}

/// A second in which all went well.
fn second(second: i64, quantiles: Option<Quantiles>) -> Second {
    Second {
        second,
        seconds: 1,
        start_ms: BASE / MILLISECOND + second * 1000,
        target: Some(40_000.0),
        produced: 40_000,
        acknowledged: 40_000,
        consumed: 40_000,
        results: 0,
        lag: 12,
        in_flight: 34,
        behind_ms: Some(4.5),
        backlog: Backlog { unsent: 0, unacknowledged: 34, unread: 12 },
        load: Load {
            client_full: 0.0,
            reader_busy: 0.125,
            cpu_wait: 0.004,
            client_cpus: Some(0.25),
            foreign_cpus: Some(0.5),
        },
        watermarks_ms: [(0, None), (1, Some(BASE / MILLISECOND + second * 1000)), (2, None)].into(),
        latency: PerLatency::from_fn(|kind| quantiles.filter(|_| kind.row().of == Subject::Event)),
    }
}

/// A run of `windows` windows in which all went well.
pub(crate) fn passed(windows: i64) -> RunOutcome {
    let events = 400_000 * windows as u64;
    let mut histogram = LatencyHistogram::default();
    (1..=1000).for_each(|i| histogram.record(i * 12_345));
    let quantiles = Quantiles::of(&histogram);
    let latencies = LatencyKind::ALL.into_iter().map(|kind| (kind, histogram.clone())).collect();
    let end = BASE + windows * 10 * SECOND;
    RunOutcome {
        spec: spec().with(|spec| {
            spec.workload.duration = Span::from_nanos(windows * 10 * SECOND);
        }),
        mode: Mode::Run,
        made_topics: MadeTopics::default(),
        broker: embedded(),
        generation: 0,
        ending: Ending::Completed,
        started_at_ns: BASE - SECOND,
        base_ns: Some(BASE),
        schedule_end_ns: end,
        target: Some(40_000.0),
        rate_changes: Vec::new(),
        longest_stop_ns: 0,
        finished_at_ns: end + SECOND,
        counters: StageCounters {
            produced: events,
            produced_bytes: 330 * events,
            produced_measured: events,
            acknowledged: events,
            acknowledged_measured: events,
            consumed: events,
            consumed_bytes: 330 * events,
            consumed_measured: events,
            last_produced_ns: end - MILLISECOND,
            last_acknowledged_ns: end - MILLISECOND,
            last_consumed_ns: end - MILLISECOND,
            windows_closed: windows as u64,
            results_written: 10 * windows as u64,
            results_read: 10 * windows as u64,
            results_events: events,
            last_result_ns: end,
            ..StageCounters::default()
        },
        latencies,
        series: (0..windows * 10).map(|at| second(at, quantiles)).collect(),
        measures: Some(RunMeasures {
            audit: AuditTotals {
                windows: windows as u64,
                windows_exact: windows as u64,
                results: 10 * windows as u64,
                ..AuditTotals::default()
            },
            windows: (0..windows).map(window).collect(),
            broker_clock: Some(ClockBracket { low_ns: -400_000, high_ns: 900_000, is_torn: false }),
            misalignment: None,
        }),
        truth: Vec::new(),
        findings: Vec::new(),
        wall_step_ns: 0,
    }
}

/// A run that failed before it began: nothing was measured at all.
pub(crate) fn failed() -> RunOutcome {
    RunOutcome {
        ending: Ending::failed("topic `clicks` does not exist on localhost:9092"),
        base_ns: None,
        schedule_end_ns: 0,
        finished_at_ns: BASE,
        counters: StageCounters::default(),
        latencies: BTreeMap::new(),
        series: Vec::new(),
        measures: None,
        ..passed(6)
    }
}

pub(crate) fn context() -> ReportContext {
    ReportContext {
        config: json!({"workload": {"rate": 40_000}, "broker": {"kafka": {"password": "***"}}}),
        rerun: "streamgauge run classic --seed 42".to_owned(),
        process_started_ns: BASE - 2 * SECOND,
        resources: Resources {
            cpu_seconds: Some(12.34),
            cpu_resolution_s: Some(1e-9),
            cpu_us_per_event: None,
            peak_rss_bytes: Some(123 << 20),
            peak_rss_by: Some(PeakSource::HighWaterMark),
            threads: Some(9),
        },
        host: Host {
            cores: Some(2),
            kernel: Some("Linux 6.1".to_owned()),
            cpu: Some("Some Processor".to_owned()),
            memory_bytes: Some(8 << 30),
        },
        versions: Versions::new(Some("2.12.1".to_owned()), None),
        thresholds: Vec::new(),
        stopped_by_signal: None,
    }
}

pub(crate) fn report(outcome: &RunOutcome, mode: Mode) -> Report {
    Report::new(&of_mode(outcome, mode), &context())
}

/// The same run, as if it had been of another mode.
pub(crate) fn of_mode(outcome: &RunOutcome, mode: Mode) -> RunOutcome {
    RunOutcome { mode, target: outcome.spec.target(mode), ..outcome.clone() }
}
