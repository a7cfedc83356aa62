//! What one thread measures in one second of the requests of one name.

use onrush_stats::{FailureCause, NameStats, NarrowRecorder};

use crate::recorder::STATUSES;

/// Plain arrays, as in [`SecondRecord`](crate::recorder::SecondRecord), but half as wide: there are up to 65 of them in each
/// record, and three records of a thread go round. One has 135,168 bytes of latencies, 4,000 of statuses and some hundred for
/// the rest: 27.3 MB a thread at most (26 MiB), of which the system gives the pages that are written to. Only an owner
/// who takes nothing for seconds makes more records necessary.
#[derive(Debug)]
pub(crate) struct NameRecord {
    sent: u64,
    /// By status code; a count of one second is far below 2^32.
    statuses: [u32; STATUSES],
    /// In the order of [`FailureCause::ALL`].
    failures: [u32; FailureCause::ALL.len()],
    latency: NarrowRecorder,
}

/// The most that the records of a thread may take for its names.
const MAX_NAMES_BYTES: usize = 32 * 1024 * 1024;
const _: () = assert!(
    (onrush_stats::MAX_NAMES + 1) * 3 * (size_of::<NameRecord>() + NarrowRecorder::BYTES) <= MAX_NAMES_BYTES,
    "64 names, the others, and a record that is written beside two that go round"
);

impl Default for NameRecord {
    fn default() -> Self {
        Self {
            sent: 0,
            statuses: [0; STATUSES],
            failures: [0; FailureCause::ALL.len()],
            latency: NarrowRecorder::default(),
        }
    }
}

impl NameRecord {
    pub fn sent(&mut self) {
        self.sent += 1;
    }

    /// A complete response of a status below [`STATUSES`].
    pub fn responded(&mut self, latency_ns: u64, status: usize) {
        self.latency.record(latency_ns);
        self.statuses[status] += 1;
    }

    /// A request failed, with a response or without.
    pub fn failed(&mut self, cause: FailureCause) {
        self.failures[cause as usize] += 1;
    }

    /// What was measured; `None`: nothing was.
    pub fn stats(&self) -> Option<NameStats> {
        let Self { sent, statuses, failures, latency } = self;
        let statuses = (0..).zip(statuses).filter(|(_, n)| **n > 0).map(|(status, n)| (status, u64::from(*n)));
        let failures = FailureCause::ALL.iter().zip(failures).filter(|(_, n)| **n > 0);
        let failures = failures.map(|(cause, n)| (*cause, u64::from(*n)));
        let stats = NameStats {
            sent: *sent,
            statuses: statuses.collect(),
            failures: failures.collect(),
            latency: latency.distribution(),
        };
        (!stats.is_empty()).then_some(stats)
    }

    /// Forgets every value and keeps the memory.
    pub fn clear(&mut self) {
        let Self { sent, statuses, failures, latency } = self;
        *sent = 0;
        statuses.fill(0);
        failures.fill(0);
        latency.clear();
    }
}
