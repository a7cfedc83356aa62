//! One connection: it claims requests one at a time, sends each and reads its answer.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use monoio::net::TcpStream;
use onrush_stats::FailureCause;

use crate::check::Judge;
use crate::clock::{Moment, as_ns};
use crate::http::{Answer, Malformed, Reader};
use crate::shard::{Claimed, Shard};
use crate::stream::Stream;
use crate::target::{Origin, Prepared, Target};
use crate::tls::TlsStream;
use crate::watch::Alarm;

/// After so long without use a connection is looked at before it is trusted with a request.
const TRUSTED_IDLE: Duration = Duration::from_millis(100);
/// A target that cannot be connected is left alone for so long, in an Avalanche.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// Why a request has no answer, and whether it got as far as a connection.
struct Failed {
    cause: FailureCause,
    connecting: bool,
}

/// One place of a thread's connections. It keeps a line to each server, and has one request under way at a time.
pub(crate) struct Connection {
    id: usize,
    shard: Rc<Shard>,
    target: Rc<Target>,
    /// One for each server.
    lines: Vec<Line>,
    reader: Reader,
    judge: Judge,
    /// Lent to the kernel while reading.
    buffer: Vec<u8>,
}

/// A connection to one server, open or not.
struct Line {
    stream: Option<Stream>,
    used_last: Moment,
}

impl Connection {
    pub fn new(id: usize, shard: Rc<Shard>, target: Rc<Target>) -> Self {
        let lines = target.origins.iter().map(|_| Line { stream: None, used_last: Moment::now() }).collect();
        let buffer = Vec::with_capacity(*target.buffer_bytes.start());
        Self { id, shard, target, lines, reader: Reader::new(false), judge: Judge::default(), buffer }
    }

    /// Opens the connection to every server before the run. The error comes with the index of the server.
    pub async fn open(&mut self) -> Result<(), (usize, io::Error)> {
        for index in 0..self.lines.len() {
            let deadline = Moment::now().plus(self.target.connect_timeout);
            let connected = self.connect(index, deadline, FailureCause::ConnectTimeout).await;
            self.shard.unwatch(self.id);
            let stream = connected.map_err(|error| (index, error))?;
            self.lines[index] = Line { stream: Some(stream), used_last: Moment::now() };
        }
        Ok(())
    }

    /// Closes the connections.
    pub fn close(&mut self) {
        self.lines.iter_mut().for_each(|line| line.stream = None);
        self.reader.reset();
    }

    pub fn is_open(&self) -> bool {
        self.lines.iter().all(|line| line.stream.is_some())
    }

    /// Serves requests until there are none any more.
    pub async fn serve(mut self) {
        let target = self.target.clone();
        let mut now = Moment::now();
        while let Some(claimed) = self.claim(now).await {
            let request = target.next_request();
            let answer = self.exchange(claimed, request).await;
            now = Moment::now();
            let line = &mut self.lines[request.origin];
            line.used_last = now;
            match answer {
                Ok(answer) => {
                    if !answer.reusable || !target.keepalive {
                        line.stream = None;
                        self.reader.reset();
                    }
                    match self.verdict(answer, request) {
                        Ok(()) => self.shard.answered(now, claimed, answer.status),
                        Err(why) => {
                            target.complain(&why);
                            self.shard.failed(now, FailureCause::CheckFailed);
                        }
                    }
                }
                Err(Failed { cause, connecting }) => {
                    line.stream = None;
                    self.reader.reset();
                    self.shard.failed(now, cause);
                    if connecting && target.pauses_after_failed_connect {
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

    fn verdict(&mut self, answer: Answer, request: &Prepared) -> Result<(), String> {
        if request.checks.is_empty() { Ok(()) } else { self.judge.verdict(&request.checks, answer.status) }
    }

    async fn exchange(&mut self, claimed: Claimed, request: &Prepared) -> Result<Answer, Failed> {
        let line = &mut self.lines[request.origin];
        if let Some(stream) = &mut line.stream
            && claimed.sent.since_ns(line.used_last) > as_ns(TRUSTED_IDLE)
            && stream.is_stale().await
        {
            line.stream = None;
        }
        let deadline = claimed.sent.plus(self.target.timeout);
        let connecting = line.stream.is_none();
        if connecting {
            let connect_deadline = claimed.sent.plus(self.target.connect_timeout);
            let cause = if connect_deadline <= deadline { FailureCause::ConnectTimeout } else { FailureCause::Timeout };
            // Boxed: a handshake's state is large, and would stay part of every connection.
            let connected = Box::pin(self.connect(request.origin, deadline.min(connect_deadline), cause)).await;
            let struck = self.shard.unwatch(self.id);
            match connected {
                Ok(stream) => self.lines[request.origin].stream = Some(stream),
                Err(error) => return Err(Failed { cause: struck.unwrap_or(connect_cause(&error)), connecting }),
            }
        }
        let Self { id, shard, target, lines, reader, judge, buffer } = self;
        let Some(stream) = &mut lines[request.origin].stream else {
            return Err(Failed { cause: FailureCause::ConnectFailed, connecting });
        };
        shard.watch(*id, deadline, Alarm::ShutDown(stream.as_raw_fd(), FailureCause::Timeout));
        reader.expect_head(request.is_head_request);
        let largest = *target.buffer_bytes.end();
        let answer = match send(stream, &request.bytes, shard).await {
            Err(cause) => Err(cause),
            Ok(()) if request.checks.is_empty() => {
                receive(stream, buffer, largest, shard, reader, |reader, bytes| reader.read(bytes)).await
            }
            Ok(()) => {
                judge.reset(&request.checks);
                let read = |reader: &mut Reader, bytes: &[u8]| {
                    reader.read_body(bytes, |piece| judge.body(&request.checks, piece))
                };
                receive(stream, buffer, largest, shard, reader, read).await
            }
        };
        let struck = shard.unwatch(*id);
        match (answer, struck) {
            (_, Some(cause)) | (Err(cause), None) => Err(Failed { cause, connecting: false }),
            (Ok(answer), None) => Ok(answer),
        }
    }

    /// Connects to the first address of a server that accepts, beginning with the one that accepted last.
    async fn connect(&self, index: usize, deadline: Moment, cause: FailureCause) -> io::Result<Stream> {
        self.shard.watch(self.id, deadline, Alarm::Wake(cause));
        let origin = &self.target.origins[index];
        let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "the target has no address");
        for step in 0..origin.addresses.len() {
            let index = (origin.preferred_address.get() + step) % origin.addresses.len();
            match self.unless_struck(connect_to(origin, origin.addresses[index])).await {
                None => return Err(io::ErrorKind::TimedOut.into()),
                Some(Ok(stream)) => {
                    origin.preferred_address.set(index);
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
}

async fn connect_to(origin: &Origin, address: SocketAddr) -> io::Result<Stream> {
    let tcp = TcpStream::connect_addr(address).await?;
    if connected_to_itself(&tcp, address) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    tcp.set_nodelay(true)?;
    match &origin.tls {
        None => Ok(Stream::Plain(tcp)),
        Some((config, name)) => {
            let stream = TlsStream::connect(tcp, config.clone(), name.clone()).await;
            // Whatever ends a handshake (most servers just close) is a matter of TLS.
            let tls = |error: io::Error| match error.kind() {
                io::ErrorKind::InvalidData => error,
                _ => io::Error::new(io::ErrorKind::InvalidData, format!("the TLS handshake was cut short: {error}")),
            };
            stream.map(|stream| Stream::Tls(Box::new(stream))).map_err(tls)
        }
    }
}

async fn send(stream: &mut Stream, request: &Rc<Vec<u8>>, shard: &Shard) -> Result<(), FailureCause> {
    let mut sent = 0;
    while sent < request.len() {
        match stream.write(request, sent).await {
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
    stream: &mut Stream,
    buffer: &mut Vec<u8>,
    largest: usize,
    shard: &Shard,
    reader: &mut Reader,
    mut read: impl FnMut(&mut Reader, &[u8]) -> Result<Option<Answer>, Malformed>,
) -> Result<Answer, FailureCause> {
    loop {
        match stream.read(buffer).await {
            Ok(0) => return reader.close().ok_or(FailureCause::ClosedEarly),
            Ok(length) => {
                shard.count_bytes(0, length as u64);
                match read(reader, &buffer[..length]) {
                    Ok(None) => (),
                    Ok(Some(answer)) => return Ok(answer),
                    Err(malformed) => {
                        tracing::debug!(reason = malformed.0, "malformed answer");
                        return Err(FailureCause::Malformed);
                    }
                }
                // Large answers are read in few pieces.
                if length == buffer.capacity() && length < largest {
                    *buffer = Vec::with_capacity((4 * length).min(largest));
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
        None if error.kind() == io::ErrorKind::InvalidData => FailureCause::Tls,
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
        io::ErrorKind::InvalidData => FailureCause::Tls,
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
