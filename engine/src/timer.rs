//! A timerfd: it wakes an engine thread with microseconds of lateness, and lets other threads wake it too.

use std::io;
use std::os::fd::OwnedFd;

use monoio::fs::File;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::clock::Moment;

/// The timer, as any thread may set it.
#[derive(Debug)]
pub(crate) struct Timer(OwnedFd);

impl Timer {
    pub fn new() -> io::Result<Self> {
        // Blocking, because the ring hands a non-blocking descriptor's "not yet" straight back.
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?))
    }

    /// Rings once, at this moment (at once, when it has passed), in place of what was set before.
    pub fn set(&self, at: Moment) {
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval, it_value: at.to_timespec() };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &spec)
            .expect("the descriptor is a timerfd and the time is normalized, which is all that can be wrong");
    }

    /// Rings at once.
    pub fn ring(&self) {
        self.set(Moment::now());
    }

    /// The side that waits; of the thread whose ring is current.
    pub fn bell(&self) -> io::Result<Bell> {
        Ok(Bell { file: File::from_std(self.0.try_clone()?.into())?, buffer: Some(Vec::with_capacity(8)) })
    }
}

/// The timer, as one thread waits for it.
pub(crate) struct Bell {
    file: File,
    /// Lent to the kernel while waiting.
    buffer: Option<Vec<u8>>,
}

impl Bell {
    /// Waits until the timer rings.
    pub async fn wait(&mut self) -> io::Result<()> {
        let buffer = self.buffer.take().unwrap_or_else(|| Vec::with_capacity(8));
        let (read, mut buffer) = self.file.read_at(buffer, 0).await;
        buffer.clear();
        self.buffer = Some(buffer);
        match read {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}
