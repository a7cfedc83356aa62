//! One connection: it claims requests one at a time, sends each and reads its response.

use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use onrush_stats::FailureCause;

use crate::check::{Judge, Judging};
use crate::clock::Moment;
use crate::dial::{DialError, dial};
use crate::http::{Malformed, Response, ResponseReader};
use crate::line::{Flow, Line, Receive, Received, Sending, Unasked};
use crate::session::Session;
use crate::shard::{Claimed, Shard};
use crate::target::{Prepared, Target};
use crate::trust::explain;
use crate::watch::Alarm;

/// A target that cannot be connected is left alone for so long, in an Avalanche.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// So much goes into the buffer of a socket at once, if nothing else is on its way there.
const SENT_AT_ONCE_BYTES: usize = 16 * 1024;

/// Why a request has no response.
struct Failed {
    cause: FailureCause,
    /// Whether there was no connection.
    connecting: bool,
    /// What happened, for people.
    why: String,
}

/// One of a thread's connections. It keeps a line to each server, and has one request under way at a time.
pub(crate) struct Connection<F> {
    id: usize,
    shard: Rc<Shard>,
    target: Rc<Target>,
    receive: Receive<F>,
    /// One for each server.
    lines: Vec<Option<Line<F>>>,
    reader: ResponseReader,
    judge: Judge,
}

impl<F: Future<Output = Received>> Connection<F> {
    pub fn new(id: usize, shard: Rc<Shard>, target: Rc<Target>, receive: Receive<F>) -> Self {
        let lines = target.origins.iter().map(|_| None).collect();
        Self { id, shard, target, receive, lines, reader: ResponseReader::new(false), judge: Judge::default() }
    }

    /// Opens the connection to every server before the run. The error comes with the index of the server.
    pub async fn open(&mut self) -> Result<(), (usize, DialError)> {
        for server in 0..self.lines.len() {
            let deadline = Moment::now().plus(self.target.connect_timeout);
            let opened = self.open_line(server, deadline, FailureCause::ConnectTimeout).await;
            opened.map_err(|error| (server, error))?;
        }
        Ok(())
    }

    /// Closes the connections.
    pub async fn close(&mut self) {
        for server in 0..self.lines.len() {
            if let Some(line) = self.lines[server].take() {
                self.shard.closed(self.id, server);
                line.close().await;
            }
        }
    }

    pub fn is_open(&self) -> bool {
        self.lines.iter().all(Option::is_some)
    }

    /// Serves requests until there are none any more.
    pub async fn serve(mut self) {
        let target = self.target.clone();
        let mut now = Moment::now();
        while let Some(claimed) = self.claim(now).await {
            let request = &target.requests[claimed.request];
            let response = self.exchange(claimed, request).await;
            now = Moment::now();
            match response {
                Ok(response) => {
                    let verdict = match request.checks.is_empty() {
                        true => Ok(()),
                        false => self.judge.verdict(&request.checks, response.status),
                    };
                    if let Err(why) = &verdict {
                        self.show(FailureCause::CheckFailed, why);
                    }
                    self.shard.used(now, self.id, request.origin, response.keep_alive_s);
                    self.shard.responded(now, self.id, claimed, response.status, verdict.is_ok());
                }
                Err(Failed { cause, connecting, why }) => {
                    self.show(cause, &why);
                    self.shard.failed(now, self.id, claimed, cause);
                    if connecting && target.pauses_after_failed_connect {
                        self.shard.watch(self.id, now.plus(CONNECT_PAUSE), Alarm::Resume);
                        poll_fn(|cx| self.shard.poll_watch(self.id, cx)).await;
                        self.shard.unwatch(self.id);
                        now = Moment::now();
                    }
                }
            }
        }
        self.close().await;
    }

    fn show(&self, cause: FailureCause, why: &str) {
        if !why.is_empty() && self.shard.wants_example(cause) {
            self.shard.example(cause, why);
        }
    }

    /// Waits for a request. Meanwhile the kernel tells what becomes of the lines.
    async fn claim(&mut self, mut now: Moment) -> Option<Claimed> {
        let mut first = true;
        poll_fn(|cx| {
            if !std::mem::take(&mut first) {
                now = Moment::now();
            }
            self.look(now, cx);
            self.shard.poll_claim(self.id, now, cx)
        })
        .await
    }

    /// Closes the lines that their server closed, on which something came unasked, or that have idled too long.
    fn look(&mut self, now: Moment, cx: &mut Context<'_>) {
        for server in 0..self.lines.len() {
            let Some(line) = &mut self.lines[server] else { continue };
            if let Poll::Ready(unasked) = line.poll_unasked(cx) {
                self.end_unasked(now, server, unasked);
            } else if self.shard.is_past_its_life(now, self.id, server) {
                self.close_line(server);
            }
        }
    }

    fn end_unasked(&mut self, now: Moment, server: usize, unasked: Unasked) {
        if let Unasked::Bytes(length) = unasked {
            self.shard.count_bytes(0, length as u64);
            self.shard.unsolicited();
        }
        self.shard.closed_by_server(now, self.id, server);
        self.lines[server] = None;
    }

    fn close_line(&mut self, server: usize) {
        self.shard.closed(self.id, server);
        self.lines[server] = None;
    }

    async fn open_line(&mut self, server: usize, deadline: Moment, cause: FailureCause) -> Result<(), DialError> {
        // Boxed: a handshake's state is large, and would stay part of every connection.
        let dialled = Box::pin(dial(&self.shard, self.id, &self.target, server, deadline, cause)).await?;
        let buffer_bytes = *self.target.buffer_bytes.start();
        let line = self.lines[server].insert(Line::new(dialled, buffer_bytes, self.receive));
        self.shard.opened(Moment::now(), self.id, server, line.descriptor());
        self.reader.reset();
        Ok(())
    }

    async fn exchange(&mut self, claimed: Claimed, request: &Prepared) -> Result<Response, Failed> {
        let server = request.origin;
        self.look_closely(claimed, request).await;
        let deadline = claimed.sent.plus(self.target.timeout);
        let mut resent = false;
        loop {
            let was_open = self.lines[server].is_some();
            if !was_open {
                let connect_deadline = claimed.sent.plus(self.target.connect_timeout);
                let cause =
                    if connect_deadline <= deadline { FailureCause::ConnectTimeout } else { FailureCause::Timeout };
                let opened = self.open_line(server, deadline.min(connect_deadline), cause).await;
                opened.map_err(|DialError { cause, why, .. }| Failed { cause, connecting: true, why })?;
            }
            let Some(line) = &self.lines[server] else { continue };
            let had_served = line.has_served;
            if !resent {
                self.shard.sent_to(line.stay.address());
            }
            let outcome = self.transfer(server, request, deadline).await;
            let keeps = matches!(&outcome, Ok(response) if response.reusable && self.target.keepalive);
            if !keeps {
                self.close_line(server);
                self.reader.reset();
            }
            match outcome {
                // Nobody knows whether the server closed an idle connection before it saw the request (RFC 9112 9.3.1). Of a
                // connection that has not served before it may have thought better, unless it never saw the request.
                Err(failed)
                    if (had_served || was_open && failed.unseen)
                        && !resent
                        && request.may_be_resent
                        && failed.nothing_came =>
                {
                    resent = true;
                    self.shard.resent();
                }
                Err(NoResponse { cause, why, .. }) => return Err(Failed { cause, connecting: false, why }),
                Ok(response) => return Ok(response),
            }
        }
    }

    /// Looks once more whether anything came unasked, of the kernel itself, where there is time for it, or where the order in
    /// which the kernel is done tells nothing.
    async fn look_closely(&mut self, claimed: Claimed, request: &Prepared) {
        let server = request.origin;
        if (claimed.waited || request.bytes.len() > SENT_AT_ONCE_BYTES)
            && let Some(line) = &mut self.lines[server]
            && line.has_pending()
            && let Some(unasked) = poll_fn(|cx| line.poll_next(cx)).await
        {
            self.end_unasked(Moment::now(), server, unasked);
        }
    }

    /// Sends a request and reads its response.
    async fn transfer(&mut self, server: usize, request: &Prepared, deadline: Moment) -> Result<Response, NoResponse> {
        let Self { id, shard, target, lines, reader, judge, .. } = self;
        let Some(line) = &mut lines[server] else { return Err(NoResponse::of(FailureCause::ConnectFailed)) };
        shard.watch(*id, deadline, Alarm::ShutDown(line.descriptor(), FailureCause::Timeout));
        reader.expect_head(request.is_head_request);
        if !request.checks.is_empty() {
            judge.reset(&request.checks);
        }
        let mut incoming = Incoming { shard, reader, judge, request, outcome: None, first_part_at: None };
        let mut sent = 0;
        let mut broken = None;
        let mut spoilt = false;
        while sent < request.bytes.len() && broken.is_none() && incoming.outcome.is_none() {
            match line.send(&request.bytes, sent, |came, session| incoming.take(came, session)).await {
                Sending::Sent(Ok(0)) => broken = Some(FailureCause::ClosedEarly),
                Sending::Sent(Ok(length)) => {
                    shard.count_bytes(length as u64, 0);
                    if sent == 0 && request.bytes.len() <= SENT_AT_ONCE_BYTES {
                        match line.came_before().await {
                            None => {}
                            // What follows is the response, or the end: the server closed before it saw the request.
                            Some(Unasked::Bytes(length)) => {
                                shard.count_bytes(0, length as u64);
                                shard.unsolicited();
                                spoilt = true;
                            }
                            Some(Unasked::Closed) => {
                                incoming.outcome = Some(Err((FailureCause::ClosedEarly, String::new())));
                            }
                        }
                    }
                    sent += length;
                }
                Sending::Sent(Err(error)) => broken = Some(stream_cause(&error)),
                Sending::CutShort => {}
            }
        }
        // A final response may come before the request is sent, and even where it cannot be sent to its end.
        if incoming.outcome.is_none() {
            let largest = *target.buffer_bytes.end();
            line.receive(largest, |came, session| incoming.take(came, session)).await;
        }
        if let (Some(first), Some(Ok(_))) = (incoming.first_part_at, &incoming.outcome) {
            shard.count_receiving(Moment::now().since_ns(first));
        }
        let outcome = incoming.outcome.unwrap_or(Err((FailureCause::ClosedEarly, String::new())));
        let struck = shard.unwatch(*id);
        match (outcome, struck) {
            (Ok(response), None) => {
                if response.surplus && !spoilt {
                    shard.unsolicited();
                }
                line.has_served = true;
                let whole = sent == request.bytes.len() && broken.is_none();
                Ok(Response { reusable: response.reusable && whole && !spoilt, ..response })
            }
            (_, Some(cause)) => {
                let why =
                    if reader.has_begun() { "the response was not complete in time" } else { "no response in time" };
                Err(NoResponse { cause, nothing_came: false, unseen: false, why: format!("{}: {why}", line.stay) })
            }
            (Err((cause, why)), None) => {
                let cause = if reader.has_begun() { cause } else { broken.unwrap_or(cause) };
                let ended = matches!(cause, FailureCause::Reset | FailureCause::ClosedEarly);
                let why = if ended { how_it_ended(reader.has_begun(), line.has_served, line.is_tls()) } else { &why };
                Err(NoResponse {
                    cause,
                    nothing_came: ended && !reader.has_begun(),
                    unseen: cause == FailureCause::Reset || line.unacknowledged() >= sent,
                    why: format!("{}: {why}", line.stay),
                })
            }
        }
    }
}

/// What became of a request that has no response.
struct NoResponse {
    cause: FailureCause,
    /// The connection ended before a byte of the response came.
    nothing_came: bool,
    /// Nobody read the request: no byte of it was acknowledged, or the kernel threw away unread what had come.
    unseen: bool,
    why: String,
}

impl NoResponse {
    fn of(cause: FailureCause) -> Self {
        Self { cause, nothing_came: false, unseen: false, why: String::new() }
    }
}

fn how_it_ended(begun: bool, had_served: bool, tls: bool) -> &'static str {
    match (begun, had_served, tls) {
        (true, ..) => "the connection ended within the response",
        (false, true, _) => "a connection that had served before ended without a response",
        (false, false, true) => "the connection ended without a response",
        (false, false, false) => "the connection ended without a response (if the port speaks TLS, give https://)",
    }
}

/// Reads a response as its bytes come.
struct Incoming<'a> {
    shard: &'a Shard,
    reader: &'a mut ResponseReader,
    judge: &'a mut Judge,
    request: &'a Prepared,
    outcome: Option<Result<Response, (FailureCause, String)>>,
    /// When the first part of a response came that comes in several.
    first_part_at: Option<Moment>,
}

impl Incoming<'_> {
    fn take(&mut self, came: io::Result<&[u8]>, session: Option<&mut Session>) -> Flow {
        let ended = match (came, session) {
            (Err(error), _) => {
                self.fail(stream_cause(&error), &error);
                false
            }
            (Ok([]), _) => true,
            (Ok(bytes), None) => {
                self.read(bytes);
                false
            }
            (Ok(bytes), Some(session)) => match session.receive(bytes, |plain| self.read(plain)) {
                Ok(ended) => ended,
                Err(error) => {
                    self.fail(FailureCause::Tls, &error);
                    false
                }
            },
        };
        if ended && self.outcome.is_none() {
            self.outcome = Some(self.reader.close().ok_or((FailureCause::ClosedEarly, String::new())));
        }
        if self.outcome.is_some() { Flow::Done } else { Flow::More }
    }

    fn fail(&mut self, cause: FailureCause, why: &io::Error) {
        self.outcome.get_or_insert_with(|| Err((cause, explain(why))));
    }

    fn read(&mut self, bytes: &[u8]) {
        self.shard.count_bytes(0, bytes.len() as u64);
        match &mut self.outcome {
            Some(Ok(response)) => (response.reusable, response.surplus) = (false, true),
            Some(Err(_)) => {}
            None => {
                let read = match self.request.checks.is_empty() {
                    true => self.reader.read(bytes, &mut ()),
                    false => {
                        let mut judging = Judging { judge: self.judge, checks: &self.request.checks };
                        self.reader.read(bytes, &mut judging)
                    }
                };
                let malformed = |Malformed { why, line }: Malformed| {
                    let colon = if line.is_empty() { "" } else { ": " };
                    (FailureCause::Malformed, format!("{why}{colon}{}", onrush_stats::escaped(&line, line.len() * 4)))
                };
                self.outcome = read.map_err(malformed).transpose();
                if self.outcome.is_none() && self.first_part_at.is_none() {
                    self.first_part_at = Some(Moment::now());
                }
            }
        }
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
    fn a_broken_connection_has_its_cause() {
        let cause = |errno: Errno| stream_cause(&errno.into());
        assert_eq!(cause(Errno::CONNRESET), FailureCause::Reset);
        assert_eq!(cause(Errno::PIPE), FailureCause::ClosedEarly);
        assert_eq!(cause(Errno::TIMEDOUT), FailureCause::Timeout);
    }
}
