//! Creating the topics.

use std::time::{Duration, Instant};

use onrush_protocol::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use crate::client::{Context, asking_client, partitions, settings, with_options};
use crate::{BusConfig, BusError};

/// The longest wait for one answer of the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks whether new topics are ready.
const PAUSE: Duration = Duration::from_millis(50);

/// Creates the topics that are missing, one partition each; waits at most `timeout` for the broker, and until
/// every topic can be used. Several nodes may do this at once.
pub fn ensure_topics(config: &BusConfig, timeout: Duration) -> Result<(), BusError> {
    let address = &config.brokers.address;
    let started = Instant::now();
    let deadline = started + timeout;
    let client = asking_client(config, false)?;
    let mut created = Vec::new();
    // What to tell when time is up.
    let mut trouble = None;
    loop {
        let mut missing = Vec::new();
        for topic in Topic::ALL {
            let topic = topic.full_name(&config.topic_prefix);
            let left = deadline.saturating_duration_since(Instant::now());
            // The first look always has a moment, however short the time-out.
            match partitions(&client, &topic, left.clamp(PAUSE, REQUEST_TIMEOUT)) {
                Ok(0) => missing.push(topic),
                Ok(_) => {}
                Err(error) => {
                    let problem = error.to_string();
                    trouble = Some(match error.rdkafka_error_code() {
                        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => topic_error(&topic, address, &problem),
                        _ => unreachable(address, started, problem),
                    });
                    missing.push(topic);
                    break;
                }
            }
        }
        // Drains librdkafka's log.
        client.poll(Duration::ZERO);
        match (missing.first(), trouble.take()) {
            (None, _) => return Ok(()),
            (Some(_), Some(error)) if Instant::now() >= deadline => return Err(error),
            (Some(topic), None) if Instant::now() >= deadline => {
                return Err(topic_error(topic, address, "it was created, but has no leader yet; try again"));
            }
            (Some(_), Some(_)) => {}
            (Some(_), None) => {
                let new: Vec<String> = missing.into_iter().filter(|topic| !created.contains(topic)).collect();
                if !new.is_empty() && create(config, &new)? {
                    created.extend(new);
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
}

fn unreachable(address: &str, started: Instant, problem: String) -> BusError {
    BusError::Unreachable { address: address.into(), waited_s: started.elapsed().as_millis() as f64 / 1e3, problem }
}

fn topic_error(topic: &str, address: &str, problem: &str) -> BusError {
    BusError::Topic { topic: topic.into(), address: address.into(), problem: problem.into() }
}

/// Asks for new topics. False: the broker did not answer, ask again.
fn create(config: &BusConfig, topics: &[String]) -> Result<bool, BusError> {
    if config.brokers.embedded {
        return auto_create(config, topics);
    }
    let address = &config.brokers.address;
    let settings = with_options(settings(config), config);
    let context = Context::quiet(address);
    let admin: AdminClient<Context> = settings.create_with_context(context).map_err(BusError::client)?;
    // -1: as many replicas as the broker has set as its default.
    let new: Vec<NewTopic> = topics.iter().map(|topic| NewTopic::new(topic, 1, TopicReplication::Fixed(-1))).collect();
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT));
    let results = match pollster::block_on(admin.create_topics(&new, &options)) {
        Ok(results) => results,
        // An embedded broker that is not known as one: it does not have this request.
        Err(error) => {
            tracing::debug!(broker = address, "creating topics: {error}");
            return auto_create(config, topics);
        }
    };
    let mut all = true;
    for result in results {
        use RDKafkaErrorCode as Code;
        match result {
            Ok(topic) => tracing::info!(broker = address, topic, "created the topic"),
            // Another node was faster.
            Err((_, Code::TopicAlreadyExists)) => {}
            Err((topic, code @ (Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed))) => {
                let problem = format!("it is missing and may not be created ({code}); create it, or allow it");
                return Err(topic_error(&topic, address, &problem));
            }
            Err((topic, code @ (Code::InvalidTopic | Code::PolicyViolation | Code::InvalidReplicationFactor))) => {
                return Err(topic_error(&topic, address, &format!("it cannot be created: {code}")));
            }
            Err((topic, code)) => {
                tracing::debug!(broker = address, topic, "creating the topic: {code}");
                all = false;
            }
        }
    }
    Ok(all)
}

/// The embedded broker knows no request for creating topics; it creates them as they are asked for.
fn auto_create(config: &BusConfig, topics: &[String]) -> Result<bool, BusError> {
    let client = asking_client(config, true)?;
    Ok(topics.iter().all(|topic| client.fetch_metadata(Some(topic), REQUEST_TIMEOUT).is_ok()))
}
