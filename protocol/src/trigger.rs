//! `trigger`: the orchestrator starts or stops a test.

use serde::Serialize;

use crate::TestId;
use crate::fields::{Fields, ReadError};

/// Starts a test (`"trigger": "YES"`) or stops it (`"NO"`).
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// The test.
    pub test_id: TestId,
    /// Start it or stop it.
    pub start: bool,
    /// The moment of the start, in milliseconds since 1970; `None`: at once.
    pub start_at_unix_ms: Option<f64>,
}

#[derive(Serialize)]
struct Wire<'a> {
    test_id: &'a TestId,
    trigger: &'static str,
    schema: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_at: Option<f64>,
}

impl Trigger {
    /// Reads a message. One without `trigger` starts, as the topic's name says.
    pub fn read(payload: &[u8]) -> Result<Self, ReadError> {
        let fields = Fields::read(payload)?;
        let test_id = fields.test_id()?;
        let rest = || {
            Ok(Self {
                test_id: test_id.clone(),
                start: fields.flag("trigger")?.unwrap_or(true),
                start_at_unix_ms: fields.non_negative("start_at")?,
            })
        };
        rest().map_err(|e: ReadError| e.about(&test_id))
    }

    /// Writes the message.
    pub fn write(&self) -> Vec<u8> {
        let Self { test_id, start, start_at_unix_ms } = self;
        crate::histogram::to_json(&Wire {
            test_id,
            trigger: if *start { "YES" } else { "NO" },
            schema: crate::SCHEMA,
            start_at: *start_at_unix_ms,
        })
    }
}
