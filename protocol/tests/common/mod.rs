//! Values that several tests need.

#![allow(dead_code, reason = "each test binary uses some of it")]

use onrush_protocol::{NodeId, SessionId, TestId};
use onrush_stats::{Distribution, FailureCause, SecondStats};

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a name")
}

pub fn id(name: &str) -> TestId {
    TestId::new(name).expect("a name")
}

pub fn session(name: &str) -> SessionId {
    SessionId::new(name).expect("a name")
}

pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("what we write is text")
}

pub fn distribution(values_ns: &[u64]) -> Distribution {
    let mut distribution = Distribution::default();
    values_ns.iter().for_each(|value| distribution.record(*value));
    distribution
}

/// Four requests: two 200, one 503, one timed out; and one that was never sent.
pub fn measured_second() -> SecondStats {
    let mut stats = SecondStats {
        latency: distribution(&[1_000_000, 2_000_000, 3_000_000]),
        schedule_error: distribution(&[0]),
        ..SecondStats::default()
    };
    stats.counts.sent = 4;
    stats.counts.skipped = 1;
    stats.counts.due = 5;
    stats.counts.bytes_sent = 400;
    stats.counts.bytes_received = 300;
    stats.counts.statuses = [(200, 2), (503, 1)].into();
    stats.counts.failures = [(FailureCause::Timeout, 1)].into();
    stats
}

/// A message's text with `…` in place of each histogram that is not empty.
pub fn mask_histograms(text: &str) -> String {
    const KEY: &str = r#""histogram":""#;
    let mut parts = text.split(KEY);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find('"').expect("a text ends");
        masked.push_str(KEY);
        masked.push_str(if end == 0 { "" } else { "…" });
        masked.push_str(&part[end..]);
    }
    masked
}
