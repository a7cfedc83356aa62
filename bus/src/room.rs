//! Whether the system has room for a node: threads, files and sockets.
//!
//! librdkafka starts threads as it goes and, where there are none, waits for ever without a word. So who needs many asks
//! first.

use std::fs::File;
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::BusError;

/// Makes sure that this process may start so many threads and open so many files and sockets, beside those that it has;
/// takes all descriptors that the hard limit allows.
pub fn check_room(threads: usize, descriptors: usize) -> Result<(), BusError> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!("the limit of descriptors stays as it is: {error}");
    }
    let mut files = Vec::new();
    while files.len() < descriptors {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => return Err(BusError::Descriptors { wanted: descriptors, got: files.len(), error }),
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
            Err(error) => break Err(BusError::Threads { wanted: threads, got: started.len(), error }),
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
    }
}
