//! The client behind a consumer: its settings, and what is taken of its messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onrush_protocol::{MAX_MESSAGE_BYTES, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::bell::{Bell, RingingQueue};
use crate::client::{Context, settings, with_options};
use crate::positions::{Partition, Positions};
use crate::{BusConfig, BusError};

/// What is copied of a message at most: one byte more than anybody reads tells that it is too long.
const MAX_COPY_BYTES: usize = MAX_MESSAGE_BYTES + 1;

/// A client that reads.
pub(crate) struct Client {
    /// Before the client: it is one of its queues.
    queue: RingingQueue,
    pub inner: BaseConsumer<Context>,
    /// As [`View::clock_setbacks`](crate::asker::View) counts.
    pub clock_setbacks: u64,
    pub since: Instant,
}

pub(crate) enum Next {
    Message(Copied),
    Error(KafkaError),
    /// `is_drained`: nor is anything left that librdkafka wanted to say.
    Nothing {
        is_drained: bool,
    },
}

/// What is taken of a message.
pub(crate) struct Copied {
    pub topic: Topic,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_unix_ms: Option<i64>,
    pub payload: Vec<u8>,
}

impl Client {
    /// Lets a client read from these positions, and ring when it has something.
    pub fn begin(
        inner: BaseConsumer<Context>,
        positions: &Positions,
        config: &BusConfig,
        bell: &Arc<Bell>,
        clock_setbacks: u64,
    ) -> Result<Self, BusError> {
        let mut assignment = TopicPartitionList::with_capacity(positions.partitions.len());
        for Partition { topic, partition, next, .. } in &positions.partitions {
            let offset = if *next <= 0 { Offset::Beginning } else { Offset::Offset(*next) };
            let name = topic.full_name(&config.topic_prefix);
            assignment.add_partition_offset(&name, *partition, offset).map_err(BusError::client)?;
        }
        inner.assign(&assignment).map_err(BusError::client)?;
        // SAFETY: it is a consumer, and the queue stands before it in the value that is made here.
        let queue = unsafe { RingingQueue::consumer(inner.client().native_ptr(), bell) };
        Ok(Self { queue, inner, clock_setbacks, since: Instant::now() })
    }

    pub fn context(&self) -> &Context {
        self.inner.context()
    }

    pub fn next(&self, topic_prefix: &str) -> Next {
        match self.inner.poll(Duration::ZERO) {
            Some(Ok(message)) => {
                let payload = message.payload().unwrap_or_default();
                // Only our topics are assigned, so only they come.
                let Some(topic) = Topic::from_full_name(message.topic(), topic_prefix) else {
                    return Next::Nothing { is_drained: false };
                };
                Next::Message(Copied {
                    topic,
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_unix_ms: message.timestamp().to_millis(),
                    payload: payload[..payload.len().min(MAX_COPY_BYTES)].to_vec(),
                })
            }
            Some(Err(error)) => Next::Error(error),
            None => Next::Nothing { is_drained: self.queue.is_empty() },
        }
    }
}

pub(crate) fn new_client(config: &BusConfig) -> Result<BaseConsumer<Context>, BusError> {
    let context = Context::new(&config.brokers.address);
    consumer_settings(config).create_with_context(context).map_err(BusError::client)
}

/// The largest answer that is taken. Kafka answers with a whole batch even where that is more than was asked for.
pub(crate) const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

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
        .set("fetch.max.bytes", (2 * MAX_MESSAGE_BYTES).to_string())
        .set("fetch.message.max.bytes", (MAX_MESSAGE_BYTES + MAX_MESSAGE_BYTES / 4).to_string())
        .set("message.max.bytes", (2 * MAX_MESSAGE_BYTES).to_string())
        .set("queued.max.messages.kbytes", "4096")
        .set("receive.message.max.bytes", MAX_ANSWER_BYTES.to_string())
        // Tells up to where was fetched.
        .set("statistics.interval.ms", "1000");
    with_options(settings, config)
}
