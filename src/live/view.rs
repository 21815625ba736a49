//! How a run is, or was, as HTTP tells it.

use serde::Serialize;
use streamgauge_actors::{RunState, SECOND, Span, StageCounters, Verdict};

use crate::history::RunRow;
use crate::report::{Report, rfc3339_of_ms};

/// How a run is, or was.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunView {
    /// Its id; `null`: nothing ran yet.
    pub run_id: Option<String>,
    /// Its state.
    pub state: &'static str,
    /// The workload's name.
    pub workload: String,
    /// The kind of broker.
    pub broker: String,
    /// When preparations started (RFC 3339, UTC).
    pub started_at: Option<String>,
    /// When it was over.
    pub finished_at: Option<String>,
    /// The verdict, once it is over.
    #[schema(value_type = Option<String>)]
    pub verdict: Option<Verdict>,
    /// Why, the gravest first.
    pub reasons: Vec<String>,
    /// What the command line would have exited with.
    pub exit_code: Option<u8>,
    /// `exact` as long as no count is wrong, else `wrong`; `null` before the first judged window.
    pub verdict_so_far: Option<&'static str>,
    /// Events per second asked for; `null` with arrivals `max`.
    pub target_per_second: Option<f64>,
    /// Seconds since window 0 began; 0 before it.
    pub elapsed_s: f64,
    /// Seconds of warm-up and measured part together.
    pub planned_s: f64,
    /// Counts of events so far.
    pub events: EventCounts,
    /// Windows checked so far.
    pub windows: WindowCounts,
    /// Events handed to the client and not acknowledged yet.
    pub in_flight: u64,
    /// Records not consumed yet.
    pub lag: u64,
    /// Seconds that the client was full, over all producers.
    pub backpressure_s: f64,
    /// Where more is to be had.
    pub links: Option<Links>,
}

/// Counts of events, warm-up included: those of the counters that a page shows. They are a type of
/// their own because their names are the API's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EventCounts {
    /// Handed to the client.
    pub produced: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Taken by the aggregators.
    pub consumed: u64,
    /// Lost, by their serial numbers.
    pub lost: u64,
    /// Seen again.
    pub duplicated: u64,
    /// Behind later ones.
    pub reordered: u64,
    /// After their window had closed.
    pub late: u64,
    /// No readable events.
    pub malformed: u64,
    /// Of other programs.
    pub strangers: u64,
}

/// Windows checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WindowCounts {
    /// Judged.
    pub judged: u64,
    /// Of them: with a wrong count.
    pub incorrect: u64,
}

/// Where more of a run is to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Links {
    /// The run itself.
    #[serde(rename = "self")]
    pub itself: String,
    /// Its report, once it is over.
    pub report: String,
    /// Its progress, as server-sent events.
    pub events: String,
    /// Its seconds and windows.
    pub timeseries: String,
    /// Its latencies' distributions.
    pub histogram: String,
}

impl Links {
    /// The links of a run.
    pub fn of(run_id: &str) -> Self {
        let itself = format!("/api/v1/runs/{run_id}");
        Self {
            report: format!("{itself}/report"),
            events: format!("{itself}/events"),
            timeseries: format!("{itself}/timeseries"),
            histogram: format!("{itself}/histogram"),
            itself,
        }
    }
}

impl From<&StageCounters> for EventCounts {
    fn from(of: &StageCounters) -> Self {
        Self {
            produced: of.produced,
            acknowledged: of.acknowledged,
            consumed: of.consumed,
            lost: of.events_lost,
            duplicated: of.events_duplicated,
            reordered: of.events_reordered,
            late: of.late,
            malformed: of.malformed.total(),
            strangers: of.strangers,
        }
    }
}

/// The length of the schedule as it was set, warm-up included.
fn planned_s(report: &Report) -> Option<f64> {
    let length = |key: &str| report.config.pointer(key)?.as_str()?.parse::<Span>().ok();
    Some(report.warmup_s + length("/workload/duration")?.duration().as_secs_f64())
}

/// The seconds that the series tells of.
fn told_s(report: &Report) -> f64 {
    report.series.iter().map(|row| f64::from(row.seconds)).sum()
}

/// What can be said of a run's counts: `wrong` for whatever fails its audit, `exact` once a window
/// was checked.
pub(super) fn so_far(events: &EventCounts, windows: WindowCounts) -> Option<&'static str> {
    let wrong = [windows.incorrect, events.lost, events.duplicated, events.reordered, events.late];
    if wrong.iter().any(|&count| count > 0) {
        Some("wrong")
    } else {
        Some("exact").filter(|_| windows.judged > 0)
    }
}

impl RunView {
    /// Before any run.
    pub fn idle(workload: &str, broker: &str) -> Self {
        Self {
            run_id: None,
            state: RunState::Idle.name(),
            workload: workload.to_owned(),
            broker: broker.to_owned(),
            started_at: None,
            finished_at: None,
            verdict: None,
            reasons: Vec::new(),
            exit_code: None,
            verdict_so_far: None,
            target_per_second: None,
            elapsed_s: 0.0,
            planned_s: 0.0,
            events: EventCounts::default(),
            windows: WindowCounts::default(),
            in_flight: 0,
            lag: 0,
            backpressure_s: 0.0,
            links: None,
        }
    }

    /// Of a run that is over.
    pub fn of_report(report: &Report) -> Self {
        let audit = report.audit.as_ref();
        let (judged, exact) = audit.map_or((0, 0), |audit| (audit.windows, audit.windows_exact));
        let windows = WindowCounts { judged, incorrect: judged - exact };
        let mut counters = report.events.clone();
        if let Some(audit) = audit {
            counters.events_lost = audit.events_lost;
            counters.events_duplicated = audit.events_duplicated;
            counters.events_reordered = audit.events_reordered;
        }
        let events = EventCounts::from(&counters);
        let played_s = report.warmup_s + report.duration_s;
        Self {
            run_id: Some(report.run_id.clone()),
            state: report.ending.how.name(),
            workload: report.workload.clone(),
            broker: report.broker.kind.clone(),
            started_at: Some(report.started_at.clone()),
            finished_at: Some(report.finished_at.clone()),
            verdict: Some(report.verdict),
            reasons: report.reasons.clone(),
            exit_code: Some(report.exit_code),
            verdict_so_far: so_far(&events, windows),
            target_per_second: report.throughput.target_per_second,
            // A run that was stopped in its warm-up has played less than that.
            elapsed_s: played_s.min(told_s(report)),
            planned_s: planned_s(report).unwrap_or(played_s),
            events,
            windows,
            in_flight: 0,
            lag: report.series.last().map_or(0, |second| second.lag),
            backpressure_s: report.events.backpressure_ns as f64 / SECOND as f64,
            links: Some(Links::of(&report.run_id)),
        }
    }

    /// Of a run that ended without a report.
    pub fn of_row(row: &RunRow) -> Self {
        Self {
            run_id: Some(row.run_id.clone()),
            state: row.state.name(),
            started_at: Some(rfc3339_of_ms(row.started_at_ms)),
            finished_at: row.finished_at_ms.map(rfc3339_of_ms),
            verdict: row.verdict,
            reasons: row.reason.iter().cloned().collect(),
            exit_code: row.exit_code,
            links: Some(Links::of(&row.run_id)),
            ..Self::idle(&row.workload, &row.broker)
        }
    }
}
