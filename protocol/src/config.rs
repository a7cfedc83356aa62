//! `test_config`: the orchestrator describes a test.

use std::time::Duration;

use serde::Serialize;
use simd_json::OwnedValue;
use simd_json::prelude::*;

use crate::fields::{Fields, ReadError, quoted};
use crate::options::{MessageWriter, OPTIONS};
use crate::{Amendment, Arrivals, NodeId, Profile, RateOf, SessionId, Share, TestConfig, TestId, TestOption, limits};

/// The options that the specification has, which stand first in the message.
const SPECIFIED: usize = 2;

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

impl TestConfig {
    /// Time-out of a request where the config names none.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Time-out of connecting where the config names none.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    /// Connections of a driver where the config names none: Avalanche needs enough to keep a server busy,
    /// Tsunami as many as requests overlap (rate × latency).
    pub const fn default_connections(test_type: TestType) -> u32 {
        match test_type {
            TestType::Avalanche => 64,
            TestType::Tsunami => 256,
        }
    }

    /// The requests per second and driver that the test asks of each of so many drivers: the throughput, or in a Tsunami its
    /// interval, whichever is slower; `None`: as many as go, or what its profile says.
    pub fn asked_rate_per_s(&self, drivers: usize) -> Option<f64> {
        let paced = self.test_type == TestType::Tsunami && !self.delay.is_zero();
        let by_delay = paced.then(|| self.delay.as_secs_f64().recip());
        let share = self.total_throughput_per_s.map(|total_per_s| total_per_s / drivers.max(1) as f64);
        by_delay.into_iter().chain(self.target_throughput_per_s).chain(share).reduce(f64::min)
    }

    /// When it ends at the latest: its duration, the length of its profile, or the end that its last amendment gives it; `None`: its
    /// number of requests ends it.
    pub fn length(&self) -> Option<Duration> {
        let Some(last) = self.amendments.last() else {
            return self.duration.or_else(|| self.profile.as_ref().map(Profile::length));
        };
        let end = Duration::from_secs(last.at_second).saturating_add(last.profile.length());
        // A rate for the rest of a test without an end has the longest length there is.
        (end < limits::MAX_DURATION).then_some(end)
    }

    /// Whether its rates are those of all drivers together: each sends a share of one schedule.
    pub fn is_shared(&self) -> bool {
        self.total_throughput_per_s.is_some()
            || self.profile.as_ref().is_some_and(|profile| profile.of == RateOf::Total)
    }

    /// The share of a driver, where the rates are those of all drivers together; `None`: they are each driver's own.
    pub fn share_of(&self, node_id: &NodeId) -> Option<Share> {
        let participants = self.participants.as_ref().filter(|_| self.is_shared())?;
        let index = participants.iter().position(|participant| participant.node_id == *node_id)?;
        Some(Share { index: u32::try_from(index).ok()?, of: u32::try_from(participants.len()).ok()? })
    }

    /// Whether a driver that knows the specification's fields alone would send something else.
    pub fn is_beyond_the_specification(&self) -> bool {
        self.is_shared() || self.profile.is_some() || self.arrivals != Arrivals::Even
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
        let mut config = Self::new(test_id, test_type);
        OPTIONS.iter().try_for_each(|option| option.read(&mut config, fields))?;
        if test_type == TestType::Avalanche {
            // It has no delay, whatever the field says (the specification writes 0).
            config.delay = Duration::ZERO;
        }
        config.participants = participants(fields)?;
        config.amendments = Amendment::read_all(fields)?;
        Ok(config)
    }

    /// Writes the message: what drivers are told.
    pub fn write(&self) -> Vec<u8> {
        self.write_options(|option| option.is_for_drivers)
    }

    /// Writes all of it, as this node keeps it for [`read_stored`](Self::read_stored).
    pub fn write_stored(&self) -> Vec<u8> {
        self.write_options(|_| true)
    }

    fn write_options(&self, is_written: impl Fn(&TestOption) -> bool) -> Vec<u8> {
        let mut message = MessageWriter::begin();
        message.push("test_id", &self.test_id);
        message.push("test_type", self.test_type.name());
        let (specified, ours) = OPTIONS.split_at(SPECIFIED);
        specified.iter().for_each(|option| option.write(self, &mut message));
        message.push("schema", &crate::SCHEMA);
        ours.iter().filter(|option| is_written(option)).for_each(|option| option.write(self, &mut message));
        if let Some(list) = &self.participants {
            message.push("participants", &list.iter().map(WireParticipant::of).collect::<Vec<_>>());
        }
        if !self.amendments.is_empty() {
            message.push("amendments", &self.amendments.iter().map(Amendment::wire).collect::<Vec<_>>());
        }
        message.end()
    }
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
