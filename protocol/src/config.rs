//! `test_config`: the orchestrator describes a test.

use std::time::Duration;

use serde::Serialize;
use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::fields::{Fields, ReadError, quoted};
use crate::requests::{self, RequestConfig, RequestOrder, json_body};
use crate::{ConnectTo, Expect, NodeId, SessionId, TestId};

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

/// Whom https targets are trusted by, and who the drivers say they are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Take any certificate.
    pub insecure: bool,
    /// Certificates of authorities in PEM, in place of those that each driver's system trusts.
    pub ca_pem: Option<String>,
    /// The drivers' certificate, in PEM.
    pub cert_pem: Option<String>,
    /// Its private key, in PEM.
    pub key_pem: Option<String>,
}

impl std::fmt::Debug for TlsConfig {
    // A key does not belong into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { insecure, ca_pem, cert_pem, key_pem } = self;
        let mut debug = f.debug_struct("TlsConfig");
        debug.field("insecure", insecure).field("ca_pem", ca_pem).field("cert_pem", cert_pem);
        debug.field("key_pem", &key_pem.as_ref().map(|_| "...")).finish()
    }
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
    /// What every answer must be like.
    pub expect: Vec<Expect>,
    /// Several requests (`targets` on the wire), in place of method, headers and body; empty: there is but one.
    pub requests: Vec<RequestConfig>,
    /// The order of several requests.
    pub order: RequestOrder,
    /// What a shuffled order begins with.
    pub seed: u64,
    /// How https targets are trusted.
    pub tls: TlsConfig,
    /// Where connections go instead of where the URLs' hosts are looked up.
    pub connect_to: Vec<ConnectTo>,
    /// The Unix socket that every connection goes to, on the driver's machine.
    pub unix_socket: Option<String>,
    /// Whether a request of an idempotent method is sent once more, when a connection that served before ended without one
    /// byte of response (RFC 9112 9.3.1).
    pub resend: bool,
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
            expect: Vec::new(),
            requests: Vec::new(),
            order: RequestOrder::InTurn,
            seed: 0,
            tls: TlsConfig::default(),
            connect_to: Vec::new(),
            unix_socket: None,
            resend: true,
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

    /// The requests per second and driver that the test asks for: the throughput, or in a Tsunami its interval, whichever
    /// is slower; `None`: as many as go.
    pub fn asked_rate_per_s(&self) -> Option<f64> {
        let paced = self.test_type == TestType::Tsunami && !self.delay.is_zero();
        let by_delay = paced.then(|| self.delay.as_secs_f64().recip());
        by_delay.into_iter().chain(self.target_throughput_per_s).reduce(f64::min)
    }

    /// Reads a message. What it says may still be impossible: see [`problems`](Self::problems).
    pub fn read(payload: &[u8]) -> Result<Self, ReadError> {
        Self::read_message(&Fields::read(payload)?)
    }

    /// Reads what this node wrote and kept, however long it is: a file of an earlier version may hold what no message
    /// does today.
    pub fn read_stored(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::read_message(&Fields::read_own(bytes)?)
    }

    fn read_message(fields: &Fields) -> Result<Self, ReadError> {
        let test_id = fields.test_id()?;
        Self::read_fields(fields, test_id.clone()).map_err(|e| e.about(&test_id))
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
        let connections = fields.u64("connections")?.filter(|n| *n > 0);
        Ok(Self {
            delay,
            // Zero means "no such limit": the specification has no other way to say it.
            count_per_driver: fields.u64("message_count_per_driver")?.filter(|n| *n > 0),
            duration: seconds(fields, "duration_s")?.filter(|d| !d.is_zero()),
            target_url: fields.text("target_url")?.filter(|url| !url.trim().is_empty()),
            method: fields.text("method")?.unwrap_or(defaults.method),
            headers: requests::headers(fields)?,
            body: requests::body(fields)?,
            expect: requests::texts(fields, "expect")?,
            requests: several(fields)?,
            order: order(fields)?,
            seed: fields.u64("seed")?.unwrap_or(0),
            tls: TlsConfig {
                insecure: fields.flag("tls_insecure")?.unwrap_or(false),
                ca_pem: fields.text("tls_ca_pem")?,
                cert_pem: fields.text("tls_cert_pem")?,
                key_pem: fields.text("tls_key_pem")?,
            },
            connect_to: requests::texts(fields, "connect_to")?,
            unix_socket: fields.text("unix_socket")?.filter(|path| !path.is_empty()),
            resend: fields.flag("resend")?.unwrap_or(true),
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
            expect,
            requests,
            order,
            seed,
            tls,
            connect_to,
            unix_socket,
            resend,
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
            expect: expect.iter().map(ToString::to_string).collect(),
            targets: requests,
            order: (!requests.is_empty()).then(|| order.name()),
            seed: (*order == RequestOrder::Shuffled || *seed != 0).then_some(*seed),
            tls_insecure: tls.insecure,
            tls_ca_pem: tls.ca_pem.as_deref(),
            tls_cert_pem: tls.cert_pem.as_deref(),
            tls_key_pem: tls.key_pem.as_deref(),
            connect_to: connect_to.iter().map(ToString::to_string).collect(),
            unix_socket: unix_socket.as_deref(),
            resend: (!*resend).then_some(false),
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expect: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    targets: &'a [RequestConfig],
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_insecure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ca_pem: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert_pem: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_key_pem: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connect_to: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unix_socket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resend: Option<bool>,
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

/// Seconds, rounded to the nanosecond.
fn seconds(fields: &Fields, field: &'static str) -> Result<Option<Duration>, ReadError> {
    let Some(seconds) = fields.non_negative(field)? else { return Ok(None) };
    let duration = Duration::try_from_secs_f64(seconds);
    duration.map(Some).map_err(|_| ReadError::bad(field, format!("{seconds:?} seconds is too long")))
}

fn several(fields: &Fields) -> Result<Vec<RequestConfig>, ReadError> {
    let objects = fields.objects("targets")?.unwrap_or_default();
    let read = |(index, request): (usize, &Fields)| {
        RequestConfig::read_fields(request).map_err(|error| {
            let field = error.field.map_or(String::new(), |field| format!("{field}: "));
            ReadError::bad("targets", format!("in place {}: {field}{}", index + 1, error.problem))
        })
    };
    objects.iter().enumerate().map(read).collect()
}

fn order(fields: &Fields) -> Result<RequestOrder, ReadError> {
    let Some(name) = fields.text("order")? else { return Ok(RequestOrder::InTurn) };
    RequestOrder::from_name(&name)
        .ok_or_else(|| ReadError::bad("order", format!("{} is neither in_turn nor shuffled", quoted(&name))))
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
