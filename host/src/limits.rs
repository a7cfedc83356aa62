//! What the system allows a process: descriptors and threads.

use std::fs::File;
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::HostError;

/// A limit of this process; `None`: unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The one in force.
    pub soft: Option<u64>,
    /// How far the process itself may raise it.
    pub hard: Option<u64>,
}

/// How many files and sockets this process may have open.
pub fn descriptors() -> Limit {
    limit(Resource::Nofile)
}

/// How many bytes of memory this process may lock.
pub fn locked_memory() -> Limit {
    limit(Resource::Memlock)
}

fn limit(resource: Resource) -> Limit {
    let Rlimit { current, maximum } = getrlimit(resource);
    Limit { soft: current, hard: maximum }
}

/// Raises the limit of descriptors to what the hard one allows, and gives the one that holds then: each connection takes a
/// descriptor, and the usual 1024 are only a default.
pub fn raise_descriptors() -> Option<u64> {
    let Limit { soft, hard } = descriptors();
    if soft == hard {
        return soft;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays at {}", soft.unwrap_or(u64::MAX));
            soft
        }
    }
}

/// Descriptors that this process has open; `None` where `/proc` does not tell.
pub fn open_descriptors() -> Option<u64> {
    // The listing itself holds one.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64)
}

/// Makes sure that this process may start so many threads and open so many files and sockets, beside those that it has;
/// takes all descriptors that the hard limit allows. Who needs many of them asks first: librdkafka starts threads as it goes
/// and, where there are none, waits for ever without a word.
pub fn check_room(threads: usize, descriptors: usize) -> Result<(), HostError> {
    raise_descriptors();
    let mut files = Vec::new();
    while files.len() < descriptors {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => return Err(HostError::Descriptors { wanted: descriptors, got: files.len(), error }),
        }
    }
    drop(files);
    // They end when the other end of the channel is gone.
    let (hold, held) = channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let mut started: Vec<JoinHandle<()>> = Vec::new();
    let outcome = loop {
        if started.len() == threads {
            break Ok(());
        }
        let held = held.clone();
        let wait = move || drop(held.lock().map(|held| held.recv()));
        match Builder::new().stack_size(64 * 1024).spawn(wait) {
            Ok(thread) => started.push(thread),
            Err(error) => break Err(HostError::Threads { wanted: threads, got: started.len(), error }),
        }
    };
    drop(hold);
    started.into_iter().for_each(|thread| drop(thread.join()));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_some_and_not_for_any_number() {
        check_room(10, 10).unwrap();
        let error = check_room(0, 1 << 40).unwrap_err().to_string();
        assert!(error.contains("ulimit -n"), "{error}");
        assert_eq!(descriptors().soft, descriptors().hard, "it took what the hard limit allows");
    }

    #[test]
    fn what_is_open_is_counted() {
        let files: Vec<_> = (0..50).map(|_| File::open("/dev/null").unwrap()).collect();
        assert!(open_descriptors().is_some_and(|open| open >= files.len() as u64));
    }
}
