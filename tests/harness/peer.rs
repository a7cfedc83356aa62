//! A node of other people's: it sends whatever JSON, or whatever bytes, a test gives it, and hears everything.

use std::time::{Duration, Instant};

use onrush_bus::{Consumer, Producer, Record, Start};
use onrush_protocol::Topic;
use serde_json::Value;

use super::{Broker, SOON};

/// A producer and a consumer on all five topics.
pub struct Peer {
    producer: Producer,
    consumer: Consumer,
}

impl Peer {
    /// Hears what is sent from now on.
    pub fn new(broker: &Broker) -> Self {
        Self::starting(broker, Start::Now)
    }

    /// Hears what was sent before, too.
    pub fn from_the_beginning(broker: &Broker) -> Self {
        Self::starting(broker, Start::Oldest)
    }

    fn starting(broker: &Broker, start: Start) -> Self {
        let bus = broker.bus("peer");
        onrush_bus::ensure_topics(&bus, SOON).expect("the topics are there");
        let producer = Producer::new(&bus, 100_000).expect("a producer");
        let consumer = Consumer::new(&bus, &Topic::ALL, |_, _| start, SOON).expect("a consumer");
        Self { producer, consumer }
    }

    pub fn send(&self, topic: Topic, payload: impl Into<Vec<u8>>) {
        self.producer.send(topic, "peer", payload.into()).expect("few messages wait");
    }

    /// Sends and waits until the broker has it.
    pub fn send_json(&self, topic: Topic, message: &Value) {
        self.send(topic, message.to_string());
        self.flush();
    }

    pub fn flush(&self) {
        assert!(self.producer.flush(SOON), "the broker did not confirm what a peer sent");
    }

    /// The next message of any topic.
    pub fn hear(&self, at_most: Duration) -> Option<Record> {
        self.consumer.poll(at_most)
    }

    /// The next message that fits; what does not is passed over.
    #[track_caller]
    pub fn hear_until<T>(&self, what: &str, at_most: Duration, mut pick: impl FnMut(Topic, &Value) -> Option<T>) -> T {
        let deadline = Instant::now() + at_most;
        let mut last = None;
        while Instant::now() < deadline {
            let Some(record) = self.hear(Duration::from_millis(100)) else { continue };
            let Some(message) = read_json(&record) else { continue };
            if let Some(picked) = pick(record.topic, &message) {
                return picked;
            }
            last = Some((record.topic, message));
        }
        panic!("{what}: not heard within {at_most:?}; the last message was {last:?}");
    }
}

/// A message as JSON, where it is some.
pub fn read_json(record: &Record) -> Option<Value> {
    serde_json::from_slice(&record.payload).ok()
}
