//! What a process has and uses of its machine: the CPUs that it may use, its limits, its usage, and what the nodes on one
//! machine tell one another (which CPUs are taken, where an embedded broker is).
//!
//! This crate refuses to know what the nodes do.

pub mod cpus;
mod error;
pub mod limits;
mod runtime;
pub mod scarcity;
pub mod usage;

pub use error::HostError;
pub use runtime::{LiveFile, runtime_dir};
pub use usage::Usage;
