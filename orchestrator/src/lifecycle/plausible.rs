//! What no driver can have counted: reports that say so are not its own, or it is broken. Pure.

use onrush_protocol::{Measured, limits};
use onrush_stats::Totals;

/// Requests that a driver can send in a second at most.
const MAX_PER_SECOND: u64 = limits::MAX_THROUGHPUT_PER_S as u64;
/// Requests that were on their way before.
const MAX_UNDER_WAY: u64 = limits::MAX_CONNECTIONS as u64;

/// Why a report cannot be true.
pub fn impossible(report: &Measured) -> Option<&'static str> {
    let seconds = report.second_index.saturating_add(1);
    let by_now = MAX_PER_SECOND.saturating_mul(seconds);
    let counts = &report.stats.counts;
    let sums = counts.totals();
    if counts.sent > MAX_PER_SECOND {
        return Some("it counts more requests in a second than a driver can send");
    }
    if sums.answered.max(sums.failed) > MAX_PER_SECOND + MAX_UNDER_WAY {
        return Some("it counts more responses and failures in a second than a driver can have had requests");
    }
    if counts.skipped.max(counts.due) > by_now {
        return Some("it counts more due or skipped requests than can have been due");
    }
    let Totals { sent, answered, failed, skipped, due, .. } = report.totals;
    if [sent, answered, failed, skipped, due].into_iter().any(|total| total > by_now) {
        return Some("its totals count more requests than a driver can have sent in that time");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SimDriver, stats};

    fn report(change: impl Fn(&mut Measured)) -> Option<&'static str> {
        let metrics = SimDriver::new("a", "s").report("t", 9, stats(&[1, 2, 3]), None);
        let mut report = *metrics.measured.unwrap();
        change(&mut report);
        impossible(&report)
    }

    #[test]
    fn what_is_beyond_any_machine_is_named() {
        assert_eq!(report(|_| ()), None);
        assert_eq!(report(|r| r.stats.counts.sent = 10_000_000), None, "the fastest that a test may ask for");
        let too_many = |words: &str, change: fn(&mut Measured)| {
            assert!(report(change).is_some_and(|why| why.contains(words)), "{words}: {:?}", report(change));
        };
        too_many("send", |r| r.stats.counts.sent = 1_000_000_000_000);
        too_many("responses", |r| *r.stats.counts.statuses.entry(200).or_default() = 1_000_000_000_000);
        too_many("skipped", |r| r.stats.counts.skipped = 100_000_001);
        too_many("due", |r| r.stats.counts.due = 100_000_001);
        too_many("totals", |r| r.totals.failed = u64::MAX);
        too_many("totals", |r| r.totals.due = u64::MAX);
    }
}
