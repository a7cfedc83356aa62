//! Whether the broker lives.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onrush_protocol::Topic;
use rdkafka::consumer::Consumer as _;

use crate::client::asking_client;
use crate::{BusConfig, BusError};

const PERIOD: Duration = Duration::from_secs(1);

/// Asks the broker once a second, on a thread of its own, whether it lives.
pub struct BrokerWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    reachable_since: Mutex<Option<Instant>>,
    stop: AtomicBool,
}

impl BrokerWatch {
    /// Starts asking.
    pub fn start(config: &BusConfig) -> Result<Self, BusError> {
        let client = asking_client(config, false)?;
        let topic = Topic::Heartbeat.full_name(&config.topic_prefix);
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let watch = move || {
            while !theirs.stop.load(Relaxed) {
                let asked = Instant::now();
                // A real question each time: librdkafka answers this one from the broker, never from its memory.
                let lives = client.fetch_metadata(Some(&topic), PERIOD).is_ok();
                // Drains librdkafka's log.
                client.poll(Duration::ZERO);
                let mut since = theirs.reachable_since.lock().unwrap_or_else(PoisonError::into_inner);
                *since = lives.then(|| since.unwrap_or(asked));
                drop(since);
                std::thread::park_timeout(PERIOD.saturating_sub(asked.elapsed()));
            }
        };
        let thread = std::thread::Builder::new().name("broker-watch".into()).spawn(watch).map_err(BusError::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Since when the broker has answered without a break; `None` while it does not.
    pub fn reachable_since(&self) -> Option<Instant> {
        *self.shared.reachable_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BrokerWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
