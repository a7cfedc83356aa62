//! Before the broker is there, and while everything is built anew: questions get an answer in words all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onrush_bus::{BusConfig, BusError, ensure_topics};
use tokio::sync::mpsc;

use super::{Brain, BrainError, Command};
use crate::problem::Problem;

/// One attempt to reach the broker.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two lines in the log about a broker that is away.
const SAY_AGAIN: Duration = Duration::from_secs(5);

/// What looking for the broker brings.
enum Found {
    /// The broker answers and the topics are there.
    Broker,
    /// Not yet, and why.
    NotYet(BusError),
    /// It never will.
    Never(BusError),
}

/// Whether waiting can help.
pub(super) fn may_pass(error: &BusError) -> bool {
    matches!(error, BusError::Unreachable { .. } | BusError::Topic { .. })
}

/// The broker is not there yet.
fn waiting(address: &str, error: Option<&BusError>) -> Problem {
    let why = error.map(|error| format!(": {error}")).unwrap_or_default();
    let meanwhile = "what is stored can be seen; tests can be made and driven once it answers";
    Problem::Unavailable(format!("waiting for the broker at {address}{why}; {meanwhile}"))
}

impl Brain {
    /// Waits for the broker and its topics, for ever; `said` is called once it is known that this takes a while. False:
    /// told to stop meanwhile.
    pub(super) async fn await_broker(&mut self, mut said: impl FnMut()) -> Result<bool, BrainError> {
        let (sender, mut found) = mpsc::channel(1);
        let (bus, stop) = (self.config.bus.clone(), self.stop.clone());
        let address = bus.brokers.address.clone();
        std::thread::Builder::new()
            .name("broker search".into())
            .spawn(move || search(&bus, &stop, &sender))
            .map_err(|error| BusError::Thread { error })?;
        let mut logged = None::<Instant>;
        let mut problem = waiting(&address, None);
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(Command::Shutdown) => {
                        self.stop.store(true, Ordering::Relaxed);
                        return Ok(false);
                    }
                    Some(command) => command.refuse(&problem),
                },
                found = found.recv() => match found {
                    Some(Found::Broker) => return Ok(true),
                    Some(Found::Never(error)) => return Err(error.into()),
                    Some(Found::NotYet(error)) => {
                        problem = waiting(&address, Some(&error));
                        if logged.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
                            logged = Some(Instant::now());
                            tracing::warn!("waiting for the broker: {error}");
                        }
                        said();
                    }
                    // Its thread was told to stop.
                    None => return Ok(false),
                },
            }
        }
    }

    /// Lets a moment pass in which nothing can be done; whether it was told to stop.
    pub(super) async fn pause(&mut self, length: Duration, problem: &Problem) -> bool {
        let deadline = tokio::time::Instant::now() + length;
        while let Ok(command) = tokio::time::timeout_at(deadline, self.commands.recv()).await {
            match command {
                None | Some(Command::Shutdown) => return true,
                Some(command) => command.refuse(problem),
            }
        }
        self.stop.load(Ordering::Relaxed)
    }
}

/// Looks for the broker until it is there, it never will be, or nobody wants to know.
fn search(bus: &BusConfig, stop: &Arc<AtomicBool>, found: &mpsc::Sender<Found>) {
    while !stop.load(Ordering::Relaxed) {
        let (is_last, news) = match ensure_topics(bus, ATTEMPT) {
            Ok(()) => (true, Found::Broker),
            Err(error) if may_pass(&error) => (false, Found::NotYet(error)),
            Err(error) => (true, Found::Never(error)),
        };
        if found.blocking_send(news).is_err() || is_last {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

impl Command {
    /// Answers that it cannot be done now. What is stored is shown without the brain.
    pub(super) fn refuse(self, problem: &Problem) {
        match self {
            Self::Create(.., reply) | Self::Trigger(.., reply) | Self::Stop(.., reply) => {
                drop(reply.send(Err(problem.clone())));
            }
            Self::CreateSearch(.., reply) | Self::StopSearch(.., reply) => drop(reply.send(Err(problem.clone()))),
            Self::Import(_, reply) => drop(reply.send(Err(problem.clone()))),
            Self::Amend(.., reply) => drop(reply.send(Err(problem.clone()))),
            Self::Delete(.., reply) => drop(reply.send(Err(problem.clone()))),
            Self::StopAll(.., reply) => drop(reply.send(Err(problem.clone()))),
            Self::Drivers(reply) => drop(reply.send(Err(problem.clone()))),
            Self::Totals(_, reply) => drop(reply.send(None)),
            Self::Subscribe(_, reply) => drop(reply.send(None)),
            Self::Skipped(reply) => drop(reply.send(Default::default())),
            Self::TargetRead(..) | Self::TargetSeen(..) | Self::Shutdown => {}
        }
    }
}
