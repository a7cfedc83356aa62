//! Reads a request's body as a JSON object, whatever its content type says (`curl -d` calls it a form).

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_stream::StreamExt;

use super::problem::{Failure, FieldError, FieldErrors};
use super::strict_json::{self, JsonError};

/// A body has at most this many bytes; that is also what one request may hold in memory.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// A larger body is read and thrown away up to here: a client that is cut off while it sends often sees a
/// broken connection instead of the answer.
const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;
/// A client that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What all bodies together may hold in memory.
const MAX_ALL_BODIES_BYTES: usize = 32 * MAX_BODY_BYTES;
/// Bodies that are taken apart at once: as values they take many times their length, and all of a CPU.
const READERS: usize = 2;

static ROOM: Semaphore = Semaphore::const_new(MAX_ALL_BODIES_BYTES);
static READING: Semaphore = Semaphore::const_new(READERS);

const EXAMPLE: &str = r#"{"test_type": "AVALANCHE", "target_url": "http://127.0.0.1:8080/ping", "requests": 1000}"#;

/// What `read` makes of the JSON object in the body.
pub(super) async fn json_object<T: Send + 'static>(
    request: Request,
    read: impl FnOnce(&Map<String, Value>) -> Result<T, FieldErrors> + Send + 'static,
) -> Result<T, Failure> {
    let kept = tokio::time::timeout(TIMEOUT, bytes(request)).await.map_err(|_| {
        let detail = format!("the body did not arrive within {TIMEOUT:?}");
        Failure::new(StatusCode::REQUEST_TIMEOUT, detail)
    })??;
    let ended = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the orchestrator is ending");
    let turn = READING.acquire().await.map_err(|_| ended())?;
    let work = move || {
        let read = object(&kept.bytes).and_then(|fields| read(&fields).map_err(Failure::fields));
        drop((kept, turn));
        read
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| ended())?
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, Failure> {
    let bad = |detail: String| Failure::new(StatusCode::BAD_REQUEST, detail);
    if bytes.trim_ascii().is_empty() {
        return Err(bad(format!("the body is empty; send a JSON object such as {EXAMPLE}")));
    }
    match strict_json::read(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(bad(format!("the body is {}; send a JSON object such as {EXAMPLE}", kind(&other)))),
        Err(JsonError::NotJson(error)) => Err(bad(format!("the body is not JSON: {error}"))),
        Err(JsonError::Duplicate { key, line, column }) => {
            let mut errors = FieldErrors::default();
            let problem = format!("is given twice in one object, again at line {line} column {column}; give it once");
            errors.push(|| FieldError::new(key, problem));
            Err(Failure::fields(errors))
        }
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

/// What is kept of a body, and its share of the room for all bodies.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    room: Option<SemaphorePermit<'static>>,
}

impl Kept {
    fn push(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        let busy = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "too many bodies arrive at once; try again");
        let bytes = u32::try_from(chunk.len()).map_err(|_| too_large())?;
        let room = ROOM.try_acquire_many(bytes).map_err(|_| busy())?;
        match &mut self.room {
            Some(own) => own.merge(room),
            none => *none = Some(room),
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

async fn bytes(request: Request) -> Result<Kept, Failure> {
    let (parts, body) = request.into_parts();
    let waits_for_our_word = parts.headers.contains_key(header::EXPECT);
    let announced = content_length(&parts.headers);
    if waits_for_our_word && announced.is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    read(body).await
}

async fn read(body: Body) -> Result<Kept, Failure> {
    let mut chunks = body.into_data_stream();
    let mut kept = Kept::default();
    let mut received: usize = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| {
            Failure::new(StatusCode::BAD_REQUEST, format!("the body broke off after {received} bytes: {e}"))
        })?;
        received += chunk.len();
        if received <= MAX_BODY_BYTES {
            kept.push(&chunk)?;
        } else if received > MAX_DISCARDED_BYTES {
            break;
        } else {
            kept = Kept::default();
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
