//! Where each partition is read on from, kept with the topic that it is of: offsets of one topic mean nothing in another,
//! be it of the same name.

use std::collections::HashMap;

use onrush_bus::{Place, Start};
use onrush_protocol::Topic;
use rusqlite::Connection;

use crate::store::{self, StoreError};

/// Between a broker's name and a topic's id.
const MARK: char = '#';

/// What the store knows of the places in one broker's topics.
pub struct Places {
    broker: String,
    /// By source (the broker, and the topic's id where there is one), topic and partition.
    stored: HashMap<(String, String, i32), i64>,
    /// Whether reports that nobody has read may be of use.
    any_open: bool,
}

/// What offsets of this topic are stored under.
pub fn source(broker: &str, topic_id: &str) -> String {
    if topic_id.is_empty() { broker.to_owned() } else { format!("{broker}{MARK}{topic_id}") }
}

impl Places {
    /// What is stored. `any_open`: there are tests that are not over.
    pub fn read(connection: &Connection, broker: &str, any_open: bool) -> Result<Self, StoreError> {
        let stored = store::all_offsets(connection)?.into_iter().filter(|((source, ..), _)| {
            source.strip_prefix(broker).is_some_and(|rest| rest.is_empty() || rest.starts_with(MARK))
        });
        Ok(Self { broker: broker.to_owned(), stored: stored.collect(), any_open })
    }

    /// Where to begin.
    pub fn start(&self, place: &Place<'_>) -> Start {
        let topic = place.topic.name();
        let at = |source: String| self.stored.get(&(source, topic.to_owned(), place.partition)).copied();
        if let Some(next) = at(source(&self.broker, place.topic_id)) {
            return Start::At(next);
        }
        let of_topic = || self.stored.keys().filter(|(_, stored, _)| stored == topic);
        // Kept before topics had ids here: of this one, as far as anybody knows.
        if of_topic().all(|(source, ..)| *source == self.broker)
            && let Some(next) = at(self.broker.clone())
        {
            return Start::At(next);
        }
        // A partition that was added meanwhile, or another topic in the place of the one that was read: all of it is new.
        // Who registered before us shows up at once. Reports matter only to a test of ours; if there is one and no
        // offset, then nothing of it was read.
        if of_topic().next().is_some() || place.topic == Topic::Register || self.any_open {
            return Start::Oldest;
        }
        Start::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(stored: &[(&str, i32, i64)], any_open: bool) -> Places {
        let stored = stored
            .iter()
            .map(|(source, partition, next)| (((*source).to_owned(), "metrics".to_owned(), *partition), *next));
        Places { broker: "kafka/p".into(), stored: stored.collect(), any_open }
    }

    fn start(places: &Places, topic: Topic, topic_id: &str, partition: i32) -> Start {
        places.start(&Place { topic, partition, topic_id })
    }

    #[test]
    fn a_partition_is_read_on_where_it_was_left() {
        let known = places(&[("kafka/p#x", 0, 7), ("kafka/p#old", 1, 9)], false);
        assert_eq!(start(&known, Topic::Metrics, "x", 0), Start::At(7));
        assert_eq!(start(&known, Topic::Metrics, "x", 1), Start::Oldest, "it was added since");
        assert_eq!(start(&known, Topic::Metrics, "y", 0), Start::Oldest, "it is another topic of that name");
        assert_eq!(start(&known, Topic::Metrics, "old", 1), Start::At(9));
    }

    #[test]
    fn a_topic_that_was_never_read_matters_to_open_tests_only() {
        for any_open in [false, true] {
            let nothing = places(&[], any_open);
            let expected = if any_open { Start::Oldest } else { Start::Now };
            assert_eq!(start(&nothing, Topic::Metrics, "x", 0), expected);
            assert_eq!(start(&nothing, Topic::Register, "x", 0), Start::Oldest);
        }
    }

    #[test]
    fn places_without_ids_are_those_of_the_topic_until_one_has_an_id() {
        let without = places(&[("kafka/p", 0, 7)], false);
        for id in ["", "x"] {
            assert_eq!(start(&without, Topic::Metrics, id, 0), Start::At(7));
        }
        let both = places(&[("kafka/p", 0, 7), ("kafka/p#x", 0, 8)], false);
        assert_eq!(start(&both, Topic::Metrics, "x", 0), Start::At(8));
        assert_eq!(start(&both, Topic::Metrics, "y", 0), Start::Oldest);
    }
}
