//! Every family: its name, its help, where its value comes from.

use std::collections::BTreeMap;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use streamgauge_actors::{
    Backlog, CounterMetric, CounterRow, DecodeError, FailureKind, LatencyKind, MetricKind, Nanos,
    RunState, SECOND, StageCounters, StageId,
};

use super::buckets::Buckets;
use super::state::{Labels, OUTCOMES, PLACES, QUANTILES, Series, State};
use crate::process_usage::{ProcessUsage, started_at_s};
use crate::report::Versions;

/// What the aggregator and the latency actor refuse besides what cannot be decoded.
const OTHER_REASONS: [&str; 5] =
    ["ahead", "unknown_campaign", "wrong_partition", "bad_progress", "bad_result"];

/// The actors whose mailboxes and restarts are shown: the stages' kinds, and this one.
const SUPERVISOR: &str = "supervisor";

/// Builds one family.
struct Family {
    name: String,
    help: String,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Family {
    fn new(name: &str, help: impl Into<String>, kind: MetricType) -> Self {
        Self { name: format!("streamgauge_{name}"), help: help.into(), kind, metrics: Vec::new() }
    }

    fn labelled(&mut self, labels: &[(&str, &str)]) -> &mut Metric {
        let pairs = labels.iter().map(|&(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        });
        let metric = Metric::from_label(pairs.collect());
        self.metrics.push(metric);
        self.metrics.last_mut().expect("just pushed")
    }

    fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        let kind = self.kind;
        let metric = self.labelled(labels);
        if kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }

    fn build(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name);
        family.set_help(self.help);
        family.set_field_type(self.kind);
        family.set_metric(self.metrics);
        family
    }
}

/// One (broker, workload), as the families show it.
struct View<'a> {
    subject: &'a Labels,
    series: &'a Series,
    totals: StageCounters,
    is_present: bool,
}

impl View<'_> {
    /// The labels of every metric of a run, then more.
    fn labels<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let subject = [
            ("broker", self.subject.broker.as_str()),
            ("workload", self.subject.workload.as_str()),
        ];
        [&subject[..], more].concat()
    }
}

/// All families, as they are now.
pub(super) fn families(state: &State, now: Nanos) -> Vec<MetricFamily> {
    let views: Vec<View<'_>> = state
        .series
        .iter()
        .map(|(subject, series)| {
            let is_present = *subject == state.present.subject;
            let mut totals = series.finished.clone();
            if is_present {
                totals.add(&state.present.totals);
            }
            View { subject, series, totals, is_present }
        })
        .collect();
    let mut families = Vec::new();
    families.extend(plain(&views, MetricKind::Counter, |view| &view.totals));
    // Gauges are of the present run alone.
    let nothing = StageCounters::default();
    let of_present =
        |view: &View<'_>| if view.is_present { &state.present.totals } else { &nothing };
    families.extend(plain(&views, MetricKind::Gauge, of_present));
    families.extend(counters_by_label(&views));
    families.extend(latencies(state, &views, now));
    families.extend(gauges(state, &views));
    families.extend(last_runs(state, &views));
    families.push(checkpoints_taken(&views));
    families.extend(of_the_program());
    families
}

/// The families of the table of counters.
fn plain<'a>(
    views: &'a [View<'a>],
    kind: MetricKind,
    of: impl Fn(&'a View<'a>) -> &'a StageCounters,
) -> Vec<MetricFamily> {
    let mut families: Vec<(CounterMetric, &str, Vec<&CounterRow>)> = Vec::new();
    for row in StageCounters::ROWS {
        let Some(metric) = row.metric.filter(|metric| metric.kind == kind) else { continue };
        match families.iter_mut().find(|(known, ..)| known.name == metric.name) {
            Some((.., rows)) => rows.push(row),
            None if metric.help.is_empty() => families.push((metric, row.help, vec![row])),
            None => families.push((metric, metric.help, vec![row])),
        }
    }
    let family = |(metric, help, rows): (CounterMetric, &str, Vec<&CounterRow>)| {
        let in_seconds = metric.name.ends_with("seconds_total");
        let mut family = Family::new(metric.name, help, metric_type(kind));
        for view in views {
            let sum = rows.iter().map(|row| (row.value)(of(view))).sum::<u64>() as f64;
            family.value(&view.labels(&[]), if in_seconds { sum / SECOND as f64 } else { sum });
        }
        family.build()
    };
    families.into_iter().map(family).collect()
}

fn metric_type(kind: MetricKind) -> MetricType {
    match kind {
        MetricKind::Counter => MetricType::COUNTER,
        MetricKind::Gauge => MetricType::GAUGE,
    }
}

fn counters_by_label(views: &[View<'_>]) -> Vec<MetricFamily> {
    let counter = |name, help: &str| Family::new(name, help, MetricType::COUNTER);
    let mut malformed =
        counter("events_malformed_total", "Records that are no readable events, by reason.");
    let mut negative =
        counter("negative_latency_samples_total", "Latency samples below 0, in no figure.");
    let mut runs = counter("runs_total", "Finished runs, by verdict.");
    let mut restarts = counter("actor_restarts_total", "Stages rebuilt after a failure.");
    let mut errors =
        counter("broker_errors_total", "Failures of the broker, by where they were met and kind.");
    for view in views {
        for reason in DecodeError::REASONS.iter().copied().chain(OTHER_REASONS) {
            let count = view.totals.malformed.of(reason);
            malformed.value(&view.labels(&[("reason", reason)]), count as f64);
        }
        // A field's reasons are many, and few of them ever come.
        let of_fields = view.totals.malformed.iter().filter(|(reason, _)| reason.contains(": "));
        for (reason, count) in of_fields {
            malformed.value(&view.labels(&[("reason", reason)]), count as f64);
        }
        for kind in LatencyKind::ALL {
            let count = view.series.latencies[kind as usize].negative;
            negative.value(&view.labels(&[("stage", kind.name())]), count as f64);
        }
        for (outcome, count) in OUTCOMES.iter().zip(view.series.runs) {
            runs.value(&view.labels(&[("outcome", outcome.name())]), count as f64);
        }
        for actor in StageId::ACTORS.into_iter().chain([SUPERVISOR]) {
            // A failed stage ends its run: none is rebuilt yet.
            restarts.value(&view.labels(&[("actor", actor)]), 0.0);
        }
        for stage in PLACES.into_iter().chain(StageId::ACTORS) {
            for kind in FailureKind::BROKERS.map(FailureKind::name) {
                let count = view.series.broker_errors.get(&(stage, kind)).copied().unwrap_or(0);
                errors.value(&view.labels(&[("stage", stage), ("kind", kind)]), count as f64);
            }
        }
    }
    [malformed, negative, runs, restarts, errors].map(Family::build).into()
}

fn latencies(state: &State, views: &[View<'_>], now: Nanos) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    for kind in LatencyKind::ALL {
        let name = format!("{}_seconds", kind.name());
        let about = format!("From {} to: {}.", kind.row().from, kind.row().to);
        let mut family = Family::new(&name, about, MetricType::HISTOGRAM);
        for view in views {
            let histogram = view.series.latencies[kind as usize].to_proto();
            family.labelled(&view.labels(&[])).set_histogram(histogram);
        }
        families.push(family.build());
    }
    let mut checkpoints = Family::new(
        "checkpoint_duration_seconds",
        "How long a checkpoint took.",
        MetricType::HISTOGRAM,
    );
    let mut recent = Family::new(
        "latency_quantile_seconds",
        "Latency quantiles of the last ten seconds; NaN where they hold no sample.",
        MetricType::GAUGE,
    );
    let samples = LatencyKind::ALL.map(|kind| state.present.recent(kind, now));
    let before_any_run = state.present.run_id.is_empty();
    for view in views {
        checkpoints.labelled(&view.labels(&[])).set_histogram(Buckets::default().to_proto());
        for kind in LatencyKind::ALL {
            for (label, quantile) in QUANTILES {
                let measured =
                    samples[kind as usize].quantile_ms(quantile).filter(|_| view.is_present);
                let nothing = if before_any_run { 0.0 } else { f64::NAN };
                let value = measured.map_or(nothing, |ms| ms / 1000.0);
                recent.value(&view.labels(&[("stage", kind.name()), ("quantile", label)]), value);
            }
        }
    }
    families.extend([checkpoints, recent].map(Family::build));
    families
}

fn gauges(state: &State, views: &[View<'_>]) -> Vec<MetricFamily> {
    let gauge = |name, help: &str| Family::new(name, help, MetricType::GAUGE);
    let mut target =
        gauge("target_events_per_second", "Events per second asked for; 0 while nothing runs.");
    let mut watermark =
        gauge("watermark_lag_seconds", "How far the slowest partition's watermark is behind.");
    let mut behind = gauge(
        "behind_seconds",
        "How far the reading was behind the schedule: the least in the latest second.",
    );
    let mut backlog = gauge(
        "backlog_events",
        "Events that stood in queues at the latest second's end: unsent, unacknowledged or unread.",
    );
    let mut mailboxes =
        gauge("mailbox_messages", "Messages waiting in the actors' mailboxes, by kind of actor.");
    let mut phases = gauge("run_phase", "1 for the state that the run is in.");
    let mut up = gauge("broker_up", "Whether the broker answered when it was last asked.");
    let mut waiting: BTreeMap<&str, u64> =
        StageId::ACTORS.into_iter().map(|actor| (actor, 0)).collect();
    for (stage, count) in &state.present.mailboxes {
        *waiting.entry(stage.actor()).or_default() += count;
    }
    waiting.insert(SUPERVISOR, state.present.supervisor_mailbox);
    let lag_ns = state.present.watermark_lag_ns;
    for view in views {
        let only = |value: f64| if view.is_present { value } else { 0.0 };
        target.value(&view.labels(&[]), only(state.present.target));
        watermark.value(&view.labels(&[]), only(lag_ns as f64 / SECOND as f64));
        behind.value(&view.labels(&[]), only(state.present.behind_s));
        let Backlog { unsent, unacknowledged, unread } = state.present.backlog;
        let places = [("unsent", unsent), ("unacknowledged", unacknowledged), ("unread", unread)];
        for (place, events) in places {
            backlog.value(&view.labels(&[("place", place)]), only(events as f64));
        }
        for (&actor, &count) in &waiting {
            mailboxes.value(&view.labels(&[("actor", actor)]), only(count as f64));
        }
        for phase in RunState::ALL {
            let is_in = if view.is_present {
                state.present.state == phase
            } else {
                phase == RunState::Idle
            };
            phases.value(&view.labels(&[("phase", phase.name())]), f64::from(u8::from(is_in)));
        }
    }
    let Labels { broker, workload } = &state.configured;
    up.value(&[("broker", broker), ("workload", workload)], f64::from(u8::from(state.broker_up)));
    [target, watermark, behind, backlog, mailboxes, phases, up].map(Family::build).into()
}

fn last_runs(state: &State, views: &[View<'_>]) -> Vec<MetricFamily> {
    let gauge = |name, help: &str| Family::new(name, help, MetricType::GAUGE);
    let mut started =
        gauge("run_start_timestamp_seconds", "When the last run started; 0: none did.");
    let mut valid =
        gauge("last_run_valid", "Whether the last run passed; 0 before any (see runs_total).");
    let mut quantiles = gauge(
        "last_run_latency_seconds",
        "Latency quantiles of the last run; NaN where nothing was measured.",
    );
    let mut passed = gauge(
        "last_run_threshold_passed",
        "Whether the last run satisfied a threshold; 0 before any run, NaN if that one was not \
         judged by it.",
    );
    let mut info = gauge("run_info", "The present run, or the last one.");
    for view in views {
        let last = &view.series.last;
        started.value(&view.labels(&[]), last.started_at_s);
        valid.value(&view.labels(&[]), f64::from(u8::from(last.valid)));
        for kind in LatencyKind::ALL {
            for (at, (label, _)) in QUANTILES.iter().enumerate() {
                let value =
                    last.quantiles.map_or(0.0, |all| all[kind as usize][at].unwrap_or(f64::NAN));
                quantiles
                    .value(&view.labels(&[("stage", kind.name()), ("quantile", label)]), value);
            }
        }
        let judged = last.thresholds.iter().map(|(threshold, &is)| (threshold.as_str(), is));
        let unjudged = state
            .thresholds
            .iter()
            .map(String::as_str)
            .filter(|t| !last.thresholds.contains_key(*t));
        // One that came after the last run was not judged, which is not a failure.
        let unknown = if view.series.runs == [0; 4] { 0.0 } else { f64::NAN };
        let judged =
            judged.map(|(threshold, is_passed)| (threshold, f64::from(u8::from(is_passed))));
        for (threshold, value) in judged.chain(unjudged.map(|threshold| (threshold, unknown))) {
            passed.value(&view.labels(&[("threshold", threshold)]), value);
        }
        if view.is_present {
            let run_id = state.present.run_id.as_str();
            let is_any = f64::from(u8::from(!run_id.is_empty()));
            info.value(
                &view.labels(&[("run_id", run_id), ("version", env!("CARGO_PKG_VERSION"))]),
                is_any,
            );
        }
    }
    let mut families = vec![started, valid, quantiles, info];
    // Prometheus' text has no family without a series.
    families.extend(Some(passed).filter(|family| !family.metrics.is_empty()));
    families.into_iter().map(Family::build).collect()
}

fn checkpoints_taken(views: &[View<'_>]) -> MetricFamily {
    let mut taken =
        Family::new("checkpoints_total", "Checkpoints, by outcome.", MetricType::COUNTER);
    for view in views {
        for outcome in ["ok", "failed"] {
            taken.value(&view.labels(&[("outcome", outcome)]), 0.0);
        }
    }
    taken.build()
}

fn of_the_program() -> Vec<MetricFamily> {
    let mut build = Family::new("build_info", "The program.", MetricType::GAUGE);
    let versions = Versions::of_program();
    // The first client's alone: one more label would make another series of it.
    let [(client, client_version), ..] = versions.clients();
    let client = (client, client_version.unwrap_or_default());
    build.value(&[("version", &versions.streamgauge), client], 1.0);
    let usage = ProcessUsage::now();
    let count = |value: Option<u64>| value.map(|value| value as f64);
    let rows = [
        ("cpu_seconds_total", "User and system CPU time.", MetricType::COUNTER, usage.cpu_seconds),
        ("open_fds", "Open file descriptors.", MetricType::GAUGE, count(usage.open_fds)),
        ("max_fds", "File descriptors allowed.", MetricType::GAUGE, count(usage.max_fds)),
        ("virtual_memory_bytes", "Virtual memory.", MetricType::GAUGE, count(usage.virtual_bytes)),
        ("resident_memory_bytes", "Resident memory.", MetricType::GAUGE, count(usage.rss_bytes)),
        (
            "start_time_seconds",
            "Start of the process since the Unix epoch.",
            MetricType::GAUGE,
            started_at_s(),
        ),
        ("threads", "Threads.", MetricType::GAUGE, count(usage.threads)),
    ];
    let mut families = vec![build.build()];
    for (name, help, kind, value) in rows {
        if let Some(value) = value {
            let mut family =
                Family { name: format!("process_{name}"), ..Family::new(name, help, kind) };
            family.value(&[], value);
            families.push(family.build());
        }
    }
    families
}
