//! Waiting for librdkafka on the monotonic clock.
//!
//! Its own waits count on the wall clock: one that is under way when that clock is set back an hour takes an hour
//! longer. So nothing here waits within librdkafka; it rings when one of its queues is no longer empty.

use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings as sys;

/// Rung by one thread, waited for by another. A ring that nobody waits for is kept for the next wait.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_all();
    }

    /// Waits for a ring, at most `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.heard.wait_timeout_while(rung, timeout, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// A queue of librdkafka that rings when it is no longer empty, until this is dropped.
pub(crate) struct RingingQueue {
    queue: *mut sys::rd_kafka_queue_t,
    _bell: Arc<Bell>,
}

// SAFETY: librdkafka's queues may be used from every thread.
unsafe impl Send for RingingQueue {}
// SAFETY: as above.
unsafe impl Sync for RingingQueue {}

impl RingingQueue {
    /// A queue of its own for answers to `client`.
    ///
    /// # Safety
    /// `client` must live as long as this value.
    pub unsafe fn new(client: *mut sys::rd_kafka_t, bell: &Arc<Bell>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::attach(sys::rd_kafka_queue_new(client), bell) }
    }

    /// The queue of what `client` itself has to say (deliveries, errors, its log).
    ///
    /// # Safety
    /// `client` must live as long as this value.
    pub unsafe fn main(client: *mut sys::rd_kafka_t, bell: &Arc<Bell>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::attach(sys::rd_kafka_queue_get_main(client), bell) }
    }

    /// The queue of everything that the consumer `client` has to say or to give.
    ///
    /// # Safety
    /// `client` must be a consumer, and live as long as this value.
    pub unsafe fn consumer(client: *mut sys::rd_kafka_t, bell: &Arc<Bell>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::attach(sys::rd_kafka_queue_get_consumer(client), bell) }
    }

    /// # Safety
    /// `queue` must be a reference that nobody else gives back.
    unsafe fn attach(queue: *mut sys::rd_kafka_queue_t, bell: &Arc<Bell>) -> Self {
        let bell = bell.clone();
        // SAFETY: the bell outlives the call-back, which `drop` removes first.
        unsafe { sys::rd_kafka_queue_cb_event_enable(queue, Some(ring), Arc::as_ptr(&bell).cast_mut().cast()) };
        Self { queue, _bell: bell }
    }

    /// Whether nothing waits in it: the next thing will ring.
    pub fn is_empty(&self) -> bool {
        // SAFETY: the queue is ours.
        unsafe { sys::rd_kafka_queue_length(self.queue) == 0 }
    }

    pub fn as_ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue
    }
}

impl Drop for RingingQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours until here; the call-back is gone when the first call returns.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue, None, std::ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// Called by a thread of librdkafka.
unsafe extern "C" fn ring(_client: *mut sys::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: `attach` gave this pointer, and the bell lives as long as the call-back is in place.
    unsafe { (*bell.cast::<Bell>()).ring() };
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_ring_is_kept_until_somebody_waits_and_counts_once() {
        let bell = Bell::default();
        bell.ring();
        bell.ring();
        let begun = Instant::now();
        bell.wait(Duration::from_secs(30));
        assert!(begun.elapsed() < Duration::from_secs(20));
        bell.wait(Duration::from_millis(30));
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }
}
