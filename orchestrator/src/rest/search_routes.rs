//! What can be asked of capacity searches.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use onrush_api::{SearchSummary, SearchView};

use super::access::Acting;
use super::api::Api;
use super::body::json_object;
use super::problem::{Failure, ProblemBody};
use super::query::Query;
use super::room::Rooms;
use super::routes::{InPath, MAX_PAGE_BYTES, new_test_id, next_page, page_asked};
use super::search::{self, NewSearchBody};
use crate::SearchPage;

/// Search for the capacity
///
/// The highest rate that keeps an SLO, over all drivers: a test begins at once, and its load is changed until the interval is narrow
/// enough or the budget is spent. The search has the id of that test.
#[utoipa::path(
    post, path = "/v1/searches", tag = "searches",
    request_body(
        content = NewSearchBody, content_type = "application/json",
        examples(("slo" = (summary = "99 % of the responses within 50 ms, found in five minutes", value = json!({
            "slo": "p99<50ms,failed<0.1%", "target_url": "http://127.0.0.1:8080/ping", "arrivals": "poisson", "budget": "5m"
        }))))
    ),
    responses(
        (status = 201, description = "The search", body = SearchView, headers(("location" = String, description = "Its path"))),
        (status = 400, description = "The body is not a JSON object", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Its test cannot be started, and why", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body has more than 1 MiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong: all of them are named", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create_search<A: Api>(
    Acting(api): Acting<A>,
    Extension(rooms): Extension<Rooms>,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1], Response), Failure> {
    let (search_id, max_drivers) = (new_test_id(Timestamp::now()), api.max_drivers());
    let search = json_object(request, move |fields| search::parse(fields, search_id, max_drivers)).await?;
    let claim = rooms.answers.claim().await?;
    let view = api.create_search(search).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/v1/searches/{}", view.search_id))], claim.json(&view)))
}

/// List capacity searches
///
/// The newest first, each in short. Where there are older ones, the Link header names the next page.
#[utoipa::path(
    get, path = "/v1/searches", tag = "searches",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "At most this many, 1 to 500 (default 50)"),
        ("before" = Option<String>, Query, pattern = r"^[!-~]([ -~]{0,198}[!-~])?$", description = "Only searches created before this one"),
    ),
    responses(
        (status = 200, description = "Searches", body = Vec<SearchSummary>, headers(("link" = String, description = "The next page"))),
        (status = 404, description = "There is no search \"before\"", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_searches<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let mut query = Query::of(&uri, &["limit", "before"]);
    let (limit, before) = page_asked(&mut query, "is no search; give the search_id of one");
    query.finish()?;
    let claim = rooms.answers.claim().await?;
    let SearchPage { searches, more } = api.searches(limit, before, MAX_PAGE_BYTES).await?;
    let oldest = searches.last().filter(|_| more).map(|search| search.search_id.as_str());
    Ok((next_page("/v1/searches", limit, &[], oldest), claim.json(&searches)))
}

/// Show a capacity search
///
/// Its bounds, every trial, and the curve of latency over load; of one that goes on, what is known by now.
#[utoipa::path(
    get, path = "/v1/searches/{id}", tag = "searches",
    params(("id" = String, Path, description = "The search_id")),
    responses(
        (status = 200, description = "The search", body = SearchView),
        (status = 404, description = "No such search", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show_search<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(id): InPath,
) -> Result<Response, Failure> {
    let claim = rooms.answers.claim().await?;
    Ok(claim.json(&api.search(id).await?))
}

/// Stop a capacity search
///
/// And its test. What is known by now is its result.
#[utoipa::path(
    post, path = "/v1/searches/{id}/stop", tag = "searches",
    params(("id" = String, Path, description = "The search_id")),
    responses(
        (status = 202, description = "The search, stopped", body = SearchView),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such search", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It has ended", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stop_search<A: Api>(
    Acting(api): Acting<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(id): InPath,
) -> Result<(StatusCode, Response), Failure> {
    let view = api.stop_search(id).await?;
    Ok((StatusCode::ACCEPTED, rooms.answers.claim().await?.json(&view)))
}
