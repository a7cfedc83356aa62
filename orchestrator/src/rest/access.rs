//! Which role each route needs, and whether whoever asks has it.

use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use onrush_api::{Token, TokenRole};

use super::api::Api;
use super::problem::Failure;
use crate::access::{Access, Caller, Credential, Unknown};
use crate::actor::Actor;
use crate::serve::Peer;

/// The cookie of a browser that is signed in.
pub(super) const COOKIE: &str = "onrush_sign_in";
const SCHEME: &str = "Bearer";

/// What a route needs: a role, or nothing.
pub(super) type Needs = Option<TokenRole>;

const OPEN: Needs = None;
const SCRAPE: Needs = Some(TokenRole::Scrape);
const VIEW: Needs = Some(TokenRole::View);
const CONTROL: Needs = Some(TokenRole::Control);

/// Every route with what it needs. One that is missing here needs `control`.
pub(super) const ROUTES: [(&str, &str, Needs); 28] = [
    ("GET", "/healthz", OPEN),
    ("GET", "/metrics", SCRAPE),
    ("GET", "/openapi.json", VIEW),
    ("GET", "/v1/sign-in", OPEN),
    ("POST", "/v1/sign-in", OPEN),
    ("DELETE", "/v1/sign-in", OPEN),
    ("GET", "/v1/tests", VIEW),
    ("POST", "/v1/tests", CONTROL),
    ("GET", "/v1/tests/{id}", VIEW),
    ("PATCH", "/v1/tests/{id}", CONTROL),
    ("DELETE", "/v1/tests/{id}", CONTROL),
    ("POST", "/v1/tests/import", CONTROL),
    ("POST", "/v1/tests/{id}/trigger", CONTROL),
    ("POST", "/v1/tests/{id}/stop", CONTROL),
    ("POST", "/v1/stop", CONTROL),
    ("GET", "/v1/tests/{id}/metrics", VIEW),
    ("GET", "/v1/tests/{id}/series", VIEW),
    ("GET", "/v1/tests/{id}/histogram", VIEW),
    ("GET", "/v1/tests/{id}/export", VIEW),
    ("GET", "/v1/tests/{id}/report", VIEW),
    ("GET", "/v1/tests/{id}/stream", VIEW),
    ("GET", "/v1/searches", VIEW),
    ("POST", "/v1/searches", CONTROL),
    ("GET", "/v1/searches/{id}", VIEW),
    ("POST", "/v1/searches/{id}/stop", CONTROL),
    ("GET", "/v1/compare", VIEW),
    ("GET", "/v1/options", VIEW),
    ("GET", "/v1/drivers", VIEW),
];

/// What a request of this route needs; those that ask for a head ask for what they would get.
fn needs(method: &Method, path: &str) -> Needs {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let route = ROUTES.iter().find(|(m, p, _)| *m == method && *p == path);
    // The page and the viewer of the API's description are the same for everybody, and needed for signing in.
    let is_asset = || method == "GET" && super::assets::paths().any(|asset| asset == path);
    match route {
        Some((_, _, needs)) => *needs,
        None if is_asset() => OPEN,
        None => CONTROL,
    }
}

/// What a route of the API's description needs; its methods are in lower case.
pub(super) fn described_needs(method: &str, path: &str) -> Needs {
    method.to_ascii_uppercase().parse().map_or(CONTROL, |method: Method| needs(&method, path))
}

/// Serves only those who may ask for what they ask for, and notes who they are.
pub(super) async fn check(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    // Where there is no such path, there is nothing to protect.
    let path = request.extensions().get::<MatchedPath>().filter(|_| access.needs_token());
    if let Some(role) = path.and_then(|path| needs(request.method(), path.as_str())) {
        match allowed(&access, &request, role) {
            Ok(caller) => _ = request.extensions_mut().insert(Actor::named(caller.name)),
            Err(not_allowed) => return not_allowed.into_response(),
        }
    }
    next.run(request).await
}

/// Why a request is not served.
enum NotAllowed {
    /// Nobody knows who asks; `None`: nothing was shown.
    Unknown(Option<Unknown>),
    /// The role of the caller is not enough for what needs that one.
    Role(Caller, TokenRole),
}

fn allowed(access: &Access, request: &Request, needed: TokenRole) -> Result<Caller, NotAllowed> {
    let credential = credential(request.headers()).ok_or(NotAllowed::Unknown(None))?;
    let from = Peer::of(request.extensions());
    let caller = access.caller(&credential, from, Instant::now());
    let caller = caller.map_err(|unknown| NotAllowed::Unknown(Some(unknown)))?;
    if caller.role >= needed { Ok(caller) } else { Err(NotAllowed::Role(caller, needed)) }
}

impl IntoResponse for NotAllowed {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown(unknown) => refusal(unknown),
            Self::Role(Caller { name, role }, needed) => {
                let detail = format!(
                    "this needs a token of the role {needed}, and that of {name} has the role {role}; ask whoever runs the \
                     orchestrator for another"
                );
                Failure::new(StatusCode::FORBIDDEN, detail).into_response()
            }
        }
    }
}

/// What a request shows of its sender: a token, else the cookie of a browser.
fn credential(headers: &HeaderMap) -> Option<Credential> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => cookie(headers).map(Credential::Cookie),
        (Some(value), None) => Some(Credential::Token(bearer(value))),
        (Some(_), Some(_)) => Some(Credential::Token(None)),
    }
}

fn bearer(value: &HeaderValue) -> Option<Token> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| Token::read(token).ok())?
}

/// The cookie that a browser got when it signed in.
pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// Why somebody is not served; `None`: nothing was shown.
pub(super) fn refusal(unknown: Option<Unknown>) -> Response {
    let (status, detail) = match unknown {
        None => (
            StatusCode::UNAUTHORIZED,
            "this orchestrator wants a token: send \"Authorization: Bearer TOKEN\", or sign in on its page".to_owned(),
        ),
        Some(Unknown::WrongToken) => (
            StatusCode::UNAUTHORIZED,
            "this orchestrator does not know that token; it may have been taken out of the token file, or be mistyped"
                .to_owned(),
        ),
        Some(Unknown::SignedOut) => {
            (StatusCode::UNAUTHORIZED, "the sign-in is over; sign in again on the page".to_owned())
        }
        Some(Unknown::TooManyWrong(wait)) => {
            let wait_s = whole_seconds(wait);
            let detail = format!(
                "too many wrong tokens came from this address; no token of it is looked at for another {wait_s} seconds"
            );
            (StatusCode::TOO_MANY_REQUESTS, detail)
        }
    };
    let mut response = Failure::new(status, detail).into_response();
    let headers = response.headers_mut();
    match unknown {
        None | Some(Unknown::SignedOut) => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"onrush\""));
        }
        Some(Unknown::WrongToken) => {
            let wrong = HeaderValue::from_static("Bearer realm=\"onrush\", error=\"invalid_token\"");
            headers.insert(header::WWW_AUTHENTICATE, wrong);
        }
        Some(Unknown::TooManyWrong(wait)) => {
            headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
    }
    response
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The brain, asked in the name of whoever sent the request.
pub(super) struct Acting<A>(pub A);

impl<A: Api> FromRequestParts<A> for Acting<A> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &A) -> Result<Self, Self::Rejection> {
        let actor = parts.extensions.get::<Actor>().cloned().unwrap_or_default();
        Ok(Self(api.acting(actor)))
    }
}
