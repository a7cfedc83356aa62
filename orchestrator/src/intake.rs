//! From Kafka to the brain: a thread that reads topics and their messages, and waits where the brain is slower.
//!
//! Memory: [`QUEUE`] messages of at most a megabyte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onrush_bus::{BusConfig, BusError, Consumer, Start};
use onrush_protocol::{ReadError, Topic};
use tokio::sync::mpsc;

use crate::core::Message;

/// Messages that wait for the brain.
const QUEUE: usize = 64;
/// How soon the thread notices that it is to end.
const POLL: Duration = Duration::from_millis(100);

/// A message, read, and where it came from.
pub struct Arrived {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// When it came.
    pub at: Instant,
    /// The broker's time-stamp of it, in milliseconds since 1970.
    pub timestamp_unix_ms: Option<i64>,
    /// What it says, or why it cannot be read.
    pub message: Result<Message, ReadError>,
}

/// The thread; it ends when this is dropped.
pub struct Intake {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The messages, in the order of each partition.
    pub messages: mpsc::Receiver<Arrived>,
}

impl Intake {
    /// Reads these topics from where `start` says; waits at most `timeout` for the broker.
    pub fn start(
        bus: &BusConfig,
        topics: &[Topic],
        start: impl Fn(Topic, i32) -> Start,
        timeout: Duration,
    ) -> Result<Self, BusError> {
        let consumer = Consumer::new(bus, topics, start, timeout)?;
        let (sender, messages) = mpsc::channel(QUEUE);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
        let thread = std::thread::Builder::new()
            .name(format!("intake {}", names.join("+")).chars().take(15).collect())
            .spawn(move || forward(&consumer, &sender, &stopped))
            .map_err(BusError::Thread)?;
        Ok(Self { stop, thread: Some(thread), messages })
    }
}

fn forward(consumer: &Consumer, sender: &mpsc::Sender<Arrived>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some(record) = consumer.poll(POLL) else { continue };
        let Some(message) = Message::read(record.topic, &record.payload) else { continue };
        let arrived = Arrived {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            at: Instant::now(),
            timestamp_unix_ms: record.timestamp_unix_ms,
            message,
        };
        if sender.blocking_send(arrived).is_err() {
            return;
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that waits for room in the queue is let go by this.
        self.messages.close();
        while self.messages.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
