//! Who may ask for what: every route, every role, and whoever has none.

use std::collections::BTreeSet;
use std::path::PathBuf;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use onrush_api::{TestState, TokenRole};
use serde_json::json;

use super::access::{COOKIE, ROUTES};
use super::assets;
use super::fake::{Fake, TEST_ID};
use super::tests::{Answer, get, idle, send_to};
use crate::access::Access;
use crate::actor::Actor;

/// One token for each role, which is also its owner's name.
struct Guarded {
    fake: Fake,
    access: Access,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

fn token(role: TokenRole) -> String {
    format!("the-token-of-the-role-{role}")
}

impl Guarded {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tokens");
        let lines = TokenRole::ALL.map(|role| format!("{role} {role} {}\n", token(role)));
        std::fs::write(&file, lines.concat()).expect("the folder can be written");
        let access = Access::by_file(file.clone()).expect("a list");
        // Streams of what is over end.
        Self { fake: Fake::new(TestState::Completed, 64), access, file, _folder: folder }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(header::HeaderName, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        send_to(&self.fake, &self.access, request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    async fn ask_as(&self, role: TokenRole, method: &str, path: &str) -> Answer {
        self.ask(method, path, &[(header::AUTHORIZATION, &format!("Bearer {}", token(role)))], "").await
    }

    async fn sign_in(&self, role: TokenRole) -> String {
        let answer = self.ask("POST", "/v1/sign-in", &[], &json!({"token": token(role)}).to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        answer.header(header::SET_COOKIE).split(';').next().expect("a cookie").to_owned()
    }
}

fn example(path: &str) -> String {
    path.replace("{id}", TEST_ID).replace("{*file}", "index.html")
}

/// A route that is served and not in the table, or in the table and not served, fails here.
#[tokio::test]
async fn the_table_has_every_route_and_nothing_else() {
    let described = get(&idle(), "/openapi.json").await.json();
    let mut served: BTreeSet<(String, String)> = BTreeSet::new();
    for (path, item) in described["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("methods").keys() {
            served.insert((method.to_uppercase(), path.clone()));
        }
    }
    let table: BTreeSet<_> = ROUTES.iter().map(|(method, path, _)| (method.to_string(), path.to_string())).collect();
    assert_eq!(served, table);
    assert_eq!(table.len(), ROUTES.len(), "none twice");
    // And whatever else answers is the page's.
    let open = Guarded::new();
    for path in assets::paths() {
        assert_eq!(
            open.ask("GET", &example(path), &[], "").await.status.as_u16() / 100,
            if path == "/docs" { 3 } else { 2 }
        );
        assert_eq!(open.ask("POST", &example(path), &[], "").await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

/// `ONRUSH_REWRITE=1` writes the table anew.
#[test]
fn the_document_has_the_table() {
    const HEAD: &str = "| route | scrape | view | control |\n| --- | --- | --- | --- |\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../SECURITY.md");
    let document = std::fs::read_to_string(path).expect("SECURITY.md");
    let (before, rest) = document.split_once(HEAD).expect("the table");
    let (_, after) = rest.split_once("\n\n").expect("the end of the table");
    let mark = |allowed: bool| if allowed { "yes" } else { "" };
    let row = |(method, path, needs): &(&str, &str, Option<TokenRole>)| match needs {
        None => format!("| `{method} {path}` | everybody | everybody | everybody |\n"),
        Some(needed) => {
            let [scrape, view, control] = TokenRole::ALL.map(|role| mark(role >= *needed));
            format!("| `{method} {path}` | {scrape} | {view} | {control} |\n")
        }
    };
    let right = format!("{before}{HEAD}{}\n{after}", ROUTES.iter().map(row).collect::<String>());
    if std::env::var_os("ONRUSH_REWRITE").is_some() {
        std::fs::write(path, &right).expect("SECURITY.md");
    } else {
        assert!(document == right, "SECURITY.md's table is not that of the routes; ONRUSH_REWRITE=1 writes it anew");
    }
}

#[tokio::test]
async fn every_route_is_open_to_the_roles_that_may_and_to_nobody_else() {
    let guarded = Guarded::new();
    for (method, path, needs) in ROUTES {
        let methods = if method == "GET" { &["GET", "HEAD"][..] } else { &[method] };
        for method in methods {
            let nobody = guarded.ask(method, &example(path), &[], "").await;
            let is_refused = |status: StatusCode| matches!(status.as_u16(), 401 | 403 | 429);
            let Some(needed) = needs else {
                assert!(!is_refused(nobody.status), "{method} {path}: {}", nobody.status);
                continue;
            };
            assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            for role in TokenRole::ALL {
                let answer = guarded.ask_as(role, method, &example(path)).await;
                if role >= needed {
                    assert!(!is_refused(answer.status), "{role} {method} {path}: {}", answer.status);
                } else {
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role} {method} {path}");
                }
            }
        }
    }
    assert!(guarded.fake.lock().created.is_empty());
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let guarded = Guarded::new();
    let nothing = guarded.ask("GET", "/v1/tests", &[], "").await;
    assert!(nothing.problem(401)["detail"].as_str().is_some_and(|detail| detail.contains("Authorization: Bearer")));
    assert_eq!(nothing.header(header::WWW_AUTHENTICATE), "Bearer realm=\"onrush\"");
    for wrong in [
        "Bearer nobody-has-this-token",
        "Bearer short",
        "Bearer",
        "Basic dXNlcjpwYXNzd29yZA==",
        &token(TokenRole::Control),
        &format!("Bearer {} x", token(TokenRole::Control)),
    ] {
        let answer = guarded.ask("GET", "/v1/tests", &[(header::AUTHORIZATION, wrong)], "").await;
        let problem = answer.problem(401);
        assert!(answer.header(header::WWW_AUTHENTICATE).ends_with("error=\"invalid_token\""), "{wrong}");
        assert!(
            !problem.to_string().contains("the-token-of") && !problem.to_string().contains("nobody-has"),
            "{problem}"
        );
    }
    let good = format!("bearer {}", token(TokenRole::View));
    let (first, second) = ((header::AUTHORIZATION, &*good), (header::AUTHORIZATION, "Bearer nobody-has-this-token"));
    assert_eq!(guarded.ask("GET", "/v1/tests", std::slice::from_ref(&first), "").await.status, StatusCode::OK);
    guarded.ask("GET", "/v1/tests", &[first, second], "").await.problem(401);
    let role = guarded.ask_as(TokenRole::View, "POST", "/v1/tests").await.problem(403);
    let detail = role["detail"].as_str().expect("words");
    assert!(detail.contains("the role control") && detail.contains("that of view has the role view"), "{detail}");
    // Nobody learns what there is by asking for it, but what there is not is said.
    guarded.ask("GET", "/nothing", &[], "").await.problem(404);
    guarded.ask("DELETE", "/v1/tests", &[], "").await.problem(401);
    guarded.ask_as(TokenRole::Control, "DELETE", "/v1/tests").await.problem(405);
}

#[tokio::test]
async fn whoever_guesses_has_to_wait_and_health_is_told_all_the_same() {
    let guarded = Guarded::new();
    for n in 0..10 {
        let guess = format!("Bearer a-guess-of-a-token-{n}");
        guarded.ask("GET", "/v1/tests", &[(header::AUTHORIZATION, &guess)], "").await.problem(401);
    }
    let answer = guarded.ask_as(TokenRole::Control, "GET", "/v1/tests").await;
    assert!(answer.problem(429)["detail"].as_str().is_some_and(|detail| detail.contains("seconds")));
    let retry_s: u64 = answer.header(header::RETRY_AFTER).parse().expect("a number");
    assert!((50..=60).contains(&retry_s), "{retry_s}");
    let body = json!({"token": token(TokenRole::View)}).to_string();
    guarded.ask("POST", "/v1/sign-in", &[], &body).await.problem(429);
    assert_eq!(guarded.ask_as(TokenRole::Control, "GET", "/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_browser_signs_in_sees_what_its_role_may_see_and_signs_out() {
    let guarded = Guarded::new();
    let state = async |cookie: &str| guarded.ask("GET", "/v1/sign-in", &[(header::COOKIE, cookie)], "").await.json();
    let nobody = json!({"needs_token": true, "name": null, "role": null});
    assert_eq!(state("theme=dark").await, nobody);
    let answer = guarded.ask("POST", "/v1/sign-in", &[], &json!({"token": token(TokenRole::View)}).to_string()).await;
    let set = answer.header(header::SET_COOKIE);
    assert!(set.starts_with(&format!("{COOKIE}=")), "{set}");
    for attribute in ["; Path=/", "; Max-Age=43200", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert_eq!(answer.json(), json!({"needs_token": true, "name": "view", "role": "view"}));
    let cookie = format!("theme=dark; {}", guarded.sign_in(TokenRole::View).await);
    assert_eq!(state(&cookie).await, answer.json());
    let by_cookie = [(header::COOKIE, &*cookie)];
    assert_eq!(guarded.ask("GET", "/v1/tests", &by_cookie, "").await.status, StatusCode::OK);
    guarded.ask("POST", "/v1/stop", &by_cookie, "").await.problem(403);
    // A page of another site makes no use of the cookie, were it sent.
    let strange = [(header::COOKIE, &*cookie), (header::ORIGIN, "http://evil.example")];
    guarded.ask("POST", "/v1/sign-in", &strange, "{}").await.problem(403);
    // The token leaves the file, and the sign-in ends with it.
    let other = guarded.sign_in(TokenRole::Control).await;
    let text = std::fs::read_to_string(&guarded.file).expect("the file");
    std::fs::write(&guarded.file, text.replace("view view", "# gone")).expect("the folder can be written");
    assert_eq!(guarded.access.reload().ok(), Some(2));
    let over = guarded.ask("GET", "/v1/tests", &by_cookie, "").await.problem(401);
    assert!(over["detail"].as_str().is_some_and(|detail| detail.contains("sign in again")), "{over}");
    assert_eq!(guarded.ask("GET", "/v1/tests", &[(header::COOKIE, &other)], "").await.status, StatusCode::OK);
    let out = guarded.ask("DELETE", "/v1/sign-in", &[(header::COOKIE, &other)], "").await;
    assert!(out.header(header::SET_COOKIE).starts_with(&format!("{COOKIE}=; ")) && out.json() == nobody);
    guarded.ask("GET", "/v1/tests", &[(header::COOKIE, &other)], "").await.problem(401);
    for (body, field) in
        [(json!({}), "token"), (json!({"token": 5}), "token"), (json!({"token": "x".repeat(30), "a": 1}), "a")]
    {
        let problem = guarded.ask("POST", "/v1/sign-in", &[], &body.to_string()).await.problem(422);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
}

#[tokio::test]
async fn what_is_done_is_done_in_the_name_of_the_token() {
    let guarded = Guarded::new();
    let named = |role: TokenRole| Actor::named(role.name().into());
    for path in [format!("/v1/tests/{TEST_ID}/stop"), "/v1/stop".to_owned()] {
        guarded.fake.lock().actor = Actor::NOBODY;
        assert_eq!(guarded.ask_as(TokenRole::Control, "POST", &path).await.status, StatusCode::ACCEPTED);
        assert_eq!(guarded.fake.lock().actor, named(TokenRole::Control), "{path}");
    }
    let cookie = guarded.sign_in(TokenRole::Control).await;
    guarded.fake.lock().actor = Actor::NOBODY;
    let body = r#"{"test_type": "AVALANCHE", "requests": 1}"#;
    assert_eq!(guarded.ask("POST", "/v1/tests", &[(header::COOKIE, &cookie)], body).await.status, StatusCode::CREATED);
    assert_eq!(guarded.fake.lock().actor, named(TokenRole::Control));
}

#[tokio::test]
async fn the_description_names_the_schemes_and_says_where_they_are_needed() {
    let guarded = Guarded::new();
    let with = guarded.ask_as(TokenRole::View, "GET", "/openapi.json").await.json();
    let without = get(&idle(), "/openapi.json").await.json();
    for (method, path, needs) in ROUTES {
        let operation = |description: &serde_json::Value| description["paths"][path][method.to_lowercase()].clone();
        let (with, without) = (operation(&with), operation(&without));
        assert_eq!(without["security"], json!(null), "{path}: nobody needs a token there");
        let expected = needs.map(|_| json!([{"token": []}, {"cookie": []}])).unwrap_or_default();
        assert_eq!((&with["security"], &with["x-role"]), (&expected, &json!(needs)), "{path}");
        assert_eq!(with["responses"]["429"].is_object(), needs.is_some() || method == "POST", "{path}");
    }
    for description in [with, without] {
        assert_eq!(description["components"]["securitySchemes"]["token"]["scheme"], "bearer");
        assert_eq!(description["components"]["securitySchemes"]["cookie"]["name"], COOKIE);
    }
}
