//! Reading whole topics from chosen places, without a consumer group: every node reads everything.

use std::time::{Duration, Instant};

use onrush_protocol::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::client::{Context, partitions, settings, with_options};
use crate::{BusConfig, BusError};

/// The longest wait for one answer of the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// Where to begin reading a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At what is sent from now on: what is sent after `Consumer::new` returns is read.
    Now,
    /// At the oldest message that the broker has.
    Oldest,
    /// At this offset; where the broker has it no more (or not yet), at the oldest that it has.
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
///
/// Memory: librdkafka fetches at most 16 MiB ahead, or one message where that is larger.
pub struct Consumer {
    inner: BaseConsumer<Context>,
    topic_prefix: String,
    address: String,
}

impl Consumer {
    /// A consumer of the topics; `start` says where each partition begins. Blocks until the broker answered, so
    /// that [`Start::Now`] means now; at most `timeout`.
    pub fn new(
        config: &BusConfig,
        topics: &[Topic],
        start: impl Fn(Topic, i32) -> Start,
        timeout: Duration,
    ) -> Result<Self, BusError> {
        let address = config.brokers.address.clone();
        let context = Context::speaking(&address);
        let inner = consumer_settings(config).create_with_context(context).map_err(BusError::client)?;
        let consumer = Self { inner, topic_prefix: config.topic_prefix.clone(), address };
        let (started, deadline) = (Instant::now(), Instant::now() + timeout);
        let mut assignment = TopicPartitionList::new();
        for &topic in topics {
            let name = topic.full_name(&config.topic_prefix);
            let count = consumer.ask(&name, started, deadline, |left| {
                partitions(&consumer.inner, &name, left).map(|n| (n > 0).then_some(n))
            })?;
            for partition in 0..count {
                let offset = match start(topic, partition) {
                    Start::Oldest | Start::At(..0) => Offset::Beginning,
                    Start::At(offset) => Offset::Offset(offset),
                    Start::Now => consumer.ask(&name, started, deadline, |left| {
                        let (_, next) = consumer.inner.fetch_watermarks(&name, partition, left)?;
                        Ok(Some(Offset::Offset(next)))
                    })?,
                };
                assignment.add_partition_offset(&name, partition, offset).map_err(BusError::client)?;
            }
        }
        consumer.inner.assign(&assignment).map_err(BusError::client)?;
        Ok(consumer)
    }

    /// Asks until there is an answer, or until the time is over. `None` means: no such topic.
    fn ask<T>(
        &self,
        topic: &str,
        started: Instant,
        deadline: Instant,
        question: impl Fn(Duration) -> Result<Option<T>, KafkaError>,
    ) -> Result<T, BusError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = question(left.clamp(PAUSE, REQUEST_TIMEOUT));
            // Drains librdkafka's log and events.
            self.inner.poll(Duration::ZERO);
            let over = Instant::now() >= deadline;
            match answer {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) if over => {
                    let problem = "it does not exist".into();
                    return Err(BusError::Topic { topic: topic.into(), address: self.address.clone(), problem });
                }
                Err(error) if over => {
                    return Err(BusError::Unreachable {
                        address: self.address.clone(),
                        waited_s: started.elapsed().as_millis() as f64 / 1e3,
                        problem: error.to_string(),
                    });
                }
                Ok(None) | Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// The next message; waits at most `timeout`. Trouble with the broker is logged once and waited out.
    pub fn poll(&self, timeout: Duration) -> Option<Record> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.inner.poll(left) {
                None => return None,
                Some(Ok(message)) => {
                    // Only our topics are assigned, so only they come.
                    let Some(topic) = Topic::from_full_name(message.topic(), &self.topic_prefix) else { continue };
                    return Some(Record {
                        topic,
                        partition: message.partition(),
                        offset: message.offset(),
                        timestamp_unix_ms: message.timestamp().to_millis(),
                        payload: message.payload().unwrap_or_default().to_vec(),
                    });
                }
                Some(Err(error)) => self.note(&error),
            }
        }
    }

    /// Broker trouble was heard by the context already; what else keeps messages away is said here.
    fn note(&self, error: &KafkaError) {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
        match error.rdkafka_error_code() {
            Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve) | None => {
                tracing::debug!(broker = self.address, "reading: {error}");
            }
            Some(_) => tracing::warn!(broker = self.address, "reading: {error}"),
        }
    }
}

fn consumer_settings(config: &BusConfig) -> rdkafka::ClientConfig {
    let mut settings = settings(config);
    settings
        // librdkafka wants a group's name; nobody ever joins it and nothing is committed.
        .set("group.id", format!("onrush-unused-{:016x}", fastrand::u64(..)))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "false")
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", if config.brokers.embedded { "15" } else { "250" })
        .set("fetch.min.bytes", "1")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.max.messages.kbytes", "16384")
        // A message of any size that a broker might hold: too large a one is skipped by its reader, not here.
        .set("receive.message.max.bytes", "1000000000")
        // Tells when a broker is back.
        .set("statistics.interval.ms", "1000");
    with_options(settings, config)
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    use super::*;
    use crate::Brokers;

    #[test]
    fn a_message_of_20_megabytes_is_read_and_holds_nothing_up() {
        let long = Duration::from_secs(30);
        // A broker that takes such a message, unlike the embedded one.
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("metrics", 1, 1).unwrap();
        let brokers = Brokers { address: cluster.bootstrap_servers(), embedded: true };
        let options = vec![("message.max.bytes".to_owned(), "30000000".to_owned())];
        let config = BusConfig { brokers, topic_prefix: String::new(), client_id: "test".into(), options };
        let producer: BaseProducer = with_options(settings(&config), &config).create().unwrap();
        let send = |payload: &[u8]| {
            producer.send(BaseRecord::to("metrics").key("").payload(payload)).map_err(|(error, _)| error).unwrap();
            producer.flush(long).unwrap();
        };
        let consumer =
            Consumer::new(&BusConfig { options: Vec::new(), ..config }, &[Topic::Metrics], |_, _| Start::Now, long)
                .unwrap();
        let deadline = Instant::now() + long;
        let next = || loop {
            assert!(Instant::now() < deadline, "not in time");
            if let Some(record) = consumer.poll(Duration::from_millis(50)) {
                return record.payload.len();
            }
        };
        send(&vec![b'x'; 20_000_000]);
        assert_eq!(next(), 20_000_000);
        // This broker loses the message after such a one, so there is a second.
        send(b"ab");
        send(b"abc");
        assert!((2..=3).contains(&next()));
    }
}
