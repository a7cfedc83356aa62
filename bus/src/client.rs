//! What every Kafka client of ours shares: its settings, and what it says in the log.
//!
//! librdkafka repeats itself many times a second while a broker is away. Here an outage is said once, and its
//! end once; the rest goes to the log at level debug.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
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
        .set("socket.connection.setup.timeout.ms", "5000")
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

/// A client that only asks for metadata. Asking may create the topic, where the broker does such a thing.
pub(crate) fn asking_client(config: &BusConfig, creates_topics: bool) -> Result<BaseConsumer<Context>, BusError> {
    let mut settings = settings(config);
    settings.set("allow.auto.create.topics", if creates_topics { "true" } else { "false" });
    let context = Context::quiet(&config.brokers.address);
    with_options(settings, config).create_with_context(context).map_err(BusError::client)
}

/// How many partitions a topic has at the broker; 0: there is no such topic, or it has no leader yet.
pub(crate) fn partitions(client: &BaseConsumer<Context>, topic: &str, timeout: Duration) -> Result<i32, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found else { return Ok(0) };
    if let Some(error) = found.error().map(RDKafkaErrorCode::from) {
        use RDKafkaErrorCode::{LeaderNotAvailable, UnknownTopic, UnknownTopicOrPartition};
        return match error {
            UnknownTopic | UnknownTopicOrPartition | LeaderNotAvailable => Ok(0),
            other => Err(KafkaError::MetadataFetch(other)),
        };
    }
    if found.partitions().iter().any(|partition| partition.leader() < 0) {
        return Ok(0);
    }
    Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))
}

/// Hears what librdkafka has to say.
pub(crate) struct Context {
    address: String,
    /// Whether outages are worth a warning here (another client of this node may say it already).
    speaks: bool,
    /// The errors said in this outage; empty: there is none.
    outage: Mutex<BTreeSet<String>>,
}

impl Context {
    pub fn quiet(address: &str) -> Self {
        Self { address: address.into(), speaks: false, outage: Mutex::default() }
    }

    pub fn speaking(address: &str) -> Self {
        Self { speaks: true, ..Self::quiet(address) }
    }

    fn broken(&self, code: RDKafkaErrorCode, reason: &str) {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, Resolve, SSL};
        // The end of a single connection is no outage; what really is one comes with one of these.
        let is_outage = matches!(code, AllBrokersDown | Authentication | Resolve | SSL);
        let first = is_outage && self.outage.lock().unwrap_or_else(PoisonError::into_inner).insert(code.to_string());
        if first && self.speaks {
            // librdkafka only counts connections here, which tells a person nothing.
            let reason = if code == AllBrokersDown { "it is away" } else { reason };
            tracing::warn!(broker = self.address, "no connection to the broker ({reason}); waiting for it");
        } else {
            tracing::debug!(broker = self.address, "{code}: {reason}");
        }
    }

    fn connected(&self) {
        let said = std::mem::take(&mut *self.outage.lock().unwrap_or_else(PoisonError::into_inner));
        if !said.is_empty() && self.speaks {
            tracing::info!(broker = self.address, "connected to the broker again");
        }
    }
}

/// What we read of librdkafka's statistics.
#[derive(Deserialize)]
struct Statistics {
    brokers: HashMap<String, BrokerState>,
}

#[derive(Deserialize)]
struct BrokerState {
    state: String,
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility} {message}");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.connected();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.broken(code, reason);
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
    fn an_outage_is_remembered_once_until_a_broker_is_up() {
        let context = Context::speaking("a:1");
        let said = || context.outage.lock().unwrap().len();
        context.broken(RDKafkaErrorCode::BrokerTransportFailure, "one connection");
        assert_eq!(said(), 0);
        context.broken(RDKafkaErrorCode::AllBrokersDown, "all");
        context.broken(RDKafkaErrorCode::AllBrokersDown, "all");
        assert_eq!(said(), 1);
        context.stats_raw(br#"{"brokers":{"a:1/1":{"state":"TRY_CONNECT"}}}"#);
        assert_eq!(said(), 1);
        context.stats_raw(br#"{"brokers":{"a:1/1":{"state":"UP"}}}"#);
        assert_eq!(said(), 0);
    }
}
