//! Turning the executor: every other task and the ring get their turn, and then one's own comes again.
//!
//! A monoio task that wakes itself goes to the front of the run queue and starves everything else. So there are
//! two tasks that wake each other: each goes to the back, and the ring is submitted and reaped in between.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Where the two tasks meet.
#[derive(Default)]
pub(crate) struct Turn {
    pacer: RefCell<Option<Waker>>,
    echo: RefCell<Option<Waker>>,
    closed: Cell<bool>,
}

impl Turn {
    /// Gives everyone else a turn.
    pub async fn pass(&self) {
        let mut passed = false;
        poll_fn(|cx| {
            if passed {
                return Poll::Ready(());
            }
            passed = true;
            keep(&self.pacer, cx.waker());
            wake(&self.echo);
            Poll::Pending
        })
        .await;
    }

    /// The second task; it ends after [`Turn::close`].
    pub async fn echo(&self) {
        poll_fn(|cx| {
            if self.closed.get() {
                return Poll::Ready(());
            }
            keep(&self.echo, cx.waker());
            wake(&self.pacer);
            Poll::Pending
        })
        .await;
    }

    /// Ends the second task.
    pub fn close(&self) {
        self.closed.set(true);
        wake(&self.echo);
    }
}

fn keep(place: &RefCell<Option<Waker>>, waker: &Waker) {
    let mut place = place.borrow_mut();
    if !place.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
        *place = Some(waker.clone());
    }
}

fn wake(place: &RefCell<Option<Waker>>) {
    if let Some(waker) = &*place.borrow() {
        waker.wake_by_ref();
    }
}
