//! The messages that nodes exchange: their meaning, their reading and their writing.
//!
//! Pure bytes in, values out, and back. This crate refuses to know Kafka, sockets, files and clocks.
//!
//! Reading is generous, writing is strict. Numbers may come as JSON numbers or numeric strings, may be null or
//! missing; keys and enum values may come in any case, with or without underscores; unknown fields are ignored.
//! What cannot be read gives a [`ReadError`] that names the field, and never a panic. `tests/golden.rs` freezes
//! what we write.

mod amendment;
mod config;
mod connect_to;
mod expect;
mod fields;
mod heartbeat;
mod histogram;
pub mod human;
mod ids;
mod metrics;
pub mod options;
mod profile;
mod register;
mod requests;
mod target_url;
pub mod threshold;
mod topic;
mod trigger;
mod validate;

pub use amendment::Amendment;
pub use config::{Participant, TestType};
pub use connect_to::ConnectTo;
pub use expect::Expect;
pub use fields::{ErrorKind, MAX_MESSAGE_BYTES, ReadError};
pub use heartbeat::{Heartbeat, NodeState, Refusal, Share};
pub use histogram::{
    CodingError, decode_base64, decode_bytes, decode_own_bytes, decode_plain, encode_base64, encode_bytes, encode_plain,
};
pub use ids::{NodeId, SessionId, TestId};
pub use metrics::{EndReason, LatencyMs, Measured, Metrics};
pub use options::{OPTIONS, TestConfig, TestOption};
pub use profile::{Arrivals, Phase, Profile, RateOf, Shape};
pub use register::Register;
pub use requests::{RequestConfig, RequestOrder};
pub use target_url::TargetUrl;
pub use threshold::Threshold;
pub use topic::Topic;
pub use trigger::Trigger;
pub use validate::{FieldProblem, limits};

/// The version of the additional fields, written as `schema` into every message of ours. A message without it
/// speaks only the specification's fields; one with a higher number is refused in words.
pub const SCHEMA: u64 = 1;
