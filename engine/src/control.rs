//! What the owner of a run tells its threads.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::clock::Moment;
use crate::timer::Timer;

const GO: u8 = 0;
const STOP: u8 = 1;
const ABANDON: u8 = 2;

/// What to do with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunCommand {
    Go,
    /// Send nothing more; what is on its way may arrive.
    Stop,
    /// Drop everything.
    Abandon,
}

/// Shared by the owner and all threads.
#[derive(Debug)]
pub(crate) struct Control {
    start: OnceLock<Moment>,
    command: AtomicU8,
    /// Changes with everything that is told, so that a thread that is about to sleep notices.
    news: AtomicU32,
    failure: Mutex<Option<String>>,
    /// One per thread.
    timers: Vec<Timer>,
}

impl Control {
    pub fn new(timers: Vec<Timer>) -> Self {
        let (start, failure) = (OnceLock::new(), Mutex::new(None));
        Self { start, command: AtomicU8::new(GO), news: AtomicU32::new(0), failure, timers }
    }

    pub fn start(&self, at: Moment) {
        if self.start.set(at).is_ok() {
            self.tell();
        }
    }

    pub fn stop(&self) {
        self.raise(STOP);
    }

    pub fn abandon(&self) {
        self.raise(ABANDON);
    }

    /// The run cannot go on. The first reason is kept.
    pub fn fail(&self, reason: String) {
        // A reason is whole or absent, whatever became of a thread that held the lock.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.abandon();
    }

    /// Why the run could not go on.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The start, once it is known.
    pub fn start_at(&self) -> Option<Moment> {
        self.start.get().copied()
    }

    pub fn command(&self) -> RunCommand {
        match self.command.load(Ordering::Acquire) {
            GO => RunCommand::Go,
            STOP => RunCommand::Stop,
            _ => RunCommand::Abandon,
        }
    }

    pub fn news(&self) -> u32 {
        self.news.load(Ordering::Acquire)
    }

    pub fn timer(&self, thread: usize) -> &Timer {
        &self.timers[thread]
    }

    /// A command is only ever replaced by a stronger one.
    fn raise(&self, command: u8) {
        if self.command.fetch_max(command, Ordering::AcqRel) < command {
            self.tell();
        }
    }

    /// Has every thread look for what is new. Order matters: a thread sets its timer, then looks for news, then sleeps.
    pub fn tell(&self) {
        self.news.fetch_add(1, Ordering::AcqRel);
        for timer in &self.timers {
            if let Err(error) = timer.ring() {
                // It looks every few milliseconds anyway.
                tracing::warn!(%error, "an engine thread cannot be woken");
            }
        }
    }
}
