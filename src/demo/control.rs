//! The orchestrator within the demo's process, on threads of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use onrush_bus::{BusConfig, EmbeddedBroker};
use onrush_orchestrator::{Orchestrator, OrchestratorConfig, Retention};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::nodes::{brokers_of, orchestrator_runtime};

/// The fewest drivers that a test runs on.
const MIN_DRIVERS: usize = 2;
/// What is still to be stored at the end has this long.
const SHUTDOWN_AT_MOST: Duration = Duration::from_secs(5);

/// A running orchestrator.
pub struct Control {
    /// `None`: it is stopped.
    runtime: Option<Runtime>,
    address: SocketAddr,
    /// Dropping it asks the orchestrator to end.
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Error>>,
}

impl Control {
    /// Starts it for exactly this many drivers.
    pub fn start(broker: &EmbeddedBroker, listen: SocketAddr, store: PathBuf, drivers: usize) -> Result<Self, Error> {
        let runtime = orchestrator_runtime()?;
        let bus = BusConfig {
            brokers: brokers_of(broker),
            topic_prefix: String::new(),
            client_id: "onrush-orchestrator".into(),
            options: Vec::new(),
        };
        let config = OrchestratorConfig {
            bus,
            listen,
            store,
            min_drivers: MIN_DRIVERS.min(drivers),
            max_drivers: drivers,
            retention: Retention::default(),
            allow_hosts: Vec::new(),
            token_file: None,
            insecure_no_auth: false,
        };
        let started = runtime.block_on(Orchestrator::start(config));
        let mut orchestrator = started.map_err(|e| Error::failed("cannot start the orchestrator", e))?;
        let address = orchestrator.address();
        let (end, ended) = oneshot::channel::<()>();
        let task = runtime.spawn(async move {
            let outcome = tokio::select! {
                failed = orchestrator.wait() => failed.map_err(|e| Error::failed("the orchestrator cannot go on", e)),
                _ = ended => Ok(()),
            };
            orchestrator.shutdown().await;
            outcome
        });
        Ok(Self { runtime: Some(runtime), address, end: Some(end), task })
    }

    /// Where REST listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it still works.
    pub fn check(&mut self) -> Result<(), Error> {
        match &self.runtime {
            Some(runtime) if self.task.is_finished() => match runtime.block_on(&mut self.task) {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) => Err(Error::Failed("the orchestrator ended".into())),
                Err(error) => Err(Error::failed("the orchestrator broke", error)),
            },
            _ => Ok(()),
        }
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.end = None;
        let Some(runtime) = self.runtime.take() else { return };
        if !self.task.is_finished() {
            let task = &mut self.task;
            let ended = runtime.block_on(async { tokio::time::timeout(SHUTDOWN_AT_MOST, task).await });
            if ended.is_err() {
                tracing::warn!("the orchestrator did not end in {SHUTDOWN_AT_MOST:?}; ended without it");
            }
        }
        // Waits for nothing that still blocks.
        runtime.shutdown_background();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop();
    }
}
