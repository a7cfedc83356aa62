//! What was measured, taken apart to be stored and put together again.

use std::collections::BTreeMap;
use std::time::Instant;

use onrush_protocol::NodeId;
use onrush_stats::SecondStats;

use super::{Aggregate, DriverPart, DriverTotal, OpenSecond};

/// Everything of an [`Aggregate`] that does not depend on this process: `D`, `S` and `P` are driver, statistics and parts, owned
/// or borrowed.
pub struct Snapshot<D, S, P> {
    /// The totals of each driver.
    pub drivers: D,
    /// Everything, merged apart from them.
    pub all: S,
    /// What is in each second that is not sealed.
    pub open: Vec<(u64, P)>,
    /// The next second to be sealed.
    pub next: u64,
}

/// One that borrows.
type Borrowed<'a> = Snapshot<&'a BTreeMap<NodeId, DriverTotal>, &'a SecondStats, &'a BTreeMap<NodeId, DriverPart>>;
/// One that owns.
type Owned = Snapshot<BTreeMap<NodeId, DriverTotal>, SecondStats, BTreeMap<NodeId, DriverPart>>;

impl Aggregate {
    /// What is to be stored.
    pub fn snapshot(&self) -> Borrowed<'_> {
        // How many ended follows from the drivers; moments are those of this process.
        let Self { drivers, ended: _, all, open, next, sealable_since: _ } = self;
        let open = open.iter().map(|(second, OpenSecond { first_seen: _, last_seen: _, parts })| (*second, parts));
        Snapshot { drivers, all, open: open.collect(), next: *next }
    }

    /// What was stored; the seconds that are not sealed are seen now for the first time.
    pub fn restored(snapshot: Owned, now: Instant) -> Self {
        let Snapshot { drivers, mut all, open, next } = snapshot;
        // Earlier versions stored gauges that mean nothing.
        all.counts.gather_gauges(std::iter::empty());
        let seen = |parts| OpenSecond { first_seen: now, last_seen: now, parts };
        Self {
            ended: drivers.values().filter(|driver| driver.end.is_some()).count(),
            drivers,
            all,
            open: open.into_iter().map(|(second, parts)| (second, seen(parts))).collect(),
            next,
            sealable_since: None,
        }
    }

    /// What each driver measured in the seconds that are sealed.
    pub fn sealed(&self) -> impl Iterator<Item = (&NodeId, SecondStats)> {
        self.drivers.iter().map(|(node_id, driver)| {
            let mut stats = driver.part.stats.clone();
            for part in self.open.values().filter_map(|second| second.parts.get(node_id)) {
                stats.subtract(&part.stats);
            }
            (node_id, stats)
        })
    }

    /// Notes that the seconds below `next` are sealed; what is in those that were open so far.
    pub fn seal_below(&mut self, next: u64) -> BTreeMap<u64, BTreeMap<NodeId, DriverPart>> {
        let open = self.open.split_off(&next);
        let sealed = std::mem::replace(&mut self.open, open);
        self.next = self.next.max(next);
        sealed.into_iter().map(|(second, OpenSecond { parts, .. })| (second, parts)).collect()
    }
}
