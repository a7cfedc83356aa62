//! What a machine may refuse, in words for the person who has to do something about it.

use std::path::{Path, PathBuf};

/// What this machine refuses.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum HostError {
    #[error(
        "this process may start only {got} of the {wanted} threads that it needs ({error}): raise the limit of processes \
         and threads (ulimit -u, or pids of the container)"
    )]
    Threads { wanted: usize, got: usize, error: std::io::Error },
    #[error(
        "this process may open only {got} of the {wanted} files and sockets that it needs ({error}): raise the limit of \
         descriptors (ulimit -n)"
    )]
    Descriptors { wanted: usize, got: usize, error: std::io::Error },
    #[error("cannot use {}, where nodes on this machine find one another: {problem}; ONRUSH_RUNTIME_DIR may name another folder", .path.display())]
    RuntimeDir { path: PathBuf, problem: String },
}

impl HostError {
    pub(crate) fn runtime_dir(path: &Path, problem: impl ToString) -> Self {
        Self::RuntimeDir { path: path.to_owned(), problem: problem.to_string() }
    }
}
