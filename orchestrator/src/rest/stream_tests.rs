//! The live stream against a fake brain: what comes, in which order, and when it ends.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use onrush_api::TestState;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::fake::{Fake, TEST_ID};
use super::{Hosts, router_for};
use crate::access::Access;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// Reads a stream's events one by one.
struct Events {
    body: Body,
    text: String,
}

impl Events {
    async fn open(fake: &Fake, path: &str, last_event_id: Option<u64>) -> Self {
        let mut request = Request::get(path).header(header::HOST, "localhost");
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = router_for(fake.clone(), Hosts::new(&[]), Access::open())
            .oneshot(request)
            .await
            .expect("the router cannot fail");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event as (what, data): `second 3`, `test`, `totals`, or a comment; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n").map(|(e, rest)| (e.to_owned(), rest.to_owned())) {
                self.text = rest;
                return Some(parsed(&event));
            }
            let frame = tokio::time::timeout(DEADLINE, self.body.frame()).await.expect("in time")?;
            let data = frame.expect("a whole frame").into_data().expect("data");
            self.text.push_str(std::str::from_utf8(&data).expect("a text"));
        }
    }

    async fn expect(&mut self, what: &str) -> Value {
        let (found, data) = self.next().await.unwrap_or_else(|| panic!("the stream ended before {what}"));
        assert_eq!(found, what, "{data}");
        data
    }
}

fn parsed(event: &str) -> (String, Value) {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if let Some(comment) = field(":") {
        return (format!(": {comment}"), Value::Null);
    }
    let data = serde_json::from_str(field("data:").expect("data")).expect("JSON");
    let name = field("event:").expect("a name");
    (field("id:").map_or(name.to_owned(), |id| format!("{name} {id}")), data)
}

fn stream_path(query: &str) -> String {
    format!("/v1/tests/{TEST_ID}/stream{query}")
}

#[tokio::test]
async fn a_stream_follows_the_test_to_its_end() {
    let fake = Fake::new(TestState::Configured, 64);
    fake.seal_second();
    let mut events = Events::open(&fake, &stream_path(""), None).await;
    assert_eq!(events.expect("test").await["state"], "CONFIGURED");
    fake.enter(TestState::Running);
    assert_eq!(events.expect("test").await["state"], "RUNNING");
    fake.seal_second();
    let second = events.expect("second 1").await;
    assert_eq!((&second["second"]["second_index"], &second["totals"]["all"]["sent"]), (&json!(1), &json!(100)));
    fake.enter(TestState::Completed);
    assert_eq!(events.expect("totals").await["state"], "COMPLETED");
    assert_eq!(events.expect("test").await["state"], "COMPLETED");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_stream_of_an_ended_test_gives_its_result() {
    let fake = Fake::new(TestState::Stopped, 1);
    let mut events = Events::open(&fake, &stream_path(""), None).await;
    assert_eq!(events.expect("test").await["state"], "STOPPED");
    events.expect("totals").await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_no_second() {
    let fake = Fake::new(TestState::Running, 500);
    (0..250).for_each(|_| fake.seal_second());
    let mut events = Events::open(&fake, &stream_path("?from=0"), Some(9)).await;
    events.expect("test").await;
    for index in 10..250 {
        assert_eq!(events.expect(&format!("second {index}")).await["totals"], Value::Null);
    }
    fake.seal_second();
    assert!(events.expect("second 250").await["totals"].is_object());
    // An absurd place to begin is only empty.
    let mut events = Events::open(&fake, &stream_path("?from=9007199254740991"), None).await;
    events.expect("test").await;
    fake.seal_second();
    events.expect("second 251").await;
}

#[tokio::test]
async fn a_reader_that_lags_is_told_and_goes_on_with_the_newest() {
    let fake = Fake::new(TestState::Running, 2);
    let mut events = Events::open(&fake, &stream_path(""), None).await;
    events.expect("test").await;
    // Nothing is awaited here, so the stream's own task cannot run in between.
    (0..10).for_each(|_| fake.seal_second());
    events.expect(": 8 updates were left out: this reader is too slow for them").await;
    events.expect("test").await;
    events.expect("second 8").await;
    events.expect("second 9").await;
    fake.enter(TestState::Completed);
    events.expect("totals").await;
    events.expect("test").await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_client_that_leaves_is_forgotten() {
    let fake = Fake::new(TestState::Configured, 64);
    let mut events = Events::open(&fake, &stream_path(""), None).await;
    events.expect("test").await;
    drop(events);
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while fake.lock().updates.receiver_count() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the stream still listens");
        tokio::task::yield_now().await;
    }
}
