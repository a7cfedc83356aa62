//! The threads: each has a ring of its own, accepts from the one listening socket and keeps what it accepted.
//!
//! One socket for all threads rather than one each: the kernel then refuses a second target on the same address
//! instead of sharing it out, and a thread that is busy leaves new connections to the others.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use monoio::io::AsyncReadRent;
use monoio::net::TcpStream;
use rustix::net::Shutdown;

use crate::alarms::Alarms;
use crate::answers::Answers;
use crate::balance::{Seat, choose};
use crate::connection;
use crate::counters::{Arrivals, Counters};
use crate::queue::{Line, Queue, QueueLength, ns};
use crate::timing::{Delay, Stall};

/// How long to wait before accepting again after the system had no descriptor or memory left.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);
/// At a stop, answers under way have this long; then connections are cut, and have this long once more to notice.
const DRAIN: Duration = Duration::from_millis(500);
const DRAIN_POLL: Duration = Duration::from_millis(2);

/// What all threads see.
#[derive(Debug)]
pub struct Shared {
    /// When the target started.
    pub started: Instant,
    /// Random, new at every start.
    pub instance: String,
    /// What is known beforehand.
    pub answers: Answers,
    delay: Delay,
    /// Which delays are drawn.
    seed: u64,
    /// How many delays were drawn.
    drawn: AtomicU64,
    /// Held for a few comparisons at a time.
    line: Option<Mutex<Line>>,
    stall: Option<Stall>,
    /// One for each thread.
    pub counters: Vec<Counters>,
    /// The last request for `/ping`.
    pub arrivals: Arrivals,
    /// One for each thread.
    pub seats: Vec<Seat>,
    stopping: AtomicBool,
}

impl Shared {
    /// For as many threads as there are seats.
    pub fn new(
        seats: Vec<Seat>,
        answers: Answers,
        delay: Delay,
        seed: u64,
        queue: Option<Queue>,
        stall: Option<Stall>,
    ) -> Self {
        Self {
            started: Instant::now(),
            instance: format!("{:016x}", fastrand::u64(..)),
            answers,
            delay,
            seed,
            drawn: AtomicU64::new(0),
            line: queue.map(|queue| Mutex::new(Line::new(queue))),
            stall,
            counters: seats.iter().map(|_| Counters::default()).collect(),
            arrivals: Arrivals::default(),
            seats,
            stopping: AtomicBool::new(false),
        }
    }

    /// Whether answers may have to wait.
    pub fn waits(&self) -> bool {
        self.stall.is_some() || self.line.is_some() || !self.delay.is_none()
    }

    /// How long the next answer of `/ping` waits.
    pub fn next_delay(&self) -> Duration {
        // Only a delay that varies needs to know whose it is.
        let index = match self.delay {
            Delay::Fixed(_) => 0,
            Delay::Uniform { .. } | Delay::Exponential { .. } => self.drawn.fetch_add(1, Ordering::Relaxed),
        };
        self.delay.draw(self.seed, index)
    }

    /// When a request for `/ping` that came at `arrived` is served; `None`: the queue is full.
    pub fn served_at(&self, arrived: Instant) -> Option<Instant> {
        let Some(line) = &self.line else { return Some(arrived) };
        let arrived_ns = ns(arrived.saturating_duration_since(self.started));
        let done_ns = line.lock().unwrap_or_else(PoisonError::into_inner).arrive(arrived_ns)?;
        Some(self.started + Duration::from_nanos(done_ns))
    }

    /// How many requests wait and are served now; `None`: there is no queue.
    pub fn queue_length(&self) -> Option<QueueLength> {
        let now_ns = ns(self.started.elapsed());
        let line = self.line.as_ref()?;
        Some(line.lock().unwrap_or_else(PoisonError::into_inner).length(now_ns))
    }

    /// When an answer that is ready at `ready` may go out.
    pub fn release(&self, ready: Instant) -> Instant {
        match &self.stall {
            Some(stall) => self.started + stall.release(ready.saturating_duration_since(self.started)),
            None => ready,
        }
    }

    /// Asks every thread to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.seats.iter().for_each(Seat::close);
    }

    /// Whether the threads are to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// One thread's part.
pub struct Worker {
    /// What all threads see.
    pub shared: Arc<Shared>,
    /// Answers that wait.
    pub alarms: Rc<Alarms>,
    index: usize,
    /// The connections to cut at a stop. Bounded by the process's limit of open files.
    open: RefCell<BTreeSet<RawFd>>,
}

impl Worker {
    /// The thread of that number.
    pub fn new(shared: Arc<Shared>, index: usize) -> io::Result<Self> {
        Ok(Self { shared, alarms: Rc::new(Alarms::new()?), index, open: RefCell::default() })
    }

    /// What this thread counts.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters[self.index]
    }

    /// A request for `/ping` came.
    pub fn note_arrival(&self, now: Instant) {
        let since_start = now.saturating_duration_since(self.shared.started);
        let now_ns = u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX);
        if let Some(spacing_ns) = self.shared.arrivals.note(now_ns) {
            self.counters().spaced(spacing_ns);
        }
    }

    /// Accepts and serves until the target stops. `bell` tells of connections that other threads hand over.
    pub async fn run(self, listener: TcpListener, bell: UnixStream) -> io::Result<()> {
        let worker = Rc::new(self);
        let listener = monoio::net::TcpListener::from_std(listener)?;
        monoio::spawn(Rc::clone(&worker).receive(monoio::net::UnixStream::from_std(bell)?));
        if worker.shared.waits() {
            monoio::spawn(Rc::clone(&worker).ring_alarms());
        }
        let mut said_exhausted = false;
        while !worker.shared.is_stopping() {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let chosen = choose(&worker.shared.seats, worker.index);
                    if chosen == worker.index {
                        worker.serve(stream);
                    } else {
                        // SAFETY: `into_raw_fd` gives up the descriptor, so this is its only owner.
                        let connection = unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) };
                        worker.shared.seats[chosen].give(connection);
                    }
                }
                Err(_) if worker.shared.is_stopping() => break,
                Err(error) => {
                    // A client that gave up before it was accepted is not worth a word.
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        if !said_exhausted {
                            tracing::warn!(%error, "the target cannot accept a connection and goes on trying");
                            said_exhausted = true;
                        }
                        monoio::time::sleep(ACCEPT_RETRY).await;
                    }
                }
            }
        }
        worker.drain().await;
        Ok(())
    }

    fn serve(self: &Rc<Self>, stream: TcpStream) {
        let open = OpenConnection::new(Rc::clone(self), stream.as_raw_fd());
        monoio::spawn(connection::serve(stream, open, Rc::clone(self)));
    }

    /// Serves what other threads hand over, until the bell is closed.
    async fn receive(self: Rc<Self>, mut bell: monoio::net::UnixStream) {
        let mut rings = vec![0; 64];
        loop {
            let (read, buffer) = bell.read(rings).await;
            rings = buffer;
            if !matches!(read, Ok(1..)) {
                return;
            }
            for connection in self.shared.seats[self.index].take() {
                match TcpStream::from_std(connection.into()) {
                    Ok(stream) => self.serve(stream),
                    Err(error) => {
                        self.shared.seats[self.index].released();
                        tracing::warn!(%error, "a connection handed over by another thread is lost");
                    }
                }
            }
        }
    }

    async fn ring_alarms(self: Rc<Self>) {
        if let Err(error) = Rc::clone(&self.alarms).run().await {
            tracing::error!(%error, "the timer of a thread is broken: connections whose answers wait are closed");
        }
    }

    /// Lets answers under way go out, then cuts what is left.
    async fn drain(&self) {
        for how in [Shutdown::Read, Shutdown::Both] {
            for fd in self.open.borrow().iter() {
                // SAFETY: a descriptor leaves the set before its connection closes it, on this very thread, so it is
                // open here and still that connection's.
                let connection = unsafe { BorrowedFd::borrow_raw(*fd) };
                // A client that has gone already is just as well.
                let _gone = rustix::net::shutdown(connection, how);
            }
            let deadline = Instant::now() + DRAIN;
            while !self.open.borrow().is_empty() && Instant::now() < deadline {
                monoio::time::sleep(DRAIN_POLL).await;
            }
        }
        self.alarms.close();
        // The last closes are only queued: one more turn hands them to the kernel.
        monoio::time::sleep(DRAIN_POLL).await;
    }
}

/// Counts a connection and lists it for the stop, as long as it lives.
pub struct OpenConnection {
    worker: Rc<Worker>,
    fd: RawFd,
}

impl OpenConnection {
    fn new(worker: Rc<Worker>, fd: RawFd) -> Self {
        worker.counters().connection_opened();
        worker.open.borrow_mut().insert(fd);
        Self { worker, fd }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.worker.open.borrow_mut().remove(&self.fd);
        self.worker.counters().connection_closed();
        self.worker.shared.seats[self.worker.index].released();
    }
}
