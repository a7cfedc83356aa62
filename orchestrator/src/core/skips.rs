//! Messages that were skipped: counted, each kind logged once.

use std::collections::BTreeMap;

use onrush_protocol::{ErrorKind, ReadError, Topic};

/// How many messages were skipped, by topic and kind. The kinds are few and fixed.
#[derive(Clone, Debug, Default)]
pub struct Skips(BTreeMap<(Topic, &'static str), u64>);

impl Skips {
    /// A message that could not be read.
    pub fn unreadable(&mut self, topic: Topic, error: &ReadError) {
        let kind = match error.kind {
            ErrorKind::TooLarge => "too large",
            ErrorKind::NotJson => "not JSON",
            ErrorKind::UnknownSchema => "unknown schema",
            ErrorKind::MissingField => "missing field",
            ErrorKind::BadField => "bad field",
        };
        self.add(topic, kind, &error.to_string());
    }

    /// A message that makes no sense here.
    pub fn add(&mut self, topic: Topic, kind: &'static str, detail: &str) {
        self.add_many(topic, kind, detail, 1);
    }

    /// So many of them.
    pub fn add_many(&mut self, topic: Topic, kind: &'static str, detail: &str, n: u64) {
        if n == 0 {
            return;
        }
        let count = self.0.entry((topic, kind)).or_default();
        let is_first = *count == 0;
        *count = count.saturating_add(n);
        if is_first {
            tracing::warn!(topic = topic.name(), kind, detail, "skipped a message; more of this kind are only counted");
        }
    }

    /// How many were skipped, by topic and kind.
    pub fn iter(&self) -> impl Iterator<Item = (Topic, &'static str, u64)> {
        self.0.iter().map(|((topic, kind), n)| (*topic, *kind, *n))
    }

    /// How many were skipped, by `topic: kind`.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|((topic, kind), n)| (format!("{}: {kind}", topic.name()), *n)).collect()
    }
}
