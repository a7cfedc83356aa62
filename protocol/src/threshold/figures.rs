//! The numbers that thresholds are held against.

use onrush_stats::{ByName, DueSummary, FailureCause, NameStats, SecondStats, thousands};

use crate::human::milliseconds;

/// A test, or some seconds of it, over all drivers. `None`: not known, which is never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Requests that were due, as far as it is known what became of them.
    pub due: Option<u64>,
    /// Those of them with a response that passed its checks.
    pub answered: Option<u64>,
    /// Those of them with a response.
    pub responses: Option<u64>,
    /// Those of them that were never sent for want of a free connection.
    pub skipped: Option<u64>,
    /// Those of them that were given up for being late.
    pub dropped: Option<u64>,
    /// Throughput: responses per second of sending.
    pub responses_per_s: Option<f64>,
    /// From due moment to last byte, over `due`: what has no response is slower than all.
    pub latency_of_due: DueSummary,
    /// The same over the responses.
    pub latency: DueSummary,
    /// From send to last byte.
    pub service_time: DueSummary,
    /// Send minus due moment.
    pub schedule_error: DueSummary,
    /// How long some of the requests without a response have waited for one, in milliseconds, at least.
    pub waited_ms: Option<f64>,
}

impl Figures {
    /// Those of a test that is over, in which requests were sent for `sending_ns` and had `timeout_ms` for their response.
    pub fn of(stats: &SecondStats, sending_ns: u64, timeout_ms: f64) -> Self {
        let SecondStats { counts, latency, service_time, schedule_error, examples: _, by_name: _ } = stats;
        let timed_out = counts.failed_by(FailureCause::Timeout) > 0;
        Self {
            due: Some(counts.due),
            answered: Some(counts.answered()),
            responses: Some(counts.responses()),
            skipped: Some(counts.skipped),
            dropped: Some(counts.dropped),
            responses_per_s: (sending_ns > 0).then(|| counts.responses() as f64 * 1e9 / sending_ns as f64),
            latency_of_due: latency.summary_of_due(counts.due),
            latency: DueSummary::complete(latency.summary()),
            service_time: DueSummary::complete(service_time.summary()),
            schedule_error: DueSummary::complete(schedule_error.summary()),
            waited_ms: timed_out.then_some(timeout_ms),
        }
    }

    /// Those of the requests of one name, where each that was sent was due: what was skipped or dropped has none. `None`:
    /// nothing was measured of it.
    pub fn of_name(by_name: &ByName, name: &str, sending_ns: u64, timeout_ms: f64) -> Option<Self> {
        let stats = by_name.get(name)?;
        Some(Self::of_ended(stats, stats.sent, sending_ns, timeout_ms))
    }

    /// The same of requests of which so many came to their end.
    pub(super) fn of_ended(stats: &NameStats, ended: u64, sending_ns: u64, timeout_ms: f64) -> Self {
        let timed_out = stats.failures.get(&FailureCause::Timeout).is_some_and(|n| *n > 0);
        let responses = stats.responses();
        Self {
            due: Some(ended),
            answered: Some(stats.answered()),
            responses: Some(responses),
            responses_per_s: (sending_ns > 0).then(|| responses as f64 * 1e9 / sending_ns as f64),
            latency_of_due: stats.latency.summary_of_due(ended),
            latency: DueSummary::complete(stats.latency.summary()),
            waited_ms: timed_out.then_some(timeout_ms),
            ..Self::default()
        }
    }

    /// What is known of a number that falls among the requests without a response.
    pub(super) fn among_the_missing(&self) -> Option<String> {
        let (due, responses) = (self.due?, self.responses?);
        let missing = due.checked_sub(responses).filter(|missing| *missing > 0)?;
        let least = self.waited_ms.map_or(String::new(), |ms| format!("> {}, ", milliseconds(ms)));
        Some(format!("{least}{} of {} due have no response", thousands(missing), thousands(due)))
    }

    /// How many of those that failed a gate were never sent.
    pub(super) fn never_sent(&self) -> String {
        match self.skipped.unwrap_or(0).saturating_add(self.dropped.unwrap_or(0)) {
            0 => String::new(),
            n => format!(", {} of them never sent", thousands(n)),
        }
    }
}
