//! Where a consumer stands in each partition, and what to make of what the broker says: pure values.

use std::sync::Arc;

use onrush_protocol::Topic;

use crate::asker::View;

/// Looks at a partition that has something to read and gives nothing, before its client is taken for stuck.
const PATIENCE_LOOKS: u32 = 12;
/// The same for a client that lived through an outage: that is when clients get stuck.
const PATIENCE_LOOKS_AFTER_OUTAGE: u32 = 4;
/// The same where the client said that an answer is larger than it takes.
const PATIENCE_LOOKS_TOO_LARGE: u32 = 8;
/// Each new client in vain doubles the patience, so many times at most.
const MAX_DOUBLINGS: u32 = 5;

/// A partition that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub topic: Topic,
    pub partition: i32,
    /// Of which topic of that name; empty where the broker does not tell.
    pub topic_id: Arc<str>,
    /// The offset that is read next. 0 means the oldest message, whatever its offset.
    pub next: i64,
    /// Looks in a row in which it had something to read and gave nothing.
    pub quiet_looks: u32,
    /// New clients since its last message.
    pub vain: u32,
    /// Messages in a row that could not be received.
    passed_over: u32,
}

impl Partition {
    pub fn new(topic: Topic, partition: i32, topic_id: Arc<str>, next: i64) -> Self {
        Self { topic, partition, topic_id, next, quiet_looks: 0, vain: 0, passed_over: 0 }
    }
}

/// What the broker's topics have become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The topic has so many partitions now; the new ones are read from their beginning.
    Grown { topic: Topic, before: usize, partitions: usize },
    /// Another topic has taken its name; it is read from its beginning.
    Replaced { topic: Topic },
}

/// What is to be done about partitions that give nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The client is stuck: a new one reads on at the same place.
    NewClient { topic: Topic, partition: i32, next: i64, end: i64 },
    /// What is there can never be received: a new client reads on behind it.
    PassOver { topic: Topic, partition: i32, from: i64, to: i64 },
}

/// What a look at the client found.
pub(crate) struct Look<'a> {
    /// Everything that the client had was taken.
    pub is_drained: bool,
    /// The broker was away since this client was made.
    pub is_after_outage: bool,
    /// The client met an answer larger than it takes.
    pub met_too_large: bool,
    /// The offset that the client fetches next, where it is known.
    pub fetched_up_to: &'a dyn Fn(&Partition) -> Option<i64>,
}

/// All partitions of a consumer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    pub partitions: Vec<Partition>,
    /// Which broker they are of, as [`View::broker`] counts.
    broker: u64,
}

impl Positions {
    pub fn new(partitions: Vec<Partition>, broker: u64) -> Self {
        Self { partitions, broker }
    }

    /// A message came. Which topic it is of, and which offset was expected.
    pub fn read(&mut self, topic: Topic, partition: i32, offset: i64) -> Option<(Arc<str>, i64)> {
        let at = self.partitions.iter_mut().find(|p| p.topic == topic && p.partition == partition)?;
        let expected = std::mem::replace(&mut at.next, offset.saturating_add(1));
        (at.quiet_looks, at.vain, at.passed_over) = (0, 0, 0);
        Some((at.topic_id.clone(), expected))
    }

    /// Reads on at this offset, whatever was read of that partition.
    pub fn go_back(&mut self, topic: Topic, partition: i32, offset: i64) {
        if let Some(p) = self.partitions.iter_mut().find(|p| p.topic == topic && p.partition == partition) {
            p.next = offset;
        }
    }

    /// Follows what has become of the topics. Where anything is returned a new client is needed.
    pub fn follow(&mut self, view: &View) -> Vec<Change> {
        let moved = std::mem::replace(&mut self.broker, view.broker) != view.broker;
        let mut topics: Vec<Topic> = self.partitions.iter().map(|p| p.topic).collect();
        topics.dedup();
        let mut changes = Vec::new();
        for topic in topics {
            let of_topic = || self.partitions.iter().filter(|p| p.topic == topic);
            let Some(found) = view.topics.get(&topic) else {
                if moved {
                    // Its topics are not known yet. Whatever they are, they are others.
                    self.partitions.iter_mut().filter(|p| p.topic == topic).for_each(begin_anew);
                    changes.push(Change::Replaced { topic });
                }
                continue;
            };
            let known = of_topic().next().map(|p| p.topic_id.clone()).unwrap_or_default();
            let is_other = moved || (!known.is_empty() && !found.id.is_empty() && known != found.id);
            let before = of_topic().count();
            let partitions = usize::try_from(found.partitions).unwrap_or_default();
            if is_other {
                self.partitions.retain(|p| p.topic != topic);
                changes.push(Change::Replaced { topic });
            } else if partitions > before {
                changes.push(Change::Grown { topic, before, partitions });
            }
            // What was assigned blindly at a broker that took another's place.
            self.partitions.retain(|p| p.topic != topic || p.partition < found.partitions);
            self.partitions.iter_mut().filter(|p| p.topic == topic).for_each(|p| {
                if p.topic_id.is_empty() {
                    p.topic_id = found.id.clone();
                }
            });
            for partition in 0..found.partitions {
                if !self.partitions.iter().any(|p| p.topic == topic && p.partition == partition) {
                    self.partitions.push(Partition::new(topic, partition, found.id.clone(), 0));
                }
            }
        }
        // Partitions of a topic stand together.
        self.partitions.sort_by_key(|p| (p.topic, p.partition));
        changes
    }

    /// Compares with where the partitions end, a few times a second. What is returned has been taken note of.
    pub fn look(&mut self, view: &View, look: &Look<'_>) -> Option<Remedy> {
        let is_known = view.reachable_since.is_some();
        let mut worst = None;
        for (at, p) in self.partitions.iter_mut().enumerate() {
            if !is_known || !is_behind(p, view, look) {
                p.quiet_looks = 0;
                continue;
            }
            if !look.is_drained {
                continue;
            }
            p.quiet_looks += 1;
            let patience = match () {
                () if look.met_too_large => PATIENCE_LOOKS_TOO_LARGE,
                () if look.is_after_outage => PATIENCE_LOOKS_AFTER_OUTAGE << p.vain.min(MAX_DOUBLINGS),
                () => PATIENCE_LOOKS << p.vain.min(MAX_DOUBLINGS),
            };
            if p.quiet_looks >= patience && worst.is_none() {
                worst = Some(at);
            }
        }
        let p = &mut self.partitions[worst?];
        let (topic, partition, next) = (p.topic, p.partition, p.next);
        let end = view.ends.get(&(topic, partition)).copied().unwrap_or(next);
        let remedy = if look.met_too_large && p.vain > 0 {
            // A batch may hold many messages, and only the broker knows how many.
            let to = next.saturating_add(1 << p.passed_over.min(20)).min(end);
            p.passed_over += 1;
            p.next = to;
            Remedy::PassOver { topic, partition, from: next, to }
        } else {
            Remedy::NewClient { topic, partition, next, end }
        };
        for p in self.partitions.iter_mut().filter(|p| p.quiet_looks > 0) {
            (p.quiet_looks, p.vain) = (0, p.vain + 1);
        }
        Some(remedy)
    }

    /// Whether everything below the ends that are known was read.
    pub fn is_up_to(&self, view: &View, look: &Look<'_>) -> bool {
        self.partitions.iter().all(|p| view.ends.contains_key(&(p.topic, p.partition)) && !is_behind(p, view, look))
    }
}

fn begin_anew(p: &mut Partition) {
    *p = Partition::new(p.topic, p.partition, "".into(), 0);
}

fn is_behind(p: &Partition, view: &View, look: &Look<'_>) -> bool {
    let Some(end) = view.ends.get(&(p.topic, p.partition)).copied() else { return false };
    // What was fetched and gave no message is nothing to read: marks of transactions, and what was deleted.
    let fetched = (look.fetched_up_to)(p).unwrap_or(p.next);
    end > p.next && !(look.is_drained && fetched >= end)
}

#[cfg(test)]
#[path = "positions_tests.rs"]
mod tests;
