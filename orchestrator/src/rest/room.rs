//! The memory for what is on its way to clients: whoever reads slowly keeps his answer waiting here, and there is no more of
//! it than this, however many they are.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Failure;

/// For answers, and as much again for the events of streams: neither keeps the other waiting.
const ROOM_BYTES: usize = 48 * 1024 * 1024;
/// Put aside for an answer before it is made: a page, and what is not counted of it.
const CLAIM_BYTES: usize = 5 * 1024 * 1024;
/// How long an answer waits for room before it is refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// Room is counted in these.
const UNIT_BYTES: usize = 1024;
/// Streams that are open at once.
pub(super) const MAX_STREAMS: usize = 256;
/// Streams that begin at once: each holds a whole test for a moment.
const MAX_OPENING: usize = 8;

/// What the routes share.
#[derive(Clone)]
pub(super) struct Rooms {
    /// For answers.
    pub answers: Room,
    /// For events of streams.
    pub events: Room,
    /// One for each stream that may be open.
    pub streams: Arc<Semaphore>,
    /// One for each stream that may begin.
    pub opening: Arc<Semaphore>,
    /// One for the run that is being imported.
    pub imports: Arc<Semaphore>,
}

impl Rooms {
    /// All of it free.
    pub(super) fn new() -> Self {
        Self {
            answers: Room::new(ROOM_BYTES),
            events: Room::new(ROOM_BYTES),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            opening: Arc::new(Semaphore::new(MAX_OPENING)),
            imports: Arc::new(Semaphore::new(1)),
        }
    }
}

/// So many bytes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Room {
    units: Arc<Semaphore>,
    bytes: usize,
}

impl Room {
    fn new(bytes: usize) -> Self {
        Self { units: Arc::new(Semaphore::new(bytes / UNIT_BYTES)), bytes }
    }

    /// Puts room aside for an answer that is about to be made.
    pub(super) async fn claim(&self) -> Result<Claim, Failure> {
        let claim = self.units.clone().acquire_many_owned(units(CLAIM_BYTES));
        match tokio::time::timeout(PATIENCE, claim).await {
            Ok(Ok(permit)) => Ok(Claim(permit)),
            _ => Err(busy("too many clients read their answers too slowly; try again in a few seconds")),
        }
    }

    /// Waits for room for these bytes, which have it until they are dropped.
    pub(super) async fn hold(&self, bytes: Bytes) -> Bytes {
        // What is larger than all of it waits until it has all of it.
        match self.units.clone().acquire_many_owned(units(bytes.len().min(self.bytes))).await {
            Ok(permit) => Bytes::from_owner(Held { bytes, _permit: permit }),
            Err(_) => bytes,
        }
    }
}

/// A refusal that says when to come again.
pub(super) fn busy(detail: &str) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Room that an answer will take.
pub(super) struct Claim(OwnedSemaphorePermit);

impl Claim {
    /// The answer as JSON.
    pub(super) fn json(self, value: &impl Serialize) -> Response {
        let bytes = serde_json::to_vec(value).expect("views are plain values with text keys, which JSON can write");
        self.answer("application/json", bytes.into())
    }

    /// The answer in these bytes; what is not needed of the claim is given back.
    pub(super) fn answer(self, content_type: &'static str, bytes: Bytes) -> Response {
        let Self(mut claim) = self;
        let needed = usize::try_from(units(bytes.len())).unwrap_or(usize::MAX);
        let spare = claim.num_permits().saturating_sub(needed);
        drop(claim.split(spare));
        let held = Bytes::from_owner(Held { bytes, _permit: claim });
        ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], Body::from(held)).into_response()
    }
}

/// Bytes that have room.
struct Held {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_taken_until_the_bytes_are_gone() {
        let room = Room::new(CLAIM_BYTES + 2 * UNIT_BYTES);
        let all = room.units.available_permits();
        let answer = room.claim().await.unwrap().json(&"x".repeat(1500));
        assert_eq!(room.units.available_permits(), all - 2);
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert_eq!(room.units.available_permits(), all - 2, "it is still in memory");
        let part = body.slice(..10);
        drop(body);
        assert_eq!(room.units.available_permits(), all - 2, "a part of it is");
        drop(part);
        assert_eq!(room.units.available_permits(), all);

        let event = room.hold(Bytes::from(vec![0; 3 * UNIT_BYTES])).await;
        assert!(tokio::time::timeout(Duration::from_millis(20), room.claim()).await.is_err(), "there is no room");
        drop(event);
        room.claim().await.unwrap();
        // Nothing is too large for ever.
        assert_eq!(room.hold(Bytes::from(vec![0; 2 * CLAIM_BYTES])).await.len(), 2 * CLAIM_BYTES);
    }
}
