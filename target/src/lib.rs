//! The sample server: `/ping` and `/metrics`, a thread per core on monoio.
//!
//! It shares no HTTP code with the engine, so that an error of one cannot hide an error of the other. Its counters are
//! the other half of the conservation check: a request is counted when its head is complete, before anything is
//! answered, and an answer before the kernel has it. So whoever has an answer finds it counted.
//!
//! Read `request` first (bytes to requests), then `timing` and `queue` (when an answer may go out), `connection` (requests to
//! answers), `server` (the threads), `counters` and `metrics`.

mod accept;
mod alarms;
mod answers;
mod balance;
mod connection;
mod counters;
mod executor;
mod metrics;
mod queue;
mod request;
mod server;
mod timing;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use onrush_host::cpus;
use onrush_host::limits::raise_descriptors;
use rustix::net::Shutdown;

use crate::answers::{Answers, MAX_BODY_BYTES};
use crate::balance::Seat;
use crate::executor::Executor;
use crate::server::{Shared, Worker};

pub use crate::executor::Io;
pub use crate::queue::{MAX_QUEUE, MAX_SERVERS, Queue, QueueLength};
pub use crate::timing::{Delay, Stall};

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// How the target runs.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// Where it listens; port 0: a free one.
    pub listen: SocketAddr,
    /// CPUs to pin to, one thread each; `None`: every CPU that this process may use.
    pub cpus: Option<Vec<usize>>,
    /// How long each answer of `/ping` waits.
    pub delay: Delay,
    /// Which delays are drawn, where they vary: the same for the same seed, in the order of the requests.
    pub seed: u64,
    /// The queue that requests for `/ping` pass before their delay; `None`: each is served at once.
    pub queue: Option<Queue>,
    /// When nothing is answered, on any path.
    pub stall: Option<Stall>,
    /// The body of an answer of `/ping` has so many bytes; `None`: as many as its message takes.
    pub body_bytes: Option<usize>,
    /// Whether answers of `/ping` come in chunks, to clients that know them.
    pub chunked: bool,
    /// How its threads reach the network.
    pub io: Io,
}

impl TargetConfig {
    /// A target on every CPU that answers at once.
    pub fn new(listen: SocketAddr) -> Self {
        let (cpus, queue, stall, body_bytes) = (None, None, None, None);
        Self { listen, cpus, delay: Delay::default(), seed: 0, queue, stall, body_bytes, chunked: false, io: Io::Auto }
    }
}

/// Why the target could not run.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Somebody else listens there.
    #[error(
        "{address} is in use: another process listens there. Stop it, or listen on another port (port 0 takes a free one)"
    )]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system refuses the address for another reason.
    #[error("cannot listen on {address}: {source}. Is it an address of this machine, and the port above 1023?")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// An empty list of CPUs.
    #[error("the list of CPUs is empty: name at least one, or none at all to use every CPU")]
    NoCpu,
    /// A CPU named twice.
    #[error("CPU {cpu} is named twice: each takes one thread")]
    CpuTwice {
        /// That CPU.
        cpu: usize,
    },
    /// A CPU that is not there, or not for this process.
    #[error("cannot run on CPU {cpu}: {source}. This process may use {allowed:?}")]
    Cpu {
        /// The CPU asked for.
        cpu: usize,
        /// Those that would do.
        allowed: Vec<usize>,
        /// What the system says.
        source: io::Error,
    },
    /// A delay, a queue or a stall that makes no sense.
    #[error("{problem}")]
    Timing {
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A body beyond all reason.
    #[error("a body of {body_bytes} bytes is too long: at most {MAX_BODY_BYTES}")]
    Body {
        /// The length asked for.
        body_bytes: usize,
    },
    /// The kernel, or the container's profile, refuses io_uring.
    #[error(
        "io_uring is refused: {source}. It needs Linux 5.11 or later, and a container needs a seccomp profile that \
         allows io_uring_setup, io_uring_enter and io_uring_register"
    )]
    IoUring {
        /// What the system says.
        source: io::Error,
    },
    /// A thread or a descriptor could not be had.
    #[error("the system refuses a thread or a descriptor for CPU {cpu}: {source}")]
    Thread {
        /// The CPU it was for.
        cpu: usize,
        /// What the system says.
        source: io::Error,
    },
}

/// A target that listens. Dropping it lets answers under way go out, for a second at most, and closes everything.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    listener: TcpListener,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Target {
    /// Binds and starts its threads.
    ///
    /// Raises this process's limit of open files as far as it may.
    pub fn start(config: TargetConfig) -> Result<Self, TargetError> {
        let TargetConfig { listen, cpus, delay, seed, queue, stall, body_bytes, chunked, io } = config;
        let problem = delay.problem().or_else(|| stall.as_ref().and_then(Stall::problem));
        if let Some(problem) = problem.or_else(|| queue.as_ref().and_then(Queue::problem)) {
            return Err(TargetError::Timing { problem });
        }
        if let Some(body_bytes) = body_bytes.filter(|bytes| *bytes > MAX_BODY_BYTES) {
            return Err(TargetError::Body { body_bytes });
        }
        let cpus = check_cpus(cpus)?;
        raise_descriptors();
        let io = io.usable();
        let listener = bind(listen)?;
        let address = listener.local_addr().map_err(|source| TargetError::Listen { address: listen, source })?;

        let mut seats = Vec::with_capacity(cpus.len());
        let mut bells = Vec::with_capacity(cpus.len());
        for cpu in cpus.iter().copied() {
            let (seat, bell) = Seat::new().map_err(|source| TargetError::Thread { cpu, source })?;
            seats.push(seat);
            bells.push(bell);
        }
        let shared = Arc::new(Shared::new(seats, Answers::new(body_bytes, chunked), delay, seed, queue, stall));
        // From here on an early return drops the target, and that ends the threads started so far.
        let mut target = Self { address, listener, shared, threads: Vec::with_capacity(cpus.len()) };
        let (report, reports) = mpsc::channel();
        for (index, (cpu, bell)) in cpus.iter().copied().zip(bells).enumerate() {
            target.spawn(index, cpu, io, bell, report.clone())?;
        }
        drop(report);
        for _ in &cpus {
            // A thread that dies without a report drops its sender.
            reports.recv().unwrap_or_else(|_| {
                Err(TargetError::IoUring { source: io::Error::other("a thread ended before it was ready") })
            })?;
        }
        tracing::debug!(%address, ?cpus, ?delay, ?queue, ?stall, instance = target.shared.instance, "the target listens");
        Ok(target)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn spawn(
        &mut self,
        index: usize,
        cpu: usize,
        io: Io,
        bell: UnixStream,
        report: mpsc::Sender<Result<(), TargetError>>,
    ) -> Result<(), TargetError> {
        let refused = |source| TargetError::Thread { cpu, source };
        let listener = self.listener.try_clone().map_err(refused)?;
        // A ring hands a non-blocking descriptor's "not yet" straight back, and epoll must never block.
        let by_epoll = io == Io::Epoll;
        listener.set_nonblocking(by_epoll).and_then(|()| bell.set_nonblocking(by_epoll)).map_err(refused)?;
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(format!("target-{cpu}")).spawn(move || {
            let opened = pin(cpu).and_then(|()| {
                let executor = Executor::open(io).map_err(|source| TargetError::IoUring { source })?;
                let worker = Worker::new(shared, index).map_err(|source| TargetError::Thread { cpu, source })?;
                Ok((executor, worker))
            });
            // The receiver is gone only if another thread failed, and then this one is told to stop as well.
            let _other_failed = match opened {
                Ok((mut executor, worker)) => {
                    let reported = report.send(Ok(()));
                    drop(report);
                    if let Err(error) = executor.block_on(worker.run(listener, bell)) {
                        tracing::error!(%error, cpu, "a thread of the target ended");
                    }
                    reported
                }
                Err(error) => report.send(Err(error)),
            };
        });
        self.threads.push(thread.map_err(refused)?);
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.stop();
        // Every accept that waits on this socket, on whatever thread, ends with an error.
        if let Err(error) = rustix::net::shutdown(&self.listener, Shutdown::Both) {
            tracing::debug!(%error, "the listening socket was closed already");
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the target had panicked");
            }
        }
    }
}

fn check_cpus(cpus: Option<Vec<usize>>) -> Result<Vec<usize>, TargetError> {
    let cpus = cpus.unwrap_or_else(allowed_cpus);
    if cpus.is_empty() {
        return Err(TargetError::NoCpu);
    }
    match cpus.iter().enumerate().find(|(index, cpu)| cpus[..*index].contains(cpu)) {
        Some((_, cpu)) => Err(TargetError::CpuTwice { cpu: *cpu }),
        None => Ok(cpus),
    }
}

fn allowed_cpus() -> Vec<usize> {
    cpus::allowed().unwrap_or_else(|_| vec![0])
}

fn pin(cpu: usize) -> Result<(), TargetError> {
    cpus::pin_thread(&[cpu]).map_err(|source| TargetError::Cpu { cpu, allowed: allowed_cpus(), source })
}

fn bind(address: SocketAddr) -> Result<TcpListener, TargetError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => TargetError::AddressInUse { address },
        _ => TargetError::Listen { address, source },
    };
    let listener = TcpListener::bind(address).map_err(refused)?;
    // Listening again only makes the queue longer.
    rustix::net::listen(&listener, BACKLOG).map_err(|errno| refused(errno.into()))?;
    // Accepted connections inherit it: a second answer never waits for the first one to be acknowledged.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true).map_err(|errno| refused(errno.into()))?;
    Ok(listener)
}
