//! How an error is told: `application/problem+json` (RFC 9457), with a code for programs and a hint
//! for people.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use streamgauge_actors::Refusal;

use crate::config::ConfigError;
use crate::daemon::RequestError;
use crate::daemon::planner::REQUEST;

/// The code of a refused event stream.
const TOO_MANY_STREAMS: &str = "too_many_streams";

/// Where a setting of a request stands in its body (RFC 6901).
pub(super) fn set_pointer(key: &str) -> String {
    format!("/set/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct ProblemDetail {
    /// Where in the body (RFC 6901), or the query's parameter.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// An error, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the code tells more.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The status.
    pub status: u16,
    /// What is wrong.
    pub detail: String,
    /// What is wrong, in a word for programs.
    pub code: &'static str,
    /// What to do.
    pub hint: Option<String>,
    /// The places at fault.
    pub errors: Vec<ProblemDetail>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            hint: None,
            errors: Vec::new(),
        }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn with_error(
        mut self,
        pointer: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        self.errors.push(ProblemDetail { pointer: pointer.into(), detail: detail.into() });
        self
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    pub(super) fn bad_query(why: &impl fmt::Display) -> Self {
        Self::malformed(format!("the query cannot be read: {why}"))
            .with_hint("GET /openapi.json lists all parameters")
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "a token is asked for, and none that fits was shown";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).with_hint(
            "send the header `Authorization: Bearer TOKEN` (streamgauge ctl: \
             STREAMGAUGE_TOKEN_FILE)",
        )
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(super) fn no_run(run_id: &str) -> Self {
        Self::not_found(format!("there is no run `{run_id}`"))
            .with_hint("GET /api/v1/runs lists all runs")
    }

    pub(super) fn wrong_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not take that method",
        )
    }

    pub(super) fn timed_out() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timed_out",
            "the request's body did not come in time",
        )
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("a body has at most {limit} bytes here"),
        )
    }

    pub(super) fn wrong_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "a body must be application/json",
        )
        .with_hint("send the header `Content-Type: application/json`")
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    pub(super) fn draining() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining",
            "the daemon is draining: it takes no more orders",
        )
        .with_hint("wait for it to be started again")
    }

    pub(super) fn too_many_streams() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            TOO_MANY_STREAMS,
            "as many event streams are open as may be",
        )
        .with_hint("close one, or raise `server.max_event_streams`")
    }

    /// What a request for a run is refused for.
    pub(super) fn of_request(error: &RequestError) -> Self {
        match error {
            RequestError::Config(error) => Self::of_settings(error),
            RequestError::Refused(refusal) => Self::refused(refusal),
            RequestError::Draining => Self::draining(),
            RequestError::Other(error) => Self::internal(format!("{error:#}")),
        }
    }

    /// The supervisor's refusal.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let code = if refusal.state.is_busy() { "busy" } else { "wrong_state" };
        Self::conflict(code, refusal.reason.clone())
            .with_hint("GET /api/v1/status tells how the present run is")
    }

    /// Settings at fault, each with its place in the body.
    fn of_settings(error: &ConfigError) -> Self {
        let mut problem = Self::invalid(error.to_string());
        for wrong in &error.problems {
            // What no request has set was set where the daemon is configured, or by the workload.
            let pointer = match (wrong.origin.as_str(), wrong.key.as_str()) {
                (REQUEST, key) if key != "workload" => set_pointer(key),
                _ => "/workload".to_owned(),
            };
            problem = problem.with_error(pointer, wrong.message.clone());
        }
        problem
    }

    pub(super) fn respond(&self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if self.code == TOO_MANY_STREAMS {
            // Nor may those that are refused take the connections of others.
            response.insert_header((header::RETRY_AFTER, "5")).force_close();
        }
        response
            .content_type("application/problem+json")
            .body(serde_json::to_string(self).unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.respond()
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        Self::of_request(&error)
    }
}
