//! A note on disk of what was being received when the process ended, for the one that comes after it.
//!
//! librdkafka unpacks a batch before anybody can look at it: half a megabyte may become half a gigabyte, and the process
//! is killed for its memory. Started again it would read the same batch again. So a consumer notes where it is as soon
//! as a message takes long to come, and takes the note back when it came or when it ends in good order.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use onrush_protocol::Topic;
use serde::{Deserialize, Serialize};

use crate::joining::Joined;
use crate::place::Skipped;
use crate::positions::Partition;

/// The largest note that is read: it has a line for each partition.
const MAX_BYTES: u64 = 1024 * 1024;
/// Looks in a row without a message after which it is noted where the consumer waits: half a second.
const NOTED_AFTER_LOOKS: u32 = 2;
/// Ends of the process at one place after which the next one begins behind it.
const MAX_DEATHS: u32 = 2;

/// Where the process may end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    topic: String,
    topic_id: String,
    partition: i32,
    /// Where the reader began.
    offset: i64,
    /// Processes that ended there, the present one counted as if it would.
    deaths: u32,
    /// The present process counted itself.
    #[serde(skip)]
    counted: bool,
}

impl Entry {
    fn is_of(&self, topic: Topic, partition: i32) -> bool {
        self.topic == topic.name() && self.partition == partition
    }
}

/// The note of one consumer.
pub(crate) struct Marker {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Where partitions would have begun that begin further on in this life.
    skipped_from: HashMap<(Topic, i32), i64>,
}

impl Marker {
    /// What an earlier process left.
    pub fn open(path: &Path) -> Self {
        let mut text = String::new();
        let read = fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        let entries = read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self { path: path.to_owned(), entries, skipped_from: HashMap::new() }
    }

    /// Moves the beginnings at which processes ended again and again; what is given up by that.
    pub fn skip(&mut self, joined: &mut [Joined]) -> Vec<Skipped> {
        let mut skipped = Vec::new();
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| {
            let Some(Joined { partition: p, end }) =
                joined.iter_mut().find(|j| entry.is_of(j.partition.topic, j.partition.partition))
            else {
                return true;
            };
            if *p.topic_id != *entry.topic_id || p.next > entry.offset {
                return false;
            }
            if p.next == entry.offset && entry.deaths >= MAX_DEATHS && *end > p.next {
                // A batch may hold many messages, and only the broker knows how many: each further end doubles the step.
                let step = 1 << (entry.deaths - MAX_DEATHS).min(20);
                let (topic, partition, from) = (p.topic, p.partition, p.next);
                p.next = from.saturating_add(step).min(*end);
                tracing::error!(
                    "{} processes in a row ended while they received topic {} (partition {partition}) at offset {from}; \
                     reading goes on at offset {}",
                    entry.deaths,
                    topic.name(),
                    p.next
                );
                self.skipped_from.insert((topic, partition), from);
                skipped.push(Skipped { topic, partition, from, to: p.next });
            }
            true
        });
        self.entries = entries;
        skipped
    }

    /// Notes the partitions that make the consumer wait.
    pub fn look(&mut self, partitions: &[Partition]) {
        let mut is_new = false;
        for p in partitions.iter().filter(|p| p.quiet_looks >= NOTED_AFTER_LOOKS) {
            let offset = self.skipped_from.get(&(p.topic, p.partition)).copied().unwrap_or(p.next);
            let of_partition = self.entries.iter().position(|entry| entry.is_of(p.topic, p.partition));
            match of_partition.map(|at| &mut self.entries[at]) {
                Some(entry) if entry.counted => {}
                Some(entry) if entry.offset == offset && *entry.topic_id == *p.topic_id => {
                    (entry.deaths, entry.counted, is_new) = (entry.deaths + 1, true, true);
                }
                other => {
                    let entry = Entry {
                        topic: p.topic.name().into(),
                        topic_id: p.topic_id.to_string(),
                        partition: p.partition,
                        offset,
                        deaths: 1,
                        counted: true,
                    };
                    match other {
                        Some(old) => *old = entry,
                        None => self.entries.push(entry),
                    }
                    is_new = true;
                }
            }
        }
        if is_new {
            self.write();
        }
    }

    /// A message was received.
    pub fn read(&mut self, topic: Topic, partition: i32, offset: i64) {
        if self.entries.is_empty() {
            return;
        }
        let before = self.entries.len();
        self.entries.retain(|entry| !(entry.is_of(topic, partition) && offset >= entry.offset));
        self.skipped_from.remove(&(topic, partition));
        if self.entries.len() != before {
            self.write();
        }
    }

    fn write(&self) {
        let written = if self.entries.is_empty() {
            fs::remove_file(&self.path)
        } else {
            // Under its final name it is whole.
            let new = self.path.with_extension("new");
            let json = serde_json::to_string(&self.entries).expect("texts and numbers are JSON");
            fs::write(&new, json).and_then(|()| fs::rename(&new, &self.path))
        };
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("cannot note in {} what is being received: {error}", self.path.display());
        }
    }
}

impl Drop for Marker {
    /// An end in good order is no death.
    fn drop(&mut self) {
        if self.entries.iter().any(|entry| entry.counted) {
            self.entries.iter_mut().filter(|entry| entry.counted).for_each(|entry| entry.deaths -= 1);
            self.entries.retain(|entry| entry.deaths > 0);
            self.write();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(next: i64, end: i64, id: &str) -> [Joined; 1] {
        [Joined { partition: Partition::new(Topic::Metrics, 0, id.into(), next), end }]
    }

    /// A life that begins at `next` and is killed while it waits; what it gave up.
    fn killed(path: &Path, next: i64, end: i64) -> Vec<Skipped> {
        let mut marker = Marker::open(path);
        let mut joined = joined(next, end, "id");
        let skipped = marker.skip(&mut joined);
        let [Joined { partition: mut p, .. }] = joined;
        p.quiet_looks = NOTED_AFTER_LOOKS;
        marker.look(std::slice::from_ref(&p));
        marker.look(std::slice::from_ref(&p));
        std::mem::forget(marker);
        skipped
    }

    #[test]
    fn the_third_process_begins_behind_where_two_ended_and_goes_further_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reading");
        let step = |to| vec![Skipped { topic: Topic::Metrics, partition: 0, from: 7, to }];
        assert_eq!(killed(&path, 7, 100), []);
        assert_eq!(killed(&path, 7, 100), []);
        assert_eq!(killed(&path, 7, 100), step(8));
        assert_eq!(killed(&path, 7, 100), step(9));
        assert_eq!(killed(&path, 7, 10), step(10), "not beyond the end");
        // Another topic of that name, and a place further on, have nothing to do with it.
        for mut other in [joined(7, 100, "other"), joined(8, 100, "id")] {
            assert_eq!(Marker::open(&path).skip(&mut other), []);
        }
        // What came is not noted any more.
        let mut marker = Marker::open(&path);
        marker.read(Topic::Metrics, 0, 6);
        assert!(path.exists());
        marker.read(Topic::Metrics, 0, 11);
        assert!(!path.exists());
        assert_eq!(killed(&path, 12, 100), []);
    }

    #[test]
    fn an_end_in_good_order_a_note_that_cannot_be_read_and_nothing_to_read_give_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reading");
        for _ in 0..3 {
            let mut marker = Marker::open(&path);
            let mut joined = joined(7, 100, "id");
            assert_eq!(marker.skip(&mut joined), []);
            let [Joined { partition: mut p, .. }] = joined;
            p.quiet_looks = NOTED_AFTER_LOOKS;
            marker.look(std::slice::from_ref(&p));
            assert!(path.exists());
        }
        assert!(!path.exists());
        killed(&path, 7, 100);
        killed(&path, 7, 100);
        assert_eq!(Marker::open(&path).skip(&mut joined(7, 7, "id")), []);
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(killed(&path, 7, 100), []);
    }
}
