//! Which of a connection's two operations was over first.
//!
//! The ring tells in the order in which the kernel was done, and wakes as it goes; by the time the task is polled both may be
//! over. A receive that was under way before the send, and over before it, holds what came before the request left:
//! nobody had asked for that, and it cost no system call to know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

/// The wakers of one connection's operations. They are never used beyond their thread: the atomics are what wakers ask for.
/// The task that polls first is the one that they wake for good.
#[derive(Default)]
pub(crate) struct Signals(Option<Wakers>);

struct Wakers {
    order: Arc<SignalOrder>,
    received: Waker,
    sent: Waker,
}

struct SignalOrder {
    task: Waker,
    received: AtomicBool,
    received_first: AtomicBool,
}

struct Received(Arc<SignalOrder>);
struct Sent(Arc<SignalOrder>);

impl Wake for Received {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.received.store(true, Ordering::Relaxed);
        self.0.task.wake_by_ref();
    }
}

impl Wake for Sent {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.received_first.store(self.0.received.load(Ordering::Relaxed), Ordering::Relaxed);
        self.0.task.wake_by_ref();
    }
}

impl Signals {
    /// The waker of a receive, in the place of the task's.
    pub fn received(&mut self, cx: &Context<'_>) -> &Waker {
        &self.of(cx).received
    }

    /// The waker of a send, in the place of the task's.
    pub fn sent(&mut self, cx: &Context<'_>) -> &Waker {
        &self.of(cx).sent
    }

    /// A receive begins.
    pub fn begin_receive(&self) {
        if let Some(Wakers { order, .. }) = &self.0 {
            order.received.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the receive has woken its task since it began.
    pub fn received_since(&self) -> bool {
        self.0.as_ref().is_some_and(|wakers| wakers.order.received.load(Ordering::Relaxed))
    }

    /// A send begins.
    pub fn begin_send(&self) {
        if let Some(Wakers { order, .. }) = &self.0 {
            order.received_first.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the receive was over before the send that ended last.
    pub fn received_first(&self) -> bool {
        self.0.as_ref().is_some_and(|wakers| wakers.order.received_first.load(Ordering::Relaxed))
    }

    fn of(&mut self, cx: &Context<'_>) -> &Wakers {
        self.0.get_or_insert_with(|| {
            let order = Arc::new(SignalOrder {
                task: cx.waker().clone(),
                received: AtomicBool::new(false),
                received_first: AtomicBool::new(false),
            });
            let (received, sent) = (Arc::new(Received(order.clone())).into(), Arc::new(Sent(order.clone())).into());
            Wakers { order, received, sent }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_two_wakes_is_known_afterwards() {
        let mut signals = Signals::default();
        let cx = Context::from_waker(Waker::noop());
        assert!(!signals.received_first());
        for (first, expected) in [("received", true), ("sent", false)] {
            let (received, sent) = (signals.received(&cx).clone(), signals.sent(&cx).clone());
            signals.begin_receive();
            signals.begin_send();
            if first == "received" {
                received.wake_by_ref();
                sent.wake();
            } else {
                sent.wake();
                received.wake_by_ref();
            }
            assert_eq!(signals.received_first(), expected);
            // The next request begins anew; a receive that is over stays so until another begins.
            signals.begin_send();
            assert!(!signals.received_first());
        }
    }
}
