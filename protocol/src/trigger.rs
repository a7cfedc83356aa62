//! `trigger`: the orchestrator starts or stops a test.

use std::collections::BTreeMap;

use serde::Serialize;
use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::fields::{Fields, ReadError};
use crate::{NodeId, TestId};

/// Starts a test (`"trigger": "YES"`) or stops it (`"NO"`).
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// The test.
    pub test_id: TestId,
    /// Start it or stop it.
    pub start: bool,
    /// The moment of the start, in milliseconds since 1970; `None`: at once.
    pub start_at_unix_ms: Option<f64>,
    /// By how many milliseconds a driver's wall clock is ahead of the orchestrator's (negative: behind), for those whose
    /// clock is wrong by more than delivery explains. Such a driver adds its own entry to the start moment.
    pub clock_offsets_ms: BTreeMap<NodeId, f64>,
}

#[derive(Serialize)]
struct Wire<'a> {
    test_id: &'a TestId,
    trigger: &'static str,
    schema: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_at: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    clock_offsets_ms: &'a BTreeMap<NodeId, f64>,
}

impl Trigger {
    /// Starts a test, at that moment or at once.
    pub fn start(test_id: TestId, start_at_unix_ms: Option<f64>) -> Self {
        Self { test_id, start: true, start_at_unix_ms, clock_offsets_ms: BTreeMap::new() }
    }

    /// Stops a test.
    pub fn stop(test_id: TestId) -> Self {
        Self { test_id, start: false, start_at_unix_ms: None, clock_offsets_ms: BTreeMap::new() }
    }

    /// Reads a message. One without `trigger` starts, as the topic's name says.
    pub fn read(payload: &[u8]) -> Result<Self, ReadError> {
        let fields = Fields::read(payload)?;
        let test_id = fields.test_id()?;
        let rest = || {
            Ok(Self {
                test_id: test_id.clone(),
                start: fields.flag("trigger")?.unwrap_or(true),
                start_at_unix_ms: fields.non_negative("start_at")?,
                clock_offsets_ms: clock_offsets_ms(&fields)?,
            })
        };
        rest().map_err(|e: ReadError| e.about(&test_id))
    }

    /// Writes the message.
    pub fn write(&self) -> Vec<u8> {
        let Self { test_id, start, start_at_unix_ms, clock_offsets_ms } = self;
        crate::histogram::to_json(&Wire {
            test_id,
            trigger: if *start { "YES" } else { "NO" },
            schema: crate::SCHEMA,
            start_at: *start_at_unix_ms,
            clock_offsets_ms,
        })
    }
}

fn clock_offsets_ms(fields: &Fields) -> Result<BTreeMap<NodeId, f64>, ReadError> {
    const FIELD: &str = "clock_offsets_ms";
    let Some(OwnedValue::Object(object)) = fields.raw(FIELD) else { return Ok(BTreeMap::new()) };
    let read = |(name, offset): (&String, &OwnedValue)| {
        let node_id = NodeId::new(name.as_str()).ok_or_else(|| ReadError::bad(FIELD, "names a node that cannot be"))?;
        let offset_ms = offset.cast_f64().filter(|ms| ms.is_finite());
        Ok((node_id, offset_ms.ok_or_else(|| ReadError::bad(FIELD, "holds something else than a number"))?))
    };
    object.iter().map(read).collect()
}
