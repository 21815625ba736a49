//! Reports of a fixed set of outcomes: every verdict, every mode, everything that a report can say.

use streamgauge::config::Threshold;
use streamgauge::report::{Report, ReportContext};
use streamgauge_actors::{
    ArrivalKind, Backlog, Capability, Ending, FailureKind, Finding, FindingKind, LatencyHistogram,
    LatencyKind, Limitation, Load, MILLISECOND, Mode, Nanos, PerLatency, Quantiles, RateChange,
    RunMeasures, RunOutcome, SECOND, Second, Span, StageId, Subject,
};

use super::outcomes::{AGGREGATE, FOLLOW, context, failed, passed, report};

/// A report with the name of what it is of.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) report: Report,
}

fn samples(ms: f64) -> LatencyHistogram {
    let mut histogram = LatencyHistogram::default();
    for share in [0.25, 0.5, 1.0, 1.0, 1.5] {
        histogram.record((ms * share * 1e6) as Nanos);
    }
    histogram
}

/// Gives a second the latencies of another one.
pub(crate) fn take_latencies(second: &mut Second, of: &Second) {
    second.latency = of.latency;
}

/// A run of one window and so many seconds in which all went well, whose latencies are about this
/// long.
pub(crate) fn run(seconds: i64, ms: f64) -> RunOutcome {
    let mut run = passed(1);
    run.series.truncate(seconds as usize);
    let row = run.series[0].clone();
    while (run.series.len() as i64) < seconds {
        let second = run.series.len() as i64;
        let start_ms = row.start_ms + 1000 * second;
        run.series.push(Second { second, start_ms, ..row.clone() });
    }
    let each = LatencyKind::ALL.into_iter().enumerate();
    run.latencies = each.clone().map(|(i, kind)| (kind, samples(ms * (1.0 + i as f64)))).collect();
    for (at, row) in run.series.iter_mut().enumerate() {
        row.latency = PerLatency::from_fn(|kind| {
            let about = ms * (1.0 + kind as usize as f64 + at as f64);
            // What is measured where a window closes is not there in every second.
            let is_there = kind.row().of == Subject::Event || at > 0;
            Quantiles::of(&samples(about)).filter(|_| is_there)
        });
    }
    run
}

fn finding(kind: FindingKind, count: u64) -> Finding {
    Finding {
        kind,
        window_id: Some(0),
        campaign_id: Some(7),
        producer: Some(1),
        partition: None,
        count,
    }
}

fn measures(run: &mut RunOutcome) -> &mut RunMeasures {
    run.measures.as_mut().expect("it was audited")
}

fn wrong() -> RunOutcome {
    let mut run = run(2, 12.3);
    let measures = measures(&mut run);
    measures.audit.windows_exact = 0;
    measures.audit.results_duplicated = 1;
    measures.audit.results_missing = 2;
    measures.audit.events_missing = 3;
    measures.audit.events_extra = 4;
    measures.audit.unknown = 5;
    (measures.windows[0].exact, measures.windows[0].count) = (false, 399_999);
    (run.counters.events_lost, run.counters.events_duplicated) = (6, 7);
    run.counters.events_reordered = 8;
    run.findings = vec![
        finding(FindingKind::EventsMissing, 3),
        Finding { partition: Some(1), window_id: None, ..finding(FindingKind::EventLost, 6) },
    ];
    run
}

fn warm() -> RunOutcome {
    let mut run = run(4, 0.004);
    run.spec.workload.warmup = Span::from_nanos(2 * SECOND);
    measures(&mut run).windows[0].warmup = true;
    measures(&mut run).windows[0].partial = true;
    run
}

fn late(generator: u64, backpressure: u64) -> RunOutcome {
    let mut run = run(2, 1234.5);
    run.counters.sent_late_generator = generator;
    run.counters.sent_late_backpressure = backpressure;
    run.counters.backpressure_ns = 1_234_567_890;
    run
}

fn stepped() -> RunOutcome {
    let mut run = run(2, 3.0);
    run.wall_step_ns = -3 * SECOND;
    let mut negative = LatencyHistogram::default();
    negative.record(-5);
    run.latencies.insert(LatencyKind::CloseLatency, negative);
    run.latencies.insert(LatencyKind::EndToEnd, LatencyHistogram::default());
    run
}

fn limited_broker() -> RunOutcome {
    let mut run = run(2, 3.0);
    "kafka".clone_into(&mut run.broker.kind);
    "4.1.0".clone_into(&mut run.broker.version);
    "at least once".clone_into(&mut run.broker.guarantee);
    run.broker.log_append_time = false;
    run.broker.limitations = vec![Limitation {
        lacks: Capability::RecordDeletion,
        sentence: "topics cannot be truncated".to_owned(),
    }];
    run
}

/// A run whose events others send: nobody asks for a rate.
fn unscheduled() -> RunOutcome {
    let mut run = run(2, 3.0);
    run.series.iter_mut().for_each(|second| second.target = None);
    run
}

fn foreign() -> RunOutcome {
    let mut run = unscheduled();
    run.measures = None;
    run.counters.malformed.add("not JSON", 3);
    run.counters.malformed.add("future", 2);
    run.counters.strangers = 11;
    run.counters.stale = 12;
    run.counters.idle_closed = 1;
    run
}

fn foreign_late() -> RunOutcome {
    let mut run = foreign();
    run.counters.late = 17;
    run.counters.late_needed_ns = 1_500 * MILLISECOND;
    run.counters.last_result_ns = 0;
    run.counters.results_events = 0;
    run
}

fn uncertain() -> RunOutcome {
    let mut run = run(2, 3.0);
    (run.counters.rejected, run.counters.unknown) = (0, 9);
    run
}

fn paced_by_the_broker() -> RunOutcome {
    let mut run = run(2, 3.0);
    run.spec.workload.arrivals = ArrivalKind::Max;
    run.series.iter_mut().for_each(|second| second.target = None);
    run
}

fn nowhere() -> RunOutcome {
    let mut run = failed();
    run.broker = streamgauge_actors::BrokerDescription::default();
    run
}

/// Ten seconds in which the backlog grows by a fifth of a second each, at this place.
fn overloaded(place: fn(&mut Backlog) -> &mut u64, load: Load) -> RunOutcome {
    let mut run = run(10, 3.0);
    for (at, second) in (0_u32..).zip(&mut run.series) {
        second.behind_ms = Some(5.0 + 200.0 * f64::from(at));
        *place(&mut second.backlog) += 8_000 * u64::from(at);
        second.load = load;
    }
    run
}

/// What a quota of the broker does: events wait for their acknowledgement, and some were given up.
fn not_sustained() -> RunOutcome {
    let load = Load { client_full: 0.9, reader_busy: 0.2, ..Load::default() };
    let mut run = overloaded(|backlog| &mut backlog.unacknowledged, load);
    let counters = &mut run.counters;
    (counters.never_sent, counters.never_sent_measured) = (70_000, 70_000);
    counters.never_sent_backpressure = 70_000;
    run
}

/// Our own reader was the limit.
fn slow_reader() -> RunOutcome {
    let load = Load { reader_busy: 1.0, ..Load::default() };
    overloaded(|backlog| &mut backlog.unread, load)
}

/// Too short to be judged, though that was asked for.
fn undecided() -> RunOutcome {
    let mut run = run(3, 3.0);
    run.schedule_end_ns = run.base_ns.unwrap_or(0) + 3 * SECOND;
    run.spec.workload.least_judged = Span::from_nanos(5 * SECOND);
    run
}

/// Its rate was changed twice, and the program stood still once.
fn changed() -> RunOutcome {
    let mut run = run(10, 3.0);
    let base_ns = run.base_ns.unwrap_or(0);
    let change = |ms: i64, events_per_second| RateChange {
        at_ns: base_ns + ms * MILLISECOND,
        events_per_second,
    };
    run.rate_changes = vec![change(2_500, 20_000.0), change(5_000, 60_000.0)];
    run.longest_stop_ns = 20 * SECOND;
    run
}

fn with_thresholds() -> ReportContext {
    let texts = ["events.late == 0", "latency.result_latency.p99_ms < 1", "drain.seconds < 1"];
    let mut context = context();
    context.thresholds = texts.map(|text| Threshold::parse(text).unwrap()).to_vec();
    context
}

/// All cases; the first one is a run that passed.
pub(crate) fn cases() -> Vec<Case> {
    let stopped = |drained| RunOutcome { ending: Ending::Stopped { drained }, ..run(2, 3.0) };
    let connection = Ending::Failed {
        stage: Some(StageId::Producer(1)),
        kind: FailureKind::Connection,
        cause: "no connection to `h:9092`".to_owned(),
    };
    let stage = RunOutcome { ending: connection, measures: None, ..run(2, 3.0) };
    let unmeasured = RunOutcome { measures: None, ..unscheduled() };
    let abandoned = RunOutcome { measures: None, ..stopped(false) };
    let silent = RunOutcome { latencies: std::collections::BTreeMap::new(), ..run(2, 3.0) };
    let of = |name: &'static str, outcome: RunOutcome, mode: Mode| Case {
        name,
        report: report(&outcome, mode),
    };
    vec![
        of("pass", run(3, 12.3), Mode::Run),
        of("warm", warm(), Mode::Run),
        of("failed_audit", wrong(), Mode::Run),
        of("stopped", stopped(true), Mode::Run),
        of("abandoned", abandoned, Mode::Run),
        of("failed", failed(), Mode::Run),
        of("nowhere", nowhere(), Mode::Run),
        of("stage", stage, Mode::Run),
        of("generator_limited", late(30_000, 1), Mode::Run),
        of("broker_limited", late(1, 30_000), Mode::Run),
        of("stepped", stepped(), Mode::Run),
        of("limitations", limited_broker(), Mode::Run),
        of("max", paced_by_the_broker(), Mode::Run),
        of("silent", silent, Mode::Run),
        of("uncertain", uncertain(), Mode::Run),
        of("produce", uncertain(), Mode::Produce),
        of("foreign", foreign(), AGGREGATE),
        of("foreign_late", foreign_late(), AGGREGATE),
        of("results", unscheduled(), Mode::Latency(FOLLOW)),
        of("results_alone", unmeasured, Mode::Latency(FOLLOW)),
        of("not_sustained", not_sustained(), Mode::Run),
        of("slow_reader", slow_reader(), Mode::Run),
        of("undecided", undecided(), Mode::Run),
        of("rate_changed", changed(), Mode::Run),
        Case { name: "thresholds", report: Report::new(&run(2, 3.0), &with_thresholds()) },
    ]
}
