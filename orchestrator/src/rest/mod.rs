//! REST: reads what clients ask, asks the brain, writes its answers. It refuses to know how a test runs.
//!
//! Reading order: [`routes`] and [`search_routes`] (what can be asked), [`access`] and [`sign_in`] (by whom), [`fields`], [`creation`], [`change`] and [`search`] (the bodies),
//! [`problem`] (every error), [`stream`] (server-sent events), [`guard`] (what browsers may do), [`assets`] (the
//! page and the API's description for people).

#[cfg(test)]
mod accepted_tests;
mod access;
#[cfg(test)]
mod access_tests;
mod api;
mod assets;
mod body;
mod change;
mod compare;
#[cfg(test)]
mod compare_tests;
mod creation;
mod events;
mod export;
#[cfg(test)]
mod fake;
mod fields;
mod guard;
mod hosts;
mod import;
#[cfg(test)]
#[path = "../../../tests/suite/made.rs"]
mod made;
mod openapi;
mod problem;
mod query;
mod report;
mod room;
mod routes;
mod search;
mod search_routes;
mod sign_in;
mod stream;
#[cfg(test)]
mod stream_tests;
mod strict_json;
#[cfg(test)]
mod tests;

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use axum::{Extension, Router};
use onrush_protocol::options::people::short;

use self::api::Api;
pub(crate) use self::hosts::Hosts;
use self::problem::{Failure, MAX_NAME_CHARS};
use self::room::Rooms;
use crate::Handle;
use crate::access::Access;

pub use self::hosts::allowed_host;

/// Everything that the orchestrator serves by HTTP, to those who may have it and ask for it by one of these names.
pub(crate) fn router(handle: Handle, hosts: Hosts, access: Access) -> Router {
    router_for(handle, hosts, access)
}

fn router_for<A: Api>(api: A, hosts: Hosts, access: Access) -> Router {
    Router::new()
        .route("/v1/tests", get(routes::list_tests::<A>).post(routes::create_test::<A>))
        .route(
            "/v1/tests/{id}",
            get(routes::show_test::<A>).patch(routes::change_test::<A>).delete(routes::delete_test::<A>),
        )
        .route("/v1/tests/{id}/trigger", post(routes::trigger_test::<A>))
        .route("/v1/tests/{id}/stop", post(routes::stop_test::<A>))
        .route("/v1/stop", post(routes::stop_all::<A>))
        .route("/v1/tests/{id}/metrics", get(routes::metrics::<A>))
        .route("/v1/tests/{id}/series", get(routes::series::<A>))
        .route("/v1/tests/{id}/histogram", get(routes::histogram::<A>))
        .route("/v1/tests/import", post(import::import::<A>))
        .route("/v1/tests/{id}/export", get(export::export::<A>))
        .route("/v1/tests/{id}/report", get(report::report::<A>))
        .route("/v1/tests/{id}/stream", get(stream::stream::<A>))
        .route("/v1/searches", get(search_routes::list_searches::<A>).post(search_routes::create_search::<A>))
        .route("/v1/searches/{id}", get(search_routes::show_search::<A>))
        .route("/v1/searches/{id}/stop", post(search_routes::stop_search::<A>))
        .route("/v1/compare", get(compare::compare::<A>))
        .route("/v1/options", get(routes::list_options))
        .route("/v1/drivers", get(routes::list_drivers::<A>))
        .route("/v1/sign-in", get(sign_in::who).post(sign_in::sign_in).delete(sign_in::sign_out))
        .route("/healthz", get(routes::health::<A>))
        .route("/metrics", get(routes::exposition::<A>))
        .route("/openapi.json", get(openapi::serve))
        .merge(assets::router())
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
        .layer(DefaultBodyLimit::disable()) // `body` has a limit of its own, which answers in words.
        .layer(Extension(Rooms::new()))
        .layer(Extension(export::Exports::new()))
        .layer(Extension(access.clone()))
        .layer(from_fn_with_state(access, access::check))
        .layer(from_fn(guard::not_too_many))
        .layer(from_fn(guard::same_origin))
        .layer(from_fn_with_state(hosts, guard::known_host))
        .layer(from_fn(problem::render))
        .layer(from_fn(guard::headers))
}

async fn nothing_here(uri: Uri) -> Failure {
    let detail = format!("there is nothing at {}; /docs describes what there is", short(uri.path(), MAX_NAME_CHARS));
    Failure::new(StatusCode::NOT_FOUND, detail)
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    let (path, method) = (short(uri.path(), MAX_NAME_CHARS), short(method.as_str(), MAX_NAME_CHARS));
    let detail = format!("{path} cannot be asked by {method}; the Allow header says by what");
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
