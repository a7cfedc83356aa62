//! The router against a fake brain: every route and every kind of error.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use onrush_api::TestState;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::body::MAX_BODY_BYTES;
use super::fake::{Fake, TEST_ID};
use super::problem::PROBLEM_JSON;
use super::{Hosts, router_for};
use crate::access::Access;
use crate::{ListFilter, Problem};

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct Answer {
    pub status: StatusCode,
    headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(&name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("a text")
    }

    /// The problem details, checked for their form.
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?}", self.body);
        assert_eq!(self.header(header::CONTENT_TYPE), PROBLEM_JSON);
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["title"], self.status.canonical_reason().expect("a known status"));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        assert!(problem["instance"].as_str().is_some_and(|path| path.starts_with('/')), "{problem}");
        assert!(problem["errors"].is_array(), "{problem}");
        problem
    }
}

pub(super) async fn send(fake: &Fake, request: Request<Body>) -> Answer {
    send_to(fake, &Access::open(), request).await
}

/// The same, where somebody may ask.
pub(super) async fn send_to(fake: &Fake, access: &Access, mut request: Request<Body>) -> Answer {
    request.headers_mut().entry(header::HOST).or_insert(header::HeaderValue::from_static("127.0.0.1:7400"));
    let response = router_for(fake.clone(), Hosts::new(&[]), access.clone())
        .oneshot(request)
        .await
        .expect("the router cannot fail");
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(DEADLINE, body.collect()).await.expect("in time").expect("a whole body").to_bytes();
    assert_eq!(parts.headers.get(header::X_CONTENT_TYPE_OPTIONS).map(|v| v.as_bytes()), Some(&b"nosniff"[..]));
    assert!(parts.headers.contains_key(header::CONTENT_SECURITY_POLICY));
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(super) async fn get(fake: &Fake, path: &str) -> Answer {
    send(fake, Request::get(path).body(Body::empty()).expect("a request")).await
}

async fn post(fake: &Fake, path: &str, body: impl Into<Body>) -> Answer {
    send(fake, Request::post(path).body(body.into()).expect("a request")).await
}

pub(super) fn idle() -> Fake {
    Fake::new(TestState::Configured, 64)
}

#[tokio::test]
async fn a_test_is_created_whatever_the_content_type() {
    let fake = idle();
    let body = json!({"test_type": "AVALANCHE", "requests": "1k", "url": "http://127.0.0.1:1/", "name": "first"});
    let request = Request::post("/v1/tests").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = send(&fake, request.body(body.to_string().into()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let view = answer.json();
    assert_eq!(view["name"], "first");
    let location = format!("/v1/tests/{}", view["test_id"].as_str().expect("an id"));
    assert_eq!(answer.header(header::LOCATION), location);
    assert_eq!(fake.lock().created[0].config.count_per_driver, Some(1000));
    assert_eq!(get(&fake, &location).await.json(), view);
}

#[tokio::test]
async fn wrong_fields_are_all_named() {
    let answer = post(&idle(), "/v1/tests", r#"{"type": "FLOOD", "conections": 5, "duration": "x"}"#).await;
    let problem = answer.problem(422);
    let fields: Vec<&str> =
        problem["errors"].as_array().expect("a list").iter().filter_map(|e| e["field"].as_str()).collect();
    assert_eq!(fields, ["conections", "type", "duration"]);
    let detail = problem["detail"].as_str().expect("a text");
    assert!(fields.iter().all(|field| detail.contains(field)), "{detail}");
    assert_eq!(problem["instance"], "/v1/tests");
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    for (body, word) in [
        ("{\"test_type\":\n oops}", "line 2 column 2"),
        ("", "empty"),
        ("  ", "empty"),
        ("[]", "a list"),
        ("null", "null"),
        ("5", "a number"),
        ("{\"requests\": NaN}", "line 1"),
        ("test_type=AVALANCHE", "line 1"),
    ] {
        let problem = post(&idle(), "/v1/tests", body).await.problem(400);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{body}: {problem}");
    }
    post(&idle(), "/v1/tests", vec![0xff, 0xfe]).await.problem(400);
    post(&idle(), "/v1/tests", "[".repeat(100_000)).await.problem(400);
}

#[tokio::test]
async fn a_body_may_be_large_and_not_too_large() {
    let fits = format!("{{\"name\": \"{}\"}}", "x".repeat(MAX_BODY_BYTES - 12));
    assert_eq!(fits.len(), MAX_BODY_BYTES);
    post(&idle(), "/v1/tests", fits.clone()).await.problem(422);
    post(&idle(), "/v1/tests", fits + " ").await.problem(413);
    post(&idle(), "/v1/tests", " ".repeat(20_000_000)).await.problem(413);
    // The client waits for a word before it sends: it gets the answer at once.
    let endless = Body::from_stream(tokio_stream::pending::<Result<Bytes, std::io::Error>>());
    let request = Request::post("/v1/tests").header(header::EXPECT, "100-continue");
    let request = request.header(header::CONTENT_LENGTH, "20000000").body(endless).expect("a request");
    send(&idle(), request).await.problem(413);
}

#[tokio::test]
async fn a_key_that_is_given_twice_is_refused_by_its_name() {
    for (body, key) in [
        (r#"{"test_type": "AVALANCHE", "requests": 1, "requests": 2}"#, "requests"),
        (r#"{"test_type": "AVALANCHE", "requests": 1, "headers": {"a": "1", "a": "2"}}"#, "a"),
        (r#"{"test_type": "AVALANCHE", "requests": 1, "targets": [{"url": "http://h/", "url": "http://i/"}]}"#, "url"),
    ] {
        let problem = post(&idle(), "/v1/tests", body).await.problem(422);
        assert_eq!(problem["errors"][0]["field"], key, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("twice")), "{problem}");
    }
}

#[tokio::test]
async fn however_much_is_wrong_little_comes_back() {
    let keys: Vec<String> = (0..90_000).map(|n| format!("\"k{n}\":1")).collect();
    let answer = post(&idle(), "/v1/tests", format!("{{{}}}", keys.join(","))).await;
    let problem = answer.problem(422);
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(20));
    // test_type and an end are missing, too.
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.ends_with("and 89982 more"), "{detail}");
    assert!(answer.body.len() < 10_000, "{} bytes", answer.body.len());
    let long = format!("/{}?{}", "x".repeat(30_000), "y&".repeat(10_000));
    assert!(get(&idle(), &long).await.body.len() < 1000);
    let parameters: String = (0..5000).map(|n| format!("p{n}=1&")).collect();
    assert!(get(&idle(), &format!("/v1/tests?{parameters}")).await.body.len() < 10_000);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_bad_request() {
    let chunks = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))];
    let answer = post(&idle(), "/v1/tests", Body::from_stream(tokio_stream::iter(chunks))).await;
    assert!(answer.problem(400)["detail"].as_str().is_some_and(|detail| detail.contains("broke off")));
}

#[tokio::test]
async fn tests_are_listed_a_page_at_a_time() {
    let fake = idle();
    let body = r#"{"test_type": "AVALANCHE", "requests": 1}"#;
    let made = post(&fake, "/v1/tests", body).await.json();
    let page = get(&fake, "/v1/tests?limit=1").await;
    assert_eq!(page.json().as_array().map(Vec::len), Some(1));
    assert_eq!(page.json()[0]["test_id"], made["test_id"]);
    let next = format!("</v1/tests?limit=1&before={}>; rel=\"next\"", made["test_id"].as_str().expect("an id"));
    assert_eq!(page.header(header::LINK), next);
    let (path, _) = next[1..].split_once('>').expect("a link");
    assert_eq!(get(&fake, path).await.json()[0]["test_id"], TEST_ID);
    let all = get(&fake, "/v1/tests").await;
    assert_eq!(all.json().as_array().map(Vec::len), Some(2));
    assert!(!all.headers.contains_key(header::LINK));
}

#[tokio::test]
async fn a_part_of_the_list_is_asked_for_to_its_end() {
    let fake = idle();
    post(&fake, "/v1/tests", r#"{"test_type": "AVALANCHE", "requests": 1}"#).await;
    let page = get(&fake, "/v1/tests?limit=1&name=a%26b&state=completed").await;
    let filter = ListFilter { name_part: Some("a&b".into()), state: Some(crate::state::TestState::Completed) };
    assert_eq!(fake.lock().filter, filter);
    let next = page.header(header::LINK).to_owned();
    assert!(next.contains("&name=a%26b&state=completed>"), "{next}");
    fake.lock().filter = ListFilter::default();
    get(&fake, next[1..].split_once('>').expect("a link").0).await;
    assert_eq!(fake.lock().filter, filter);
}

#[tokio::test]
async fn only_what_is_over_is_deleted() {
    let path = format!("/v1/tests/{TEST_ID}");
    let delete = |fake: &Fake| {
        let request = Request::delete(&path).header(header::HOST, "127.0.0.1:7400").body(Body::empty());
        let fake = fake.clone();
        async move { send(&fake, request.expect("a request")).await }
    };
    let open = Fake::new(TestState::Running, 1);
    delete(&open).await.problem(409);
    let over = Fake::new(TestState::Completed, 1);
    assert_eq!(delete(&over).await.status, StatusCode::NO_CONTENT);
    delete(&over).await.problem(404);
    // Of a page of another origin.
    let foreign =
        Request::delete(&path).header(header::HOST, "127.0.0.1:7400").header(header::ORIGIN, "http://evil.example");
    send(&over, foreign.body(Body::empty()).expect("a request")).await.problem(403);
}

#[tokio::test]
async fn wrong_parameters_are_all_named() {
    for (path, fields) in [
        ("/v1/tests?limit=0&before=", &["limit", "before"][..]),
        ("/v1/tests?limit=501", &["limit"]),
        ("/v1/tests?state=over&name=", &["name", "state"]),
        ("/v1/searches?state=RUNNING", &["state"]),
        ("/v1/tests?limit=x&lmit=5", &["lmit", "limit"]),
        ("/v1/tests?limit=5&limit=6", &["limit"]),
        ("/v1/tests?before=%ff%0a", &["before"]),
        ("/v1/tests/T/series?from=-1&limit=3601", &["from", "limit"]),
        ("/v1/tests/T/series?from=1e300", &["from"]),
        ("/v1/tests/T/histogram?drivr=a", &["drivr"]),
        ("/v1/tests/T/stream?from=x", &["from"]),
        ("/v1/tests/T/stream?from=9007199254740992", &["from"]),
    ] {
        let problem = get(&idle(), &path.replace("/T/", &format!("/{TEST_ID}/"))).await.problem(422);
        let named: Vec<&str> =
            problem["errors"].as_array().expect("a list").iter().filter_map(|e| e["field"].as_str()).collect();
        assert_eq!(named, fields, "{path}: {problem}");
    }
}

#[tokio::test]
async fn the_last_event_that_a_client_has_must_be_one() {
    let path = format!("/v1/tests/{TEST_ID}/stream");
    for wrong in ["", "x", "-1", "1.5", "null", "18446744073709551616"] {
        let request = Request::get(&path).header("Last-Event-ID", wrong).body(Body::empty()).expect("a request");
        let problem = send(&idle(), request).await.problem(422);
        assert_eq!(problem["errors"][0]["field"], "Last-Event-ID", "{wrong:?}: {problem}");
    }
}

#[tokio::test]
async fn a_test_is_triggered_and_stopped() {
    let fake = idle();
    for action in ["trigger", "stop"] {
        let answer = post(&fake, &format!("/v1/tests/{TEST_ID}/{action}"), "").await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_eq!(answer.json()["test_id"], TEST_ID);
    }
    fake.enter(TestState::Failed);
    let problem = post(&fake, &format!("/v1/tests/{TEST_ID}/trigger"), "").await.problem(409);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("2 are needed")), "{problem}");
    assert_eq!(problem["errors"], json!([]), "no field is at fault");
}

#[tokio::test]
async fn results_are_served() {
    let fake = idle();
    fake.seal_second();
    fake.seal_second();
    let path = |what: &str| format!("/v1/tests/{TEST_ID}/{what}");
    assert_eq!(get(&fake, &path("metrics")).await.json()["all"]["sent"], 100);
    let series = get(&fake, &path("series?limit=1")).await.json();
    assert_eq!((&series["seconds"][0]["second_index"], &series["next_from"]), (&json!(0), &json!(1)));
    assert_eq!(get(&fake, &path("series?from=1")).await.json()["next_from"], Value::Null);
    assert_eq!(get(&fake, &path("histogram")).await.json()["node_id"], Value::Null);
    assert_eq!(get(&fake, &path("histogram?driver=a%20b")).await.json()["node_id"], "a b");
    assert_eq!(get(&fake, "/v1/drivers").await.json().as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_search_is_made_listed_shown_and_stopped() {
    let fake = idle();
    let body = json!({"slo": "p99<50ms", "url": "http://127.0.0.1:1/", "start": "1k", "name": "mine"});
    let made = post(&fake, "/v1/searches", body.to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let view = made.json();
    assert_eq!(
        (&view["slo"], &view["trying_per_s"], &view["ended"]),
        (&json!(["p99<50ms"]), &json!(1000.0), &json!(null))
    );
    let path = format!("/v1/searches/{}", view["search_id"].as_str().expect("an id"));
    assert_eq!(made.header(header::LOCATION), path);
    assert_eq!(get(&fake, &path).await.json(), view);
    let listed = get(&fake, "/v1/searches?limit=1").await.json();
    assert_eq!((&listed[0]["search_id"], &listed[0]["name"]), (&view["search_id"], &json!("mine")));
    assert_eq!(post(&fake, &format!("{path}/stop"), Body::empty()).await.status, StatusCode::ACCEPTED);
    post(&fake, "/v1/searches", r#"{"slo": "p99", "duration": 5}"#).await.problem(422);
    get(&fake, "/v1/searches?before=%00").await.problem(422);
    for unknown in ["/v1/searches/none", "/v1/searches/none/stop"] {
        let answer = if unknown.ends_with("stop") {
            post(&fake, unknown, Body::empty()).await
        } else {
            get(&fake, unknown).await
        };
        assert!(answer.problem(404)["detail"].as_str().is_some_and(|detail| detail.contains("capacity search none")));
    }
}

#[tokio::test]
async fn an_unknown_test_is_not_found() {
    for what in ["", "/metrics", "/series", "/histogram", "/stream"] {
        let problem = get(&idle(), &format!("/v1/tests/nobody{what}")).await.problem(404);
        assert_eq!(problem["instance"], format!("/v1/tests/nobody{what}"));
    }
    for what in ["trigger", "stop"] {
        post(&idle(), &format!("/v1/tests/nobody/{what}"), "").await.problem(404);
    }
    // Names that no test can have.
    for id in ["%ff", "%0a", "%20", &"x".repeat(300)] {
        get(&idle(), &format!("/v1/tests/{id}")).await.problem(404);
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problems_too() {
    for path in ["/v1", "/v2/tests", "/v1/tests/", "/nothing", "/docs/nothing.js"] {
        get(&idle(), path).await.problem(404);
    }
    for (path, allowed) in [("/v1/tests", "GET,HEAD,POST"), ("/v1/drivers", "GET,HEAD"), ("/", "GET,HEAD")] {
        let request = Request::delete(path).body(Body::empty()).expect("a request");
        let answer = send(&idle(), request).await;
        answer.problem(405);
        let mut methods: Vec<&str> = answer.header(header::ALLOW).split(',').collect();
        methods.sort_unstable();
        assert_eq!(methods.join(","), allowed, "{path}");
    }
    let answer = get(&idle(), &format!("/v1/tests/{TEST_ID}/stop")).await;
    answer.problem(405);
    assert_eq!(answer.header(header::ALLOW), "POST");
}

#[tokio::test]
async fn health_follows_the_brain() {
    let fake = idle();
    assert_eq!(get(&fake, "/healthz").await.json(), json!({"status": "ok"}));
    fake.lock().out_of_order = Some(Problem::Unavailable("the store is full".into()));
    assert_eq!(get(&fake, "/healthz").await.problem(503)["detail"], "the store is full");
    assert_eq!(get(&fake, "/v1/drivers").await.problem(503)["detail"], "the store is full");
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let fake = idle();
    let body = r#"{"test_type": "AVALANCHE", "requests": 1}"#;
    let from = |origin: &str, host: &str| {
        let request = Request::post("/v1/tests").header(header::ORIGIN, origin).header(header::HOST, host);
        request.body(Body::from(body)).expect("a request")
    };
    for (origin, host) in [
        ("http://evil.example", "127.0.0.1:7400"),
        ("http://127.0.0.1:8080", "127.0.0.1:7400"),
        ("null", "127.0.0.1:7400"),
        ("", "127.0.0.1:7400"),
        ("https://127.0.0.1:7400", "127.0.0.1:7400"),
        ("http://127.0.0.1", "127.0.0.1:7400"),
        ("http://localhost:7400", "127.0.0.1:7400"),
        ("http://127.0.0.1:7400, http://evil", "127.0.0.1:7400"),
    ] {
        send(&fake, from(origin, host)).await.problem(403);
    }
    assert!(fake.lock().created.is_empty());
    assert_eq!(send(&fake, from("http://LocalHost:7400", "localhost:7400")).await.status, StatusCode::CREATED);
    // Reading is left to the browser, which shows foreign pages nothing: there are no CORS headers.
    assert_eq!(send(&fake, from("http://127.0.0.1", "127.0.0.1:80")).await.status, StatusCode::CREATED);
    for (site, status) in [("cross-site", 403), ("same-site", 201), ("same-origin", 201), ("none", 201)] {
        let mut request = from("http://127.0.0.1", "127.0.0.1");
        request.headers_mut().insert("sec-fetch-site", site.parse().expect("a value"));
        assert_eq!(send(&fake, request).await.status, status, "{site}");
    }
    let read = Request::get("/v1/tests").header(header::ORIGIN, "http://evil.example");
    let answer = send(&fake, read.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn nothing_is_served_under_a_name_of_somebody_else() {
    let fake = idle();
    for path in ["/", "/v1/tests", "/v1/drivers", "/metrics", "/healthz", "/openapi.json", "/docs/", "/nothing"] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE"] {
            let request = |uri: &str| Request::builder().method(method).uri(uri).header(header::HOST, "evil:7400");
            let answer = send(&fake, request(path).body(Body::empty()).expect("a request")).await;
            if method == "HEAD" {
                assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
                continue;
            }
            let problem = answer.problem(421);
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("--allow-host")), "{problem}");
        }
    }
    let body = || Body::from(r#"{"test_type": "AVALANCHE", "requests": 1}"#);
    let post = Request::post("/v1/tests").header(header::HOST, "evil:7400").header(header::ORIGIN, "http://evil:7400");
    send(&fake, post.body(body()).expect("a request")).await.problem(421);
    // The first line may name another server than the header, and the header may come twice.
    let absolute = Request::post("http://evil:7400/v1/tests").header(header::HOST, "127.0.0.1:7400");
    send(&fake, absolute.body(body()).expect("a request")).await.problem(421);
    let twice = Request::post("/v1/tests").header(header::HOST, "127.0.0.1:7400").header(header::HOST, "evil");
    send(&fake, twice.body(body()).expect("a request")).await.problem(400);
    assert!(fake.lock().created.is_empty());
    let absolute = Request::get("http://127.0.0.1:7400/healthz").body(Body::empty()).expect("a request");
    assert_eq!(send(&fake, absolute).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_description_lists_every_route() {
    let answer = get(&idle(), "/openapi.json").await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
    let description = answer.json();
    let mut routes = Vec::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("methods").keys() {
            routes.push(format!("{method} {path}"));
        }
    }
    routes.sort();
    assert_eq!(
        routes,
        [
            "delete /v1/sign-in",
            "delete /v1/tests/{id}",
            "get /healthz",
            "get /metrics",
            "get /openapi.json",
            "get /v1/compare",
            "get /v1/drivers",
            "get /v1/options",
            "get /v1/searches",
            "get /v1/searches/{id}",
            "get /v1/sign-in",
            "get /v1/tests",
            "get /v1/tests/{id}",
            "get /v1/tests/{id}/export",
            "get /v1/tests/{id}/histogram",
            "get /v1/tests/{id}/metrics",
            "get /v1/tests/{id}/report",
            "get /v1/tests/{id}/series",
            "get /v1/tests/{id}/stream",
            "patch /v1/tests/{id}",
            "post /v1/searches",
            "post /v1/searches/{id}/stop",
            "post /v1/sign-in",
            "post /v1/stop",
            "post /v1/tests",
            "post /v1/tests/import",
            "post /v1/tests/{id}/stop",
            "post /v1/tests/{id}/trigger",
        ]
    );
    let schemas = &description["components"]["schemas"];
    for name in [
        "NewTest",
        "ProblemBody",
        "FieldError",
        "TestView",
        "MetricsView",
        "SeriesView",
        "HistogramView",
        "CompareView",
        "DriverView",
    ] {
        assert!(schemas[name].is_object(), "{name} is not described");
    }
    assert_references_resolve(&description, &description);
    // Every described route exists.
    for route in routes {
        let (method, path) = route.split_once(' ').expect("two words");
        let request = Request::builder().method(method.to_uppercase().as_str()).uri(path.replace("{id}", "nobody"));
        let answer = send(&idle(), request.body(Body::empty()).expect("a request")).await;
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{route}");
        let nothing = answer.status == StatusCode::NOT_FOUND && !path.contains("{id}");
        assert!(!nothing, "{route}");
    }
}

fn assert_references_resolve(root: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').expect("a reference within the description");
                assert!(root.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|value| assert_references_resolve(root, value));
        }
        Value::Array(items) => items.iter().for_each(|item| assert_references_resolve(root, item)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_is_served_and_cached() {
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/?test=1", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/follow.js", "text/javascript; charset=utf-8"),
        ("/rest.js", "text/javascript; charset=utf-8"),
        ("/form.js", "text/javascript; charset=utf-8"),
        ("/result.js", "text/javascript; charset=utf-8"),
        ("/tables.js", "text/javascript; charset=utf-8"),
        ("/series.js", "text/javascript; charset=utf-8"),
        ("/charts.js", "text/javascript; charset=utf-8"),
        ("/figures.js", "text/javascript; charset=utf-8"),
        ("/sign_in.js", "text/javascript; charset=utf-8"),
        ("/assets/plotly.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/docs/", "text/html"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/docs/swagger-initializer.js", "text/javascript"),
    ] {
        let answer = get(&idle(), path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header(header::CONTENT_TYPE), content_type, "{path}");
        assert!(answer.header(header::CONTENT_SECURITY_POLICY).contains("script-src 'self';"), "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        let again = Request::get(path).header(header::IF_NONE_MATCH, answer.header(header::ETAG));
        let again = send(&idle(), again.body(Body::empty()).expect("a request")).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
    }
    assert_eq!(get(&idle(), "/docs").await.header(header::LOCATION), "/docs/");
    let start = get(&idle(), "/docs/swagger-initializer.js").await;
    let start = String::from_utf8_lossy(&start.body).into_owned();
    assert!(start.contains("/openapi.json") && !start.contains("petstore"), "{start}");
}

#[tokio::test]
async fn a_report_is_one_file_of_a_test_that_is_over() {
    let brain = Fake::new(TestState::Completed, 16);
    (0..3).for_each(|_| brain.seal_second());
    let answer = get(&brain, &format!("/v1/tests/{TEST_ID}/report")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!(answer.header(header::CONTENT_DISPOSITION), format!("inline; filename=\"{TEST_ID}.html\""));
    let policy = answer.header(header::CONTENT_SECURITY_POLICY);
    assert!(
        policy.contains("default-src 'none'; script-src 'sha256-") && policy.contains("sandbox allow-scripts"),
        "{policy}"
    );
    let html = String::from_utf8(answer.body.to_vec()).expect("a text");
    assert!(html.contains("\"start_s\":[0,1,2]") && html.contains("\"sent\":[100,100,100]"), "all seconds are in it");

    let running = get(&Fake::new(TestState::Running, 16), &format!("/v1/tests/{TEST_ID}/report")).await;
    assert_eq!(running.status, StatusCode::CONFLICT);
    assert!(String::from_utf8_lossy(&running.body).contains("is not over"));
    assert_eq!(get(&idle(), "/v1/tests/nobody/report").await.status, StatusCode::NOT_FOUND);
}
