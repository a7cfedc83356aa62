//! A driver.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DriverView {
    /// Its name.
    pub node_id: String,
    /// This life of it; `null`: it speaks only the specification.
    pub session_id: Option<String>,
    /// What it is doing, or what is wrong with it.
    pub state: DriverState,
    /// Why it takes no part.
    pub reason: Option<String>,
    /// What is wrong with it, though it takes part: a wall clock that differs from the orchestrator's.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The test that it is armed for or runs.
    pub test_id: Option<String>,
    /// The address that it registered with.
    pub node_ip: Option<String>,
    /// The name of its machine.
    pub hostname: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The CPUs of its engine.
    pub cpus: Option<String>,
    /// When it registered.
    pub registered_at: String,
    /// Seconds since its last heartbeat.
    pub heartbeat_age_s: f64,
    /// Its wall clock minus the orchestrator's, less the shortest delivery of its newest heartbeats.
    pub clock_offset_ms: Option<f64>,
    /// Reports that it has not delivered yet.
    pub reports_waiting: Option<u64>,
    /// Messages that it could not read.
    pub messages_skipped: Option<u64>,
    /// CPU time of its process since its start, user and system.
    pub cpu_s: Option<f64>,
    /// Resident memory of its process.
    pub memory_bytes: Option<u64>,
}

/// What a driver is doing, or what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DriverState {
    /// Waiting for a test.
    Idle,
    /// Connections open, waiting for the trigger.
    Armed,
    /// Sending, or waiting for the last answers.
    Running,
    /// It lives; it does not say what it is doing (it speaks only the specification).
    Alive,
    /// No heartbeat for 3 seconds (longer for a node that beats less than once a second), or not known well enough yet to
    /// take part: the reason says what is missing.
    Suspect,
    /// No heartbeat for 5 seconds, or for three of its own intervals (60 seconds at most), or it said goodbye.
    Lost,
    /// It takes no part, for the reason beside.
    Rejected,
}
