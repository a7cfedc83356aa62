//! Shares connections out evenly between the threads.
//!
//! Whichever thread is free accepts, and a burst of connections may all be accepted by one. A thread that has more than
//! its share hands a new connection to the one that has fewest, so that two connections on two threads use both.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// One thread's place, seen by all.
#[derive(Debug)]
pub struct Seat {
    /// Connections that are open or on their way.
    load: AtomicUsize,
    /// Connections on their way. Bounded by the process's limit of open files.
    waiting: Mutex<Vec<OwnedFd>>,
    /// A byte tells the thread to look.
    bell: UnixStream,
}

impl Seat {
    /// A place, and the end of the bell that its thread listens to.
    pub fn new() -> io::Result<(Self, UnixStream)> {
        let (bell, heard) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        Ok((Self { load: AtomicUsize::new(0), waiting: Mutex::default(), bell }, heard))
    }

    /// Hands a connection over.
    pub fn give(&self, connection: OwnedFd) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        // A full bell has been rung often enough, and one that is closed belongs to a target that stops.
        let _rung = (&self.bell).write(&[1]);
    }

    /// What was handed over since the last call.
    pub fn take(&self) -> Vec<OwnedFd> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection of this thread has ended.
    pub fn released(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Nothing comes any more: the thread hears the end of the bell.
    pub fn close(&self) {
        // Fails only if it is closed already.
        let _closed = self.bell.shutdown(std::net::Shutdown::Both);
    }
}

/// Chooses the thread for a connection that `own` accepted, and counts it there.
pub fn choose(seats: &[Seat], own: usize) -> usize {
    let load = |index: usize| seats[index].load.load(Ordering::Relaxed);
    let fewest = (0..seats.len()).min_by_key(|index| load(*index)).unwrap_or(own);
    let chosen = if load(own) > tolerated(load(fewest)) { fewest } else { own };
    seats[chosen].load.fetch_add(1, Ordering::Relaxed);
    chosen
}

/// The load up to which a thread keeps what it accepted: handing over costs more than a small difference.
fn tolerated(fewest: usize) -> usize {
    fewest + fewest / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_busy_acceptor_leaves_every_thread_its_share() {
        for (threads, connections) in [(1, 10), (2, 2), (2, 64), (3, 8), (4, 1000)] {
            let seats: Vec<Seat> = (0..threads).map(|_| Seat::new().expect("a pair of sockets").0).collect();
            for _ in 0..connections {
                choose(&seats, 0);
            }
            let loads: Vec<usize> = seats.iter().map(|seat| seat.load.load(Ordering::Relaxed)).collect();
            assert_eq!(loads.iter().sum::<usize>(), connections);
            let (most, fewest) = (loads.iter().max().copied(), loads.iter().min().copied());
            assert!(most <= fewest.map(|fewest| tolerated(fewest) + 1), "{loads:?}");
        }
    }
}
