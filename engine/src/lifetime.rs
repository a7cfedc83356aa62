//! How long a server lets a connection idle: what it says, and what it was seen to do. Pure.

use std::time::Duration;

use crate::clock::as_ns;

/// Closes after a shorter idle time are no time-out: a server that ends connections after a number of requests, or itself.
const SHORTEST_NS: u64 = 100_000_000;
/// So many closes after about the same idle time show a time-out.
const ALIKE: usize = 3;

/// What is known of one server.
#[derive(Debug, Default)]
pub(crate) struct Lifetime {
    /// `Keep-Alive: timeout=`, in seconds.
    said_s: Option<u32>,
    /// The last idle times after which it closed.
    seen_ns: [u64; ALIKE],
    next: usize,
    limit_ns: Option<u64>,
}

impl Lifetime {
    /// A response said how long its connection may idle.
    pub fn said(&mut self, seconds: u32) {
        if self.said_s != Some(seconds) {
            self.said_s = Some(seconds);
            self.conclude();
        }
    }

    /// It closed a connection that had idled so long.
    pub fn saw_close(&mut self, idle_ns: u64) {
        if idle_ns >= SHORTEST_NS {
            self.seen_ns[self.next] = idle_ns;
            self.next = (self.next + 1) % ALIKE;
            self.conclude();
        }
    }

    /// A connection that has idled longer is not to be trusted with a request: it may be closed at this very moment.
    pub fn limit_ns(&self) -> Option<u64> {
        self.limit_ns
    }

    fn conclude(&mut self) {
        let shortest = self.seen_ns.iter().copied().min().unwrap_or(0);
        let longest = self.seen_ns.iter().copied().max().unwrap_or(0);
        let alike = shortest > 0 && longest - shortest <= shortest / 20 + 10_000_000;
        let said_ns = self.said_s.filter(|s| *s > 0).map(|s| as_ns(Duration::from_secs(s.into())));
        let timeout_ns = said_ns.into_iter().chain(alike.then_some(shortest)).min();
        // A tenth less, at most a second: a request takes its time to get there.
        self.limit_ns = timeout_ns.map(|ns| ns - (ns / 10).min(1_000_000_000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn after(closes_ms: &[u64]) -> Option<u64> {
        let mut lifetime = Lifetime::default();
        closes_ms.iter().for_each(|ms| lifetime.saw_close(ms * MS));
        lifetime.limit_ns().map(|ns| ns / MS)
    }

    #[test]
    fn closes_after_the_same_idle_time_show_a_time_out() {
        assert_eq!(after(&[1_000, 1_001]), None);
        assert_eq!(after(&[1_000, 1_001, 1_003]), Some(900));
        assert_eq!(after(&[60_010, 60_000, 60_003]), Some(59_000));
    }

    #[test]
    fn other_closes_show_nothing() {
        assert_eq!(after(&[0, 1, 0, 2, 1, 0]), None, "after each response");
        assert_eq!(after(&[100, 500, 900, 1_300, 1_700, 2_100]), None, "a server that ends itself closes all at once");
    }

    #[test]
    fn what_the_server_says_counts_at_once() {
        let mut lifetime = Lifetime::default();
        lifetime.said(5);
        assert_eq!(lifetime.limit_ns(), Some(4_500 * MS));
        (0..3).for_each(|_| lifetime.saw_close(2_000 * MS));
        assert_eq!(lifetime.limit_ns(), Some(1_800 * MS));
        lifetime.said(0);
        assert_eq!(lifetime.limit_ns(), Some(1_800 * MS), "0 says nothing that could be kept to");
    }
}
