//! `heartbeat`: a driver says every second that it lives, and in which state.

use serde::Serialize;
use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::fields::{Fields, ReadError, quoted};
use crate::{NodeId, SessionId, TestId, limits};

/// A driver says that it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    /// The driver.
    pub node_id: NodeId,
    /// `"heartbeat": "NO"` says goodbye: the driver ends in good order.
    pub alive: bool,
    /// The driver's wall clock, in milliseconds since 1970. `None` where it is missing or no number (other
    /// nodes send texts of many forms).
    pub timestamp_unix_ms: Option<f64>,
    /// This life of the driver; `None` from a driver that speaks only the specification.
    pub session_id: Option<SessionId>,
    /// What it is doing; `None` from a driver that speaks only the specification.
    pub state: Option<NodeState>,
    /// The test that it is armed for or runs.
    pub test_id: Option<TestId>,
    /// Of the schedule of a test whose rate is that of all drivers together: which share it is armed with.
    pub share: Option<Share>,
    /// Of the test that it runs: the seconds at which its amendments took effect, or will; `None`: one that it could not take.
    pub amended_at: Vec<Option<u64>>,
    /// The last test that it refused, and why.
    pub refusal: Option<Refusal>,
    /// Reports that the broker has not confirmed yet.
    pub reports_waiting: Option<u64>,
    /// Messages that it could not read, since its start.
    pub messages_skipped: Option<u64>,
    /// CPU time of its process since its start, user and system, in seconds. `None` where it is missing or no such
    /// number: nothing but a display depends on it.
    pub cpu_s: Option<f64>,
    /// Resident memory of its process, in bytes. `None` as with `cpu_s`.
    pub memory_bytes: Option<u64>,
}

/// A driver's part in a schedule that several send together: of every `of` slots it sends the one with this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// From 0 on, by the order of the config's participants.
    pub index: u32,
    /// How many drivers send together; at least 1.
    pub of: u32,
}

/// What a driver is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Waiting for a test.
    Idle,
    /// Connections are open, waiting for the trigger.
    Armed,
    /// Sending, or waiting for the last answers.
    Running,
}

impl NodeState {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            NodeState::Idle => "IDLE",
            NodeState::Armed => "ARMED",
            NodeState::Running => "RUNNING",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [NodeState::Idle, NodeState::Armed, NodeState::Running]
            .into_iter()
            .find(|state| state.name().eq_ignore_ascii_case(name.trim()))
    }
}

/// A driver will not run a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The test.
    pub test_id: TestId,
    /// Why, for people.
    pub reason: String,
}

#[derive(Serialize)]
struct Wire<'a> {
    node_id: &'a NodeId,
    heartbeat: &'static str,
    timestamp: Option<f64>,
    schema: u64,
    session_id: &'a Option<SessionId>,
    state: Option<&'static str>,
    test_id: &'a Option<TestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    amended_at: &'a [Option<u64>],
    refused_test_id: Option<&'a TestId>,
    refusal_reason: Option<&'a str>,
    reports_waiting: Option<u64>,
    messages_skipped: Option<u64>,
    cpu_s: Option<f64>,
    memory_bytes: Option<u64>,
}

impl Heartbeat {
    /// Reads a message.
    pub fn read(payload: &[u8]) -> Result<Self, ReadError> {
        let fields = Fields::read(payload)?;
        let state = match fields.text("state")? {
            None => None,
            Some(name) => Some(
                NodeState::from_name(&name)
                    .ok_or_else(|| ReadError::bad("state", format!("{} is not a state of a driver", quoted(&name))))?,
            ),
        };
        let refusal = fields.optional_test_id("refused_test_id")?.map(|test_id| {
            let reason = fields.text("refusal_reason")?.unwrap_or_else(|| "no reason given".into());
            Ok(Refusal { test_id, reason: reason.chars().take(500).collect() })
        });
        Ok(Self {
            node_id: fields.node_id()?,
            alive: fields.flag("heartbeat")?.unwrap_or(true),
            timestamp_unix_ms: fields.non_negative("timestamp").unwrap_or(None),
            session_id: fields.session_id()?,
            state,
            test_id: fields.optional_test_id("test_id")?,
            share: share(&fields)?,
            amended_at: amended_at(&fields)?,
            refusal: refusal.transpose()?,
            reports_waiting: fields.u64("reports_waiting")?,
            messages_skipped: fields.u64("messages_skipped")?,
            cpu_s: fields.non_negative("cpu_s").unwrap_or(None),
            memory_bytes: fields.u64("memory_bytes").unwrap_or(None),
        })
    }

    /// Writes the message.
    pub fn write(&self) -> Vec<u8> {
        let Self {
            node_id,
            alive,
            timestamp_unix_ms,
            session_id,
            state,
            test_id,
            share,
            amended_at,
            refusal,
            reports_waiting,
            messages_skipped,
            cpu_s,
            memory_bytes,
        } = self;
        crate::histogram::to_json(&Wire {
            node_id,
            heartbeat: if *alive { "YES" } else { "NO" },
            timestamp: *timestamp_unix_ms,
            schema: crate::SCHEMA,
            session_id,
            state: state.map(NodeState::name),
            test_id,
            share_index: share.map(|share| share.index),
            share_of: share.map(|share| share.of),
            amended_at,
            refused_test_id: refusal.as_ref().map(|r| &r.test_id),
            refusal_reason: refusal.as_ref().map(|r| r.reason.as_str()),
            reports_waiting: *reports_waiting,
            messages_skipped: *messages_skipped,
            cpu_s: *cpu_s,
            memory_bytes: *memory_bytes,
        })
    }
}

fn share(fields: &Fields) -> Result<Option<Share>, ReadError> {
    let number = |field| Ok(fields.u64(field)?.and_then(|number| u32::try_from(number).ok()));
    Ok(number("share_index")?.zip(number("share_of")?).map(|(index, of)| Share { index, of }))
}

fn amended_at(fields: &Fields) -> Result<Vec<Option<u64>>, ReadError> {
    const FIELD: &str = "amended_at";
    let second = |item: &OwnedValue| match item.as_u64() {
        None if !item.is_null() => Err(ReadError::bad(FIELD, "must hold whole numbers")),
        second => Ok(second),
    };
    let list = fields.list(FIELD)?.unwrap_or_default();
    list.iter().take(limits::MAX_AMENDMENTS).map(second).collect()
}
