//! A server that answers everything alike and knows when each request came.
//!
//! One thread, one epoll. Where it records arrivals or delays answers it polls, so that its own waking up is no part of
//! the gaps or of the delays. It stands beside the bundled target for what that cannot say or do: answers of a set
//! length, each arrival's time, delays to the microsecond.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use onrush_target::Delay;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::Problem;
use crate::machine;

const EVENTS_AT_ONCE: usize = 1024;
const INPUT_BYTES: usize = 64 * 1024;
const HEAD_END: &[u8; 4] = b"\r\n\r\n";
const LISTENER: u64 = u64::MAX;
/// How soon an idle server notices that it is to stop.
const IDLE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What a server does.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Where its thread runs.
    pub cpu: usize,
    /// The length of each answer's body.
    pub body_bytes: usize,
    /// How many requests to record; 0: none, and the server sleeps while nothing comes.
    pub recorded_max: usize,
    /// How long each answer waits, drawn with this seed in the order of the requests.
    pub delay: Option<(Delay, u64)>,
}

/// What a server saw of each request that it recorded.
#[derive(Debug, Default)]
pub struct Seen {
    /// When it came, in nanoseconds since the server's start.
    pub arrivals_ns: Vec<u64>,
    /// From there to its answer's first byte, where answers are delayed: the delay as it really was.
    pub delays_ns: Vec<u64>,
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<Seen>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    requests: AtomicU64,
}

impl Server {
    /// Listens on a free port of loopback.
    pub fn start(config: Config) -> Result<Self, Problem> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, 4096)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let known = Arc::clone(&shared);
        let serve = move || machine::pin(config.cpu).and_then(|()| Loop::new(listener, config, &known)?.run());
        let thread = std::thread::Builder::new().name("server".into()).spawn(serve)?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Ends it; gives what it recorded.
    pub fn stop(mut self) -> Result<Seen, Problem> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or("the server was stopped before")?;
        Ok(thread.join().map_err(|_| "the server panicked")??)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the server had panicked");
        }
    }
}

struct Connection {
    /// Unlike its key, never used again.
    number: u64,
    stream: TcpStream,
    /// How much of the empty line after a head has come.
    matched: usize,
    /// Bytes of answers that are still to be written.
    pending: usize,
    waits_to_write: bool,
}

/// An answer that waits; the one that is due first is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due_ns: u64,
    arrived_ns: u64,
    key: usize,
    /// Of its connection.
    number: u64,
}

struct Loop<'a> {
    listener: TcpListener,
    epoll: OwnedFd,
    shared: &'a Shared,
    answer: Vec<u8>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    seen: Seen,
    config: Config,
    accepted: u64,
    drawn: u64,
    waiting: BinaryHeap<Reverse<Waiting>>,
    started: Instant,
}

impl<'a> Loop<'a> {
    fn new(listener: TcpListener, config: Config, shared: &'a Shared) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let Config { body_bytes, recorded_max, .. } = config;
        let (waiting, delays_ns) = (BinaryHeap::new(), Vec::with_capacity(recorded_max));
        let seen = Seen { arrivals_ns: Vec::with_capacity(recorded_max), delays_ns };
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body_bytes}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + body_bytes, b'x');
        Ok(Self {
            listener,
            epoll,
            shared,
            answer,
            connections: Vec::new(),
            free: Vec::new(),
            seen,
            config,
            accepted: 0,
            drawn: 0,
            waiting,
            started: Instant::now(),
        })
    }

    fn run(mut self) -> io::Result<Seen> {
        let polls = self.config.recorded_max > 0 || self.config.delay.is_some();
        let patience = if polls { AT_ONCE } else { IDLE };
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        let mut input = vec![0; INPUT_BYTES];
        while !self.shared.stopping.load(Ordering::Relaxed) {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience)) {
                Ok(_) => (),
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    key => self.with(key as usize, |server, connection| {
                        server.read(key as usize, connection, &mut input)?;
                        server.write(key as usize, connection)
                    }),
                }
            }
            self.answer_what_is_due();
        }
        Ok(self.seen)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                // A client that gave up before it was accepted.
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => continue,
                Err(e) => return Err(e),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let key = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            epoll::add(&self.epoll, &stream, EventData::new_u64(key as u64), EventFlags::IN)?;
            let number = self.accepted;
            self.accepted += 1;
            self.connections[key] = Some(Connection { number, stream, matched: 0, pending: 0, waits_to_write: false });
        }
    }

    /// Whatever breaks a connection is its client's doing and ends with it.
    fn with(&mut self, key: usize, serve: impl FnOnce(&mut Self, &mut Connection) -> io::Result<()>) {
        // An event that was fetched together with the one that ended its connection.
        let Some(mut connection) = self.connections[key].take() else { return };
        if serve(self, &mut connection).is_ok() {
            self.connections[key] = Some(connection);
        } else {
            self.free.push(key);
        }
    }

    fn answer_what_is_due(&mut self) {
        while let Some(Reverse(Waiting { due_ns, arrived_ns, key, number })) = self.waiting.peek().copied() {
            let now_ns = self.started.elapsed().as_nanos() as u64;
            if due_ns > now_ns {
                return;
            }
            self.waiting.pop();
            if self.seen.delays_ns.len() < self.config.recorded_max {
                self.seen.delays_ns.push(now_ns - arrived_ns);
            }
            self.with(key, |server, connection| {
                if connection.number == number {
                    connection.pending += server.answer.len();
                }
                server.write(key, connection)
            });
        }
    }

    fn read(&mut self, key: usize, connection: &mut Connection, input: &mut [u8]) -> io::Result<()> {
        match connection.stream.read(input) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                let now_ns = self.started.elapsed().as_nanos() as u64;
                let requests = heads(&mut connection.matched, &input[..length]);
                for _ in 0..requests {
                    if self.seen.arrivals_ns.len() < self.config.recorded_max {
                        self.seen.arrivals_ns.push(now_ns);
                    }
                    let Some((delay, seed)) = self.config.delay else {
                        connection.pending += self.answer.len();
                        continue;
                    };
                    let due_ns = now_ns + delay.draw(seed, self.drawn).as_nanos() as u64;
                    self.drawn += 1;
                    self.waiting.push(Reverse(Waiting { due_ns, arrived_ns: now_ns, key, number: connection.number }));
                }
                self.shared.requests.fetch_add(requests as u64, Ordering::Relaxed);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn write(&self, key: usize, connection: &mut Connection) -> io::Result<()> {
        while connection.pending > 0 {
            let offset = match connection.pending % self.answer.len() {
                0 => 0,
                left => self.answer.len() - left,
            };
            match connection.stream.write(&self.answer[offset..]) {
                Ok(length) => connection.pending -= length,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        let waits_to_write = connection.pending > 0;
        if waits_to_write != connection.waits_to_write {
            connection.waits_to_write = waits_to_write;
            let flags = if waits_to_write { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(key as u64), flags)?;
        }
        Ok(())
    }
}

/// How many heads end in `bytes`, when `matched` bytes of the empty line came before. Requests have no bodies here.
fn heads(matched: &mut usize, bytes: &[u8]) -> usize {
    let mut count = 0;
    for byte in bytes {
        *matched = if *byte == HEAD_END[*matched] { *matched + 1 } else { usize::from(*byte == HEAD_END[0]) };
        if *matched == HEAD_END.len() {
            *matched = 0;
            count += 1;
        }
    }
    count
}

/// How even arrivals are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaps {
    /// Arrivals looked at.
    pub arrivals: usize,
    /// Per second, over the time looked at.
    pub rate_per_s: f64,
    /// The spread of the gaps between one arrival and the next: their standard deviation.
    pub deviation_us: f64,
    /// The median gap.
    pub p50_us: f64,
    /// The gap that one in a hundred exceeds.
    pub p99_us: f64,
}

/// The gaps of the arrivals from `skip_ns` after the first one on; `None` of fewer than three.
pub fn gaps(arrivals_ns: &[u64], skip_ns: u64) -> Option<Gaps> {
    let from = arrivals_ns.first()? + skip_ns;
    let steady = &arrivals_ns[arrivals_ns.partition_point(|at| *at < from)..];
    if steady.len() < 3 {
        return None;
    }
    let mut gaps: Vec<f64> = steady.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e3).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    gaps.sort_by(f64::total_cmp);
    let at = |share: f64| gaps[((gaps.len() - 1) as f64 * share).round() as usize];
    let (deviation_us, rate_per_s) = (variance.sqrt(), 1e6 / mean);
    Some(Gaps { arrivals: steady.len(), rate_per_s, deviation_us, p50_us: at(0.5), p99_us: at(0.99) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn heads_end_wherever_they_are_cut() {
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\r\n\r\n";
        for cut in 0..=bytes.len() {
            let mut matched = 0;
            let (first, second) = bytes.split_at(cut);
            assert_eq!(heads(&mut matched, first) + heads(&mut matched, second), 3, "cut at {cut}");
        }
    }

    #[test]
    fn gaps_of_known_arrivals() {
        let even: Vec<u64> = (0..1000).map(|k| k * 1_000_000).collect();
        let found = gaps(&even, 0).expect("enough");
        assert_eq!((found.arrivals, found.deviation_us, found.p50_us, found.p99_us), (1000, 0.0, 1000.0, 1000.0));
        assert!((found.rate_per_s - 1000.0).abs() < 1e-6);
        // Two at a time: gaps of 0 and 2 ms in turn.
        let paired: Vec<u64> = (0..1001u64).map(|k| k.div_ceil(2) * 2_000_000).collect();
        assert!((gaps(&paired, 0).expect("enough").deviation_us - 1000.0).abs() < 1e-6);
        assert_eq!(gaps(&even, 500_000_000).expect("enough").arrivals, 500);
        assert_eq!((gaps(&[], 0), gaps(&even, 999_000_000)), (None, None));
    }

    fn config(body_bytes: usize) -> Config {
        Config { cpu: 0, body_bytes, recorded_max: 0, delay: None }
    }

    #[test]
    fn answers_wait_as_long_as_they_should() {
        let delay = Delay::Fixed(Duration::from_millis(30));
        let server =
            Server::start(Config { delay: Some((delay, 0)), recorded_max: 10, ..config(2) }).expect("a free port");
        let mut client = TcpStream::connect(server.address()).expect("it listens");
        let asked = Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n").expect("it reads");
        let mut answers = Vec::new();
        while answers.windows(6).filter(|six| six == b"\r\n\r\nxx").count() < 2 {
            let mut piece = [0; 64];
            let length = client.read(&mut piece).expect("it answers");
            answers.extend_from_slice(&piece[..length]);
        }
        assert!(asked.elapsed() >= Duration::from_millis(30));
        let seen = server.stop().expect("it ran");
        assert!(seen.delays_ns.len() == 2 && seen.delays_ns.iter().all(|ns| *ns >= 30_000_000), "{seen:?}");
    }

    #[test]
    fn long_answers_come_whole_and_arrivals_are_recorded() {
        const BODY_BYTES: usize = 3_000_000;
        let server = Server::start(Config { recorded_max: 10, ..config(BODY_BYTES) }).expect("a free port");
        let mut client = TcpStream::connect(server.address()).expect("it listens");
        for _ in 0..2 {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
            let mut answer = vec![0; 70 + BODY_BYTES];
            let head_end = b"\r\n\r\n";
            client.read_exact(&mut answer).expect("it answers");
            let head = answer.windows(4).position(|four| four == head_end).expect("a head") + 4;
            client.read_exact(&mut vec![0; (head + BODY_BYTES).saturating_sub(answer.len())]).expect("the rest");
            assert!(answer[head..].iter().all(|byte| *byte == b'x'));
        }
        assert_eq!(server.requests(), 2);
        assert_eq!(server.stop().expect("it ran").arrivals_ns.len(), 2);
    }
}
