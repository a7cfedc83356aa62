//! Where reading begins, and what comes of it: plain values.

use std::sync::Arc;

use onrush_protocol::Topic;

/// Where to begin reading a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At what is sent from now on: what is sent after `Consumer::new` returns is read.
    Now,
    /// At the oldest message that the broker has.
    Oldest,
    /// At this offset; where the broker has it no more (or not yet), at the oldest that it has.
    At(i64),
    /// So many messages before now, or at the oldest.
    Last(u32),
}

/// A partition that is about to be read.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its topic.
    pub topic: Topic,
    /// Its number.
    pub partition: i32,
    /// Which topic of that name it is of: offsets of one mean nothing in another, be it a topic that was deleted and
    /// created anew or one at another cluster. Empty where the broker gives topics no ids.
    pub topic_id: &'a str,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Which topic of that name it came from, as in [`Place`]: an offset that is kept is kept with it.
    pub topic_id: Arc<str>,
    /// The time-stamp that its sender gave it (or the broker, if its topic is set up so), in milliseconds since 1970.
    pub timestamp_unix_ms: Option<i64>,
    /// Its bytes; empty for a tombstone. Of one longer than anybody reads, the first bytes, one more than that.
    pub payload: Vec<u8>,
}

/// Messages that were given up: they could not be received, or ended the process that received them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Their topic.
    pub topic: Topic,
    /// Their partition.
    pub partition: i32,
    /// The first that was given up.
    pub from: i64,
    /// The first that was not.
    pub to: i64,
}
