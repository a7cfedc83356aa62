//! Kafka, as the nodes use it: through rdkafka, with the broker within the process for one machine.
//!
//! One producer that keeps what it is given until the broker has it, one consumer that reads whole topics from
//! chosen offsets (no consumer group: every node reads everything), and the embedded broker. This crate refuses
//! to know what the messages mean.

use std::time::{Duration, Instant};

use onrush_protocol::Topic;

/// Where the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brokers {
    /// `HOST:PORT`, several with commas.
    pub address: String,
    /// Whether it is the broker within a process on this machine: it answers a fetch only when the fetch's
    /// longest wait is over, so that wait must be short.
    pub embedded: bool,
}

impl Brokers {
    /// The broker of the flag or environment where given, else the embedded broker that runs on this machine.
    pub fn discover(_given: Option<&str>) -> Result<Self, BusError> {
        todo!()
    }
}

/// How to reach the topics.
#[derive(Clone, Debug)]
pub struct BusConfig {
    /// The broker.
    pub brokers: Brokers,
    /// Put before each topic's name.
    pub topic_prefix: String,
    /// Named in the broker's logs.
    pub client_id: String,
    /// librdkafka's own settings, as the user gave them (`security.protocol` and the like); they win.
    pub options: Vec<(String, String)>,
}

/// What went wrong with the broker.
#[derive(Debug, thiserror::Error)]
#[error("not written yet")]
pub struct BusError;

/// Creates the topics that are missing, one partition each; waits at most `timeout` for the broker.
pub fn ensure_topics(_config: &BusConfig, _timeout: Duration) -> Result<(), BusError> {
    todo!()
}

/// Sends, and keeps what it sends until the broker has confirmed it, however long that takes, in order and
/// without waiting. It survives the broker's death and librdkafka's fatal errors (by starting anew and sending
/// again: receivers must not mind a message twice). Messages that wait are bounded by `max_waiting`.
pub struct Producer(std::convert::Infallible);

impl Producer {
    /// A producer; the broker may come later.
    pub fn new(_config: &BusConfig, _max_waiting: usize) -> Result<Self, BusError> {
        todo!()
    }

    /// Takes a message. It fails only where `max_waiting` messages wait already; the message is then not taken.
    pub fn send(&self, _topic: Topic, _key: &str, _payload: Vec<u8>) -> Result<(), BusError> {
        todo!()
    }

    /// Messages that the broker has not confirmed.
    pub fn waiting(&self) -> usize {
        todo!()
    }

    /// Waits until everything is confirmed, at most `timeout`; whether it is.
    pub fn flush(&self, _timeout: Duration) -> bool {
        todo!()
    }
}

/// Where to begin reading a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At what is sent from now on: what is sent after `Consumer::new` returns is read.
    Now,
    /// At the oldest message that the broker has.
    Oldest,
    /// At this offset; where the broker has it no more, at the oldest that it has.
    At(i64),
}

/// One message.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// The broker's time-stamp of it, in milliseconds since 1970.
    pub timestamp_unix_ms: Option<i64>,
    /// Its bytes; empty for a tombstone.
    pub payload: Vec<u8>,
}

/// Reads whole topics, all partitions, from chosen places.
pub struct Consumer(std::convert::Infallible);

impl Consumer {
    /// A consumer of the topics; `start` says where each partition begins. Blocks until the broker answered, so
    /// that [`Start::Now`] means now; at most `timeout`.
    pub fn new(
        _config: &BusConfig,
        _topics: &[Topic],
        _start: impl Fn(Topic, i32) -> Start,
        _timeout: Duration,
    ) -> Result<Self, BusError> {
        todo!()
    }

    /// The next message; waits at most `timeout`. Trouble with the broker is logged once and waited out.
    pub fn poll(&self, _timeout: Duration) -> Option<Record> {
        todo!()
    }
}

/// Asks the broker once a second, on a thread of its own, whether it lives.
pub struct BrokerWatch(std::convert::Infallible);

impl BrokerWatch {
    /// Starts asking.
    pub fn start(_config: &BusConfig) -> Result<Self, BusError> {
        todo!()
    }

    /// Since when the broker has answered without a break; `None` while it does not.
    pub fn reachable_since(&self) -> Option<Instant> {
        todo!()
    }
}

/// The broker within this process: librdkafka's in-process cluster. It lives until it is dropped, and leaves its
/// address where [`Brokers::discover`] finds it.
pub struct EmbeddedBroker(std::convert::Infallible);

impl EmbeddedBroker {
    /// Starts it on a free port of loopback, with the five topics under this prefix.
    pub fn start(_topic_prefix: &str) -> Result<Self, BusError> {
        todo!()
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        todo!()
    }

    /// Stops answering (for tests of a broker's death), or answers again.
    pub fn set_up(&self, _up: bool) -> Result<(), BusError> {
        todo!()
    }
}
