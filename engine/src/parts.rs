//! The way of finished seconds from the engine threads to the owner of the run, and of empty records back.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::control::Control;
use crate::recorder::{Breakdown, Exchange, SecondRecord};

/// So many seconds may wait to be taken. This bounds the memory: a record is some 800 KiB at most,
/// and with 64 names up to 9 MB more.
const MOST_WAITING: usize = 120;
/// Records that a thread has from the beginning, beside the one it writes.
const SPARE_RECORDS: usize = 2;

/// How a thread's part of a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// When, since the start.
    pub end_ns: u64,
    pub stopped: bool,
}

/// One thread's share of one second.
#[derive(Debug)]
pub(crate) struct ThreadPart {
    pub record: Box<SecondRecord>,
    /// Set on the thread's last part.
    pub ended: Option<Ended>,
}

/// What comes from a thread.
#[derive(Debug)]
pub(crate) enum FromThread {
    Part(ThreadPart),
    /// The thread could not go on, and why: no part comes any more.
    Failed(String),
}

/// A thread's end of the way.
pub(crate) struct Outlet {
    parts: SyncSender<FromThread>,
    recycled: Receiver<Box<SecondRecord>>,
    control: Arc<Control>,
    /// What its records tell apart.
    breakdown: Breakdown,
}

/// The owner's end of the way.
pub(crate) struct Inlet {
    pub parts: Receiver<FromThread>,
    pub recycle: SyncSender<Box<SecondRecord>>,
}

/// A way from a thread to the owner.
pub(crate) fn way(control: Arc<Control>, breakdown: Breakdown) -> (Outlet, SyncSender<FromThread>, Inlet) {
    let (parts_in, parts) = sync_channel(MOST_WAITING);
    let (recycle, recycled) = sync_channel(MOST_WAITING);
    for _ in 0..SPARE_RECORDS {
        // There is room, and the receiver is right here.
        let _ = recycle.try_send(SecondRecord::new(breakdown));
    }
    (Outlet { parts: parts_in.clone(), recycled, control, breakdown }, parts_in, Inlet { parts, recycle })
}

impl Exchange for Outlet {
    fn exchange(&mut self, record: &mut Box<SecondRecord>) {
        // Only an owner that takes nothing makes a new record necessary.
        let empty = self.recycled.try_recv().unwrap_or_else(|_| SecondRecord::new(self.breakdown));
        let finished = std::mem::replace(record, empty);
        let part = FromThread::Part(ThreadPart { record: finished, ended: None });
        if let Err(TrySendError::Full(_)) = self.parts.try_send(part) {
            self.control.fail(format!("nobody took the measurements of {MOST_WAITING} seconds"));
        }
    }
}
