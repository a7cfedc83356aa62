//! What every Kafka client of ours shares: its settings, what it overhears, and its end.
//!
//! librdkafka repeats itself many times a second while a broker is away. That goes to the log at level debug; an outage
//! is said once, by the [`asker`](crate::asker).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, TopicPartitionList};
use serde::Deserialize;

use crate::{BusConfig, BusError};

/// The settings that every client has; the user's own are added last, by [`with_options`].
pub(crate) fn settings(config: &BusConfig) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &config.brokers.address)
        .set("client.id", &config.client_id)
        // A broker that comes back is to be noticed soon.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        // A broker that hangs is to be noticed too, and a connection that died without a word.
        .set("socket.timeout.ms", "10000")
        // A first packet that is lost is sent again after a second, and after two more: then a new attempt is better.
        .set("socket.connection.setup.timeout.ms", "3000")
        .set("socket.keepalive.enable", "true")
        .set("topic.metadata.refresh.fast.interval.ms", "100")
        .set_log_level(RDKafkaLogLevel::Info);
    settings
}

/// Adds the settings of the user, which win.
pub(crate) fn with_options(mut settings: ClientConfig, config: &BusConfig) -> ClientConfig {
    for (key, value) in &config.options {
        settings.set(key, value);
    }
    settings
}

/// A client that only asks. Asking for a topic's metadata may create it, where the broker does such a thing.
pub(crate) fn asking_client(config: &BusConfig, creates_topics: bool) -> Result<BaseConsumer<Context>, BusError> {
    let mut settings = settings(config);
    settings.set("allow.auto.create.topics", if creates_topics { "true" } else { "false" });
    let context = Context::new(&config.brokers.address);
    with_options(settings, config).create_with_context(context).map_err(BusError::client)
}

/// Ends a client aside: librdkafka waits for its threads, and one that is stuck may take its time.
///
/// Where no thread can be started it ends here and now.
pub(crate) fn bury<C: Send + 'static>(client: C) -> Burial {
    let begun = Instant::now();
    let bury = std::thread::Builder::new().name("kafka-burial".into()).spawn(move || drop(client));
    Burial { thread: bury.ok(), begun }
}

/// A client that is ending.
pub(crate) struct Burial {
    thread: Option<JoinHandle<()>>,
    begun: Instant,
}

impl Burial {
    /// Whether its successor may start: it is gone, or has had its time. Two at once would need the memory twice.
    pub fn is_over(&self) -> bool {
        const AT_MOST: Duration = Duration::from_secs(10);
        self.thread.as_ref().is_none_or(JoinHandle::is_finished) || self.begun.elapsed() > AT_MOST
    }
}

/// Hears what librdkafka has to say.
pub(crate) struct Context {
    address: String,
    /// Why there was no connection, last.
    trouble: Mutex<Option<String>>,
    /// An answer was larger than this client takes.
    too_large: AtomicBool,
    /// Up to where each partition was fetched, by topic.
    fetched: Mutex<HashMap<String, HashMap<String, Fetched>>>,
}

impl Context {
    pub fn new(address: &str) -> Self {
        let (trouble, fetched) = (Mutex::default(), Mutex::default());
        Self { address: address.into(), trouble, too_large: AtomicBool::new(false), fetched }
    }

    /// Why there was no connection, in librdkafka's words.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether an answer was larger than this client takes.
    pub fn met_too_large(&self) -> bool {
        self.too_large.load(Relaxed)
    }

    /// The offset that is fetched next, as of the last statistics.
    pub fn fetched_up_to(&self, topic: &str, partition: i32) -> Option<i64> {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.get(topic)?.get(&partition.to_string()).map(|fetched| fetched.next_offset)
    }
}

/// What we read of librdkafka's statistics.
#[derive(Deserialize)]
struct Statistics {
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<String, Fetched>,
}

#[derive(Deserialize)]
struct Fetched {
    next_offset: i64,
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility} {message}");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        let fetched = statistics.topics.into_iter().map(|(name, topic)| (name, topic.partitions)).collect();
        *self.fetched.lock().unwrap_or_else(PoisonError::into_inner) = fetched;
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(broker = self.address, "{error}: {reason}");
        match error.rdkafka_error_code() {
            // It only counts connections here, which tells a person nothing.
            Some(RDKafkaErrorCode::AllBrokersDown) => {}
            Some(RDKafkaErrorCode::BadMessage) if reason.contains("response size") => {
                self.too_large.store(true, Relaxed)
            }
            _ => *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.into()),
        }
    }
}

impl ConsumerContext for Context {
    // No groups: partitions are assigned by hand and nothing is committed.
    fn commit_callback(&self, _result: Result<(), KafkaError>, _offsets: &TopicPartitionList) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_tell_up_to_where_was_fetched() {
        let context = Context::new("a:1");
        assert_eq!(context.fetched_up_to("metrics", 0), None);
        context.stats_raw(
            br#"{"name":"x","topics":{"metrics":{"topic":"metrics","partitions":{"0":{"partition":0,"next_offset":7},"-1":{"next_offset":0}}}}}"#,
        );
        assert_eq!(context.fetched_up_to("metrics", 0), Some(7));
        context.stats_raw(b"nonsense");
        assert_eq!(context.fetched_up_to("metrics", 0), Some(7));
    }
}
