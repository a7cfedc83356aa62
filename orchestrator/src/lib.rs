//! The orchestrator: it controls tests by REST, merges what the drivers measured, stores it and shows it.
//!
//! One thread, the brain, owns every test and every driver; Kafka, REST and the clock only send it messages.
//! This crate refuses to know the engine.

mod handle;
mod rest;
pub mod view;

pub use handle::{Handle, NewTest, Problem, Update};

use std::net::SocketAddr;
use std::path::PathBuf;

use onrush_bus::BusConfig;

/// How the orchestrator runs.
#[derive(Clone, Debug)]
pub struct OrchestratorConfig {
    /// The topics.
    pub bus: BusConfig,
    /// Where REST listens; port 0: a free one.
    pub listen: SocketAddr,
    /// The SQLite file.
    pub store: PathBuf,
    /// A test needs at least this many drivers.
    pub min_drivers: usize,
    /// A driver beyond this number is rejected.
    pub max_drivers: usize,
}

/// Why the orchestrator could not run.
#[derive(Debug, thiserror::Error)]
#[error("not written yet")]
pub struct OrchestratorError;

/// A running orchestrator.
pub struct Orchestrator(std::convert::Infallible);

impl Orchestrator {
    /// Opens the store, joins the topics, binds REST and begins to serve.
    pub async fn start(_config: OrchestratorConfig) -> Result<Self, OrchestratorError> {
        todo!()
    }

    /// Where REST listens.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }

    /// Serves until something fails that ends it; does not return otherwise.
    pub async fn wait(&mut self) -> Result<(), OrchestratorError> {
        todo!()
    }

    /// Stops serving, flushes the store.
    pub async fn shutdown(self) {
        todo!()
    }
}
