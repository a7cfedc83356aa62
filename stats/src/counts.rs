//! Counts of one second, and of a whole test.

use std::collections::BTreeMap;

use crate::FailureCause;

/// What a node counted in one second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent in this second (or tried, where no connection could be made).
    pub sent: u64,
    /// Requests that were due and never sent, because no connection was free until the test ended.
    pub skipped: u64,
    /// Requests on their way when the second ended. A gauge: merging adds up the nodes of one second.
    pub in_flight: u64,
    /// Bytes written, heads and bodies.
    pub bytes_sent: u64,
    /// Bytes read, heads and bodies.
    pub bytes_received: u64,
    /// Complete answers that came in this second, by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures of this second, by cause.
    pub failures: BTreeMap<FailureCause, u64>,
}

impl Counts {
    /// Complete answers, whatever their status.
    pub fn answered(&self) -> u64 {
        self.statuses.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Requests that were sent and have no answer.
    pub fn failed(&self) -> u64 {
        self.failures.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// The counts that a whole test adds up.
    pub fn totals(&self) -> Totals {
        Totals { sent: self.sent, answered: self.answered(), failed: self.failed(), skipped: self.skipped }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        let Self { sent, skipped, in_flight, bytes_sent, bytes_received, statuses, failures } = other;
        self.sent = self.sent.saturating_add(*sent);
        self.skipped = self.skipped.saturating_add(*skipped);
        self.in_flight = self.in_flight.saturating_add(*in_flight);
        self.bytes_sent = self.bytes_sent.saturating_add(*bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(*bytes_received);
        for (status, n) in statuses {
            let sum = self.statuses.entry(*status).or_default();
            *sum = sum.saturating_add(*n);
        }
        for (cause, n) in failures {
            let sum = self.failures.entry(*cause).or_default();
            *sum = sum.saturating_add(*n);
        }
    }

    /// Takes away what `part` counted, which was merged before. The gauge stays.
    pub fn subtract(&mut self, part: &Self) {
        let Self { sent, skipped, in_flight: _, bytes_sent, bytes_received, statuses, failures } = part;
        self.sent = self.sent.saturating_sub(*sent);
        self.skipped = self.skipped.saturating_sub(*skipped);
        self.bytes_sent = self.bytes_sent.saturating_sub(*bytes_sent);
        self.bytes_received = self.bytes_received.saturating_sub(*bytes_received);
        for (status, n) in statuses {
            self.statuses.entry(*status).and_modify(|sum| *sum = sum.saturating_sub(*n));
        }
        for (cause, n) in failures {
            self.failures.entry(*cause).and_modify(|sum| *sum = sum.saturating_sub(*n));
        }
        self.statuses.retain(|_, n| *n > 0);
        self.failures.retain(|_, n| *n > 0);
    }

    /// Sets every count to zero.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The counts whose balance proves that nothing was lost: once a test is over, `sent = answered + failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests sent.
    pub sent: u64,
    /// Complete answers.
    pub answered: u64,
    /// Requests without an answer.
    pub failed: u64,
    /// Requests that were due and never sent.
    pub skipped: u64,
}

impl Totals {
    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        let Self { sent, answered, failed, skipped } = other;
        self.sent = self.sent.saturating_add(*sent);
        self.answered = self.answered.saturating_add(*answered);
        self.failed = self.failed.saturating_add(*failed);
        self.skipped = self.skipped.saturating_add(*skipped);
    }
}
