//! A test as it happens, by server-sent events.
//!
//! An event becomes text once, whoever reads it. A reader is handed the next one when it has taken the last: a slow one lags,
//! loses the oldest, is told so and goes on with the newest; one that reads nothing at all loses its connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::Uri;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use onrush_api::{MetricsView, SecondView};
use onrush_protocol::TestId;
use onrush_protocol::options::people::{shown, whole_number};
use serde_json::Value;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::api::Api;
use super::events::{SecondData, StreamEvent, comment, event};
use super::problem::{Failure, FieldError, FieldErrors, ProblemBody};
use super::query::Query;
use super::room::{MAX_STREAMS, Room, Rooms, busy};
use super::routes::{InPath, MAX_SECOND};
use crate::{Problem, Update};

/// Earlier seconds are read this many at a time, and no more than so many bytes: each reader has a page of its own.
const PAGE_SECONDS: usize = 100;
const PAGE_BYTES: usize = 128 * 1024;
/// Proxies and clients give up connections on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a stream waits for its turn to begin.
const OPENING_PATIENCE: Duration = Duration::from_secs(10);

/// Follow a test
///
/// Server-sent events: "test" (at first and when anything changes its state), "second" (once a second, with the second's
/// index as the event's id) and "totals" (at the end). The stream closes after the end. With "from", or the header
/// Last-Event-ID of a client that comes back, it begins with the seconds since then; their "totals" are null. A reader that
/// is too slow is told by a comment how many events it missed.
#[utoipa::path(
    get, path = "/v1/tests/{id}/stream", tag = "results",
    params(
        ("id" = String, Path, description = "The test_id"),
        ("from" = Option<u64>, Query, maximum = 9_007_199_254_740_991_u64, description = "Begin with this second (default: with what comes next)"),
        ("Last-Event-ID" = Option<u64>, Header, maximum = 9_007_199_254_740_991_u64, description = "The last second that the client has"),
    ),
    responses(
        (status = 200, description = "Events, each with its name and its data as JSON", body = StreamEvent, content_type = "text/event-stream"),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stream<A: Api>(
    State(api): State<A>,
    Extension(rooms): Extension<Rooms>,
    InPath(test_id): InPath,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let mut query = Query::of(&uri, &["from"]);
    let asked = query.whole_number("from", 0..=MAX_SECOND);
    query.finish()?;
    // A client that comes back repeats its first address; what it has by now says more.
    let from = last_event_id(&headers)?.map(|last| last.saturating_add(1)).or(asked);
    let too_many = || busy(&format!("{MAX_STREAMS} streams are open, as many as may be; try again later"));
    let stream = rooms.streams.clone().try_acquire_owned().map_err(|_| too_many())?;
    let slow = || busy("too many streams are being opened at once; try again in a few seconds");
    let opening = timeout(OPENING_PATIENCE, rooms.opening.clone().acquire_owned()).await;
    let opening = opening.map_err(|_| slow())?.map_err(|_| slow())?;
    let (test, updates) = api.subscribe(test_id.clone()).await?;
    let is_over = test.state.is_end();
    let first = timeout(OPENING_PATIENCE, rooms.events.hold(event("test", None, &test))).await.map_err(|_| slow())?;
    drop((test, opening));

    let (sender, events) = mpsc::channel(1);
    // There is a place for the first.
    let _ = sender.try_send(first);
    let mut follower = Follower { api, test_id, room: rooms.events, sender, next_second: 0, _stream: stream };
    tokio::spawn(async move {
        // Its end is the client's, or the test's: nothing is left to tell anyone.
        let _ = follower.follow(is_over, from, updates).await;
    });
    let body = Body::from_stream(ReceiverStream::new(events).map(Ok::<_, Infallible>));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // A proxy that collects the events before it passes them on would make them late.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    const NAME: &str = "Last-Event-ID";
    let Some(given) = headers.get(NAME) else { return Ok(None) };
    let text = Value::from(String::from_utf8_lossy(given.as_bytes()));
    whole_number(&text).ok().filter(|id| *id <= MAX_SECOND).map(Some).ok_or_else(|| {
        let mut errors = FieldErrors::default();
        errors.push(|| {
            FieldError::new(NAME, format!("is {}; give the id of the last event, a whole number", shown(&text)))
        });
        Failure::fields(errors)
    })
}

/// Why a stream ends early.
enum Over {
    ClientGone,
    NoAnswer,
}

impl From<Problem> for Over {
    fn from(_: Problem) -> Self {
        Self::NoAnswer
    }
}

struct Follower<A> {
    api: A,
    test_id: TestId,
    room: Room,
    sender: mpsc::Sender<Bytes>,
    /// Seconds before this one were sent already.
    next_second: u64,
    /// One of the streams that may be open.
    _stream: OwnedSemaphorePermit,
}

impl<A: Api> Follower<A> {
    async fn follow(
        &mut self,
        is_over: bool,
        from: Option<u64>,
        mut updates: broadcast::Receiver<Update>,
    ) -> Result<(), Over> {
        if let Some(from) = from {
            self.catch_up(from).await?;
        }
        if is_over {
            return self.send_totals().await;
        }
        let mut next_keep_alive = Instant::now() + KEEP_ALIVE;
        loop {
            // What waits here for a slow client would be old when it is sent.
            self.taken().await?;
            let update = tokio::select! {
                update = updates.recv() => update,
                () = self.sender.closed() => return Err(Over::ClientGone),
                () = tokio::time::sleep_until(next_keep_alive) => {
                    self.send(comment("")).await?;
                    next_keep_alive = Instant::now() + KEEP_ALIVE;
                    continue;
                }
            };
            next_keep_alive = Instant::now() + KEEP_ALIVE;
            let test = match update {
                Ok(Update::Second(shown)) => {
                    if shown.0.second_index >= self.next_second {
                        let (index, (second, totals)) = (shown.0.second_index, &**shown);
                        self.send(shown.event(|| second_event(index, second, Some(totals)))).await?;
                    }
                    continue;
                }
                Ok(Update::Test(test)) => test,
                Err(RecvError::Lagged(missed)) => {
                    let lagged = format!("{missed} updates were left out: this reader is too slow for them");
                    self.send(comment(&lagged)).await?;
                    self.taken().await?;
                    // A change of state may be among them.
                    Arc::new(crate::Shown::new(self.api.test(self.test_id.clone()).await?))
                }
                Err(RecvError::Closed) => return Err(Over::NoAnswer),
            };
            let is_end = test.state.is_end();
            if is_end {
                self.send_totals().await?;
            }
            self.send(test.event(|| event("test", None, &**test))).await?;
            if is_end {
                return Ok(());
            }
        }
    }

    /// Sends the seconds from `from` on that are sealed already.
    async fn catch_up(&mut self, from: u64) -> Result<(), Over> {
        let mut next = Some(from);
        while let Some(from) = next {
            self.taken().await?;
            let page = self.api.series(self.test_id.clone(), from, PAGE_SECONDS, PAGE_BYTES).await?;
            for second in &page.seconds {
                self.send(second_event(second.second_index, second, None)).await?;
                self.next_second = self.next_second.max(second.second_index.saturating_add(1));
            }
            next = page.next_from.filter(|next| *next > from);
        }
        Ok(())
    }

    async fn send_totals(&self) -> Result<(), Over> {
        self.taken().await?;
        let totals = self.api.metrics(self.test_id.clone()).await?;
        self.send(event("totals", None, &totals)).await
    }

    /// Waits until the client has taken the last event.
    async fn taken(&self) -> Result<(), Over> {
        self.sender.reserve().await.map(drop).map_err(|_| Over::ClientGone)
    }

    async fn send(&self, event: Bytes) -> Result<(), Over> {
        let place = self.sender.reserve().await.map_err(|_| Over::ClientGone)?;
        place.send(self.room.hold(event).await);
        Ok(())
    }
}

fn second_event(index: u64, second: &SecondView, totals: Option<&MetricsView>) -> Bytes {
    event("second", Some(index), &SecondData { second, totals })
}
