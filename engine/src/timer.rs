//! A timerfd: it wakes an engine thread with microseconds of lateness, and lets other threads wake it too.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use monoio::net::UnixStream;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::clock::Moment;

/// The timer, as any thread may set it.
#[derive(Debug)]
pub(crate) struct Timer(OwnedFd);

impl Timer {
    pub fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?))
    }

    /// Rings once, at this moment (at once, when it has passed), in place of what was set before.
    pub fn set(&self, at: Moment) -> io::Result<()> {
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval, it_value: at.to_timespec() };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    /// Rings at once.
    pub fn ring(&self) -> io::Result<()> {
        self.set(Moment::now())
    }

    /// The side that waits; of the thread whose runtime is current.
    pub fn bell(&self) -> io::Result<Bell> {
        // monoio waits for sockets only, and what it does for that is good for any descriptor.
        Ok(Bell(UnixStream::from_std(self.0.try_clone()?.into())?))
    }
}

/// The timer, as one thread waits for it.
pub(crate) struct Bell(UnixStream);

impl Bell {
    /// Waits until the timer rings.
    pub async fn wait(&self) -> io::Result<()> {
        loop {
            self.0.readable(false).await?;
            // SAFETY: the descriptor belongs to the stream, which outlives this borrow.
            let timer = unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) };
            match rustix::io::read(timer, &mut [0_u8; 8]) {
                Ok(_) => return Ok(()),
                // Set anew before it was looked at.
                Err(Errno::AGAIN | Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
