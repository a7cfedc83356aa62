//! Kafka, as the nodes use it: through rdkafka, with the broker within the process for one machine.
//!
//! One producer that keeps what it is given until the broker has it, one consumer that reads whole topics from
//! chosen offsets (no consumer group: every node reads everything), and the embedded broker. Beside that, what
//! nodes on one machine tell one another (where an embedded broker is, and who uses which CPU) and what a node's own
//! process uses of its machine. This crate refuses to know what the messages mean.

mod brokers;
mod client;
mod consumer;
pub mod cpus;
mod embedded;
mod error;
mod outbox;
mod producer;
mod runtime;
mod topics;
mod usage;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod waits;
mod watch;

pub use brokers::Brokers;
pub use consumer::{Consumer, Record, Start};
pub use embedded::EmbeddedBroker;
pub use error::BusError;
pub use producer::Producer;
pub use runtime::runtime_dir;
pub use topics::ensure_topics;
pub use usage::Usage;
pub use watch::BrokerWatch;

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
