//! One connection: it claims requests one at a time, sends each and reads its answer.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream;
use onrush_stats::FailureCause;
use rustix::net::{RecvFlags, recv};

use crate::clock::{Moment, as_ns};
use crate::http::{Answer, Reader};
use crate::shard::{Claimed, Shard};
use crate::target::Target;
use crate::watch::Alarm;

/// What one read takes at most.
const READ_BYTES: usize = 32 * 1024;
/// After so long without use a connection is looked at before it is trusted with a request.
const TRUSTED_IDLE: Duration = Duration::from_millis(100);
/// A target that cannot be connected is left alone for so long, in an Avalanche.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// Why a request has no answer, and whether it got as far as a connection.
struct Failed {
    cause: FailureCause,
    connecting: bool,
}

/// A connection, open or not.
pub(crate) struct Connection {
    id: usize,
    shard: Rc<Shard>,
    target: Rc<Target>,
    stream: Option<TcpStream>,
    reader: Reader,
    /// Lent to the kernel while reading.
    buffer: Vec<u8>,
    used_last: Moment,
}

impl Connection {
    pub fn new(id: usize, shard: Rc<Shard>, target: Rc<Target>) -> Self {
        let reader = Reader::new(target.is_head_request);
        Self {
            id,
            shard,
            target,
            stream: None,
            reader,
            buffer: Vec::with_capacity(READ_BYTES),
            used_last: Moment::now(),
        }
    }

    /// Opens the connection before the run.
    pub async fn open(&mut self) -> io::Result<()> {
        let deadline = Moment::now().plus(self.target.connect_timeout);
        let connected = self.connect(deadline, FailureCause::ConnectTimeout).await;
        self.shard.unwatch(self.id);
        self.stream = Some(connected?);
        self.used_last = Moment::now();
        Ok(())
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.stream = None;
        self.reader.reset();
    }

    pub fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Serves requests until there are none any more.
    pub async fn serve(mut self) {
        let mut now = Moment::now();
        while let Some(claimed) = self.claim(now).await {
            let answer = self.exchange(claimed).await;
            now = Moment::now();
            self.used_last = now;
            match answer {
                Ok(answer) => {
                    self.shard.answered(now, claimed, answer.status);
                    if !answer.reusable || !self.target.keepalive {
                        self.close();
                    }
                }
                Err(Failed { cause, connecting }) => {
                    self.close();
                    self.shard.failed(now, cause);
                    if connecting && self.target.pauses_after_failed_connect {
                        self.shard.watch(self.id, now.plus(CONNECT_PAUSE), Alarm::Resume);
                        poll_fn(|cx| self.shard.poll_watch(self.id, cx)).await;
                        self.shard.unwatch(self.id);
                        now = Moment::now();
                    }
                }
            }
        }
    }

    async fn claim(&self, mut now: Moment) -> Option<Claimed> {
        let mut first = true;
        poll_fn(|cx| {
            if !std::mem::take(&mut first) {
                now = Moment::now();
            }
            self.shard.poll_claim(self.id, now, cx)
        })
        .await
    }

    async fn exchange(&mut self, claimed: Claimed) -> Result<Answer, Failed> {
        if self.stream.is_some() && claimed.sent.since_ns(self.used_last) > as_ns(TRUSTED_IDLE) && self.is_stale() {
            self.close();
        }
        let deadline = claimed.sent.plus(self.target.timeout);
        let connecting = self.stream.is_none();
        if connecting {
            let connect_deadline = claimed.sent.plus(self.target.connect_timeout);
            let cause = if connect_deadline <= deadline { FailureCause::ConnectTimeout } else { FailureCause::Timeout };
            let connected = self.connect(deadline.min(connect_deadline), cause).await;
            let struck = self.shard.unwatch(self.id);
            match connected {
                Ok(stream) => self.stream = Some(stream),
                Err(error) => return Err(Failed { cause: struck.unwrap_or(connect_cause(&error)), connecting }),
            }
        }
        let Some(stream) = &mut self.stream else {
            return Err(Failed { cause: FailureCause::ConnectFailed, connecting });
        };
        self.shard.watch(self.id, deadline, Alarm::ShutDown(stream.as_raw_fd(), FailureCause::Timeout));
        let answer = match send(stream, &self.target.request, &self.shard).await {
            Ok(()) => receive(stream, &mut self.reader, &mut self.buffer, &self.shard).await,
            Err(cause) => Err(cause),
        };
        let struck = self.shard.unwatch(self.id);
        match (answer, struck) {
            (_, Some(cause)) | (Err(cause), None) => Err(Failed { cause, connecting: false }),
            (Ok(answer), None) => Ok(answer),
        }
    }

    /// Connects to the first address that accepts, beginning with the one that accepted last.
    async fn connect(&self, deadline: Moment, cause: FailureCause) -> io::Result<TcpStream> {
        self.shard.watch(self.id, deadline, Alarm::Wake(cause));
        let addresses = &self.target.addresses;
        let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "the target has no address");
        for step in 0..addresses.len() {
            let index = (self.target.preferred_address.get() + step) % addresses.len();
            match self.unless_struck(TcpStream::connect_addr(addresses[index])).await {
                None => return Err(io::ErrorKind::TimedOut.into()),
                Some(Ok(stream)) if connected_to_itself(&stream, addresses[index]) => {
                    failure = io::ErrorKind::ConnectionRefused.into();
                }
                Some(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    self.target.preferred_address.set(index);
                    return Ok(stream);
                }
                Some(Err(error)) => failure = error,
            }
        }
        Err(failure)
    }

    /// Waits for `work`; `None`, and `work` is cancelled, when this connection's watch strikes first.
    async fn unless_struck<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.shard.poll_watch(self.id, cx).map(|_| None),
        })
        .await
    }

    /// Whether the other end has closed (or said something unasked) since the last answer.
    fn is_stale(&self) -> bool {
        let Some(stream) = &self.stream else { return true };
        // SAFETY: the descriptor belongs to `stream`, which outlives this borrow.
        let socket = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        let quiet = recv(socket, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        !matches!(quiet, Err(rustix::io::Errno::AGAIN))
    }
}

async fn send(stream: &mut TcpStream, request: &Rc<Vec<u8>>, shard: &Shard) -> Result<(), FailureCause> {
    let mut sent = 0;
    while sent < request.len() {
        let (written, _) = stream.write(request.clone().slice(sent..)).await;
        match written {
            Ok(0) => return Err(FailureCause::ClosedEarly),
            Ok(length) => {
                shard.count_bytes(length as u64, 0);
                sent += length;
            }
            Err(error) => return Err(stream_cause(&error)),
        }
    }
    Ok(())
}

async fn receive(
    stream: &mut TcpStream,
    reader: &mut Reader,
    buffer: &mut Vec<u8>,
    shard: &Shard,
) -> Result<Answer, FailureCause> {
    loop {
        let (read, filled) = stream.read(std::mem::take(buffer)).await;
        *buffer = filled;
        match read {
            Ok(0) => return reader.close().ok_or(FailureCause::ClosedEarly),
            Ok(length) => {
                shard.count_bytes(0, length as u64);
                match reader.read(&buffer[..length]) {
                    Ok(None) => (),
                    Ok(Some(answer)) => return Ok(answer),
                    Err(malformed) => {
                        tracing::debug!(reason = malformed.0, "malformed answer");
                        return Err(FailureCause::Malformed);
                    }
                }
            }
            Err(error) => return Err(stream_cause(&error)),
        }
    }
}

/// A connection to a free local port can meet itself: the kernel may choose that very port as its own.
fn connected_to_itself(stream: &TcpStream, address: SocketAddr) -> bool {
    address.ip().is_loopback() && stream.local_addr().is_ok_and(|local| local == address)
}

fn connect_cause(error: &io::Error) -> FailureCause {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::CONNREFUSED) => FailureCause::ConnectRefused,
        Some(Errno::MFILE | Errno::NFILE) => FailureCause::DescriptorsExhausted,
        Some(Errno::ADDRNOTAVAIL) => FailureCause::PortsExhausted,
        Some(Errno::TIMEDOUT) => FailureCause::ConnectTimeout,
        Some(_) => FailureCause::ConnectFailed,
        None if error.kind() == io::ErrorKind::ConnectionRefused => FailureCause::ConnectRefused,
        None if error.kind() == io::ErrorKind::TimedOut => FailureCause::ConnectTimeout,
        None => FailureCause::ConnectFailed,
    }
}

fn stream_cause(error: &io::Error) -> FailureCause {
    match error.kind() {
        io::ErrorKind::BrokenPipe => FailureCause::ClosedEarly,
        io::ErrorKind::TimedOut => FailureCause::Timeout,
        _ => FailureCause::Reset,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_failed_connect_has_its_cause() {
        let cause = |errno: Errno| connect_cause(&errno.into());
        assert_eq!(cause(Errno::CONNREFUSED), FailureCause::ConnectRefused);
        assert_eq!(cause(Errno::MFILE), FailureCause::DescriptorsExhausted);
        assert_eq!(cause(Errno::NFILE), FailureCause::DescriptorsExhausted);
        assert_eq!(cause(Errno::ADDRNOTAVAIL), FailureCause::PortsExhausted);
        assert_eq!(cause(Errno::TIMEDOUT), FailureCause::ConnectTimeout);
        assert_eq!(cause(Errno::HOSTUNREACH), FailureCause::ConnectFailed);
    }

    #[test]
    fn a_broken_connection_has_its_cause() {
        let cause = |errno: Errno| stream_cause(&errno.into());
        assert_eq!(cause(Errno::CONNRESET), FailureCause::Reset);
        assert_eq!(cause(Errno::PIPE), FailureCause::ClosedEarly);
        assert_eq!(cause(Errno::TIMEDOUT), FailureCause::Timeout);
    }
}
