//! Counts of one second, and of a whole test.

use std::collections::BTreeMap;

use crate::FailureCause;

/// What a node counted in one second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent in this second (or tried, where no connection could be made). One that was sent again counts once.
    pub sent: u64,
    /// Requests that were due and never sent, because no connection was free until the test ended.
    pub skipped: u64,
    /// Slots of a schedule that were given up because they were late: an Avalanche does not work off a backlog.
    pub dropped: u64,
    /// Requests that were sent once more, because a connection that was open before ended without one byte of response.
    pub resent: u64,
    /// Connections that were ended because the server sent something that nobody had asked for.
    pub unsolicited: u64,
    /// Connections opened while the test ran.
    pub connects: u64,
    /// Requests on their way when the second ended. A gauge: merging adds up the nodes of one second.
    pub in_flight: u64,
    /// Bytes written, heads and bodies.
    pub bytes_sent: u64,
    /// Bytes read, heads and bodies.
    pub bytes_received: u64,
    /// Complete responses that came in this second, by status code; those that failed a check are among them.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures of this second, by cause.
    pub failures: BTreeMap<FailureCause, u64>,
    /// Requests sent to each address of the target, where it has several.
    pub addresses: BTreeMap<String, u64>,
}

impl Counts {
    /// Complete responses, whatever their status and whatever a check said of them.
    pub fn responses(&self) -> u64 {
        sum(self.statuses.values())
    }

    /// Complete responses that no check found fault with.
    pub fn answered(&self) -> u64 {
        self.responses().saturating_sub(self.failed_by(FailureCause::CheckFailed))
    }

    /// Requests that were sent and have no response, or one that failed a check.
    pub fn failed(&self) -> u64 {
        sum(self.failures.values())
    }

    /// Requests that failed for this reason.
    pub fn failed_by(&self, cause: FailureCause) -> u64 {
        self.failures.get(&cause).copied().unwrap_or(0)
    }

    /// The counts that a whole test adds up.
    pub fn totals(&self) -> Totals {
        Totals {
            sent: self.sent,
            answered: self.answered(),
            failed: self.failed(),
            skipped: self.skipped,
            dropped: self.dropped,
            resent: self.resent,
            unsolicited: self.unsolicited,
        }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            sent,
            skipped,
            dropped,
            resent,
            unsolicited,
            connects,
            in_flight,
            bytes_sent,
            bytes_received,
            statuses,
            failures,
            addresses,
        } = other;
        add(&mut self.sent, *sent);
        add(&mut self.skipped, *skipped);
        add(&mut self.dropped, *dropped);
        add(&mut self.resent, *resent);
        add(&mut self.unsolicited, *unsolicited);
        add(&mut self.connects, *connects);
        add(&mut self.in_flight, *in_flight);
        add(&mut self.bytes_sent, *bytes_sent);
        add(&mut self.bytes_received, *bytes_received);
        statuses.iter().for_each(|(status, n)| add(self.statuses.entry(*status).or_default(), *n));
        failures.iter().for_each(|(cause, n)| add(self.failures.entry(*cause).or_default(), *n));
        for (address, n) in addresses {
            add(self.addresses.entry(address.clone()).or_default(), *n);
        }
    }

    /// Takes away what `part` counted, which was merged before. The gauge stays.
    pub fn subtract(&mut self, part: &Self) {
        let Self {
            sent,
            skipped,
            dropped,
            resent,
            unsolicited,
            connects,
            in_flight: _,
            bytes_sent,
            bytes_received,
            statuses,
            failures,
            addresses,
        } = part;
        take_away(&mut self.sent, *sent);
        take_away(&mut self.skipped, *skipped);
        take_away(&mut self.dropped, *dropped);
        take_away(&mut self.resent, *resent);
        take_away(&mut self.unsolicited, *unsolicited);
        take_away(&mut self.connects, *connects);
        take_away(&mut self.bytes_sent, *bytes_sent);
        take_away(&mut self.bytes_received, *bytes_received);
        take_each_away(&mut self.statuses, statuses);
        take_each_away(&mut self.failures, failures);
        take_each_away(&mut self.addresses, addresses);
    }

    /// Sets every count to zero.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The counts whose balance proves that nothing was lost: once a test is over, `sent = answered + failed`, and what was
/// due is `sent + skipped + dropped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests sent.
    pub sent: u64,
    /// Complete responses that no check found fault with.
    pub answered: u64,
    /// Requests without a response, or with one that failed a check.
    pub failed: u64,
    /// Requests that were due and never sent.
    pub skipped: u64,
    /// Slots that were given up.
    pub dropped: u64,
    /// Requests that were sent once more.
    pub resent: u64,
    /// Connections that were ended for what nobody had asked for.
    pub unsolicited: u64,
}

impl Totals {
    /// Slots of the schedule whose moment came.
    pub fn due(&self) -> u64 {
        self.sent.saturating_add(self.skipped).saturating_add(self.dropped)
    }

    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        let Self { sent, answered, failed, skipped, dropped, resent, unsolicited } = other;
        add(&mut self.sent, *sent);
        add(&mut self.answered, *answered);
        add(&mut self.failed, *failed);
        add(&mut self.skipped, *skipped);
        add(&mut self.dropped, *dropped);
        add(&mut self.resent, *resent);
        add(&mut self.unsolicited, *unsolicited);
    }
}

fn sum<'a>(counts: impl Iterator<Item = &'a u64>) -> u64 {
    counts.fold(0, |sum, n| sum.saturating_add(*n))
}

fn take_away(sum: &mut u64, n: u64) {
    *sum = sum.saturating_sub(n);
}

fn take_each_away<K: Ord>(sums: &mut BTreeMap<K, u64>, parts: &BTreeMap<K, u64>) {
    for (key, n) in parts {
        if let Some(sum) = sums.get_mut(key) {
            take_away(sum, *n);
        }
    }
    sums.retain(|_, n| *n > 0);
}

fn add(sum: &mut u64, n: u64) {
    *sum = sum.saturating_add(n);
}
