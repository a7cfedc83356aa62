//! The API's description for programs: OpenAPI, made from the routes themselves.

use std::sync::LazyLock;

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use onrush_api::ConfigView;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use super::access::{self, COOKIE};
use super::{
    change, compare, events, export, fields, import, problem, report, routes, search, search_routes, sign_in, stream,
};
use crate::access::Access;

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
        routes::change_test,
        routes::stop_test,
        routes::delete_test,
        routes::stop_all,
        routes::metrics,
        routes::series,
        routes::histogram,
        export::export,
        import::import,
        report::report,
        compare::compare,
        stream::stream,
        search_routes::create_search,
        search_routes::list_searches,
        search_routes::show_search,
        search_routes::stop_search,
        routes::list_options,
        routes::list_drivers,
        sign_in::who,
        sign_in::sign_in,
        sign_in::sign_out,
        routes::health,
        routes::exposition,
        serve,
    ),
    components(schemas(fields::NewTestBody, change::ChangeBody, search::NewSearchBody, problem::ProblemBody, events::SecondData<'static>)),
    tags(
        (name = "tests", description = "Make, start and stop tests"),
        (name = "searches", description = "Search for the highest rate that keeps an SLO"),
        (name = "results", description = "What a test measured"),
        (name = "drivers", description = "Who takes part"),
        (name = "service", description = "The orchestrator itself"),
    )
)]
struct Api;

/// What any request may be refused for, whatever it asks.
const EVERYWHERE: [(&str, &str); 5] = [
    ("400", "It is not a request that can be understood, or the Host header is missing"),
    ("408", "It did not arrive in time"),
    ("421", "This orchestrator is not known by that name (--allow-host)"),
    ("431", "Its head is too large"),
    (
        "503",
        "The orchestrator is ending, its store or broker fails, or too many ask at once; Retry-After says when to try again",
    ),
];

/// What any request may be refused for where a role is needed.
const WHERE_A_ROLE_IS_NEEDED: [(&str, &str); 3] = [
    ("401", "No token was sent, or one that is not known; WWW-Authenticate says what to send"),
    ("403", "The role of the token does not allow this, or a page of another origin asked"),
    ("429", "Too many wrong tokens came from this address; Retry-After says when to try again"),
];

/// Without and with tokens.
static DESCRIPTIONS: [LazyLock<Bytes>; 2] =
    [LazyLock::new(|| describe(false).to_string().into()), LazyLock::new(|| describe(true).to_string().into())];

fn describe(needs_token: bool) -> Value {
    let mut description = serde_json::to_value(Api::openapi()).expect("a description is JSON");
    let schemas = &mut description["components"]["schemas"];
    schemas[fields::NewTestBody::name().as_ref()] = fields::new_test_schema();
    schemas[change::ChangeBody::name().as_ref()] = change::schema();
    schemas[search::NewSearchBody::name().as_ref()] = search::schema();
    schemas[ConfigView::name().as_ref()] = fields::config_schema();
    schemas[events::StreamEvent::name().as_ref()] = events::stream_event_schema();
    let problem = json!({problem::PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}});
    description["components"]["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer", "description": "A token of the file that --token-file names"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by POST /v1/sign-in, for browsers"},
    });
    let paths = description["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object_mut().into_iter().flatten();
        methods.map(move |(method, operation)| (access::described_needs(method, path), operation))
    });
    for (needs, operation) in operations {
        if let Some(role) = needs.filter(|_| needs_token) {
            operation["security"] = json!([{"token": []}, {"cookie": []}]);
            operation["x-role"] = role.name().into();
        }
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            // One that is left out is left out, and not null.
            if let Some(types) = parameter.pointer_mut("/schema/type").and_then(Value::as_array_mut) {
                types.retain(|kind| kind != "null");
            }
        }
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        let responses = responses.expect("every operation has responses");
        for (status, about) in WHERE_A_ROLE_IS_NEEDED.into_iter().filter(|_| needs.is_some()) {
            responses.insert(status.to_owned(), json!({"description": about, "content": problem}));
        }
        for (status, about) in EVERYWHERE {
            responses.entry(status).or_insert_with(|| json!({"description": about, "content": problem}));
        }
    }
    name_keys(&mut description);
    description
}

/// Keys are texts in JSON, those that are numbers for us, too.
fn name_keys(part: &mut Value) {
    match part {
        Value::Object(fields) => {
            if let Some(names) = fields.get_mut("propertyNames").filter(|names| names["type"] == "integer") {
                *names = json!({"pattern": "^[0-9]+$"});
            }
            fields.values_mut().for_each(name_keys);
        }
        Value::Array(items) => items.iter_mut().for_each(name_keys),
        _ => {}
    }
}

/// This description
#[utoipa::path(
    get, path = "/openapi.json", tag = "service",
    responses((status = 200, description = "OpenAPI", body = serde_json::Value))
)]
pub(super) async fn serve(Extension(access): Extension<Access>) -> impl IntoResponse {
    let description = Bytes::clone(&DESCRIPTIONS[usize::from(access.needs_token())]);
    ([(header::CONTENT_TYPE, "application/json")], description)
}
