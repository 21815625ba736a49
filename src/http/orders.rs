//! Start, stop, restart, set the rate: each a typed message to the supervisor, nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::header::{CONTENT_TYPE, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use streamgauge_actors::{
    Rate, Refusal, RestartRun, RunPlan, SetRate, StartRun, StopMode, StopRun, Supervisor,
};

use super::api::{Api, ApiData, blocking};
use super::problem::{Problem, set_pointer};
use super::runs::find_run;
use crate::daemon::planner::RunRequest;
use crate::live::Links;

/// Which run to start.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartBody {
    /// A workload of `GET /api/v1/workloads`; absent: the schedule's first.
    workload: Option<String>,
    /// Settings over the daemon's own: `{"workload.rate": "20k/s"}`.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    set: Option<BTreeMap<String, Json>>,
}

/// How to stop a run.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopBody {
    /// `drain` (everything sent is still aggregated, audited and reported), unless said otherwise;
    /// `abandon`: everything stops at once.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(drain|abandon)$")]
    mode: StopMode,
}

/// How to stop a run, and which one to start after it.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartBody {
    /// `drain` (everything sent is still aggregated, audited and reported), unless said otherwise;
    /// `abandon`: everything stops at once.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(drain|abandon)$")]
    mode: StopMode,
    /// A workload of `GET /api/v1/workloads`; absent: the same one again.
    workload: Option<String>,
    /// Settings over the daemon's own.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    set: Option<BTreeMap<String, Json>>,
}

/// The rate from now on.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RateBody {
    /// Events per second over all producers: `"20k/s"` or `20000`.
    #[schema(value_type = String, example = "20k/s", pattern = "^[1-9][0-9]{0,5}k?(/s)?$")]
    target_rate: Rate,
}

/// A run that was accepted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AcceptedRun {
    run_id: String,
    links: Links,
}

/// A run that was told to stop.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Stopping {
    run_id: String,
    /// The state that the run is in.
    state: String,
}

/// A run with another rate.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RateSet {
    run_id: String,
    target_per_second: f64,
}

/// Reads a JSON body; `None` where there is none, or it is `null`.
async fn body<T: DeserializeOwned>(
    api: &Api,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Option<T>, Problem> {
    let limit = api.max_body_bytes;
    let read = tokio::time::timeout(api.body_timeout, payload.to_bytes_limited(limit)).await;
    let bytes = read
        .map_err(|_| Problem::timed_out())?
        .map_err(|_| Problem::too_large(limit))?
        .map_err(|error| Problem::malformed(format!("the body cannot be read: {error}")))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let media = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(Problem::wrong_media_type());
    }
    // Serde takes a list for a struct, field by field; nobody else does.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::invalid("the body must be an object")
            .with_error("", "must be an object, not a list"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer_of(&error.path().to_string());
        let inner = error.into_inner();
        if inner.is_data() {
            Problem::invalid(format!("the body is not as it should be: {inner}"))
                .with_error(pointer, inner.to_string())
        } else {
            Problem::malformed(format!("the body is no JSON: {inner}"))
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Problem::malformed(format!("the body is no JSON: {error}")))?;
    Ok(parsed)
}

fn pointer_of(path: &str) -> String {
    if path == "." { String::new() } else { format!("/{}", path.replace('.', "/")) }
}

/// Settings as the command line takes them.
fn texts(set: Option<BTreeMap<String, Json>>) -> Result<BTreeMap<String, String>, Problem> {
    let text = |(key, value): (String, Json)| match value {
        Json::String(text) => Ok((key, text)),
        Json::Null | Json::Object(_) => {
            let pointer = set_pointer(&key);
            let detail = format!("`{key}` must be a text, a number, a boolean or a list");
            Err(Problem::invalid(detail.clone()).with_error(pointer, detail))
        }
        other => Ok((key, other.to_string())),
    };
    set.unwrap_or_default().into_iter().map(text).collect()
}

/// The answer to an order that was accepted. The supervisor gave its own when the run was known
/// here: whoever follows the link finds it.
fn acceptance(run_id: String) -> HttpResponse {
    let links = Links::of(&run_id);
    HttpResponse::Accepted()
        .insert_header((LOCATION, links.itself.clone()))
        .json(AcceptedRun { run_id, links })
}

/// Planning reads files, so it is done where blocking harms nobody.
async fn plan(api: &Api, wanted: RunRequest) -> Result<Arc<RunPlan>, Problem> {
    let shared = Arc::clone(&api.shared);
    Ok(blocking(move || shared.plan(&wanted)).await??)
}

pub(super) async fn start(
    api: ApiData,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let StartBody { workload, set } =
        body::<StartBody>(&api, &request, payload).await?.unwrap_or_default();
    let plan = plan(&api, RunRequest { workload, set: texts(set)? }).await?;
    let run_id = plan.spec.run_id.clone();
    let answer = api.supervisor.send(StartRun { plan }).await.ok();
    Ok(acceptance(api.shared.confirm(run_id, answer)?))
}

pub(super) async fn restart(
    api: ApiData,
    request: HttpRequest,
    run_id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let before = run_id.into_inner();
    let RestartBody { mode, workload, set } =
        body::<RestartBody>(&api, &request, payload).await?.unwrap_or_default();
    find_run(&api, &before).await?;
    let set = texts(set)?;
    let wanted = match (workload, api.shared.request_of(&before)) {
        (workload @ Some(_), _) => RunRequest { workload, set },
        // The same again, with what is set anew.
        (None, Some(same)) => RunRequest { set: same.set.into_iter().chain(set).collect(), ..same },
        (None, None) => {
            let detail = format!("what run `{before}` was started with is no longer known");
            return Err(
                Problem::invalid(detail).with_error("/workload", "name the workload to run")
            );
        }
    };
    let plan = plan(&api, wanted).await?;
    let run_id = plan.spec.run_id.clone();
    let order = RestartRun { run_id: Some(before), mode, plan };
    let answer = api.supervisor.send(order).await.ok();
    Ok(acceptance(api.shared.confirm(run_id, answer)?))
}

/// The supervisor's answer to an order.
async fn answer<M>(api: &Api, order: M) -> Result<(), Problem>
where
    M: actix::Message<Result = Result<(), Refusal>> + Send + 'static,
    Supervisor: actix::Handler<M>,
    <Supervisor as actix::Actor>::Context: actix::dev::ToEnvelope<Supervisor, M>,
{
    if api.shared.is_draining() {
        return Err(Problem::draining());
    }
    let answer = api
        .supervisor
        .send(order)
        .await
        .map_err(|_| Problem::internal("the supervisor is gone"))?;
    answer.map_err(|refusal| Problem::refused(&refusal))
}

pub(super) async fn stop(
    api: ApiData,
    request: HttpRequest,
    run_id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let run_id = run_id.into_inner();
    let StopBody { mode } = body::<StopBody>(&api, &request, payload).await?.unwrap_or_default();
    find_run(&api, &run_id).await?;
    answer(&api, StopRun { run_id: Some(run_id.clone()), mode }).await?;
    let state = api.shared.live.run(&run_id).map_or("stopped", |run| run.view().state);
    Ok(HttpResponse::Accepted().json(Stopping { run_id, state: state.to_owned() }))
}

pub(super) async fn set_rate(
    api: ApiData,
    request: HttpRequest,
    run_id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let run_id = run_id.into_inner();
    let body = body::<RateBody>(&api, &request, payload).await?;
    let missing = || Problem::invalid("the body is missing: `{\"target_rate\": \"20k/s\"}`");
    let RateBody { target_rate } = body.ok_or_else(missing)?;
    if !(target_rate.0.is_finite() && target_rate.0 > 0.0 && target_rate.0 <= 1e9) {
        let detail = "must be above 0 and at most 1G/s";
        return Err(
            Problem::invalid(format!("target_rate {detail}")).with_error("/target_rate", detail)
        );
    }
    find_run(&api, &run_id).await?;
    answer(&api, SetRate { run_id: Some(run_id.clone()), events_per_second: target_rate.0 })
        .await?;
    Ok(HttpResponse::Ok().json(RateSet { run_id, target_per_second: target_rate.0 }))
}
