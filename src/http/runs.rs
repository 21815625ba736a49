//! Runs that are, and that were: lists, reports, series, distributions, comparison.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY};
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use streamgauge_actors::{RunState, Second, WindowAudit};

use super::api::{Api, ApiData, blocking};
use super::problem::Problem;
use crate::history::{Filter, RunRow, StoredReport};
use crate::live::{Bookmark, Links, LiveRun, RunView};
use crate::report::compare::{Allowance, compare as compare_reports};
use crate::report::{Format, Report, html};

/// Runs that a page of the list has, unless said otherwise, and at most.
const PAGE: usize = 50;
const MOST_PAGE: usize = 1000;

/// A run that is under way, or is over.
pub(super) enum AnyRun {
    Live(Arc<LiveRun>),
    Over(Box<Report>),
    /// It never got as far as a report.
    Unreported(Box<RunRow>),
}

/// Finds a run.
pub(super) async fn find_run(api: &Api, run_id: &str) -> Result<AnyRun, Problem> {
    if let Some(run) = api.shared.live.run(run_id) {
        return Ok(AnyRun::Live(run));
    }
    let (shared, id) = (Arc::clone(&api.shared), run_id.to_owned());
    let found = blocking(move || {
        let (report, row) = shared.with_history(|history| {
            Ok::<_, anyhow::Error>((history.stored_report(&id)?, history.run(&id)?))
        })?;
        let report = report.map(StoredReport::parse).transpose()?;
        Ok::<_, anyhow::Error>((report, row))
    });
    match found.await?.map_err(|error| Problem::internal(format!("{error:#}")))? {
        (Some(report), _) => Ok(AnyRun::Over(Box::new(report))),
        (None, Some(row)) => Ok(AnyRun::Unreported(Box::new(row))),
        (None, None) => Err(Problem::no_run(run_id)),
    }
}

/// How a run is, or was.
pub(super) fn view(run: &AnyRun) -> RunView {
    match run {
        AnyRun::Live(run) => run.view(),
        AnyRun::Over(report) => RunView::of_report(report),
        AnyRun::Unreported(row) => RunView::of_row(row),
    }
}

/// The report of a run that is over.
async fn finished(api: &Api, run_id: &str) -> Result<Box<Report>, Problem> {
    match find_run(api, run_id).await? {
        AnyRun::Live(run) => match run.report() {
            Some(report) => Ok(Box::new((*report).clone())),
            None => Err(Problem::conflict(
                "wrong_state",
                format!("run `{run_id}` is not over: its report follows"),
            )
            .with_hint("GET /api/v1/runs/{run_id}/events tells when it is")),
        },
        AnyRun::Over(report) => Ok(report),
        AnyRun::Unreported(_) => {
            Err(Problem::not_found(format!("run `{run_id}` ended without a report")))
        }
    }
}

/// One run of a list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ListedRun {
    #[serde(flatten)]
    run: RunRow,
    links: Links,
}

/// A page of runs, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RunList {
    runs: Vec<ListedRun>,
    /// What to ask for `before` to have the next page; `null`: there is none.
    next_before: Option<String>,
}

/// Which runs are listed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    status: Option<String>,
    limit: Option<usize>,
    before: Option<String>,
}

impl From<RunRow> for ListedRun {
    fn from(run: RunRow) -> Self {
        Self { links: Links::of(&run.run_id), run }
    }
}

fn state_named(name: &str) -> Result<RunState, Problem> {
    RunState::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| {
        let all = RunState::ALL.map(RunState::name).join(", ");
        let detail = format!("`{name}` is no state: write one of {all}");
        Problem::invalid(detail.clone()).with_error("status", detail)
    })
}

pub(super) async fn list(
    api: ApiData,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let ListQuery { status, limit, before } = query.into_inner();
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MOST_PAGE).contains(&limit) {
        let detail = format!("must be 1 to {MOST_PAGE}");
        return Err(Problem::invalid(format!("limit {detail}")).with_error("limit", detail));
    }
    let state = match status {
        None => None,
        Some(name) => Some(state_named(&name)?),
    };
    let shared = Arc::clone(&api.shared);
    let listed = blocking(move || {
        shared.with_history(|history| {
            if let Some(before) = &before
                && history.run(before)?.is_none()
            {
                return Ok::<_, anyhow::Error>(None);
            }
            // One more than asked for tells whether there is a next page. A run under way is filed
            // as running, whatever it is at: there are few of these.
            let page = (!state.is_some_and(RunState::is_busy)).then_some(limit as u32 + 1);
            let mut rows = history.list(&Filter { status: state, limit: page, before })?;
            for row in rows.iter_mut().filter(|row| row.finished_at_ms.is_none()) {
                if let Some(run) = shared.live.run(&row.run_id) {
                    row.state = run.state();
                    // Its report may be known though it could not be filed yet.
                    if let Some(report) = run.report() {
                        row.verdict = Some(report.verdict);
                        row.reason = report.reasons.first().cloned();
                        row.exit_code = Some(report.exit_code);
                    }
                }
            }
            rows.retain(|row| state.is_none_or(|state| row.state == state));
            Ok(Some(rows))
        })
    });
    let rows = listed.await?.map_err(|error| Problem::internal(format!("{error:#}")))?;
    let mut rows = rows.ok_or_else(|| {
        Problem::not_found("`before` names no run")
            .with_error("before", "take `next_before` of the page before")
    })?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_before = rows.last().filter(|_| has_more).map(|row: &RunRow| row.run_id.clone());
    Ok(HttpResponse::Ok()
        .json(RunList { runs: rows.into_iter().map(ListedRun::from).collect(), next_before }))
}

pub(super) async fn show(api: ApiData, run_id: web::Path<String>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(view(&find_run(&api, &run_id).await?)))
}

/// The form of a report.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportQuery {
    format: Option<String>,
}

pub(super) async fn report(
    api: ApiData,
    run_id: web::Path<String>,
    query: web::Query<ReportQuery>,
) -> Result<HttpResponse, Problem> {
    let wanted = query.into_inner().format.unwrap_or_else(|| "json".to_owned());
    let Some((format, extension)) =
        Format::ALL.into_iter().find(|(_, extension)| *extension == wanted)
    else {
        let all = Format::ALL.map(|(_, extension)| extension).join(", ");
        let detail = format!("`{wanted}` is no form of report: write one of {all}");
        return Err(Problem::invalid(detail.clone()).with_error("format", detail));
    };
    let report = finished(&api, &run_id).await?;
    let text = blocking(move || format.render(&report)).await?;
    let text = text.map_err(|error| Problem::internal(format!("{error:#}")))?;
    let media = match format {
        Format::Json => "application/json",
        Format::Html => "text/html; charset=utf-8",
        Format::Markdown => "text/markdown; charset=utf-8",
        Format::Csv => "text/csv; charset=utf-8",
        Format::Hdr => "text/plain; charset=utf-8",
    };
    let policy =
        if format == Format::Html { html::CONTENT_SECURITY_POLICY } else { "default-src 'none'" };
    let name = format!("inline; filename=\"streamgauge-{run_id}.{extension}\"");
    Ok(HttpResponse::Ok()
        .content_type(media)
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((CONTENT_DISPOSITION, name))
        .body(text))
}

/// A run's seconds and windows.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Timeseries {
    run_id: String,
    /// As `series` in the report.
    #[schema(value_type = Vec<Object>)]
    series: Vec<Second>,
    /// As `windows` in the report.
    #[schema(value_type = Vec<Object>)]
    windows: Vec<WindowAudit>,
}

pub(super) async fn timeseries(
    api: ApiData,
    run_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let run_id = run_id.into_inner();
    let (series, windows) = match find_run(&api, &run_id).await? {
        AnyRun::Live(run) => run.report().map_or_else(
            || {
                let news = run.news(Bookmark::default());
                (news.seconds, news.windows)
            },
            |report| (report.series.clone(), report.windows.clone()),
        ),
        AnyRun::Over(report) => (report.series, report.windows),
        AnyRun::Unreported(_) => (Vec::new(), Vec::new()),
    };
    Ok(HttpResponse::Ok().json(Timeseries { run_id, series, windows }))
}

pub(super) async fn histogram(
    api: ApiData,
    run_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let report = finished(&api, &run_id).await?;
    let mut latencies = BTreeMap::new();
    for (kind, figures) in report.latency.iter() {
        let distribution = match figures {
            None => serde_json::Value::Null,
            Some(figures) => {
                let histogram = figures
                    .decode_histogram()
                    .map_err(|error| Problem::internal(format!("{error:#}")))?;
                let buckets: Vec<_> = histogram
                    .iter_recorded()
                    .map(|step| (step.value_iterated_to(), step.count_at_value()))
                    .collect();
                json!({"count": figures.count, "negative": figures.negative, "buckets": buckets})
            }
        };
        latencies.insert(kind.name(), distribution);
    }
    Ok(HttpResponse::Ok().json(json!({"run_id": report.run_id, "latency": latencies})))
}

/// Which runs are compared, and in what they may differ.
#[derive(Debug, Default)]
struct CompareQuery {
    base: Option<String>,
    candidate: Option<String>,
    across: Vec<String>,
    force: bool,
}

impl CompareQuery {
    /// Of a query's pairs: only `across` may come more than once.
    fn of(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (name, value) in pairs {
            let is_new = match name.as_str() {
                "base" => query.base.replace(value).is_none(),
                "candidate" => query.candidate.replace(value).is_none(),
                "force" => {
                    query.force = value.parse().map_err(|_| {
                        Problem::bad_query(&format!(
                            "`force` is `{value}`, and must be true or false"
                        ))
                    })?;
                    true
                }
                "across" => {
                    query.across.push(value);
                    true
                }
                _ => return Err(Problem::bad_query(&format!("there is no parameter `{name}`"))),
            };
            if !is_new {
                return Err(Problem::bad_query(&format!("`{name}` is there twice")));
            }
        }
        Ok(query)
    }
}

pub(super) async fn compare(
    api: ApiData,
    query: web::Query<Vec<(String, String)>>,
) -> Result<HttpResponse, Problem> {
    let CompareQuery { base, candidate, across, force } = CompareQuery::of(query.into_inner())?;
    let there = |id: Option<String>, name| {
        id.ok_or_else(|| Problem::bad_query(&format!("`{name}` is missing")))
    };
    let (base, candidate) = (there(base, "base")?, there(candidate, "candidate")?);
    let allowance = Allowance::across(across, force).map_err(Problem::invalid)?;
    let (base, candidate) = (finished(&api, &base).await?, finished(&api, &candidate).await?);
    match blocking(move || compare_reports(&base, &candidate, &allowance)).await? {
        Ok(comparison) => Ok(HttpResponse::Ok().json(comparison)),
        Err(unlike) => Err(Problem::conflict("unlike_workloads", unlike.to_string()).with_hint(
            "compare runs of the same work, name what may differ (across=workload.rate), or \
                 add force=true",
        )),
    }
}
