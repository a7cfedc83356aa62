//! Wakes tasks at their moment, some microseconds late: one timerfd for all waits of a thread.
//!
//! The runtime's own timer ticks in milliseconds, which would blur the delays that a client is to measure.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use monoio::net::UnixStream;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// The moment of a wait, and a number that makes it unique.
type Key = (Instant, u64);

/// The waits of one thread.
pub struct Alarms {
    timer: OwnedFd,
    /// Who waits. At most one wait per connection of this thread.
    waiting: RefCell<BTreeMap<Key, Waker>>,
    next_id: Cell<u64>,
    /// When the timer rings; `None`: not before it is set again.
    rings_at: Cell<Option<Instant>>,
    closed: Cell<bool>,
}

impl Alarms {
    /// Nobody waits.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self {
            timer,
            waiting: RefCell::default(),
            next_id: Cell::new(0),
            rings_at: Cell::new(None),
            closed: Cell::new(false),
        })
    }

    /// Rings at every moment that is waited for, until [`close`](Self::close). Without this nobody is woken.
    pub async fn run(self: Rc<Self>) -> io::Result<()> {
        let rung = self.ring_until_closed().await;
        self.close();
        rung
    }

    async fn ring_until_closed(&self) -> io::Result<()> {
        // monoio waits for sockets only, and what it does for that is good for any descriptor.
        let bell = UnixStream::from_std(self.timer.try_clone()?.into())?;
        while !self.closed.get() {
            bell.readable(false).await?;
            match rustix::io::read(&self.timer, &mut [0_u8; 8]) {
                // "Not yet": set anew before it was looked at.
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => self.wake_up_to(Instant::now()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until `due`. False: nobody rings any more.
    pub async fn wait_until(&self, due: Instant) -> bool {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        let wait = Wait { alarms: self, key: (due, id) };
        poll_fn(|context| {
            if wait.alarms.closed.get() {
                return Poll::Ready(false);
            }
            if Instant::now() >= due {
                return Poll::Ready(true);
            }
            self.waiting.borrow_mut().insert(wait.key, context.waker().clone());
            if self.rings_at.get().is_none_or(|at| due < at) {
                self.set(due);
            }
            Poll::Pending
        })
        .await
    }

    /// Ends every wait and [`run`](Self::run).
    pub fn close(&self) {
        self.closed.set(true);
        for waker in std::mem::take(&mut *self.waiting.borrow_mut()).into_values() {
            waker.wake();
        }
        self.set(Instant::now());
    }

    fn wake_up_to(&self, now: Instant) {
        self.rings_at.set(None);
        let mut waiting = self.waiting.borrow_mut();
        while let Some(first) = waiting.first_entry() {
            let (due, _) = *first.key();
            if due > now {
                self.set(due);
                return;
            }
            first.remove().wake();
        }
    }

    fn set(&self, at: Instant) {
        self.rings_at.set(Some(at));
        // Zero would switch the timer off.
        let ahead = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let it_value = Timespec {
            tv_sec: i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: ahead.subsec_nanos().into(),
        };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)
            .expect("the descriptor is a timerfd and the time is normalized, which is all that can be wrong");
    }
}

/// Takes a wait off the list when its task is gone or woken otherwise.
struct Wait<'a> {
    alarms: &'a Alarms,
    key: Key,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.alarms.waiting.borrow_mut().remove(&self.key);
    }
}
