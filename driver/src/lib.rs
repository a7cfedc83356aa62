//! A driver node: the engine, and the Kafka sidecar thread that tells it what to do and reports what it measured.
//!
//! Three kinds of threads: the engine's own (pinned, one per CPU), the runner that arms the engine and turns its
//! seconds into reports, and the sidecar that talks to Kafka. What to do on which message is decided by
//! `node`, a state machine without clocks, sockets and threads. This crate refuses to know the orchestrator.

mod known;
mod machine;
mod moment;
mod namesake;
mod node;
mod plan;
mod report;
mod runner;
mod sidecar;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use onrush_bus::{BusConfig, BusError};
use onrush_protocol::NodeId;

pub use machine::Machine;
pub use plan::plan_of;

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
    /// How the engine reaches the network.
    pub io: onrush_engine::Io,
    /// Addresses of this machine that connections come from, in turn; empty: the one that the kernel chooses.
    pub local_addresses: Vec<std::net::IpAddr>,
    /// The target of tests that name none.
    pub target_url: Option<String>,
}

/// Why a driver could not run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DriverError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("the target of this driver (--target-url) cannot be used: {0}")]
    TargetUrl(String),
    #[error("the engine cannot run on CPU {cpu}: this process may use the CPUs {allowed}")]
    Cpu { cpu: usize, allowed: String },
    #[error("the engine needs at least one CPU; give a list like 2-7,9")]
    NoCpu,
    #[error("cannot find out which CPUs this process may use: {0}")]
    Affinity(std::io::Error),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error(
        "another driver lives under the name {node_id} (session {session}): end it first, or give this one another name \
         by --node-id (without it, names are unique)"
    )]
    NameTaken { node_id: NodeId, session: String },
    #[error("the {0} thread ended by an error of the program; what it said stands above")]
    Died(&'static str),
}

/// What a driver starts beside the engine's threads, with one Kafka client more than it has most of the time.
const THREADS: usize = 20;
/// The files and sockets that it has open beside the engine's connections, with one Kafka client more.
const DESCRIPTORS: usize = 64;

/// Runs a driver until `stop` is set; then it stops its test, delivers its reports and says goodbye.
pub fn run(config: DriverConfig, stop: Arc<AtomicBool>) -> Result<(), DriverError> {
    plan::check_target(config.target_url.as_deref()).map_err(DriverError::TargetUrl)?;
    let engine_threads = match &config.cpus {
        Some(cpus) => cpus.len(),
        None => onrush_host::cpus::allowed().map_err(DriverError::Affinity)?.len(),
    };
    // What a Kafka client does without a thread or a socket is to wait, and say nothing.
    onrush_host::limits::check_room(THREADS + engine_threads, DESCRIPTORS).map_err(BusError::from)?;
    let machine = machine::Machine::look(config.cpus.as_deref())?;
    let sidecar = std::thread::Builder::new().name("sidecar".into());
    // A thread of its own, so that the caller keeps its CPUs.
    let thread = sidecar.spawn(move || sidecar::run(config, machine, &stop)).map_err(DriverError::Thread)?;
    thread.join().map_err(|_| DriverError::Died("sidecar"))?
}
