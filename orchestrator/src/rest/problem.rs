//! Errors as RFC 9457 problem details: one shape for every answer that is not what was asked for.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use onrush_protocol::options::people::short;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Problem;

/// Errors in one answer; more are counted. What anybody sends must not come back many times over.
pub(super) const MAX_ERRORS: usize = 20;
/// How much of a name or a path that a client sent comes back.
pub(super) const MAX_NAME_CHARS: usize = 100;
const MAX_PROBLEM_CHARS: usize = 800;

/// The media type of an error.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// The field, as the client spelled it.
    #[schema(example = "connections")]
    pub field: String,
    /// What is wrong, and what would be right.
    #[schema(example = "is 0; give 1 to 100000 connections per driver")]
    pub problem: String,
}

impl FieldError {
    /// A field that is wrong.
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: short(&field.into(), MAX_NAME_CHARS), problem: short(&problem.into(), MAX_PROBLEM_CHARS) }
    }
}

/// The fields that are wrong, as many as are shown, and how many more there are.
#[derive(Debug, Default)]
pub(super) struct FieldErrors {
    shown: Vec<FieldError>,
    more: usize,
}

impl FieldErrors {
    /// One more.
    pub(super) fn push(&mut self, error: impl FnOnce() -> FieldError) {
        if self.shown.len() < MAX_ERRORS {
            self.shown.push(error());
        } else {
            self.more += 1;
        }
    }

    /// Those of another part of the same request.
    pub(super) fn append(&mut self, other: Self) {
        let Self { shown, more } = other;
        shown.into_iter().for_each(|error| self.push(|| error));
        self.more += more;
    }

    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Those that are shown.
    #[cfg(test)]
    pub(super) fn shown(&self) -> &[FieldError] {
        &self.shown
    }
}

/// Why a request was not served. [`render`] turns it into an answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
}

impl Failure {
    /// A failure that is no single field's.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new() }
    }

    /// Values that cannot be used: 422, with every field at fault.
    pub(super) fn fields(errors: FieldErrors) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail: summary(&errors), errors: errors.shown }
    }
}

/// The fields at fault in one line, for those who look at `detail` only.
fn summary(errors: &FieldErrors) -> String {
    let FieldErrors { shown, more } = errors;
    let mut lines: Vec<String> = shown.iter().map(|e| format!("{} {}", e.field, e.problem)).collect();
    if *more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let (status, why) = match problem {
            Problem::NotFound(why) => (StatusCode::NOT_FOUND, why),
            Problem::Conflict(why) => (StatusCode::CONFLICT, why),
            Problem::Invalid(why) => (StatusCode::UNPROCESSABLE_ENTITY, why),
            Problem::Unavailable(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        };
        Self::new(status, why)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Problem details (RFC 9457): why a request was not served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemBody {
    /// Always `about:blank`: `status` and `detail` say all.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: &'static str,
    /// The status in words.
    #[schema(example = "Unprocessable Entity")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What happened and what to do.
    #[schema(example = "connections is 0; give 1 to 100000 connections per driver")]
    pub detail: String,
    /// The path that was asked for.
    #[schema(example = "/v1/tests")]
    pub instance: String,
    /// The fields that are wrong, 20 at most; empty where no field is at fault.
    pub errors: Vec<FieldError>,
}

/// Renders failures as problem details, ours and those of the web framework alike.
pub(super) async fn render(request: Request, next: Next) -> Response {
    let instance = short(request.uri().path(), MAX_NAME_CHARS);
    let mut response = next.run(request).await;
    let status = response.status();
    let failure = response.extensions_mut().remove::<Failure>();
    if failure.is_none() && !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let Failure { status, detail, errors } =
        failure.unwrap_or_else(|| Failure::new(status, "the request cannot be served as it is"));
    // Who is told to come again is no news; why is logged where it happens, once. What was asked is in nobody's log.
    match status {
        StatusCode::SERVICE_UNAVAILABLE => tracing::debug!(status = status.as_u16(), detail, "a request failed"),
        status if status.is_server_error() => tracing::warn!(status = status.as_u16(), detail, "a request failed"),
        _ => {}
    }
    let title = status.canonical_reason().unwrap_or("Error").to_owned();
    let body = ProblemBody { kind: "about:blank", title, status: status.as_u16(), detail, instance, errors };
    let mut rendered = (status, Json(body)).into_response();
    // Headers of the failure (such as Allow) stay; those of its old body do not.
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            rendered.headers_mut().insert(name, value.clone());
        }
    }
    rendered.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        rendered.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    rendered
}
