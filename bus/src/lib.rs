//! Kafka, as the nodes use it: through rdkafka, with the broker within the process for one machine.
//!
//! One producer that keeps what it is given until the broker has it, one consumer that reads whole topics from
//! chosen offsets (no consumer group: every node reads everything), and the embedded broker. This crate refuses to know what
//! the messages mean.

mod admin;
mod asker;
mod bell;
mod brokers;
mod client;
mod consumer;
mod delivery;
mod embedded;
mod error;
mod joining;
mod marker;
mod outbox;
mod place;
mod positions;
mod producer;
mod reader;
mod stamp;
#[cfg(test)]
mod testing;
mod topics;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod waits;
mod watch;

pub use brokers::Brokers;
pub use consumer::Consumer;
pub use embedded::EmbeddedBroker;
pub use error::BusError;
pub use place::{Place, Record, Skipped, Start};
pub use producer::Producer;
pub use topics::{check_topic_prefix, ensure_topics};
pub use watch::BrokerWatch;

/// How to reach the topics.
#[derive(Clone, PartialEq, Eq)]
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

/// Without the values of the settings: some are passwords.
impl std::fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { brokers, topic_prefix, client_id, options } = self;
        let settings: Vec<&str> = options.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("BusConfig")
            .field("brokers", brokers)
            .field("topic_prefix", topic_prefix)
            .field("client_id", client_id)
            .field("options", &settings)
            .finish()
    }
}
