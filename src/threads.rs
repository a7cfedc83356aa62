//! Whether this process may have the threads that it needs: asked before the first of them is missed in the middle of
//! something, by a library that can say nothing but a panic.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::error::Error;

/// They do nothing but wait.
const STACK_BYTES: usize = 64 * 1024;

/// Starts so many threads at once, and ends them again.
pub fn ensure(count: usize, whose: &str) -> Result<(), Error> {
    try_all(count).map_err(|(started, error)| {
        Error::Failed(format!(
            "{whose} needs {count} threads, and this process may start only {started} more ({error}); raise the limit on \
             processes and threads (ulimit -u, TasksMax= in systemd, pids in a container)"
        ))
    })
}

fn try_all(count: usize) -> Result<(), (usize, io::Error)> {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let mut threads: Vec<JoinHandle<()>> = Vec::with_capacity(count);
    let mut refused = None;
    while threads.len() < count && refused.is_none() {
        let gate = gate.clone();
        let wait = move || {
            let mut open = lock(&gate.0);
            while !*open {
                open = gate.1.wait(open).unwrap_or_else(PoisonError::into_inner);
            }
        };
        match Builder::new().name("probe".into()).stack_size(STACK_BYTES).spawn(wait) {
            Ok(thread) => threads.push(thread),
            Err(error) => refused = Some(error),
        }
    }
    *lock(&gate.0) = true;
    gate.1.notify_all();
    let started = threads.len();
    for thread in threads {
        // It cannot have panicked.
        let _ = thread.join();
    }
    refused.map_or(Ok(()), |error| Err((started, error)))
}

fn lock(open: &Mutex<bool>) -> MutexGuard<'_, bool> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_there_may_be_are_started_and_ended() {
        assert!(ensure(16, "a test").is_ok());
    }
}
