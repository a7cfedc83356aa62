//! The life of a run as its owner sees it: arm, start, read seconds, stop.

use std::time::{Duration, Instant};

use onrush_stats::{SecondStats, Totals};

use crate::{Plan, PlanError};

/// How a thread waits for the next due moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Poll the ring until the moment comes: lateness below a microsecond, at the price of the whole core.
    Poll,
    /// Sleep on a timer of microsecond resolution: right where the core is shared.
    Timer,
}

/// How the engine uses this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The CPUs to pin to, one thread each. With fewer connections than CPUs the last CPUs stay free.
    pub cpus: Vec<usize>,
    /// How threads wait for due moments.
    pub wait: Wait,
}

/// Why a run could not be armed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ArmError {
    #[error("the plan cannot be run: {0}")]
    Plan(#[from] PlanError),
    #[error("cannot resolve {host}: {source}")]
    Resolve { host: String, source: std::io::Error },
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: std::io::Error },
    #[error("cannot start an engine thread on CPU {cpu}: {source}")]
    Thread { cpu: usize, source: std::io::Error },
    #[error("io_uring is not usable here: {0}")]
    IoUring(std::io::Error),
}

/// A run with its threads up and its connections open, waiting for its start. Dropping it closes everything.
pub struct Armed(std::convert::Infallible);

impl Armed {
    /// Checks the plan, starts the threads and opens the connections; blocks until they are open.
    pub fn new(_plan: Plan, _options: Options) -> Result<Self, ArmError> {
        todo!()
    }

    /// Connections that are open.
    pub fn connections_open(&self) -> u32 {
        todo!()
    }

    /// Starts at the given moment (at once, when it has passed): the zero of the schedule and of all seconds.
    pub fn start(self, _at: Instant) -> Running {
        todo!()
    }
}

/// A run under way. Dropping it stops it and waits for its threads.
pub struct Running(std::convert::Infallible);

impl Running {
    /// The next second, merged over the threads, in order and without a gap, empty seconds included; waits at
    /// most `timeout`. `None`: nothing yet, or the last second was handed out before.
    pub fn next_second(&mut self, _timeout: Duration) -> Option<SecondReport> {
        todo!()
    }

    /// A handle for stopping from anywhere.
    pub fn stopper(&self) -> Stopper {
        todo!()
    }
}

/// Stops a run: nothing more is sent, and what is on its way has a moment to arrive.
#[derive(Clone)]
pub struct Stopper(std::convert::Infallible);

impl Stopper {
    /// Stops. Stopping twice is stopping once.
    pub fn stop(&self) {
        todo!()
    }
}

/// What one second of a run measured.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondReport {
    /// Which second, from 0.
    pub index: u64,
    /// One second, or less for the last.
    pub length: Duration,
    /// What it measured.
    pub stats: SecondStats,
    /// What the run counted so far, this second included; counted apart from `stats`, so that each proves the other.
    pub totals: Totals,
    /// When the threads really began, the latest of them.
    pub started: Instant,
    /// Set on the last second.
    pub end: Option<End>,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Count reached or duration over, and every answer is in, has failed or has timed out.
    Completed,
    /// Stopped.
    Stopped,
    /// The engine could not go on, and why.
    Failed(String),
}
