//! What can go wrong with the broker, in words for the person who has to do something about it.

use onrush_host::HostError;
use rdkafka::error::KafkaError;

/// What went wrong with the broker, or with what this machine knows about brokers.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BusError {
    #[error("{given:?} is not a broker address: {problem}; give HOST:PORT, several with commas")]
    Address { given: String, problem: &'static str },
    #[error(
        "no broker: none was given and no embedded one runs on this machine; give --brokers HOST:PORT, or start \
         `onrush orchestrator --brokers embedded` (or `onrush demo`) first"
    )]
    NoBroker,
    #[error("several embedded brokers run on this machine ({}); choose one with --brokers", .0.join(", "))]
    SeveralBrokers(Vec<String>),
    #[error("--topic-prefix {prefix:?} cannot be used: {problem}")]
    TopicPrefix { prefix: String, problem: String },
    /// Without the value: it may be a password.
    #[error("the Kafka setting {key} is not possible: {problem}")]
    Setting { key: String, problem: String },
    #[error("cannot set up the Kafka client: {0}")]
    Client(String),
    #[error(
        "the broker at {address} did not answer within {waited_s} s ({problem}); does it run, and is it reachable from here?"
    )]
    Unreachable { address: String, waited_s: f64, problem: String },
    #[error("topic {topic} at the broker {address}: {problem}")]
    Topic { topic: String, address: String, problem: String },
    #[error(
        "{waiting} messages of {waiting_bytes} bytes wait for the broker at {address} already, so that no further one \
         is taken"
    )]
    OutboxFull { address: String, waiting: usize, waiting_bytes: usize },
    #[error("cannot start the embedded broker: {0}")]
    Embedded(String),
    #[error("cannot start a thread: {error}{}", advice(.error))]
    Thread { error: std::io::Error },
    #[error(transparent)]
    Host(#[from] HostError),
}

impl BusError {
    /// A client that could not be made: where a setting is at fault, it is named.
    pub(crate) fn client(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, problem, key, value) => {
                Self::Setting { problem: without(&problem, &key, &value), key }
            }
            other => {
                let problem = other.to_string();
                let advice = if problem.contains("create thread") { MORE_THREADS } else { "" };
                Self::Client(format!("{problem}{advice}"))
            }
        }
    }

    pub(crate) fn thread(error: std::io::Error) -> Self {
        Self::Thread { error }
    }
}

/// What to do where the system has no more threads.
fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::WouldBlock => MORE_THREADS,
        _ => "",
    }
}

const MORE_THREADS: &str = "; raise the limit of processes and threads (ulimit -u, or pids of the container)";

/// librdkafka's words about a setting. They may repeat the value: a number or one of a few words stays, any other is left
/// out.
fn without(problem: &str, key: &str, value: &str) -> String {
    const WORDS: [&str; 9] = [
        "acks",
        "auto.offset.reset",
        "client.dns.lookup",
        "compression.codec",
        "compression.type",
        "debug",
        "isolation.level",
        "sasl.mechanisms",
        "security.protocol",
    ];
    if value.is_empty() || value.parse::<f64>().is_ok() || WORDS.contains(&key) {
        problem.into()
    } else {
        problem.replace(value, "…")
    }
}
