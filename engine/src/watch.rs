//! Deadlines of connections: one look at all of them every few milliseconds, in place of a timer per request.

use std::os::fd::{BorrowedFd, RawFd};
use std::task::{Context, Poll, Waker};

use onrush_stats::FailureCause;
use rustix::net::{Shutdown, shutdown};

use crate::clock::Moment;

/// What happens when a deadline passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alarm {
    /// The task is woken with this cause.
    Wake(FailureCause),
    /// The socket is shut down, which ends whatever the ring does with it.
    ShutDown(RawFd, FailureCause),
    /// A pause is over.
    Resume,
}

/// The watches of all connections of a thread.
pub(crate) struct Watches {
    /// Apart from the rest, so that looking through them touches little memory.
    deadlines: Vec<Moment>,
    watches: Vec<Watch>,
}

#[derive(Default)]
struct Watch {
    alarm: Option<Alarm>,
    struck: Option<FailureCause>,
    waker: Option<Waker>,
}

impl Watches {
    pub fn new(connections: usize) -> Self {
        let watches = (0..connections).map(|_| Watch::default()).collect();
        Self { deadlines: vec![Moment::NEVER; connections], watches }
    }

    pub fn set(&mut self, connection: usize, deadline: Moment, alarm: Alarm) {
        self.deadlines[connection] = deadline;
        let watch = &mut self.watches[connection];
        (watch.alarm, watch.struck) = (Some(alarm), None);
    }

    /// Ends a watch; gives the cause when it has struck. A socket must not be closed before this.
    pub fn clear(&mut self, connection: usize) -> Option<FailureCause> {
        self.deadlines[connection] = Moment::NEVER;
        let watch = &mut self.watches[connection];
        (watch.alarm, watch.waker) = (None, None);
        watch.struck.take()
    }

    pub fn poll(&mut self, connection: usize, cx: &mut Context<'_>) -> Poll<FailureCause> {
        let watch = &mut self.watches[connection];
        match watch.struck {
            Some(cause) => Poll::Ready(cause),
            None => {
                watch.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Strikes every watch whose deadline has passed.
    pub fn strike(&mut self, now: Moment) {
        for connection in 0..self.deadlines.len() {
            if self.deadlines[connection] <= now {
                self.strike_one(connection, None);
            }
        }
    }

    /// Strikes every watch, with this cause in place of its own.
    pub fn strike_all(&mut self, cause: FailureCause) {
        for connection in 0..self.deadlines.len() {
            self.strike_one(connection, Some(cause));
        }
    }

    pub fn end_pauses(&mut self) {
        for connection in 0..self.deadlines.len() {
            if matches!(self.watches[connection].alarm, Some(Alarm::Resume)) {
                self.strike_one(connection, None);
            }
        }
    }

    /// Strikes one watch now, with its own cause or another.
    pub fn strike_one(&mut self, connection: usize, instead: Option<FailureCause>) {
        self.deadlines[connection] = Moment::NEVER;
        let watch = &mut self.watches[connection];
        let Some(alarm) = watch.alarm.take() else { return };
        let cause = match alarm {
            Alarm::Wake(cause) | Alarm::ShutDown(_, cause) => cause,
            // Nobody asks for the cause of a pause's end.
            Alarm::Resume => FailureCause::Aborted,
        };
        watch.struck = Some(instead.unwrap_or(cause));
        if let Alarm::ShutDown(fd, _) = alarm {
            // SAFETY: the connection clears its watch before it closes the socket, so the descriptor is open.
            let socket = unsafe { BorrowedFd::borrow_raw(fd) };
            // An error says that the connection is gone already, which the ring reports as well.
            let _ = shutdown(socket, Shutdown::Both);
        }
        if let Some(waker) = watch.waker.take() {
            waker.wake();
        }
    }
}
