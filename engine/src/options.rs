//! How the engine uses this machine.

use std::net::IpAddr;

use crate::io::Io;

/// How a thread waits for the next due moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Poll the ring until the moment comes: lateness below a microsecond, at the price of the whole core.
    Poll,
    /// Sleep on a timer of microsecond resolution: right where the core is shared.
    Timer,
}

impl Wait {
    /// The name that results use.
    pub const fn name(self) -> &'static str {
        match self {
            Wait::Poll => "poll",
            Wait::Timer => "timer",
        }
    }
}

/// How the engine uses this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The CPUs to pin to, one thread each. With fewer connections than CPUs the last CPUs stay free.
    pub cpus: Vec<usize>,
    /// How threads wait for due moments.
    pub wait: Wait,
    /// How threads reach the network.
    pub io: Io,
    /// Addresses of this machine that connections come from, in turn; empty: the one that the kernel chooses. Each has some
    /// 28,000 ports for every address of a target.
    pub local_addresses: Vec<IpAddr>,
}
