//! The API's description for programs: OpenAPI, made from the routes themselves.

use std::sync::LazyLock;

use axum::Json;
use utoipa::OpenApi;

use super::{fields, problem, routes, stream};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Onrush",
        description = "Controls distributed HTTP load tests and shows what they measured. Latencies are milliseconds; \
                       a number that is not known is null, never 0. Every error is problem details (RFC 9457)."
    ),
    paths(
        routes::create_test,
        routes::list_tests,
        routes::show_test,
        routes::trigger_test,
        routes::stop_test,
        routes::stop_all,
        routes::metrics,
        routes::series,
        routes::histogram,
        stream::stream,
        routes::list_drivers,
        routes::health,
        routes::exposition,
        serve,
    ),
    components(schemas(fields::NewTestBody, problem::ProblemBody)),
    tags(
        (name = "tests", description = "Make, start and stop tests"),
        (name = "results", description = "What a test measured"),
        (name = "drivers", description = "Who takes part"),
        (name = "service", description = "The orchestrator itself"),
    )
)]
struct Api;

static DESCRIPTION: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(Api::openapi);

/// This description
#[utoipa::path(
    get, path = "/openapi.json", tag = "service",
    responses((status = 200, description = "OpenAPI", body = serde_json::Value))
)]
pub(super) async fn serve() -> Json<&'static utoipa::openapi::OpenApi> {
    Json(&DESCRIPTION)
}
