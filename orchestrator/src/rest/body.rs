//! Reads a request's body as a JSON object, whatever its content type says (`curl -d` calls it a form).

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};
use tokio_stream::StreamExt;

use super::problem::Failure;

/// A body has at most this many bytes; that is also what one request may hold in memory.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// A larger body is read and thrown away up to here: a client that is cut off while it sends often sees a
/// broken connection instead of the answer.
const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;
/// A client that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(30);

const EXAMPLE: &str = r#"{"test_type": "AVALANCHE", "target_url": "http://127.0.0.1:8080/ping", "requests": 1000}"#;

/// The body as a JSON object.
pub(super) async fn json_object(request: Request) -> Result<Map<String, Value>, Failure> {
    let bytes = tokio::time::timeout(TIMEOUT, bytes(request)).await.map_err(|_| {
        let detail = format!("the body did not arrive within {TIMEOUT:?}");
        Failure::new(StatusCode::REQUEST_TIMEOUT, detail)
    })??;
    let bad = |detail: String| Failure::new(StatusCode::BAD_REQUEST, detail);
    if bytes.trim_ascii().is_empty() {
        return Err(bad(format!("the body is empty; send a JSON object such as {EXAMPLE}")));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(bad(format!("the body is {}; send a JSON object such as {EXAMPLE}", kind(&other)))),
        // The error ends in the line and the column.
        Err(e) => Err(bad(format!("the body is not JSON: {e}"))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

async fn bytes(request: Request) -> Result<Vec<u8>, Failure> {
    let (parts, body) = request.into_parts();
    let waits_for_our_word = parts.headers.contains_key(header::EXPECT);
    let announced = content_length(&parts.headers);
    if waits_for_our_word && announced.is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    read(body).await
}

async fn read(body: Body) -> Result<Vec<u8>, Failure> {
    let mut chunks = body.into_data_stream();
    let mut kept = Vec::new();
    let mut received: usize = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| {
            Failure::new(StatusCode::BAD_REQUEST, format!("the body broke off after {received} bytes: {e}"))
        })?;
        received += chunk.len();
        if received <= MAX_BODY_BYTES {
            kept.extend_from_slice(&chunk);
        } else if received > MAX_DISCARDED_BYTES {
            break;
        } else {
            kept = Vec::new();
        }
    }
    if received > MAX_BODY_BYTES { Err(too_large()) } else { Ok(kept) }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Failure {
    let detail = format!("the body is too large; at most {MAX_BODY_BYTES} bytes are read");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}
