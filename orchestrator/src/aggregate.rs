//! Reports become seconds, seconds are sealed, and everything enters the totals. Pure: no clock, no store.
//!
//! Whatever the order and however often reports come, the totals are the same: a report counts once, by its
//! driver and its sequence number, and merging is commutative. Only *when* a second is sealed depends on time.
//!
//! Memory: per driver the totals, the gaps in its reports, and at most [`MAX_OPEN_SECONDS`] seconds of three histograms each.

mod restored;
mod sequences;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onrush_protocol::{EndReason, Measured, NodeId, limits};
use onrush_stats::{SecondStats, TargetCpu, Totals};

pub use self::restored::Snapshot;
pub use self::sequences::Sequences;

/// A second waits at most this long for drivers that have not reported it.
pub const SEAL_AFTER: Duration = Duration::from_secs(2);
/// The last second that a report may speak of: the longest test, and the time-out of its last request.
pub const MAX_SECOND_INDEX: u64 = limits::MAX_DURATION.as_secs() + limits::MAX_TIMEOUT.as_secs();
/// Reports of one driver in one test: one a second, and some that divide one.
const MAX_SEQUENCE: u64 = 4 * MAX_SECOND_INDEX;
/// Seconds kept open; the oldest is sealed before one more is opened.
pub const MAX_OPEN_SECONDS: usize = 16;

/// What each driver that reported seconds measured in all.
pub type Parts = BTreeMap<NodeId, DriverPart>;

/// All drivers merged; the length is the longest.
pub fn merged(parts: &Parts) -> DriverPart {
    let mut all = DriverPart::default();
    for part in parts.values() {
        all.stats.merge_across(&part.stats);
        all.length_ns = all.length_ns.max(part.length_ns);
        all.sending_ns = all.sending_ns.max(part.sending_ns);
    }
    all
}

/// What happened to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It was there already: nothing changed.
    Duplicate,
    /// It entered the totals and its second.
    InTime,
    /// It entered the totals; its second was sealed before.
    Late,
}

/// One driver's part of one second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriverPart {
    /// How much of the second the test lasted.
    pub length_ns: u64,
    /// For how much of it requests were sent, by what its driver says.
    pub sending_ns: u64,
    /// What was measured.
    pub stats: SecondStats,
}

impl DriverPart {
    /// What one report says.
    pub fn of(report: &Measured) -> Self {
        let mut part = Self::default();
        part.extend(report);
        part
    }

    /// Adds another report of the same driver, whose gauges are the newest.
    pub fn extend(&mut self, report: &Measured) {
        self.lengthen(report);
        self.stats.append(&report.stats);
    }

    /// Adds a report of the same driver that is older than another here: its gauges are outdated.
    fn extend_late(&mut self, report: &Measured) {
        self.lengthen(report);
        self.stats.prepend(&report.stats);
    }

    fn lengthen(&mut self, report: &Measured) {
        self.length_ns = self.length_ns.saturating_add(length_ns(report.length_s));
        self.sending_ns = self.sending_ns.saturating_add(sending_ns(report));
    }
}

/// A second that is closed.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedSecond {
    /// Which second.
    pub second_index: u64,
    /// Drivers that were expected and had not reported it.
    pub missing: Vec<NodeId>,
    /// Reports that came after it was sealed.
    pub late_reports: u64,
    /// Since when it could have been sealed, as far as is known.
    pub sealable_since: Option<Instant>,
    /// Each driver's part.
    pub parts: BTreeMap<NodeId, DriverPart>,
    /// What the target used of its CPUs since the last second that has it, as far as it tells.
    pub target: Option<TargetCpu>,
}

impl SealedSecond {
    /// All drivers merged; the length is the longest.
    pub fn all(&self) -> DriverPart {
        merged(&self.parts)
    }
}

/// The totals of one driver.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriverTotal {
    /// Everything that its reports measured, merged, over the sum of its seconds; its gauge is the newest report's.
    pub part: DriverPart,
    /// What the newest report said that the driver counted by itself, over the whole test.
    pub claimed: Totals,
    /// How its part ended, and in which second: its final report is in.
    pub end: Option<(EndReason, u64)>,
    /// The highest second that it reported.
    pub newest_second: Option<u64>,
    /// The sequence number of the final report.
    pub final_sequence: Option<u64>,
    /// What the newest report said of the time in which requests were sent.
    pub sending_ns: Option<u64>,
    /// Which reports entered.
    pub sequences: Sequences,
}

impl DriverTotal {
    /// Reports that entered.
    pub fn reports(&self) -> u64 {
        self.sequences.count()
    }

    /// Whether every report up to the newest is in, and up to the final one where that is known.
    pub fn without_gap(&self) -> bool {
        let to_the_end = self.final_sequence.is_none_or(|last| self.sequences.newest() == Some(last));
        self.sequences.without_gap() && to_the_end
    }

    /// Reports that should be there, as far as is known.
    pub fn expected_reports(&self) -> u64 {
        let newest = self.sequences.newest().map_or(0, |newest| newest + 1);
        newest.max(self.final_sequence.map_or(0, |last| last + 1))
    }
}

#[derive(Clone, Debug)]
struct OpenSecond {
    first_seen: Instant,
    /// When its newest report came.
    last_seen: Instant,
    parts: BTreeMap<NodeId, DriverPart>,
}

/// Everything that was measured in one test that is not over.
#[derive(Clone, Debug, Default)]
pub struct Aggregate {
    drivers: BTreeMap<NodeId, DriverTotal>,
    /// How many of them delivered their final report.
    ended: usize,
    all: SecondStats,
    open: BTreeMap<u64, OpenSecond>,
    /// The next second to be sealed; every one below is.
    next: u64,
    /// Since when the second that was sealed last could have been.
    sealable_since: Option<Instant>,
}

impl Aggregate {
    /// One whose seconds below `next` are sealed already: reports of them enter as late.
    pub fn resumed_at(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Takes a report, or says why it cannot be one.
    pub fn enter(&mut self, node_id: &NodeId, report: &Measured, now: Instant) -> Result<Entered, &'static str> {
        if report.second_index > MAX_SECOND_INDEX {
            return Err("its second lies beyond the longest test");
        }
        if report.sequence > MAX_SEQUENCE {
            return Err("its sequence number lies beyond the longest test");
        }
        let driver = self.drivers.entry(node_id.clone()).or_default();
        if driver.sequences.contains(report.sequence) {
            return Ok(Entered::Duplicate);
        }
        let is_newest = driver.sequences.newest().is_none_or(|newest| report.sequence > newest);
        if !driver.sequences.insert(report.sequence) {
            return Err("its driver's reports have too many gaps");
        }
        if is_newest {
            driver.part.extend(report);
            driver.sending_ns = report.sending_s.map(self::length_ns);
            driver.claimed = report.totals;
        } else {
            driver.part.extend_late(report);
        }
        // A driver that does not say so sent all the time.
        driver.part.sending_ns = driver.sending_ns.unwrap_or(driver.part.length_ns);
        driver.newest_second = driver.newest_second.max(Some(report.second_index));
        if let Some(end) = &report.end
            && driver.final_sequence.is_none_or(|known| report.sequence > known)
        {
            self.ended += usize::from(driver.end.is_none());
            driver.end = Some((end.clone(), report.second_index));
            driver.final_sequence = Some(report.sequence);
        }
        // Without gauges: they mean nothing over several drivers and seconds.
        self.all.prepend(&report.stats);
        if report.second_index < self.next {
            return Ok(Entered::Late);
        }
        let second = self.open.entry(report.second_index).or_insert_with(|| OpenSecond {
            first_seen: now,
            last_seen: now,
            parts: BTreeMap::new(),
        });
        second.last_seen = now;
        second.parts.entry(node_id.clone()).or_default().extend(report);
        Ok(Entered::InTime)
    }

    /// Closes, in order, the seconds that are complete or have waited long enough; all that are open where `over`.
    ///
    /// `reporting` are the drivers that report seconds and are not lost; each is expected up to its final report.
    pub fn seal(&mut self, reporting: &[NodeId], over: bool, now: Instant) -> Vec<SealedSecond> {
        let mut sealed = Vec::new();
        while let Some((&first, _)) = self.open.first_key_value() {
            let oldest_sight = self.open.values().map(|second| second.first_seen).min();
            let waited = oldest_sight.is_some_and(|seen| now.saturating_duration_since(seen) >= SEAL_AFTER);
            let crowded = self.open.len() > MAX_OPEN_SECONDS;
            if !(waited || crowded || over || self.may_be_complete(first, reporting)) {
                break;
            }
            let missing = self.missing(first, reporting);
            // A second below the first open one has no report at all: it is waited for like any other.
            let complete = missing.is_empty() && (first == self.next || self.missing(self.next, reporting).is_empty());
            if !(complete || waited || crowded || over) {
                break;
            }
            let Some(second) = self.open.remove(&first) else { break };
            self.next = first + 1;
            // Seconds are sealed in order: none could be before the one in front of it.
            let since = if complete { Some(second.last_seen) } else { oldest_sight.map(|seen| seen + SEAL_AFTER) };
            self.sealable_since = self.sealable_since.max(since.filter(|_| complete || waited));
            let sealable_since = self.sealable_since;
            let parts = second.parts;
            sealed.push(SealedSecond {
                second_index: first,
                missing,
                late_reports: 0,
                sealable_since,
                parts,
                target: None,
            });
        }
        sealed
    }

    /// Whether enough drivers reported the second: a look without a search, for every report comes by here.
    fn may_be_complete(&self, second: u64, reporting: &[NodeId]) -> bool {
        let reported = self.open.get(&second).map_or(0, |open| open.parts.len());
        reported + self.ended >= reporting.len()
    }

    fn missing(&self, second: u64, reporting: &[NodeId]) -> Vec<NodeId> {
        let reported = |node_id: &NodeId| self.open.get(&second).is_some_and(|open| open.parts.contains_key(node_id));
        let ended = |node_id: &NodeId| {
            let end = self.drivers.get(node_id).and_then(|driver| driver.end.as_ref());
            end.is_some_and(|(_, last_second)| *last_second < second)
        };
        reporting.iter().filter(|node_id| !reported(node_id) && !ended(node_id)).cloned().collect()
    }

    /// The totals of each driver that reported.
    pub fn drivers(&self) -> &BTreeMap<NodeId, DriverTotal> {
        &self.drivers
    }

    /// What each driver measured in all, copied.
    pub fn totals(&self) -> Parts {
        self.drivers.iter().map(|(node_id, driver)| (node_id.clone(), driver.part.clone())).collect()
    }

    /// The totals of one driver.
    pub fn driver(&self, node_id: &NodeId) -> Option<&DriverTotal> {
        self.drivers.get(node_id)
    }

    /// Everything, merged report by report, apart from the drivers' totals: comparing the two is a check. Its
    /// gauges are 0.
    pub fn all(&self) -> &SecondStats {
        &self.all
    }

    /// For how long requests were sent, by the driver that sent longest.
    pub fn sending_ns(&self) -> u64 {
        self.drivers.values().map(|driver| driver.part.sending_ns).max().unwrap_or(0)
    }

    /// Everything as it is shown: over the time of the driver that ran longest, the gauges of all added up.
    pub fn shown(&self) -> DriverPart {
        let mut all = DriverPart { stats: self.all.clone(), ..DriverPart::default() };
        let parts = || self.drivers.values().map(|driver| &driver.part);
        all.length_ns = parts().map(|part| part.length_ns).max().unwrap_or(0);
        all.sending_ns = self.sending_ns();
        all.stats.counts.gather_gauges(parts().map(|part| &part.stats.counts));
        all
    }

    /// Whether a second is open.
    #[cfg(test)]
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }
}

/// Whole nanoseconds, so that a sum does not depend on the order.
pub fn length_ns(length_s: f64) -> u64 {
    (length_s * 1e9).round() as u64
}

#[cfg(test)]
mod tests;

/// For how much of its second requests were sent. A driver says how long it sent in all, and it sends without a pause from
/// its start; one that does not say so sent all the time.
fn sending_ns(report: &Measured) -> u64 {
    let length_ns = length_ns(report.length_s);
    let before_ns = report.second_index.saturating_mul(1_000_000_000);
    report.sending_s.map_or(length_ns, |in_all_s| self::length_ns(in_all_s).saturating_sub(before_ns).min(length_ns))
}
