//! What people see in a browser: the page at `/` and the API's browsable description at `/docs`. Everything is
//! embedded; nothing comes from elsewhere. The page's chart library is a dependency: see `build.rs`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use super::problem::Failure;
use crate::report_file::LIBRARY_GZIP;

/// The chart library looks, by an image in a data URL, what the browser can show.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The viewer sets styles from its script and draws icons from data URLs.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// What the page at `/` is made of: path, type and text.
const PAGE: [(&str, &str, &str); 15] = [
    ("/", HTML, include_str!("../page/index.html")),
    ("/style.css", STYLE, include_str!("../page/style.css")),
    ("/icon.svg", ICON, include_str!("../page/icon.svg")),
    ("/app.js", SCRIPT, include_str!("../page/app.js")),
    ("/follow.js", SCRIPT, include_str!("../page/follow.js")),
    ("/rest.js", SCRIPT, include_str!("../page/rest.js")),
    ("/form.js", SCRIPT, include_str!("../page/form.js")),
    ("/tables.js", SCRIPT, include_str!("../page/tables.js")),
    ("/result.js", SCRIPT, include_str!("../page/result.js")),
    ("/series.js", SCRIPT, include_str!("../page/series.js")),
    ("/charts.js", SCRIPT, include_str!("../page/charts.js")),
    ("/figures.js", SCRIPT, include_str!("../page/figures.js")),
    ("/sign_in.js", SCRIPT, include_str!("../page/sign_in.js")),
    ("/search.js", SCRIPT, include_str!("../page/search.js")),
    ("/curve.js", SCRIPT, include_str!("../page/curve.js")),
];
const LIBRARY: &str = "/assets/plotly.js";
const DOCS: &str = "/docs";
const DOCS_INDEX: &str = "/docs/";
const DOCS_FILE: &str = "/docs/{*file}";

/// Every path of what people see.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    PAGE.into_iter().map(|(path, _, _)| path).chain([LIBRARY, DOCS, DOCS_INDEX, DOCS_FILE])
}

/// The page and the description.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = PAGE.into_iter().fold(Router::new(), |router, (path, content_type, text)| {
        let bytes = Bytes::from_static(text.as_bytes());
        router.route(path, get(move |h: HeaderMap| async move { embedded(&h, content_type, PAGE_POLICY, bytes) }))
    });
    page.route(LIBRARY, get(|h: HeaderMap| async move { library(&h) }))
        .route(DOCS, get(|| async { Redirect::permanent(DOCS_INDEX) }))
        .route(DOCS_INDEX, get(|h: HeaderMap| async move { docs(&h, "") }))
        .route(DOCS_FILE, get(|h: HeaderMap, Path(file): Path<String>| async move { docs(&h, &file) }))
}

/// Packed, whatever the client says: it is for browsers, and each of them unpacks it.
fn library(request: &HeaderMap) -> Response {
    let mut response = embedded(request, SCRIPT, PAGE_POLICY, Bytes::from_static(LIBRARY_GZIP));
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

fn docs(request: &HeaderMap, path: &str) -> Response {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        // Without this, the viewer would ask a public service whether the description is valid.
        Arc::new(Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true))
    });
    match utoipa_swagger_ui::serve(path, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => embedded(request, &file.content_type, DOCS_POLICY, file.bytes.into_owned().into()),
        Ok(None) => Failure::new(StatusCode::NOT_FOUND, "there is no such file; open /docs/").into_response(),
        Err(e) => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// An embedded file: browsers ask each time whether theirs is still the one (a new version must not meet an old script).
fn embedded(request: &HeaderMap, content_type: &str, policy: &'static str, bytes: Bytes) -> Response {
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
    (headers, bytes).into_response()
}
