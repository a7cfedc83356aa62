//! From Kafka to the brain: a thread that reads topics and their messages, and waits where the brain is slower.
//!
//! Memory: [`QUEUE`] messages of at most a megabyte.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onrush_bus::{BusConfig, BusError, Consumer, Place, Skipped, Start};
use onrush_protocol::{ReadError, Topic};
use tokio::sync::mpsc;

use crate::core::DriverMessage;

/// Messages that wait for the brain.
const QUEUE: usize = 64;
/// How soon the thread notices that it is to end.
const POLL: Duration = Duration::from_millis(100);

/// A message, read, and where it came from.
pub struct Arrived {
    /// Its topic.
    pub topic: Topic,
    /// Which topic of that name.
    pub topic_id: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// When it came.
    pub at: Instant,
    /// The time-stamp that its sender gave it, in milliseconds since 1970.
    pub timestamp_unix_ms: Option<i64>,
    /// What it says, or why it cannot be read.
    pub message: Result<DriverMessage, ReadError>,
}

/// What an intake brings.
pub enum News {
    /// A message.
    Arrived(Box<Arrived>),
    /// Messages that nobody can receive were given up.
    Skipped(Skipped),
}

/// The thread; it ends when this is dropped.
pub struct Intake {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Everything that was sent before is in the queue, or was.
    current_as_of: Arc<Mutex<Instant>>,
    /// The messages, in the order of each partition.
    pub messages: mpsc::Receiver<News>,
}

impl Intake {
    /// Reads these topics from where `start` says; waits at most `timeout` for the broker. `marker`: a file of this
    /// reader's own, for messages that end the process that receives them.
    pub fn start(
        bus: &BusConfig,
        topics: &[Topic],
        start: impl Fn(&Place<'_>) -> Start,
        marker: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, BusError> {
        let consumer = Consumer::resume(bus, topics, start, marker, timeout)?;
        let (sender, messages) = mpsc::channel(QUEUE);
        let stop = Arc::new(AtomicBool::new(false));
        let current_as_of = Arc::new(Mutex::new(consumer.current_as_of()));
        let (stopped, current) = (stop.clone(), current_as_of.clone());
        let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
        let thread = std::thread::Builder::new()
            .name(format!("intake {}", names.join("+")).chars().take(15).collect())
            .spawn(move || forward(&consumer, &sender, &current, &stopped))
            .map_err(|error| BusError::Thread { error })?;
        Ok(Self { stop, thread: Some(thread), current_as_of, messages })
    }

    /// Everything that was sent before this moment is in the queue, or was, as far as is known.
    pub fn current_as_of(&self) -> Instant {
        *self.current_as_of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forward(consumer: &Consumer, sender: &mpsc::Sender<News>, current_as_of: &Mutex<Instant>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let record = consumer.poll(POLL);
        for skipped in consumer.skipped() {
            if sender.blocking_send(News::Skipped(skipped)).is_err() {
                return;
            }
        }
        let Some(record) = record else {
            *current_as_of.lock().unwrap_or_else(PoisonError::into_inner) = consumer.current_as_of();
            continue;
        };
        let Some(message) = DriverMessage::read(record.topic, &record.payload) else { continue };
        let arrived = Arrived {
            topic: record.topic,
            topic_id: record.topic_id,
            partition: record.partition,
            offset: record.offset,
            at: Instant::now(),
            timestamp_unix_ms: record.timestamp_unix_ms,
            message,
        };
        if sender.blocking_send(News::Arrived(Box::new(arrived))).is_err() {
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
