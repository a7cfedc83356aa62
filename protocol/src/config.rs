//! `test_config`: the orchestrator describes a test.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::fields::{Fields, ReadError, quoted};
use crate::{NodeId, SessionId, TestId};

/// How requests are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TestType {
    /// Every request goes out as soon as a connection is free.
    Avalanche,
    /// Request *k* is due at `start + k × delay`, whatever the answers do.
    Tsunami,
}

impl TestType {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            TestType::Avalanche => "AVALANCHE",
            TestType::Tsunami => "TSUNAMI",
        }
    }

    /// The type of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim();
        [TestType::Avalanche, TestType::Tsunami].into_iter().find(|t| t.name().eq_ignore_ascii_case(name))
    }
}

/// One driver that takes part in a test.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Participant {
    /// The driver.
    pub node_id: NodeId,
    /// The life of it that is meant; `None`: any.
    pub session_id: Option<SessionId>,
}

/// A test as the drivers get it. [`TestConfig::problems`](crate::TestConfig::problems) says what is wrong with one.
#[derive(Clone, Debug, PartialEq)]
pub struct TestConfig {
    /// The test.
    pub test_id: TestId,
    /// How requests are spaced.
    pub test_type: TestType,
    /// Tsunami: the time between two due moments. Avalanche: zero.
    pub delay: Duration,
    /// Exactly this many requests per driver; `None`: as many as the duration allows.
    pub count_per_driver: Option<u64>,
    /// No request is sent after this time; `None`: the count ends the test.
    pub duration: Option<Duration>,
    /// Where requests go; `None`: where the driver's `--target-url` says.
    pub target_url: Option<String>,
    /// The request's method.
    pub method: String,
    /// The request's headers, in order.
    pub headers: Vec<(String, String)>,
    /// The request's body.
    pub body: Option<Vec<u8>>,
    /// At most this many requests a second and driver.
    pub target_throughput_per_s: Option<f64>,
    /// Connections per driver; `None`: [`TestConfig::default_connections`].
    pub connections: Option<u32>,
    /// The time allowed from the send to the last byte of the answer.
    pub timeout: Duration,
    /// The time allowed for opening a connection.
    pub connect_timeout: Duration,
    /// Whether a connection serves more than one request.
    pub keepalive: bool,
    /// The drivers that take part; `None`: every driver that reads this.
    pub participants: Option<Vec<Participant>>,
}

impl TestConfig {
    /// Time-out of a request where the config names none.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Time-out of connecting where the config names none.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    /// A test with defaults everywhere else: `GET`, keep-alive, no limits.
    pub fn new(test_id: TestId, test_type: TestType) -> Self {
        Self {
            test_id,
            test_type,
            delay: Duration::ZERO,
            count_per_driver: None,
            duration: None,
            target_url: None,
            method: "GET".into(),
            headers: Vec::new(),
            body: None,
            target_throughput_per_s: None,
            connections: None,
            timeout: Self::DEFAULT_TIMEOUT,
            connect_timeout: Self::DEFAULT_CONNECT_TIMEOUT,
            keepalive: true,
            participants: None,
        }
    }

    /// Connections of a driver where the config names none: Avalanche needs enough to keep a server busy,
    /// Tsunami as many as requests overlap (rate × latency).
    pub const fn default_connections(test_type: TestType) -> u32 {
        match test_type {
            TestType::Avalanche => 64,
            TestType::Tsunami => 256,
        }
    }

    /// Reads a message. What it says may still be impossible: see [`problems`](Self::problems).
    pub fn read(payload: &[u8]) -> Result<Self, ReadError> {
        let fields = Fields::read(payload)?;
        let test_id = fields.test_id()?;
        Self::read_fields(&fields, test_id.clone()).map_err(|e| e.about(&test_id))
    }

    fn read_fields(fields: &Fields, test_id: TestId) -> Result<Self, ReadError> {
        let type_name = fields.text("test_type")?.ok_or_else(|| ReadError::missing("test_type"))?;
        let test_type = TestType::from_name(&type_name).ok_or_else(|| {
            ReadError::bad("test_type", format!("{} is neither AVALANCHE nor TSUNAMI", quoted(&type_name)))
        })?;
        let defaults = Self::new(test_id, test_type);
        // An Avalanche has no delay, whatever the field says (the specification writes 0).
        let delay = match test_type {
            TestType::Avalanche => Duration::ZERO,
            TestType::Tsunami => seconds(fields, "test_message_delay")?.unwrap_or_default(),
        };
        let body = match (fields.text("body")?, fields.text("body_base64")?) {
            (None, None) => None,
            (Some(text), None) => Some(text.into_bytes()),
            (None, Some(coded)) => {
                let bytes = BASE64_STANDARD.decode(coded.trim());
                Some(bytes.map_err(|e| ReadError::bad("body_base64", format!("is not base64: {e}")))?)
            }
            (Some(_), Some(_)) => {
                return Err(ReadError::bad("body_base64", "stands beside body: one of them, not both"));
            }
        };
        let connections = fields.u64("connections")?.filter(|n| *n > 0);
        Ok(Self {
            delay,
            // Zero means "no such limit": the specification has no other way to say it.
            count_per_driver: fields.u64("message_count_per_driver")?.filter(|n| *n > 0),
            duration: seconds(fields, "duration_s")?.filter(|d| !d.is_zero()),
            target_url: fields.text("target_url")?.filter(|url| !url.trim().is_empty()),
            method: fields.text("method")?.unwrap_or(defaults.method),
            headers: headers(fields)?,
            body,
            target_throughput_per_s: fields.non_negative("target_throughput_per_s")?.filter(|x| *x > 0.0),
            connections: connections.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
            timeout: seconds(fields, "timeout_s")?.unwrap_or(defaults.timeout),
            connect_timeout: seconds(fields, "connect_timeout_s")?.unwrap_or(defaults.connect_timeout),
            keepalive: fields.flag("keepalive")?.unwrap_or(true),
            participants: participants(fields)?,
            test_id: defaults.test_id,
            test_type,
        })
    }

    /// Writes the message.
    pub fn write(&self) -> Vec<u8> {
        let Self {
            test_id,
            test_type,
            delay,
            count_per_driver,
            duration,
            target_url,
            method,
            headers,
            body,
            target_throughput_per_s,
            connections,
            timeout,
            connect_timeout,
            keepalive,
            participants,
        } = self;
        let (text, coded) = json_body(body.as_deref());
        crate::histogram::to_json(&Wire {
            test_id,
            test_type: test_type.name(),
            test_message_delay: json_seconds(*delay),
            message_count_per_driver: count_per_driver.unwrap_or(0),
            schema: crate::SCHEMA,
            target_url: target_url.as_deref(),
            method,
            headers,
            body: text,
            body_base64: coded,
            duration_s: duration.map(json_seconds),
            target_throughput_per_s: *target_throughput_per_s,
            connections: *connections,
            timeout_s: json_seconds(*timeout),
            connect_timeout_s: json_seconds(*connect_timeout),
            keepalive: *keepalive,
            participants: participants.as_ref().map(|list| list.iter().map(WireParticipant::of).collect()),
        })
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    test_id: &'a TestId,
    test_type: &'static str,
    test_message_delay: serde_json::Number,
    message_count_per_driver: u64,
    schema: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_url: Option<&'a str>,
    method: &'a str,
    headers: &'a [(String, String)],
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_s: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_throughput_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<u32>,
    timeout_s: serde_json::Number,
    connect_timeout_s: serde_json::Number,
    keepalive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    participants: Option<Vec<WireParticipant<'a>>>,
}

#[derive(Serialize)]
struct WireParticipant<'a> {
    node_id: &'a NodeId,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: &'a Option<SessionId>,
}

impl<'a> WireParticipant<'a> {
    fn of(participant: &'a Participant) -> Self {
        let Participant { node_id, session_id } = participant;
        Self { node_id, session_id }
    }
}

/// Whole seconds as integers: a peer that reads the specification's `0` as an integer keeps working.
fn json_seconds(duration: Duration) -> serde_json::Number {
    if duration.subsec_nanos() == 0 {
        return duration.as_secs().into();
    }
    serde_json::Number::from_f64(duration.as_secs_f64()).expect("a duration is finite")
}

/// A body as text, or in base64 where it is no text or JSON's escapes would make the text longer than that.
fn json_body(body: Option<&[u8]>) -> (Option<&str>, Option<String>) {
    let Some(bytes) = body else { return (None, None) };
    let escapes = bytes.iter().filter(|byte| byte.is_ascii_control() || matches!(byte, b'"' | b'\\')).count();
    match std::str::from_utf8(bytes) {
        Ok(text) if escapes <= bytes.len() / 16 => (Some(text), None),
        _ => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

/// Seconds, rounded to the nanosecond.
fn seconds(fields: &Fields, field: &'static str) -> Result<Option<Duration>, ReadError> {
    let Some(seconds) = fields.non_negative(field)? else { return Ok(None) };
    let duration = Duration::try_from_secs_f64(seconds);
    duration.map(Some).map_err(|_| ReadError::bad(field, format!("{seconds:?} seconds is too long")))
}

/// `[["name", "value"], …]` or `{"name": "value", …}`.
fn headers(fields: &Fields) -> Result<Vec<(String, String)>, ReadError> {
    const FIELD: &str = "headers";
    let wrong = || ReadError::bad(FIELD, "must be a list of [name, value] or an object, names and values as texts");
    let pair = |name: Option<&str>, value: Option<&str>| match (name, value) {
        (Some(name), Some(value)) => Ok((name.to_owned(), value.to_owned())),
        _ => Err(wrong()),
    };
    if let Ok(Some(list)) = fields.list(FIELD) {
        let read = |item: &OwnedValue| match item.as_array().map(|pair| pair.as_slice()) {
            Some([name, value]) => pair(name.as_str(), value.as_str()),
            _ => Err(wrong()),
        };
        return list.iter().map(read).collect();
    }
    match fields.raw(FIELD) {
        None => Ok(Vec::new()),
        Some(OwnedValue::Object(object)) => object.iter().map(|(k, v)| pair(Some(k), v.as_str())).collect(),
        Some(_) => Err(wrong()),
    }
}

/// `[{"node_id", "session_id"}, …]` or a list of names.
fn participants(fields: &Fields) -> Result<Option<Vec<Participant>>, ReadError> {
    const FIELD: &str = "participants";
    let Some(list) = fields.list(FIELD)? else { return Ok(None) };
    if list.iter().all(|item| item.is_str()) {
        let wrong = || ReadError::bad(FIELD, "holds a name that no node can have");
        let named = |item: &OwnedValue| {
            let node_id = item.as_str().and_then(NodeId::new).ok_or_else(wrong)?;
            Ok(Participant { node_id, session_id: None })
        };
        return list.iter().map(named).collect::<Result<_, _>>().map(Some);
    }
    let objects = fields.objects(FIELD)?.unwrap_or_default();
    let read = |p: &Fields| Ok(Participant { node_id: p.node_id()?, session_id: p.session_id()? });
    objects.iter().map(read).collect::<Result<_, _>>().map(Some)
}
