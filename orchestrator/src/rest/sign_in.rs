//! How a browser signs in: a token is sent once, and a cookie that scripts cannot read stands for it from then on.

use std::time::Instant;

use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use onrush_api::{SignInView, Token};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::access::{COOKIE, cookie, refusal};
use super::body::json_object;
use super::problem::{Failure, FieldError, FieldErrors, ProblemBody};
use crate::access::{Access, Caller, Credential, SIGN_IN_LENGTH};
use crate::serve::Peer;

const TOKEN: &str = "token";

/// A browser signs in.
#[derive(Deserialize, ToSchema)]
#[schema(as = SignIn)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it describes the body; `parse` reads it")]
pub(super) struct SignInBody {
    /// A token that the orchestrator knows.
    #[schema(
        min_length = 20,
        max_length = 512,
        pattern = "^[A-Za-z0-9._~+/=-]+$",
        example = "onrush_0123456789abcdef"
    )]
    token: String,
}

/// Sign in
///
/// For browsers: the answer sets a cookie that stands for the token for 12 hours. Programs send the token with each request. Where
/// no token is needed, nothing is looked at and no cookie is set.
#[utoipa::path(
    post, path = "/v1/sign-in", tag = "service",
    request_body(content = SignInBody, content_type = "application/json"),
    responses(
        (status = 200, description = "Who is signed in", body = SignInView, headers(("set-cookie" = String, description = "The cookie"))),
        (status = 400, description = "The body is not a JSON object", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The token is not known", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body has more than 1 MiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong: all of them are named", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong tokens came from this address", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn sign_in(Extension(access): Extension<Access>, request: Request) -> Result<Response, Failure> {
    let from = Peer::of(request.extensions());
    let token = json_object(request, parse).await?;
    if !access.needs_token() {
        return Ok(Json(SignInView::default()).into_response());
    }
    let signed_in = access.sign_in(&token, from, Instant::now()).map_err(|error| {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("the system gives no random bytes for a cookie: {error}"))
    })?;
    let (caller, secret) = match signed_in {
        Ok(signed_in) => signed_in,
        Err(unknown) => return Ok(refusal(Some(unknown))),
    };
    tracing::info!(name = &*caller.name, role = caller.role.name(), "a browser signed in");
    Ok((set_cookie(&secret, SIGN_IN_LENGTH.as_secs()), Json(view(Some(caller)))).into_response())
}

/// Who is signed in
#[utoipa::path(
    get, path = "/v1/sign-in", tag = "service",
    responses((status = 200, description = "Who is signed in by the cookie, if anybody is", body = SignInView))
)]
pub(super) async fn who(Extension(access): Extension<Access>, request: Request) -> Json<SignInView> {
    if !access.needs_token() {
        return Json(SignInView::default());
    }
    let from = Peer::of(request.extensions());
    let known = |cookie| access.caller(&Credential::Cookie(cookie), from, Instant::now()).ok();
    Json(view(cookie(request.headers()).and_then(known)))
}

/// Sign out
///
/// The browser's cookie stands for nothing any more.
#[utoipa::path(
    delete, path = "/v1/sign-in", tag = "service",
    responses(
        (status = 200, description = "Nobody is signed in", body = SignInView, headers(("set-cookie" = String, description = "Takes the cookie away"))),
        (status = 403, description = "A page of another origin asked", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn sign_out(Extension(access): Extension<Access>, headers: HeaderMap) -> Response {
    if let Some(cookie) = cookie(&headers) {
        access.sign_out(&cookie);
    }
    let nobody = SignInView { needs_token: access.needs_token(), ..SignInView::default() };
    (set_cookie("", 0), Json(nobody)).into_response()
}

fn view(caller: Option<Caller>) -> SignInView {
    let (name, role) = caller.map(|Caller { name, role }| (name.to_string(), role)).unzip();
    SignInView { needs_token: true, name, role }
}

/// No script can read it, and no page of another site makes the browser send it.
fn set_cookie(secret: &str, length_s: u64) -> [(HeaderName, String); 1] {
    let cookie = format!("{COOKIE}={secret}; Path=/; Max-Age={length_s}; HttpOnly; SameSite=Strict");
    [(header::SET_COOKIE, cookie)]
}

fn parse(fields: &Map<String, Value>) -> Result<Token, FieldErrors> {
    let mut errors = FieldErrors::default();
    let mut wrong = |field: &str, problem: &str| errors.push(|| FieldError::new(field, problem));
    for unknown in fields.keys().filter(|key| *key != TOKEN) {
        wrong(unknown, "is an unknown field; there is token");
    }
    let token = match fields.get(TOKEN) {
        Some(Value::String(text)) => Token::read(text),
        Some(_) => Err("is not a string".to_owned()),
        None => Err("is missing".to_owned()),
    };
    let token = token.map_err(|problem| wrong(TOKEN, &problem));
    token.ok().filter(|_| errors.is_empty()).ok_or(errors)
}
