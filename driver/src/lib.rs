//! A driver node: the engine, and the Kafka sidecar thread that tells it what to do and reports what it measured.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use onrush_bus::BusConfig;
use onrush_protocol::NodeId;

/// How a driver runs.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// The topics.
    pub bus: BusConfig,
    /// The driver's name.
    pub node_id: NodeId,
    /// The address that it registers with, for people.
    pub node_ip: Option<String>,
    /// The CPUs of the engine; `None`: every CPU that this process may use.
    pub cpus: Option<Vec<usize>>,
    /// `None`: chosen by itself.
    pub wait: Option<onrush_engine::Wait>,
    /// The target of tests that name none.
    pub target_url: Option<String>,
}

/// Why a driver could not run.
#[derive(Debug, thiserror::Error)]
#[error("not written yet")]
pub struct DriverError;

/// Runs a driver until `stop` is set; then it stops its test, delivers its reports and says goodbye.
pub fn run(_config: DriverConfig, _stop: Arc<AtomicBool>) -> Result<(), DriverError> {
    todo!()
}
