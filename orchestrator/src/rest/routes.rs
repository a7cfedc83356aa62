//! What can be asked: each route reads its parameters, asks the brain and writes the answer.

use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use onrush_api::{
    DriverView, HistogramView, MetricsView, OptionView, SeriesView, StoppedView, TestSummary, TestView, options,
};
use onrush_protocol::TestId;
use onrush_protocol::options::people::short;
use serde_json::{Value, json};

use super::access::Acting;
use super::api::Api;
use super::body::json_object;
use super::change::{self, ChangeBody};
use super::creation;
use super::fields::{MAX_LABEL_CHARS, NewTestBody};
use super::problem::{Failure, MAX_NAME_CHARS, ProblemBody};
use super::query::Query;
use super::room::Rooms;
use crate::state::TestState;
use crate::{ListFilter, TestPage};

const DEFAULT_TESTS: u64 = 50;
const MAX_TESTS: u64 = 500;
const DEFAULT_SECONDS: u64 = 600;
const MAX_SECONDS: u64 = 3600;
/// The highest second that can be asked for: a number that is exact in every JSON reader, and lies beyond any test.
pub(super) const MAX_SECOND: u64 = (1 << 53) - 1;
/// A page of a list ends before it has more bytes than this, or some more for what is not counted.
pub(super) const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// The brain answers in milliseconds; after this it is stuck.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

static OPTIONS_JSON: LazyLock<Bytes> = LazyLock::new(|| json!(options()).to_string().into());

/// The test that a path names.
pub(super) struct InPath(pub TestId);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for InPath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Failure> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let test_id = path.ok().and_then(|Path(id)| TestId::new(id));
        let no_name = "the path names no test; GET /v1/tests lists them";
        test_id.map(Self).ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, no_name))
    }
}

/// Names a test by its moment, so that names sort by time; the end keeps those of one second apart.
pub(super) fn new_test_id(now: Timestamp) -> TestId {
    const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let end: String = (0..4).map(|_| char::from(BASE32[fastrand::usize(..BASE32.len())])).collect();
    TestId::new(format!("{}-{end}", now.strftime("%Y%m%d-%H%M%S"))).expect("digits, letters and dashes make a name")
}

/// Create a test
///
/// Stores the test and offers it to the drivers. With "trigger" it starts as soon as they are ready.
#[utoipa::path(
    post, path = "/v1/tests", tag = "tests",
    request_body(
        content = NewTestBody, content_type = "application/json",
        examples(
            ("avalanche" = (summary = "100,000 requests, as fast as it goes", value = json!({
                "test_type": "AVALANCHE", "target_url": "http://127.0.0.1:8080/ping", "requests": "100k", "connections": 64,
                "trigger": true
            }))),
            ("tsunami" = (summary = "one request every 2 ms for half a minute", value = json!({
                "test_type": "TSUNAMI", "target_url": "http://127.0.0.1:8080/ping", "delay": "2ms", "duration": "30s"
            })))
        )
    ),
    responses(
        (status = 201, description = "The test", body = TestView, headers(("location" = String, description = "Its path"))),
        (status = 400, description = "The body is not a JSON object", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is to be triggered and cannot be", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body has more than 1 MiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong: all of them are named", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create_test<A: Api>(
    Acting(api): Acting<A>,
    Extension(rooms): Extension<Rooms>,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1], Response), Failure> {
    let (test_id, max_drivers) = (new_test_id(Timestamp::now()), api.max_drivers());
    let test = json_object(request, move |fields| creation::parse(fields, test_id, max_drivers)).await?;
    let claim = rooms.answers.claim().await?;
    let view = api.create(test).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/v1/tests/{}", view.test_id))], claim.json(&view)))
}

/// List tests
///
/// The newest first, each in short; a page has 4 MiB at most. Where there are older ones, the Link header names the next
/// page.
#[utoipa::path(
    get, path = "/v1/tests", tag = "tests",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "At most this many, 1 to 500 (default 50)"),
        ("before" = Option<String>, Query, pattern = r"^[!-~]([ -~]{0,198}[!-~])?$", description = "Only tests created before this one"),
        ("name" = Option<String>, Query, min_length = 1, max_length = 200, description = "Only tests whose name has this in it, in whatever case (of the letters A to Z)"),
        ("state" = Option<String>, Query, pattern = "^(CONFIGURED|ARMED|RUNNING|COMPLETED|STOPPED|FAILED)$", description = "Only tests in this state"),
    ),
    responses(
        (status = 200, description = "Tests", body = Vec<TestSummary>, headers(("link" = String, description = "The next page"))),
        (status = 404, description = "There is no test \"before\"", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_tests<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let mut query = Query::of(&uri, &["limit", "before", "name", "state"]);
    let (limit, before) = page_asked(&mut query, "is no test; give the test_id of one");
    let filter = filter_asked(&mut query);
    let kept: Vec<(String, String)> = ["name", "state"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), query.text(name)?.to_owned())))
        .collect();
    query.finish()?;
    let claim = rooms.answers.claim().await?;
    let TestPage { tests, more } = api.tests(filter, limit, before, MAX_PAGE_BYTES).await?;
    let oldest = tests.last().filter(|_| more).map(|test| test.test_id.as_str());
    Ok((next_page("/v1/tests", limit, &kept, oldest), claim.json(&tests)))
}

/// Which part of a list is asked for: how many at most, and before which one. `no_name`: what is wrong with a name that is none.
pub(super) fn page_asked(query: &mut Query, no_name: &str) -> (usize, Option<TestId>) {
    let limit = query.whole_number("limit", 1..=MAX_TESTS).unwrap_or(DEFAULT_TESTS);
    let before = query.text("before").map(TestId::new);
    if before == Some(None) {
        query.wrong("before", no_name.to_owned());
    }
    (limit as usize, before.flatten())
}

/// Which tests are asked for.
fn filter_asked(query: &mut Query) -> ListFilter {
    let name_part = query.text("name").map(str::to_owned);
    if name_part.as_ref().is_some_and(|part| part.is_empty() || part.chars().count() > MAX_LABEL_CHARS) {
        query.wrong("name", format!("has no or too many characters; give 1 to {MAX_LABEL_CHARS} of the test's name"));
    }
    let asked = query.text("state").map(str::to_owned);
    let state = asked.as_ref().and_then(|word| TestState::from_name(&word.to_ascii_uppercase()));
    if let (Some(word), None) = (asked, state) {
        let states = TestState::ALL.iter().map(|state| state.name()).collect::<Vec<_>>().join(", ");
        query.wrong("state", format!("is {}; give one of {states}", short(&word, MAX_NAME_CHARS)));
    }
    ListFilter { name_part, state }
}

/// The header that names the next page of a list, where there is one: behind the `oldest` of this page, with what else was asked for.
pub(super) fn next_page(
    path: &str,
    limit: usize,
    asked: &[(String, String)],
    oldest: Option<&str>,
) -> Option<[(HeaderName, String); 1]> {
    oldest.map(|oldest| {
        let parameters = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("limit", &limit.to_string())
            .append_pair("before", oldest)
            .extend_pairs(asked)
            .finish();
        [(header::LINK, format!("<{path}?{parameters}>; rel=\"next\""))]
    })
}

/// Show a test
#[utoipa::path(
    get, path = "/v1/tests/{id}", tag = "tests",
    params(("id" = String, Path, description = "The test_id")),
    responses(
        (status = 200, description = "The test", body = TestView),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show_test<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(id): InPath,
) -> Result<Response, Failure> {
    let claim = rooms.answers.claim().await?;
    Ok(claim.json(&api.test(id).await?))
}

/// Start a test
///
/// Waits, seconds at most, until its drivers are armed, and gives them a start moment a little ahead.
#[utoipa::path(
    post, path = "/v1/tests/{id}/trigger", tag = "tests",
    params(("id" = String, Path, description = "The test_id")),
    responses(
        (status = 202, description = "The test, about to run", body = TestView),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It cannot start, and why", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn trigger_test<A: Api>(
    Acting(api): Acting<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(id): InPath,
) -> Result<(StatusCode, Response), Failure> {
    let view = api.trigger(id).await?;
    Ok((StatusCode::ACCEPTED, rooms.answers.claim().await?.json(&view)))
}

/// Change the load of a running test
///
/// Another rate, another profile for the rest, a pause or its end; on all drivers at the same whole second of the run, which the
/// answer names in "amendments".
#[utoipa::path(
    patch, path = "/v1/tests/{id}", tag = "tests",
    params(("id" = String, Path, description = "The test_id")),
    request_body(
        content = ChangeBody, content_type = "application/json",
        examples(
            ("rate" = (summary = "20,000 a second from the next whole second in 3 s on", value = json!({"target_throughput": "20k"}))),
            ("profile" = (summary = "another profile for the rest", value = json!({"profile": "30s@1k..5k, 1m@5k", "effective_in": "5s"}))),
            ("pause" = (summary = "nothing is sent", value = json!({"pause": true})))
        )
    ),
    responses(
        (status = 200, description = "The test, about to change", body = TestView),
        (status = 400, description = "The body is not a JSON object", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It does not run, or cannot be changed like that", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body has more than 1 MiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong: all of them are named", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change_test<A: Api>(
    Acting(api): Acting<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(id): InPath,
    request: Request,
) -> Result<Response, Failure> {
    let (change, effective_in) = json_object(request, change::parse).await?;
    let view = api.amend(id, change, effective_in).await?;
    Ok(rooms.answers.claim().await?.json(&view))
}

/// Stop a test
///
/// Whatever is known of that id, the drivers are told to stop it: one may run it all the same.
#[utoipa::path(
    post, path = "/v1/tests/{id}/stop", tag = "tests",
    params(("id" = String, Path, description = "The test_id")),
    responses(
        (status = 202, description = "The test, about to stop", body = TestView),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It has ended", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stop_test<A: Api>(
    Acting(api): Acting<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(id): InPath,
) -> Result<(StatusCode, Response), Failure> {
    let view = api.stop(id).await?;
    Ok((StatusCode::ACCEPTED, rooms.answers.claim().await?.json(&view)))
}

/// Delete a test
///
/// And everything that was measured in it; one that is not over is not deleted.
#[utoipa::path(
    delete, path = "/v1/tests/{id}", tag = "tests",
    params(("id" = String, Path, description = "The test_id")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not over", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete_test<A: Api>(State(api): State<A>, InPath(id): InPath) -> Result<StatusCode, Failure> {
    api.delete(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stop everything
///
/// Every test that is open, and whatever else a driver says that it is armed for or runs.
#[utoipa::path(
    post, path = "/v1/stop", tag = "tests",
    responses(
        (status = 202, description = "The tests that drivers were told to stop", body = StoppedView),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stop_all<A: Api>(Acting(api): Acting<A>) -> Result<(StatusCode, Json<StoppedView>), Failure> {
    Ok((StatusCode::ACCEPTED, Json(api.stop_all().await?)))
}

/// Totals of a test
///
/// Per driver and over all, from the merged distributions. null: not reported or not measured.
#[utoipa::path(
    get, path = "/v1/tests/{id}/metrics", tag = "results",
    params(("id" = String, Path, description = "The test_id")),
    responses(
        (status = 200, description = "The totals so far", body = MetricsView),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(id): InPath,
) -> Result<Response, Failure> {
    let claim = rooms.answers.claim().await?;
    Ok(claim.json(&api.metrics(id).await?))
}

/// Seconds of a test
///
/// The sealed seconds, per driver and over all, a page at a time; a page has 4 MiB at most. next_from says where the next
/// one begins.
#[utoipa::path(
    get, path = "/v1/tests/{id}/series", tag = "results",
    params(
        ("id" = String, Path, description = "The test_id"),
        ("from" = Option<u64>, Query, maximum = 9_007_199_254_740_991_u64, description = "The first second (default 0)"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 3600, description = "At most this many, 1 to 3600 (default 600)"),
    ),
    responses(
        (status = 200, description = "The seconds", body = SeriesView),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn series<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(id): InPath,
    uri: Uri,
) -> Result<Response, Failure> {
    let mut query = Query::of(&uri, &["from", "limit"]);
    let from = query.whole_number("from", 0..=MAX_SECOND).unwrap_or(0);
    let limit = query.whole_number("limit", 1..=MAX_SECONDS).unwrap_or(DEFAULT_SECONDS);
    query.finish()?;
    let claim = rooms.answers.claim().await?;
    Ok(claim.json(&api.series(id, from, limit as usize, MAX_PAGE_BYTES).await?))
}

/// Distributions of a test
///
/// Latency, service time and schedule error, in a form that can be merged further.
#[utoipa::path(
    get, path = "/v1/tests/{id}/histogram", tag = "results",
    params(
        ("id" = String, Path, description = "The test_id"),
        ("driver" = Option<String>, Query, description = "Only this driver's (default: all merged)"),
    ),
    responses(
        (status = 200, description = "The distributions", body = HistogramView),
        (status = 404, description = "No such test or driver", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn histogram<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(id): InPath,
    uri: Uri,
) -> Result<Response, Failure> {
    let query = Query::of(&uri, &["driver"]);
    let driver = query.text("driver").map(str::to_owned);
    query.finish()?;
    let claim = rooms.answers.claim().await?;
    Ok(claim.json(&api.histogram(id, driver).await?))
}

/// Options of a test
///
/// Each field of a new test that is one: what it means, how a form asks for it, what is right in it.
#[utoipa::path(
    get, path = "/v1/options", tag = "tests",
    responses((status = 200, description = "The options", body = Vec<OptionView>))
)]
pub(super) async fn list_options() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPTIONS_JSON.clone())
}

/// List drivers
///
/// Every driver that is known, the rejected and the lost ones too.
#[utoipa::path(
    get, path = "/v1/drivers", tag = "drivers",
    responses((status = 200, description = "Drivers", body = Vec<DriverView>))
)]
pub(super) async fn list_drivers<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
) -> Result<Response, Failure> {
    let claim = rooms.answers.claim().await?;
    Ok(claim.json(&api.drivers().await?))
}

/// Whether the orchestrator works
#[utoipa::path(
    get, path = "/healthz", tag = "service",
    responses(
        (status = 200, description = "It answers questions", body = Value, example = json!({"status": "ok"})),
        (status = 503, description = "It does not", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn health<A: Api>(State(api): State<A>) -> Result<Json<Value>, Failure> {
    match tokio::time::timeout(HEALTH_TIMEOUT, api.drivers()).await {
        Ok(Ok(_)) => Ok(Json(json!({"status": "ok"}))),
        Ok(Err(problem)) => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, problem.to_string())),
        Err(_) => {
            let detail = format!("the orchestrator did not answer within {HEALTH_TIMEOUT:?}");
            Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, detail))
        }
    }
}

/// Everything for Prometheus
///
/// The process, the drivers, and the test that runs or ran last, in Prometheus' text format. To be scraped once a
/// second.
#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses((status = 200, description = "Text format 0.0.4", body = String, content_type = "text/plain"))
)]
pub(super) async fn exposition<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
) -> Result<Response, Failure> {
    let claim = rooms.answers.claim().await?;
    Ok(claim.answer("text/plain; version=0.0.4; charset=utf-8", api.exposition().await?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_ids_sort_by_time_and_differ_within_a_second() {
        let at = |text: &str| -> Timestamp { text.parse().expect("a time") };
        let id = new_test_id(at("2026-03-04T05:06:07.9Z"));
        let (moment, end) = id.as_str().split_at("20260304-050607-".len());
        assert_eq!(moment, "20260304-050607-");
        assert_eq!(end.len(), 4);
        assert!(new_test_id(at("2026-03-04T05:06:08Z")) > id);
        let ids: std::collections::HashSet<TestId> = (0..20).map(|_| new_test_id(at("2026-03-04T05:06:07Z"))).collect();
        assert!(ids.len() > 1);
    }
}
