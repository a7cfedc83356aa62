//! Server-sent events: how they are written, and how the API's description shows them.

use std::borrow::Cow;
use std::fmt::Write;

use axum::body::Bytes;
use onrush_api::{MetricsView, SecondView};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// An event as it is sent: `data` as JSON, which has no line ends of its own.
pub(super) fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).expect("views are plain values with text keys, which JSON can write");
    let mut text = String::with_capacity(json.len() + 64);
    let _ = writeln!(text, "event: {name}");
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    let _ = write!(text, "data: {json}\n\n");
    text.into()
}

/// A comment of one line: clients skip it.
pub(super) fn comment(words: &str) -> Bytes {
    format!(": {words}\n\n").into()
}

/// An event of a stream, as JSON Schema: its lines, each with what it holds.
pub(super) fn stream_event_schema() -> Value {
    let event = |name: &str, schema: &str, about: &str| {
        let data = json!({
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": format!("#/components/schemas/{schema}")},
        });
        json!({
            "type": "object",
            "description": about,
            "required": ["event", "data"],
            "properties": {"event": {"const": name}, "data": data},
        })
    };
    let mut second = event("second", "SecondData", "A sealed second; its index is the id");
    second["required"] = json!(["event", "data", "id"]);
    second["properties"]["id"] = json!({"type": "string", "pattern": "^[0-9]+$"});
    json!({
        "description": "One event of the stream: its name, and its data as JSON",
        "oneOf": [
            event("test", "TestView", "The test, at first and when anything changes its state"),
            second,
            event("totals", "MetricsView", "The totals, at the end"),
        ],
    })
}

/// Stands for [`stream_event_schema`], which says more than the generator of the description knows of.
pub(super) struct StreamEvent;

impl PartialSchema for StreamEvent {
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::default())
    }
}

impl ToSchema for StreamEvent {
    fn name() -> Cow<'static, str> {
        "StreamEvent".into()
    }
}

/// The data of a "second".
#[derive(Serialize, ToSchema)]
pub(super) struct SecondData<'a> {
    /// The second.
    pub second: &'a SecondView,
    /// The totals up to it; `null` of a second from before the stream was opened.
    pub totals: Option<&'a MetricsView>,
}
