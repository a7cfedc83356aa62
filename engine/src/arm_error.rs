//! Why a run could not be armed, in words for the person who has to do something about it.

use std::io;

use crate::plan_error::PlanError;
use crate::trust::explain;

/// Why a run could not be armed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ArmError {
    #[error("the plan cannot be run: {0}")]
    Plan(#[from] PlanError),
    #[error("cannot resolve {host}: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("cannot connect to {address}: {source}{}", advice(.source))]
    Connect { address: String, source: io::Error },
    #[error(
        "{connections} connections need {needed} open files, and the limit is {limit}; raise it (ulimit -n, LimitNOFILE= of a \
         service), or give fewer connections"
    )]
    Descriptors { connections: u64, needed: u64, limit: u64 },
    #[error("arming was called off")]
    Cancelled,
    #[error("cannot start an engine thread on CPU {cpu}: {source}")]
    Thread { cpu: usize, source: io::Error },
    #[error("io_uring is not usable here: {0}")]
    IoUring(io::Error),
    #[error("TLS with {host} failed: {}", explain(.source))]
    Tls { host: String, source: io::Error },
}

/// What to do about a connection that this machine, and not the target, refuses.
fn advice(error: &io::Error) -> &'static str {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE) => {
            "; raise the limit (ulimit -n, LimitNOFILE= of a service), or give fewer connections"
        }
        _ => "",
    }
}
