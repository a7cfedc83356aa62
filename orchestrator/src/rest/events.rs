//! Server-sent events: how they are written, and how the API's description shows them.

use std::fmt::Write;

use axum::body::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::view::{MetricsView, SecondView, TestView};

/// An event as it is sent: `data` as JSON, which has no line ends of its own.
pub(super) fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).expect("views are plain values with text keys, which JSON can write");
    let mut text = String::with_capacity(json.len() + 64);
    let _ = write!(text, "event: {name}\n");
    if let Some(id) = id {
        let _ = write!(text, "id: {id}\n");
    }
    let _ = write!(text, "data: {json}\n\n");
    text.into()
}

/// A comment of one line: clients skip it.
pub(super) fn comment(words: &str) -> Bytes {
    format!(": {words}\n\n").into()
}

/// One event of a stream: the lines "event", "id" and "data", the data as JSON.
#[derive(Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
#[allow(dead_code, reason = "it describes what `event` writes")]
pub(super) enum StreamEvent {
    /// The test, at first and when anything changes its state.
    Test {
        /// The test.
        data: TestView,
    },
    /// A sealed second.
    Second {
        /// The index of the second.
        id: u64,
        /// The second, and the totals with it.
        data: SecondData,
    },
    /// The totals, at the end.
    Totals {
        /// The totals.
        data: MetricsView,
    },
}

/// The data of a "second".
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "it describes what `event` writes")]
pub(super) struct SecondData {
    /// The second.
    second: SecondView,
    /// The totals up to it; `null` of a second from before the stream was opened.
    totals: Option<MetricsView>,
}
