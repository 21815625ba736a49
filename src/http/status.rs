//! The daemon itself: how it is, what it is, what it is set to; probes and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use streamgauge_actors::SECOND;

use super::api::{Api, ApiData, blocking};
use super::gate::Gate;
use super::problem::Problem;
use super::runs::{find_run, view};
use crate::config::preset;
use crate::history::History;
use crate::live::RunView;
use crate::metrics::CONTENT_TYPE;
use crate::process_usage::ProcessUsage;
use crate::report::{Versions, rfc3339};

pub(super) async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// Whether a run could start now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// Why not; only callers who may ask the API are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<String>>,
}

pub(super) async fn readyz(
    api: ApiData,
    gate: web::Data<Gate>,
    request: HttpRequest,
) -> HttpResponse {
    let health = api.shared.health();
    let mut reasons = Vec::new();
    if api.shared.is_draining() {
        reasons.push("the daemon is draining".to_owned());
    }
    match (health.broker_up, health.broker_error) {
        (Some(true), _) => {}
        (Some(false), error) => {
            reasons.push(format!("the broker does not answer: {}", error.unwrap_or_default()));
        }
        (None, _) => reasons.push("the broker has not been asked yet".to_owned()),
    }
    let ready = reasons.is_empty();
    let readiness = Readiness { ready, reasons: gate.trusts(&request).then_some(reasons) };
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}

pub(super) async fn metrics(api: ApiData) -> Result<HttpResponse, Problem> {
    let text =
        api.shared.metrics.render().map_err(|error| Problem::internal(format!("{error:#}")))?;
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(text))
}

/// What is running.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Version {
    streamgauge: String,
    librdkafka: String,
    /// `null`: built without it.
    fluvio: Option<String>,
}

pub(super) async fn version() -> HttpResponse {
    let Versions { streamgauge, librdkafka, fluvio } = Versions::of_program();
    let librdkafka = librdkafka.unwrap_or_default();
    HttpResponse::Ok().json(Version { streamgauge, librdkafka, fluvio })
}

pub(super) async fn config(api: ApiData) -> HttpResponse {
    HttpResponse::Ok().json(api.shared.planner.current().resolved.settings.to_json())
}

/// What can be run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct WorkloadList {
    workloads: Vec<Workload>,
}

/// A workload that a request may name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Workload {
    name: String,
    about: String,
}

pub(super) async fn workloads(api: ApiData) -> HttpResponse {
    let described = |name: String| {
        let about = preset(&name)
            .map_or("a workload file of the schedule", |preset| preset.about)
            .to_owned();
        Workload { name, about }
    };
    let workloads = api.shared.planner.workloads().into_iter().map(described).collect();
    HttpResponse::Ok().json(WorkloadList { workloads })
}

/// The present run, or the last one; and the daemon.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Status {
    #[serde(flatten)]
    run: RunView,
    daemon: DaemonStatus,
}

/// How the daemon is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DaemonStatus {
    version: &'static str,
    uptime_s: f64,
    /// Whether the broker answered when it was last asked; `null`: not asked yet.
    broker_up: Option<bool>,
    broker_error: Option<String>,
    /// Whether it takes no more orders.
    draining: bool,
    /// The run that waits for the present one's end.
    next_run_id: Option<String>,
    schedule: ScheduleStatus,
    /// What the process takes; `null` where the system does not tell.
    resources: ProcessUsage,
    /// Messages that wait, by kind of actor.
    mailboxes: BTreeMap<&'static str, u64>,
}

/// What the schedule is up to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ScheduleStatus {
    mode: String,
    next_workload: Option<String>,
    next_start_at: Option<String>,
}

/// The last run of an earlier daemon.
async fn last_run(api: &Api) -> Result<Option<RunView>, Problem> {
    let shared = Arc::clone(&api.shared);
    let latest = blocking(move || shared.with_history(History::latest)).await?;
    let Some(row) = latest.map_err(|error| Problem::internal(format!("{error:#}")))? else {
        return Ok(None);
    };
    Ok(Some(view(&find_run(api, &row.run_id).await?)))
}

pub(super) async fn status(api: ApiData) -> Result<HttpResponse, Problem> {
    let shared = Arc::clone(&api.shared);
    let usage = blocking(ProcessUsage::now).await?;
    let present = shared.live.present();
    let before = if present.is_none() { last_run(&api).await? } else { None };
    let current = shared.planner.current();
    let settings = &current.resolved.settings;
    let health = shared.health();
    let idle = || RunView::idle(current.first_workload(), settings.broker.kind.name());
    let run = present.as_ref().map(|run| run.view()).or(before).unwrap_or_else(idle);
    let mode = serde_json::to_value(settings.schedule.mode).ok();
    let daemon = DaemonStatus {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: (shared.clock.now() - shared.started_ns) as f64 / SECOND as f64,
        broker_up: health.broker_up,
        broker_error: health.broker_error,
        draining: shared.is_draining(),
        next_run_id: shared.live.queued(),
        schedule: ScheduleStatus {
            mode: mode.and_then(|mode| mode.as_str().map(str::to_owned)).unwrap_or_default(),
            next_workload: health.next_workload,
            next_start_at: health.next_start_ns.map(rfc3339),
        },
        resources: usage,
        mailboxes: present.map(|run| run.mailboxes()).unwrap_or_default(),
    };
    Ok(HttpResponse::Ok().json(Status { run, daemon }))
}
