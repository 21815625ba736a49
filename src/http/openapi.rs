//! The whole API, described (OpenAPI 3.1). A test asks the running daemon for every path of it.
#![allow(dead_code, reason = "the functions only carry the descriptions of paths")]

use actix_web::HttpResponse;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::orders::{AcceptedRun, RateBody, RateSet, RestartBody, StartBody, StopBody, Stopping};
use super::problem::Problem;
use super::runs::{RunList, Timeseries};
use super::status::{Readiness, Status, Version, WorkloadList};
use crate::live::RunView;

/// Answers that every path of the API may give.
macro_rules! described {
    (
        $(#[$about:meta])* $name:ident, $method:ident, $path:literal,
        ($($parameter:tt)*), [$($body:tt)*], [$($response:tt)*]
    ) => {
        $(#[$about])*
        #[utoipa::path(
            $method,
            path = $path,
            params($($parameter)*),
            $($body)*
            responses(
                $($response)*
                (status = 400, description = "the request cannot be read",
                 body = Problem, content_type = "application/problem+json"),
                (status = 401, description = "a token is asked for",
                 body = Problem, content_type = "application/problem+json"),
                (status = 403, description = "a foreign Host or Origin",
                 body = Problem, content_type = "application/problem+json"),
            ),
            security((), ("token" = [])),
        )]
        fn $name() {}
    };
}

/// Answers that every order may give: it has a body, and a daemon that is about to end takes none.
macro_rules! order {
    (
        $(#[$about:meta])* $name:ident, $method:ident, $path:literal,
        ($($parameter:tt)*), [$($body:tt)*], [$($response:tt)*]
    ) => {
        described!(
            $(#[$about])* $name, $method, $path, ($($parameter)*), [$($body)*],
            [
                $($response)*
                (status = 408, description = "the body did not come in time",
                 body = Problem, content_type = "application/problem+json"),
                (status = 413, description = "the body is too large",
                 body = Problem, content_type = "application/problem+json"),
                (status = 415, description = "the body is not application/json",
                 body = Problem, content_type = "application/problem+json"),
                (status = 503, description = "the daemon is draining",
                 body = Problem, content_type = "application/problem+json"),
            ]
        );
    };
}

described!(
    /// What is running
    version, get, "/api/v1/version", (), [],
    [(status = 200, description = "versions", body = Version),]
);
described!(
    /// The resolved configuration, secrets redacted
    config, get, "/api/v1/config", (), [],
    [(status = 200, description = "as `streamgauge config show -o json`", body = Object),]
);
described!(
    /// What can be run
    workloads, get, "/api/v1/workloads", (), [],
    [(status = 200, description = "presets, and workloads of the schedule", body = WorkloadList),]
);
described!(
    /// The present run, or the last one; and the daemon
    status, get, "/api/v1/status", (), [],
    [(status = 200, description = "how they are", body = Status),]
);
described!(
    /// Runs, newest first
    list_runs, get, "/api/v1/runs",
    (
        ("status" = Option<StateName>, Query, description = "only runs in this state"),
        ("limit" = Option<u32>, Query,
         description = "runs of a page; 50 unless said otherwise", minimum = 1, maximum = 1000),
        ("before" = Option<String>, Query,
         description = "`next_before` of the page before",
         pattern = "^[0-9]{8}-[0-9]{6}-[0-9a-f]{4}$"),
    ), [],
    [
        (status = 200, description = "a page of runs", body = RunList),
        (status = 404, description = "`before` names no run",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is impossible",
         body = Problem, content_type = "application/problem+json"),
    ]
);
order!(
    /// Start a run
    start_run, post, "/api/v1/runs", (),
    [request_body(content = Option<StartBody>, description = "both keys may be left out"),],
    [
        (status = 202, description = "accepted",
         body = AcceptedRun, headers(("Location" = String, description = "the run"))),
        (status = 409, description = "a run is under way",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "the workload or a setting is impossible",
         body = Problem, content_type = "application/problem+json"),
    ]
);
described!(
    /// How a run is, or was
    show_run, get, "/api/v1/runs/{run_id}",
    (("run_id" = String, Path, description = "the run"),), [],
    [
        (status = 200, description = "the run", body = RunView),
        (status = 404, description = "no such run",
         body = Problem, content_type = "application/problem+json"),
    ]
);
order!(
    /// Change the present run's rate
    set_rate, patch, "/api/v1/runs/{run_id}", (("run_id" = String, Path, description = "the run"),),
    [request_body(content = RateBody),],
    [
        (status = 200, description = "the rate is set", body = RateSet),
        (status = 404, description = "no such run",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the run has no rate to set now",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "the rate is impossible",
         body = Problem, content_type = "application/problem+json"),
    ]
);
order!(
    /// Stop a run
    stop_run, post, "/api/v1/runs/{run_id}/stop",
    (("run_id" = String, Path, description = "the run"),),
    [request_body(content = Option<StopBody>, description = "may be left out"),],
    [
        (status = 202, description = "the run is told to stop", body = Stopping),
        (status = 404, description = "no such run",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the run is over, or draining already",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "the mode is none",
         body = Problem, content_type = "application/problem+json"),
    ]
);
order!(
    /// Stop a run, and start it (or another workload) as a new one
    restart_run, post, "/api/v1/runs/{run_id}/restart",
    (("run_id" = String, Path, description = "the run"),),
    [request_body(content = Option<RestartBody>, description = "may be left out"),],
    [
        (status = 202, description = "accepted",
         body = AcceptedRun, headers(("Location" = String, description = "the new run"))),
        (status = 404, description = "no such run",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "another run is under way",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "the workload or a setting is impossible",
         body = Problem, content_type = "application/problem+json"),
    ]
);
described!(
    /// The report of a run that is over
    report, get, "/api/v1/runs/{run_id}/report",
    (
        ("run_id" = String, Path, description = "the run"),
        ("format" = Option<FormatName>, Query,
         description = "the form; json unless said otherwise"),
    ), [],
    [
        (status = 200, description = "the report; as JSON by schemas/report.schema.json", content(
            (Object = "application/json"),
            (String = "text/html"),
            (String = "text/markdown"),
            (String = "text/csv"),
            (String = "text/plain"),
        )),
        (status = 404, description = "no such run",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the run is not over",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "no such form",
         body = Problem, content_type = "application/problem+json"),
    ]
);
described!(
    /// A run's seconds and windows, so far
    timeseries, get, "/api/v1/runs/{run_id}/timeseries",
    (("run_id" = String, Path, description = "the run"),), [],
    [
        (status = 200, description = "rows as in the report", body = Timeseries),
        (status = 404, description = "no such run",
         body = Problem, content_type = "application/problem+json"),
    ]
);
described!(
    /// The distributions of a run's latencies: (microseconds, samples) of every bucket that holds
    /// some
    histogram, get, "/api/v1/runs/{run_id}/histogram",
    (("run_id" = String, Path, description = "the run"),), [],
    [
        (status = 200, body = Object,
         description = "one distribution per latency; null where nothing was measured"),
        (status = 404, description = "no such run",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the run is not over",
         body = Problem, content_type = "application/problem+json"),
    ]
);
described!(
    /// A run's progress: `status`, `second`, `window`, and `finished` at the end
    events, get, "/api/v1/runs/{run_id}/events",
    (
        ("run_id" = String, Path, description = "the run"),
        ("Last-Event-ID" = Option<String>, Header, description = "go on after this event"),
    ), [],
    [
        (status = 200, description = "server-sent events",
         body = ProgressEvent, content_type = "text/event-stream"),
        (status = 404, description = "no such run",
         body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "as many streams are open as may be; Retry-After tells when",
         body = Problem, content_type = "application/problem+json"),
    ]
);
described!(
    /// Compare two runs that are over
    compare, get, "/api/v1/compare",
    (
        ("base" = String, Query, description = "the run compared with"),
        ("candidate" = String, Query, description = "the run compared"),
        ("across" = Option<Vec<String>>, Query,
         description = "a setting, or a section of settings, that may differ; repeatable"),
        ("force" = Option<bool>, Query, description = "compare whatever differs"),
    ), [],
    [
        (status = 200, description = "conclusion, metrics, tests", body = Object),
        (status = 404, description = "no such run",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "a run is not over, or unlike workloads",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "no such setting to compare across",
         body = Problem, content_type = "application/problem+json"),
    ]
);

/// Whether the process lives
#[utoipa::path(get, path = "/livez", responses(
    (status = 200, description = "it does", body = String, content_type = "text/plain")
))]
fn livez() {}

/// Whether a run could start now
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, description = "it could", body = Readiness),
    (status = 503, description = "it could not; and why, for callers who may ask the API",
        body = Readiness),
))]
fn readyz() {}

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "all metrics", body = String, content_type = "text/plain")
))]
fn metrics() {}

/// One server-sent event.
#[derive(utoipa::ToSchema)]
struct ProgressEvent {
    /// What it tells.
    event: EventName,
    /// A run (`status`, `finished`), or a row of the report's `series` (`second`) or `windows`
    /// (`window`), as JSON.
    data: String,
    /// Where to go on from, as `Last-Event-ID`.
    id: Option<String>,
}

#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
enum EventName {
    Status,
    Second,
    Window,
    Finished,
}

/// The state of a run.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
enum StateName {
    Idle,
    Preparing,
    WarmingUp,
    Running,
    Draining,
    Completed,
    Failed,
    Stopped,
}

/// The form of a report.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
enum FormatName {
    Json,
    Html,
    Md,
    Csv,
    Hdr,
}

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components
            .add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "streamgauge",
        description = "Runs of a benchmark daemon: started, stopped, restarted, watched, compared."
    ),
    paths(
        version, config, workloads, status, list_runs, start_run, show_run, set_rate, stop_run,
        restart_run, report,
        timeseries, histogram, events, compare, livez, readyz, metrics
    ),
    components(schemas(StateName, FormatName)),
    modifiers(&Token)
)]
struct Document;

/// The description as JSON.
pub fn document() -> String {
    Document::openapi().to_json().unwrap_or_default()
}

pub(super) async fn serve() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document())
}
