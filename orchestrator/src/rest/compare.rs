//! `GET /v1/compare`: two tests, and how the second differs from the first.

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use onrush_api::CompareView;
use onrush_compare::{Gate, MAX_GATES};
use onrush_protocol::TestId;

use super::api::Api;
use super::problem::{Failure, ProblemBody};
use super::query::Query;
use super::room::Rooms;

/// A day; a comparison without so much of each test is one of something else.
const MAX_SKIP_S: u64 = 86_400;

/// Compare two tests
///
/// How B differs from A: each quantile of the latency over everything that was due, the rate and the share that failed, with 95 %
/// intervals, from the sealed seconds. A gate like p99<+5% is broken only where that is proven.
#[utoipa::path(
    get, path = "/v1/compare", tag = "results",
    params(
        ("a" = String, Query, pattern = r"^[!-~]([ -~]{0,198}[!-~])?$", description = "The test_id of the first"),
        ("b" = String, Query, pattern = r"^[!-~]([ -~]{0,198}[!-~])?$", description = "The test_id of the second"),
        ("skip" = Option<u64>, Query, maximum = 86_400, description = "So many seconds at the beginning of each do not count (default 0)"),
        (
            "gate" = Option<String>, Query,
            pattern = r"^(p[1-9][0-9]?|median|rate|failed)[<>][+\-]?[0-9]{1,2}%(,(p[1-9][0-9]?|median|rate|failed)[<>][+\-]?[0-9]{1,2}%){0,19}$",
            description = "What the difference may be, 20 with commas at most: p99<+5%, rate>-3%, failed<+0.5% (in percentage points)"
        ),
    ),
    responses(
        (status = 200, description = "The comparison", body = CompareView),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They cannot be compared, and why", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn compare<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    uri: Uri,
) -> Result<Response, Failure> {
    let mut query = Query::of(&uri, &["a", "b", "skip", "gate"]);
    let [a, b] = ["a", "b"].map(|name| {
        let test_id = query.text(name).and_then(TestId::new);
        if test_id.is_none() {
            query.wrong(name, "is no test; give the test_id of one".to_owned());
        }
        test_id
    });
    let skip_s = query.whole_number("skip", 0..=MAX_SKIP_S).unwrap_or(0);
    let gates = gates(query.text("gate")).unwrap_or_else(|problem| {
        query.wrong("gate", problem);
        Vec::new()
    });
    query.finish()?;
    let (Some(a), Some(b)) = (a, b) else { return Err(Failure::new(axum::http::StatusCode::BAD_REQUEST, "no tests")) };
    let claim = rooms.answers.claim().await?;
    Ok(claim.json(&api.compare([a, b], skip_s, gates).await?))
}

fn gates(text: Option<&str>) -> Result<Vec<Gate>, String> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let gates: Vec<Gate> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
    if gates.len() > MAX_GATES {
        Err(format!("has {} gates; give at most {MAX_GATES}", gates.len()))
    } else {
        Ok(gates)
    }
}
