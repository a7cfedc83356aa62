//! What the doctor knows of a machine and of the test that it is to make: plain values, gathered by `look`, judged by
//! `judge`.

use std::time::Duration;

use onrush_host::limits::Limit;

/// The load that one driver on this machine is to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Its connections.
    pub connections: u64,
    /// Its requests per second; `None`: as many as it can.
    pub rate_per_s: Option<f64>,
    /// Whether a connection serves more than one request.
    pub keepalive: bool,
    /// The CPUs of its engine; `None`: all that it may use.
    pub cpus: Option<Vec<usize>>,
}

/// Everything that was seen. `None`: the system does not tell, or nobody asked for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The kernel's release, like `6.1.0-18-amd64`.
    pub kernel: String,
    /// Whether a ring could be set up.
    pub ring: Ring,
    /// `kernel.io_uring_disabled`.
    pub io_uring_disabled: Option<u32>,
    /// Whether a seccomp filter is on this process.
    pub seccomp: bool,
    /// Memory that may be locked.
    pub locked_memory: Limit,
    /// Files that may be open.
    pub descriptors: Limit,
    /// The first and the last port for connections to elsewhere.
    pub ports: Option<(u16, u16)>,
    /// `net.ipv4.tcp_tw_reuse`.
    pub tw_reuse: Option<u32>,
    /// Connections in TIME_WAIT now.
    pub time_wait: Option<u64>,
    /// `net.core.somaxconn`.
    pub somaxconn: Option<u64>,
    /// CPUs that this process may use.
    pub cpus: Vec<usize>,
    /// The time of so many CPUs, where a control group gives less than `cpus` have.
    pub quota: Option<usize>,
    /// The frequency governor of each CPU that has one.
    pub governors: Vec<(usize, String)>,
    /// The kernel's clock source.
    pub clock_source: Option<String>,
    /// The clock sources that it could use instead.
    pub clock_sources: Vec<String>,
    /// Whether the kernel's clock is kept on time by another.
    pub clock_synchronized: Option<bool>,
    /// The broker, where one is known.
    pub broker: Option<Broker>,
    /// The target, where one was given.
    pub target: Option<Target>,
    /// What the orchestrator knows of the drivers, where one was given.
    pub drivers: Option<Drivers>,
}

/// The outcome of setting up a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ring {
    /// With completions that are posted when the thread asks for them (5.19 and later).
    Deferred,
    /// A plain one.
    Plain,
    /// The kernel's error number and words.
    Refused(i32, String),
}

/// The broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Broker {
    /// Its address.
    pub address: String,
    /// How long its first answer took, or why there was none.
    pub answer: Result<Duration, String>,
}

/// The target.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its URL.
    pub url: String,
    /// Whether it is on this machine's loopback.
    pub loopback: bool,
    /// The status of one GET and how long it took, or why there was no answer.
    pub answer: Result<(u16, Duration), String>,
}

/// The drivers, as the orchestrator sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Drivers {
    /// Where the orchestrator is.
    pub orchestrator: String,
    /// The name and the clock of each that lives, or why the orchestrator could not be asked.
    pub clocks: Result<Vec<DriverClock>, String>,
    /// Whether it was reached, and wants another token.
    pub wants_token: bool,
}

/// A driver's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct DriverClock {
    /// Its name.
    pub node_id: String,
    /// How far it is ahead of the orchestrator's.
    pub offset_ms: Option<f64>,
}
