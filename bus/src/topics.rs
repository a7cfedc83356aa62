//! Creating the topics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onrush_protocol::{MAX_MESSAGE_BYTES, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;

use crate::admin::{self, Oracle, describe};
use crate::bell::Bell;
use crate::client::{Context, asking_client};
use crate::{BusConfig, BusError};

/// The longest wait for one answer of the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks whether new topics are ready.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest name that Kafka gives a topic.
const MAX_NAME_BYTES: usize = 249;
/// What a topic takes at most in one batch: the largest message that any node reads, and what Kafka adds to it. Kafka's
/// own default is a little too small for that message.
const MAX_BATCH_BYTES: usize = MAX_MESSAGE_BYTES + 64 * 1024;

/// Whether Kafka takes topics with this prefix; the error says what is wrong with it.
pub fn check_topic_prefix(prefix: &str) -> Result<(), BusError> {
    let wrong = |problem: String| Err(BusError::TopicPrefix { prefix: prefix.chars().take(300).collect(), problem });
    if let Some(odd) = prefix.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        return wrong(format!("it has {odd:?}; Kafka allows letters of ASCII, digits and . _ -"));
    }
    let longest = Topic::ALL.map(|topic| topic.name().len()).into_iter().max().unwrap_or_default();
    let at_most = MAX_NAME_BYTES - longest;
    if prefix.len() > at_most {
        return wrong(format!("it has {} characters; at most {at_most} leave room for the topic's name", prefix.len()));
    }
    Ok(())
}

/// Creates the topics that are missing, one partition each; waits at most `timeout` for the broker, and until
/// every topic can be used. Several nodes may do this at once.
pub fn ensure_topics(config: &BusConfig, timeout: Duration) -> Result<(), BusError> {
    check_topic_prefix(&config.topic_prefix)?;
    let address = &config.brokers.address;
    let started = Instant::now();
    let deadline = started + timeout;
    let client = asking_client(config, false)?;
    let bell = Arc::<Bell>::default();
    let names = Topic::ALL.map(|topic| topic.full_name(&config.topic_prefix));
    let mut oracle = Oracle::of(config);
    let mut created = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // The first look always has a moment, however short the time-out.
        let answer = describe(&client, oracle, &names, left.clamp(PAUSE, REQUEST_TIMEOUT), &bell);
        let over = Instant::now() >= deadline;
        match answer {
            Ok(topics) => {
                if let Some((topic, code)) = topics.iter().find_map(|t| t.refused.map(|code| (&t.name, code)))
                    && over
                {
                    return Err(topic_error(topic, address, &code.to_string()));
                }
                let unusable: Vec<_> = topics.into_iter().filter(|topic| !topic.usable).collect();
                if unusable.is_empty() {
                    return Ok(());
                }
                if over {
                    let problem = "it was created, but has no leader yet; try again";
                    return Err(topic_error(&unusable[0].name, address, problem));
                }
                let missing = unusable.into_iter().filter(|topic| topic.partitions == 0 && topic.refused.is_none());
                let new: Vec<String> = missing.map(|t| t.name).filter(|name| !created.contains(name)).collect();
                if !new.is_empty() && create(config, &new)? {
                    created.extend(new);
                }
            }
            Err(error) if over => {
                let problem = client.context().trouble().unwrap_or_else(|| error.to_string());
                return Err(unreachable(address, started, problem));
            }
            Err(_) => oracle = oracle.other(),
        }
        std::thread::sleep(PAUSE);
    }
}

pub(crate) fn unreachable(address: &str, started: Instant, problem: String) -> BusError {
    BusError::Unreachable { address: address.into(), waited_s: started.elapsed().as_millis() as f64 / 1e3, problem }
}

pub(crate) fn topic_error(topic: &str, address: &str, problem: &str) -> BusError {
    BusError::Topic { topic: topic.into(), address: address.into(), problem: problem.into() }
}

/// Asks for new topics. False: the broker did not answer, ask again.
pub(crate) fn create(config: &BusConfig, topics: &[String]) -> Result<bool, BusError> {
    if config.brokers.embedded {
        return auto_create(config, topics);
    }
    let client = asking_client(config, false)?;
    let max_batch_bytes = MAX_BATCH_BYTES.to_string();
    // What is stored unpacked was within the limit unpacked: a batch that unpacks to a thousand times its size is refused
    // by the broker, and does not end every node that reads it.
    let limits = [("max.message.bytes", max_batch_bytes.as_str()), ("compression.type", "uncompressed")];
    match ask_for(config, &client, topics, &limits)? {
        // An embedded broker that is not known as one: it does not have this request.
        None => auto_create(config, topics),
        Some(Created { complete, without_limits }) if without_limits.is_empty() => Ok(complete),
        // A broker's policy may not let us choose: better without limits than not at all.
        Some(Created { complete, without_limits }) => {
            Ok(ask_for(config, &client, &without_limits, &[])?.is_some_and(|created| created.complete) && complete)
        }
    }
}

/// What came of asking for topics.
struct Created {
    /// All of those that could be created are there.
    complete: bool,
    /// The broker does not want these as they were asked for.
    without_limits: Vec<String>,
}

/// `None`: the broker does not have this request.
fn ask_for(
    config: &BusConfig,
    client: &BaseConsumer<Context>,
    topics: &[String],
    limits: &[(&str, &str)],
) -> Result<Option<Created>, BusError> {
    let address = &config.brokers.address;
    let results = match admin::create(client, topics, limits, REQUEST_TIMEOUT, &Arc::default()) {
        Ok(results) => results,
        Err(error) => {
            tracing::debug!(broker = address, "creating topics: {error}");
            return Ok(None);
        }
    };
    let mut created = Created { complete: true, without_limits: Vec::new() };
    for result in results {
        use RDKafkaErrorCode as Code;
        match result {
            (topic, Code::NoError) => tracing::info!(broker = address, topic, "created the topic"),
            // Another node was faster.
            (_, Code::TopicAlreadyExists) => {}
            (topic, code @ (Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => {
                let problem = format!("it is missing and may not be created ({code}); create it, or allow it");
                return Err(topic_error(&topic, address, &problem));
            }
            (topic, Code::InvalidConfig | Code::PolicyViolation) if !limits.is_empty() => {
                created.without_limits.push(topic);
            }
            (topic, code @ (Code::InvalidTopic | Code::PolicyViolation | Code::InvalidReplicationFactor)) => {
                return Err(topic_error(&topic, address, &format!("it cannot be created: {code}")));
            }
            (topic, code) => {
                tracing::debug!(broker = address, topic, "creating the topic: {code}");
                created.complete = false;
            }
        }
    }
    Ok(Some(created))
}

/// The embedded broker knows no request for creating topics; it creates them as they are asked for.
fn auto_create(config: &BusConfig, topics: &[String]) -> Result<bool, BusError> {
    let client = asking_client(config, true)?;
    Ok(topics.iter().all(|topic| client.fetch_metadata(Some(topic), REQUEST_TIMEOUT).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_kafka_refuses_is_called_that() {
        for fine in ["", "a.", "A_b-9", &"x".repeat(238)] {
            check_topic_prefix(fine).unwrap();
        }
        for (wrong, why) in
            [("a b", "' '"), ("prod/", "'/'"), ("ä", "'ä'"), ("a\n", "'\\n'"), (&"x".repeat(239), "239")]
        {
            let error = check_topic_prefix(wrong).unwrap_err().to_string();
            assert!(error.contains("--topic-prefix") && error.contains(why), "{error}");
        }
    }
}
