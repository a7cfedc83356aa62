//! Finding out where a new consumer begins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onrush_protocol::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use crate::admin::{Described, Oracle, describe, ends};
use crate::bell::Bell;
use crate::client::Context;
use crate::place::{Place, Start};
use crate::positions::Partition;
use crate::topics::{check_topic_prefix, topic_error, unreachable};
use crate::{BusConfig, BusError};

/// The longest wait for one answer of the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// A partition, and what was known of it at the start.
pub(crate) struct Joined {
    pub partition: Partition,
    /// The offset that came next at its end.
    pub end: i64,
}

/// Asks for the topics' partitions and their ends until everything is known, at most `timeout`.
pub(crate) fn join(
    config: &BusConfig,
    client: &BaseConsumer<Context>,
    topics: &[Topic],
    start: impl Fn(&Place<'_>) -> Start,
    timeout: Duration,
) -> Result<Vec<Joined>, BusError> {
    check_topic_prefix(&config.topic_prefix)?;
    let bell = Arc::<Bell>::default();
    let names: Vec<String> = topics.iter().map(|topic| topic.full_name(&config.topic_prefix)).collect();
    let address = &config.brokers.address;
    let begun = Instant::now();
    let deadline = begun + timeout;
    let mut oracle = Oracle::of(config);
    let ask = |oracle| -> Result<(Vec<Described>, Option<Vec<i64>>), KafkaError> {
        // The first question always has a moment, however short the time-out.
        let left = || deadline.saturating_duration_since(Instant::now()).clamp(PAUSE, REQUEST_TIMEOUT);
        let described = describe(client, oracle, &names, left(), &bell)?;
        let partitions: Vec<(String, i32)> =
            described.iter().flat_map(|d| (0..d.partitions as i32).map(|n| (d.name.clone(), n))).collect();
        if !described.iter().all(|topic| topic.usable) {
            return Ok((described, None));
        }
        let found = ends(client, &partitions, left(), &bell)?;
        let of = |(name, partition): &(String, i32)| {
            found.iter().find(|(n, p, _)| n == name && p == partition).map(|(_, _, offset)| *offset)
        };
        Ok((described, partitions.iter().map(of).collect()))
    };
    loop {
        let answer = ask(oracle);
        let over = Instant::now() >= deadline;
        match answer {
            Ok((described, Some(ends))) => {
                return Ok(places(topics, &names, &described, &ends, start));
            }
            Ok((described, None)) if over => {
                let Some(bad) = described.iter().find(|topic| !topic.usable) else { continue };
                let problem = match bad.refused {
                    Some(code) => code.to_string(),
                    None if bad.partitions == 0 => "it does not exist".into(),
                    None => "it has no leader".into(),
                };
                return Err(topic_error(&bad.name, address, &problem));
            }
            Err(error) if over => {
                let problem = client.context().trouble().unwrap_or_else(|| error.to_string());
                return Err(unreachable(address, begun, problem));
            }
            Ok((_, None)) => std::thread::sleep(PAUSE),
            Err(_) => oracle = oracle.other(),
        }
    }
}

fn places(
    topics: &[Topic],
    names: &[String],
    described: &[Described],
    ends: &[i64],
    start: impl Fn(&Place<'_>) -> Start,
) -> Vec<Joined> {
    let mut ends = ends.iter().copied();
    let mut joined = Vec::new();
    for found in described {
        let topic = names.iter().position(|name| *name == found.name).map(|at| topics[at]);
        let id: Arc<str> = found.id.as_str().into();
        for (partition, end) in (0..found.partitions as i32).zip(ends.by_ref()) {
            let Some(topic) = topic else { continue };
            let next = match start(&Place { topic, partition, topic_id: &id }) {
                Start::Oldest => 0,
                Start::At(offset) => offset.max(0),
                Start::Now => end,
                Start::Last(count) => end.saturating_sub(i64::from(count)).max(0),
            };
            joined.push(Joined { partition: Partition::new(topic, partition, id.clone(), next), end });
        }
    }
    joined.sort_by_key(|joined| (joined.partition.topic, joined.partition.partition));
    joined
}
