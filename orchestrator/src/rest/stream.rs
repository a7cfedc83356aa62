//! A test as it happens, by server-sent events.
//!
//! The reader of the updates and the writer to the client are joined by a short queue: a slow client makes its
//! own reader wait and lag, and nothing else. A client that lags is told so and goes on with the newest.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use onrush_protocol::TestId;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::api::Api;
use super::problem::{Failure, ProblemBody};
use super::query::Query;
use super::routes::InPath;
use crate::view::{MetricsView, SecondView, TestView};
use crate::{Problem, Update};

/// Events between the reader of updates and the writer to the client.
const QUEUED_EVENTS: usize = 4;
/// Earlier seconds are read this many at a time, and no more than so many bytes: each reader has a page of its own.
const PAGE_SECONDS: usize = 100;
const PAGE_BYTES: usize = 128 * 1024;
/// Proxies and clients give up connections on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Follow a test
///
/// Server-sent events: "test" (a TestView, at first and when anything changes its state), "second" (once a
/// second: {"second": SecondView, "totals": MetricsView}, with the second's index as the event's id) and "totals" (a
/// MetricsView, at the end). The stream closes after the end. With "from", or the header Last-Event-ID of a
/// client that comes back, it begins with the seconds since then; their "totals" are null.
#[utoipa::path(
    get, path = "/v1/tests/{id}/stream", tag = "results",
    params(
        ("id" = String, Path, description = "The test_id"),
        ("from" = Option<u64>, Query, description = "Begin with this second (default: with what comes next)"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The last second that the client has"),
    ),
    responses(
        (status = 200, description = "Events", body = String, content_type = "text/event-stream"),
        (status = 404, description = "No such test", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stream<A: Api>(
    State(api): State<A>,
    InPath(test_id): InPath,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let mut query = Query::of(&uri, &["from"]);
    let asked = query.whole_number("from", 0..=u64::MAX);
    query.finish()?;
    // A client that comes back repeats its first address; what it has by now says more.
    let from = last_event_id(&headers).map(|last| last.saturating_add(1)).or(asked);
    let (test, updates) = api.subscribe(test_id.clone()).await?;
    let (sender, events) = mpsc::channel(QUEUED_EVENTS);
    tokio::spawn(async move {
        let mut follower = Follower { api, test_id, sender, next_second: 0 };
        // Its end is the client's, or the test's: nothing is left to tell anyone.
        let _ = follower.follow(test, from, updates).await;
    });
    Ok(Sse::new(ReceiverStream::new(events).map(Ok)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

#[derive(Serialize)]
struct SecondEvent<'a> {
    second: &'a SecondView,
    totals: Option<&'a MetricsView>,
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
    sender: mpsc::Sender<Event>,
    /// Seconds before this one were sent already.
    next_second: u64,
}

impl<A: Api> Follower<A> {
    async fn follow(
        &mut self,
        test: TestView,
        from: Option<u64>,
        mut updates: broadcast::Receiver<Update>,
    ) -> Result<(), Over> {
        self.send("test", &test).await?;
        if let Some(from) = from {
            self.catch_up(from).await?;
        }
        if test.state.is_end() {
            return self.send_totals().await;
        }
        loop {
            let update = tokio::select! {
                update = updates.recv() => update,
                () = self.sender.closed() => return Err(Over::ClientGone),
            };
            let test = match update {
                Ok(Update::Second(shown)) => {
                    let (second, totals) = &*shown;
                    if second.second_index >= self.next_second {
                        self.send_second(second, Some(totals)).await?;
                    }
                    continue;
                }
                Ok(Update::Test(test)) => test,
                Err(RecvError::Lagged(missed)) => {
                    let comment = format!("{missed} updates were left out: this reader is too slow for them");
                    self.send_event(Event::default().comment(comment)).await?;
                    // A change of state may be among them.
                    Arc::new(self.api.test(self.test_id.clone()).await?)
                }
                Err(RecvError::Closed) => return Err(Over::NoAnswer),
            };
            let is_end = test.state.is_end();
            if is_end {
                self.send_totals().await?;
            }
            self.send("test", &*test).await?;
            if is_end {
                return Ok(());
            }
        }
    }

    /// Sends the seconds from `from` on that are sealed already.
    async fn catch_up(&mut self, from: u64) -> Result<(), Over> {
        let mut next = Some(from);
        while let Some(from) = next {
            let page = self.api.series(self.test_id.clone(), from, PAGE_SECONDS, PAGE_BYTES).await?;
            for second in &page.seconds {
                self.send_second(second, None).await?;
                self.next_second = self.next_second.max(second.second_index.saturating_add(1));
            }
            next = page.next_from.filter(|next| *next > from);
        }
        Ok(())
    }

    async fn send_second(&self, second: &SecondView, totals: Option<&MetricsView>) -> Result<(), Over> {
        let event = Event::default().event("second").id(second.second_index.to_string());
        self.send_json(event, &SecondEvent { second, totals }).await
    }

    async fn send_totals(&self) -> Result<(), Over> {
        let totals = self.api.metrics(self.test_id.clone()).await?;
        self.send("totals", &totals).await
    }

    async fn send(&self, name: &str, data: &impl Serialize) -> Result<(), Over> {
        self.send_json(Event::default().event(name), data).await
    }

    async fn send_json(&self, event: Event, data: &impl Serialize) -> Result<(), Over> {
        let event = event.json_data(data).expect("views are plain values with text keys, which JSON can write");
        self.send_event(event).await
    }

    async fn send_event(&self, event: Event) -> Result<(), Over> {
        self.sender.send(event).await.map_err(|_| Over::ClientGone)
    }
}
