//! What people see in a browser: the page at `/` and the API's browsable description at `/docs`. Everything is
//! embedded; nothing comes from elsewhere.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use super::problem::Failure;

const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The viewer sets styles from its script and draws icons from data URLs.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// The page and the description.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|h: HeaderMap| async move { file(&h, HTML, include_str!("../page/index.html")) }))
        .route("/app.js", get(|h: HeaderMap| async move { file(&h, SCRIPT, include_str!("../page/app.js")) }))
        .route("/form.js", get(|h: HeaderMap| async move { file(&h, SCRIPT, include_str!("../page/form.js")) }))
        .route("/tables.js", get(|h: HeaderMap| async move { file(&h, SCRIPT, include_str!("../page/tables.js")) }))
        .route("/style.css", get(|h: HeaderMap| async move { file(&h, STYLE, include_str!("../page/style.css")) }))
        .route("/icon.svg", get(|h: HeaderMap| async move { file(&h, ICON, include_str!("../page/icon.svg")) }))
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(|h: HeaderMap| async move { docs(&h, "") }))
        .route("/docs/{*file}", get(|h: HeaderMap, Path(file): Path<String>| async move { docs(&h, &file) }))
}

fn file(request: &HeaderMap, content_type: &str, text: &'static str) -> Response {
    embedded(request, content_type, PAGE_POLICY, text.as_bytes())
}

fn docs(request: &HeaderMap, path: &str) -> Response {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        // Without this, the viewer would ask a public service whether the description is valid.
        Arc::new(Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true))
    });
    match utoipa_swagger_ui::serve(path, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => embedded(request, &file.content_type, DOCS_POLICY, &file.bytes),
        Ok(None) => Failure::new(StatusCode::NOT_FOUND, "there is no such file; open /docs/").into_response(),
        Err(e) => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// An embedded file: browsers ask each time whether theirs is still the one (a new version must not meet an old script).
fn embedded(request: &HeaderMap, content_type: &str, policy: &'static str, bytes: &[u8]) -> Response {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let known = request.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let fresh = known.is_some_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy.to_owned()),
    ];
    if fresh {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, bytes.to_vec()).into_response()
}
