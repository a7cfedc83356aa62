//! What browsers may do: pages of other origins change nothing here, and no answer runs as something it is not.

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use onrush_protocol::options::people::short;

use super::hosts::Hosts;
use super::problem::{Failure, MAX_NAME_CHARS};
use super::room::busy;
use crate::serve::OneTooMany;

/// Serves only those who ask for this orchestrator by an address or a name of its own.
pub(super) async fn known_host(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match foreign_host(&hosts, &request) {
        None => next.run(request).await,
        Some(failure) => failure.into_response(),
    }
}

fn foreign_host(hosts: &Hosts, request: &Request) -> Option<Failure> {
    let bad = |detail: &str| Some(Failure::new(StatusCode::BAD_REQUEST, detail));
    let mut given = request.headers().get_all(header::HOST).iter();
    let header = match (given.next(), given.next()) {
        (Some(host), None) => Some(String::from_utf8_lossy(host.as_bytes()).into_owned()),
        (Some(_), Some(_)) => return bad("the request has several Host headers; send one"),
        // No browser speaks this version.
        (None, _) if request.version() == Version::HTTP_10 => None,
        (None, _) => return bad("the request has no Host header; send one"),
    };
    // A request may also name its server in the first line.
    let in_line = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let foreign = header.into_iter().chain(in_line).find(|host| !hosts.allow(host))?;
    let name = short(&foreign, MAX_NAME_CHARS);
    let detail = format!(
        "this orchestrator is not known as {name:?}; ask it by its address, or start it with --allow-host and that name \
         (without the port)"
    );
    Some(Failure::new(StatusCode::MISDIRECTED_REQUEST, detail))
}

/// Refuses what a page of another origin asks to change: whoever has this orchestrator open in a browser
/// also visits other sites. Programs send neither of these headers and are not concerned.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    let changes_nothing = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes_nothing || is_own_page(request.headers()) {
        return next.run(request).await;
    }
    let detail = "a page of another origin asked for this; open the orchestrator's own page, or use a program";
    Failure::new(StatusCode::FORBIDDEN, detail).into_response()
}

fn is_own_page(headers: &HeaderMap) -> bool {
    let cross_site = headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    !cross_site && headers.get_all(header::ORIGIN).iter().all(|origin| is_own(origin, host))
}

/// Whether an origin is `http://` and the host and port by which this server was asked.
fn is_own(origin: &HeaderValue, host: Option<&str>) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    let (Some(origin), Some(host)) = (origin, host) else { return false };
    let plain = |authority: &str| authority.strip_suffix(":80").unwrap_or(authority).to_ascii_lowercase();
    plain(origin) == plain(host)
}

/// Answers only whether the orchestrator works, where so many requests are served that this is one too many.
pub(super) async fn not_too_many(request: Request, next: Next) -> Response {
    if request.extensions().get::<OneTooMany>().is_none() || request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    busy("too many requests are served at once; try again in a few seconds").into_response()
}

/// Headers of every answer that does not set its own.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
