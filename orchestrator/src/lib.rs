//! The orchestrator: it controls tests by REST, merges what the drivers measured, stores it and shows it.
//!
//! One thread, the brain, owns every test and every driver; Kafka, REST and the clock only send it messages.
//! This crate refuses to know the engine.
//!
//! Reading order: [`state`], [`record`] and [`lifecycle`] (one test), [`registry`] (the drivers), [`aggregate`] and
//! [`conservation`] (what was measured), [`capacity`] (a test whose load a search decides), [`core`] (all of that together). These are the domain: no clock, socket or file, no
//! HTTP, no SQL, nothing of how it is shown; `scripts/check-domain` sees to it. Around it: [`store`], [`brain`] (the thread
//! that makes it real), [`handle`], [`access`] and [`rest`] (the way in), [`views`] (what is shown, of `onrush_api`), [`report_file`] (a
//! finished test as one HTML file), [`export`] (what Prometheus is shown).

mod access;
mod actor;
mod aggregate;
mod amend;
mod brain;
mod capacity;
mod clock;
mod conservation;
mod core;
mod event;
mod export;
mod handle;
mod intake;
mod lifecycle;
mod problem;
mod proof;
mod record;
mod registry;
mod report_file;
mod rest;
mod run_file;
mod second;
mod serve;
mod state;
mod store;
mod target_check;
mod target_look;
mod target_metrics;
mod trouble;
mod updates;
mod views;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use crate::access::{TokenFileError, new_token, token_line};
pub use crate::amend::LoadChange;
pub use crate::core::{NewSearch, NewTest};
pub use handle::{Handle, SearchPage, TestPage};
pub use problem::Problem;
pub use report_file::{Machine, Points, Report};
pub use rest::allowed_host;
pub use run_file::{RunFile, RunFileError, Verified};
pub(crate) use store::ListFilter;
pub use store::Retention;
pub use target_check::{TimeSource, time_source};
pub use target_look::look_at_target;
pub use updates::{Shown, Update};
pub use views::{histogram, phases};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onrush_bus::{BusConfig, BusError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::brain::{BrainConfig, BrainError, Command};
use crate::core::Seats;
use crate::export::Export;
use crate::store::{Store, StoreError, StoreLock, StoreReader};
use crate::trouble::Trouble;

/// Connections that stay open (live streams) are cut this long after the shutdown began.
const SERVE_PATIENCE: Duration = Duration::from_secs(1);
/// Questions that wait for the brain; more wait at the door.
const COMMANDS: usize = 64;

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
    /// Which tests are kept.
    pub retention: Retention,
    /// Names by which REST may be asked, beside addresses, `localhost` and the machine's own name.
    pub allow_hosts: Vec<String>,
    /// The tokens of those who may ask; `None`: whoever reaches it may do everything.
    pub token_file: Option<PathBuf>,
    /// Whether it may listen beyond this machine though nobody needs a token.
    pub insecure_no_auth: bool,
}

/// Why the orchestrator could not run.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OrchestratorError(#[from] Reason);

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("--min-drivers is {min} and --max-drivers is {max}: give 1 or more, and no more than the maximum")]
    Seats { min: usize, max: usize },
    #[error(
        "it would listen on {0}, beyond this machine, and whoever reaches it could start load: give --token-file FILE \
         (`onrush token new` makes a token and its line), listen on 127.0.0.1, or accept it by --insecure-no-auth"
    )]
    Unguarded(SocketAddr),
    #[error(transparent)]
    TokenFile(#[from] TokenFileError),
    #[error("cannot listen on {address}: {error}; give another address by --listen")]
    Bind { address: SocketAddr, error: std::io::Error },
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("REST ended: {0}")]
    Serve(String),
    #[error("the orchestrator's main thread ended; its log says why")]
    BrainEnded,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Brain(#[from] BrainError),
}

/// A running orchestrator. Dropped without [`shutdown`](Self::shutdown), it ends by itself, a little later.
pub struct Orchestrator {
    address: SocketAddr,
    handle: Handle,
    access: Access,
    commands: mpsc::Sender<Command>,
    stop: Arc<AtomicBool>,
    /// Tells REST to take no more requests.
    close: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
    brain: Option<JoinHandle<()>>,
}

impl Orchestrator {
    /// Opens the store, binds REST, joins the topics and begins to serve. Where the broker is away, it serves what is
    /// stored and goes on waiting.
    pub async fn start(config: OrchestratorConfig) -> Result<Self, OrchestratorError> {
        Ok(Self::try_start(config).await?)
    }

    async fn try_start(config: OrchestratorConfig) -> Result<Self, Reason> {
        let OrchestratorConfig {
            bus,
            listen,
            store,
            min_drivers: min,
            max_drivers: max,
            retention,
            allow_hosts,
            token_file,
            insecure_no_auth,
        } = config;
        if min == 0 || min > max {
            return Err(Reason::Seats { min, max });
        }
        let access = access_of(token_file, insecure_no_auth, listen)?;
        // What can be wrong on this machine is found before the broker is waited for.
        let lock = StoreLock::take(&store)?;
        // What is stored is shown from the start on, also where the broker is away.
        drop(Store::open(&store).map_err(|error| error.of_file(&store))?);
        let bind_error = |error| Reason::Bind { address: listen, error };
        let listener = TcpListener::bind(listen).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;

        let (commands, questions) = mpsc::channel(COMMANDS);
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel::<()>();
        let trouble = Trouble::default();
        let seats = Seats { min, max };
        let brain_config = BrainConfig { bus, store: store.clone(), seats, retention, trouble: trouble.clone() };
        let export = Export::default();
        let (own_commands, own_stop, own_export) = (commands.clone(), stop.clone(), export.clone());
        let run = move || {
            tracing::info!(broker = brain_config.bus.brokers.address, "looking for the broker");
            brain::run(brain_config, (own_commands, questions), own_export, own_stop, ready);
            // The file is free for another orchestrator only when nothing writes to it any more.
            drop(lock);
            let _ = ended.send(());
        };
        std::thread::Builder::new().name("brain".into()).spawn(run).map_err(Reason::Thread)?;
        is_ready.await.map_err(|_| Reason::BrainEnded)??;

        let handle = Handle::new(
            commands.clone(),
            StoreReader::open(&store).map_err(|error| error.of_file(&store))?,
            &store,
            export,
            trouble,
            max,
        );
        let (close, closed) = oneshot::channel::<()>();
        let router = rest::router(handle.clone(), rest::Hosts::new(&allow_hosts), access.clone());
        let closed = async { drop(closed.await) };
        let serve = serve::serve(listener, router, serve::Limits::default(), closed);
        tracing::info!(%address, store = %store.display(), "REST is served");
        Ok(Self {
            address,
            handle,
            access,
            commands,
            stop,
            close: Some(close),
            served: Some(tokio::spawn(serve)),
            brain: Some(tokio::spawn(async { drop(has_ended.await) })),
        })
    }

    /// Where REST listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same door that REST uses.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Reads the token file again. Where it is wrong, the tokens stay as they were, and the log says why.
    pub fn reload_tokens(&self) {
        match self.access.reload() {
            Ok(tokens) => tracing::info!(tokens, "the token file was read again"),
            Err(error) => tracing::error!("the tokens stay as they were: {error}"),
        }
    }

    /// Serves until something fails that ends it; does not return otherwise.
    pub async fn wait(&mut self) -> Result<(), OrchestratorError> {
        let (Some(served), Some(brain)) = (&mut self.served, &mut self.brain) else {
            return Err(Reason::BrainEnded.into());
        };
        let reason = tokio::select! {
            served = served => match served {
                Ok(()) => Reason::Serve("it was closed".into()),
                Err(error) => Reason::Serve(error.to_string()),
            },
            _ = brain => Reason::BrainEnded,
        };
        Err(reason.into())
    }

    /// Stops serving, flushes the store.
    pub async fn shutdown(mut self) {
        drop(self.close.take());
        if let Some(mut served) = self.served.take()
            && !served.is_finished()
            && tokio::time::timeout(SERVE_PATIENCE, &mut served).await.is_err()
        {
            served.abort();
        }
        let _ = self.commands.send(Command::Shutdown).await;
        if let Some(brain) = self.brain.take()
            && !brain.is_finished()
        {
            let _ = brain.await;
        }
    }
}

/// Who may ask, where it listens there.
fn access_of(token_file: Option<PathBuf>, insecure_no_auth: bool, listen: SocketAddr) -> Result<Access, Reason> {
    let Some(file) = token_file else {
        let stays_here = listen.ip().to_canonical().is_loopback();
        if !stays_here && !insecure_no_auth {
            return Err(Reason::Unguarded(listen));
        }
        if !stays_here {
            tracing::warn!("nobody needs a token: whoever reaches {listen} can start load (--insecure-no-auth)");
        }
        return Ok(Access::open());
    };
    Ok(Access::by_file(file)?)
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
