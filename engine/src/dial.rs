//! Opens connections: to the first address of a server that answers, none of which makes the others wait (the model is
//! RFC 8305).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use monoio::net::{TcpStream, UnixStream};
use onrush_stats::FailureCause;
use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};

use crate::clock::Moment;
use crate::io::Io;
use crate::session::{Session, handshake};
use crate::shard::Shard;
use crate::target::{Endpoint, Stay, Target};
use crate::trust::{explain, handshake_timed_out};
use crate::watch::Alarm;

/// The next address is tried when the one before has been silent for so long (RFC 8305's connection attempt delay).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection that is open.
pub(crate) struct Dialled {
    pub tcp: TcpStream,
    pub session: Option<Box<Session>>,
    /// Its hold on the address.
    pub stay: Stay,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct DialError {
    pub cause: FailureCause,
    /// What happened at which address, for people.
    pub why: String,
    /// The system's error, where there was one.
    pub source: io::Error,
}

/// One address that is being tried.
struct Attempt {
    place: usize,
    /// Whether the connection was accepted, so that only TLS is missing.
    accepted: Rc<Cell<bool>>,
    work: Pin<Box<dyn Future<Output = Attempted>>>,
}

type Attempted = io::Result<(TcpStream, Option<Box<Session>>)>;

enum Event {
    Done(usize, Attempted),
    Struck(FailureCause),
}

/// Opens a connection to a server until `deadline`, which has this cause; `id` is the connection that waits for it.
pub(crate) async fn dial(
    shard: &Shard,
    id: usize,
    target: &Rc<Target>,
    server: usize,
    deadline: Moment,
    cause: FailureCause,
) -> Result<Dialled, DialError> {
    let dialled = race(shard, id, target, server, deadline, cause).await;
    shard.unwatch(id);
    dialled
}

async fn race(
    shard: &Shard,
    id: usize,
    target: &Rc<Target>,
    server: usize,
    deadline: Moment,
    cause: FailureCause,
) -> Result<Dialled, DialError> {
    let origin = &target.origins[server];
    let mut order = origin.order(Moment::now()).into_iter();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failure: Option<DialError> = None;
    loop {
        match order.next() {
            Some(place) => attempts.push(attempt(target, server, place)),
            None if attempts.is_empty() => {
                let none = || io::Error::new(io::ErrorKind::NotFound, "the target has no address");
                return Err(failure.unwrap_or_else(|| DialError::of(none(), "no address")));
            }
            None => {}
        }
        let patience = if order.len() > 0 { Moment::now().plus(ATTEMPT_DELAY).min(deadline) } else { deadline };
        shard.watch(id, patience, Alarm::Wake(cause));
        match next_event(shard, id, &mut attempts).await {
            Event::Done(index, Ok((tcp, session))) => {
                let now = Moment::now();
                // Those that were asked before are silent.
                attempts[..index].iter().for_each(|silent| origin.is_unwell(silent.place, now));
                return Ok(Dialled { tcp, session, stay: origin.enter(attempts[index].place) });
            }
            Event::Done(index, Err(error)) => {
                let Attempt { place, accepted, .. } = attempts.remove(index);
                origin.is_unwell(place, Moment::now());
                // What a server says that was reached tells more than that another was not.
                if failure.is_none() || accepted.get() {
                    failure = Some(DialError::of(error, &origin.endpoint(place).to_string()));
                }
            }
            Event::Struck(FailureCause::Aborted) => {
                let source = io::ErrorKind::Interrupted.into();
                return Err(DialError { cause: FailureCause::Aborted, why: "stopped".into(), source });
            }
            Event::Struck(cause) if Moment::now() >= deadline => {
                let now = Moment::now();
                attempts.iter().for_each(|attempt| origin.is_unwell(attempt.place, now));
                let accepted = attempts.iter().find(|attempt| attempt.accepted.get());
                let place = accepted.or(attempts.first()).map(|attempt| origin.endpoint(attempt.place).to_string());
                let source = match accepted {
                    Some(_) => handshake_timed_out(),
                    None => io::Error::new(io::ErrorKind::TimedOut, "no connection came in time"),
                };
                let why = format!("{}: {source}", place.unwrap_or_else(|| origin.addresses()));
                return Err(DialError { cause, why, source });
            }
            // The next address gets its chance beside this one.
            Event::Struck(_) => {}
        }
    }
}

/// What happens next: an attempt is over, or the watch strikes.
async fn next_event(shard: &Shard, id: usize, attempts: &mut [Attempt]) -> Event {
    poll_fn(|cx| {
        for (index, attempt) in attempts.iter_mut().enumerate() {
            if let Poll::Ready(done) = attempt.work.as_mut().poll(cx) {
                return Poll::Ready(Event::Done(index, done));
            }
        }
        shard.poll_watch(id, cx).map(Event::Struck)
    })
    .await
}

fn attempt(target: &Rc<Target>, server: usize, place: usize) -> Attempt {
    let accepted = Rc::new(Cell::new(false));
    let (target, told) = (target.clone(), accepted.clone());
    let work = async move {
        let origin = &target.origins[server];
        let tcp = match origin.endpoint(place) {
            Endpoint::Tcp(address) => connect(&target, *address).await?,
            // What the ring does with a stream of either kind is the same.
            Endpoint::Unix(path) => {
                let unix = UnixStream::connect(path).await?;
                // SAFETY: the descriptor was just given up by the stream that owned it.
                TcpStream::from_std(unsafe { std::net::TcpStream::from_raw_fd(unix.into_raw_fd()) })?
            }
        };
        told.set(true);
        match &origin.tls {
            None => Ok((tcp, None)),
            Some((config, name)) => {
                let (tcp, session) = handshake(tcp, config.clone(), name.clone()).await?;
                Ok((tcp, Some(Box::new(session))))
            }
        }
    };
    Attempt { place, accepted, work: Box::pin(work) }
}

async fn connect(target: &Target, address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = match target.local_address(address.ip()).map_err(io::Error::other)? {
        None => TcpStream::connect_addr(address).await?,
        Some(local) => connect_from(local, address, target.io).await?,
    };
    if connected_to_itself(&tcp, address) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Connects from an address of this machine. The port is chosen with the other end in view, so that each address has all
/// ports for each target.
async fn connect_from(local: IpAddr, remote: SocketAddr, io: Io) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM.nonblocking().cloexec(), None)?;
    bind_without_port(&socket)?;
    let bound = socket.bind(&SocketAddr::new(local, 0).into());
    bound.map_err(|error| io::Error::new(error.kind(), format!("cannot send from {local}: {error}")))?;
    match socket.connect(&remote.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => return Err(error),
        _ => {}
    }
    let tcp = TcpStream::from_std(socket.into())?;
    tcp.writable(false).await?;
    // SAFETY: the descriptor belongs to the stream, which outlives this borrow.
    let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(tcp.as_raw_fd()) };
    let socket = SockRef::from(&descriptor);
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    // A ring waits by itself; it would take this flag for a wish not to wait.
    if io != Io::Epoll {
        socket.set_nonblocking(false)?;
    }
    Ok(tcp)
}

/// Lets the kernel choose the port at connecting: `IP_BIND_ADDRESS_NO_PORT` of ip(7), which no library here wraps.
fn bind_without_port(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    let option = libc::IP_BIND_ADDRESS_NO_PORT;
    // SAFETY: the descriptor is open, and the option takes an int, which lives until the call has returned.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, option, (&raw const on).cast(), length) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A connection to a free local port can meet itself: the kernel may choose that very port as its own.
fn connected_to_itself(stream: &TcpStream, address: SocketAddr) -> bool {
    address.ip().is_loopback() && stream.local_addr().is_ok_and(|local| local == address)
}

impl DialError {
    fn of(source: io::Error, place: &str) -> Self {
        Self { cause: cause_of(&source), why: format!("{place}: {}", explain(&source)), source }
    }
}

fn cause_of(error: &io::Error) -> FailureCause {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::CONNREFUSED) => FailureCause::ConnectRefused,
        Some(Errno::MFILE | Errno::NFILE) => FailureCause::DescriptorsExhausted,
        Some(Errno::ADDRNOTAVAIL) => FailureCause::PortsExhausted,
        Some(Errno::TIMEDOUT) => FailureCause::ConnectTimeout,
        None if error.kind() == io::ErrorKind::InvalidData => FailureCause::Tls,
        Some(_) => FailureCause::ConnectFailed,
        None if error.kind() == io::ErrorKind::ConnectionRefused => FailureCause::ConnectRefused,
        None if error.kind() == io::ErrorKind::TimedOut => FailureCause::ConnectTimeout,
        None => FailureCause::ConnectFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connect_has_its_cause() {
        let cause = |errno: Errno| cause_of(&errno.into());
        assert_eq!(cause(Errno::CONNREFUSED), FailureCause::ConnectRefused);
        assert_eq!(cause(Errno::MFILE), FailureCause::DescriptorsExhausted);
        assert_eq!(cause(Errno::NFILE), FailureCause::DescriptorsExhausted);
        assert_eq!(cause(Errno::ADDRNOTAVAIL), FailureCause::PortsExhausted);
        assert_eq!(cause(Errno::TIMEDOUT), FailureCause::ConnectTimeout);
        assert_eq!(cause(Errno::HOSTUNREACH), FailureCause::ConnectFailed);
    }
}
