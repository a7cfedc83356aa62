//! Figures of the requests of one name, and of all names of a test.

use std::collections::BTreeMap;

use crate::counts::{add, add_each, sum, take_away, take_each_away};
use crate::names::{MAX_NAMES, OTHER};
use crate::{FailureCause, SparseDistribution, Summary};

/// What was measured of the requests of one name; `L` is its latency, [whole](NameStats) or [in numbers](NameSummary).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameFigures<L> {
    /// Requests sent (or tried, where no connection could be made).
    pub sent: u64,
    /// Complete responses, by status code; those that failed a check are among them.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures, by cause.
    pub failures: BTreeMap<FailureCause, u64>,
    /// From the moment a request was due to the last byte of its response; one value per response.
    pub latency: L,
}

/// With its latencies, bucket by bucket.
pub type NameStats = NameFigures<SparseDistribution>;
/// With the numbers that people read of its latency; `None`: there was no response.
pub type NameSummary = NameFigures<Option<Summary>>;

impl<L> NameFigures<L> {
    /// Complete responses, whatever their status and whatever a check said of them.
    pub fn responses(&self) -> u64 {
        sum(self.statuses.values())
    }

    /// Complete responses that no check found fault with.
    pub fn answered(&self) -> u64 {
        let unfit = self.failures.get(&FailureCause::CheckFailed).copied().unwrap_or(0);
        self.responses().saturating_sub(unfit)
    }

    /// Requests that were sent and have no response, or one that failed a check.
    pub fn failed(&self) -> u64 {
        sum(self.failures.values())
    }
}

impl NameStats {
    /// Its numbers.
    pub fn summary(&self) -> NameSummary {
        let Self { sent, statuses, failures, latency } = self;
        let (statuses, failures) = (statuses.clone(), failures.clone());
        NameSummary { sent: *sent, statuses, failures, latency: latency.summary() }
    }

    /// Adds what was measured elsewhere, or at another time.
    pub fn merge(&mut self, other: &Self) {
        let Self { sent, statuses, failures, latency } = other;
        add(&mut self.sent, *sent);
        add_each(&mut self.statuses, statuses);
        add_each(&mut self.failures, failures);
        self.latency.merge(latency);
    }

    fn subtract(&mut self, part: &Self) {
        let Self { sent, statuses, failures, latency } = part;
        take_away(&mut self.sent, *sent);
        take_each_away(&mut self.statuses, statuses);
        take_each_away(&mut self.failures, failures);
        self.latency.subtract(latency);
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        let Self { sent, statuses, failures, latency } = self;
        *sent == 0 && statuses.is_empty() && failures.is_empty() && latency.is_empty()
    }
}

/// What was measured of each name; empty where all requests of a test have the same.
///
/// It holds at most [`MAX_NAMES`] names and [`OTHER`]. Of more names the least stay, and what is beyond them is added to
/// [`OTHER`]: so the order in which they come does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByName(BTreeMap<String, NameStats>);

impl ByName {
    /// Adds what was measured of one name.
    pub fn add(&mut self, name: &str, stats: &NameStats) {
        if let Some(known) = self.0.get_mut(name) {
            return known.merge(stats);
        }
        let told_apart = self.0.len() - usize::from(self.0.contains_key(OTHER));
        if name == OTHER || told_apart < MAX_NAMES {
            self.0.insert(name.to_owned(), stats.clone());
            return;
        }
        let greatest = self.0.keys().rev().find(|known| *known != OTHER).cloned();
        match greatest.filter(|greatest| name < greatest.as_str()).and_then(|greatest| self.0.remove(&greatest)) {
            Some(folded) => {
                self.0.insert(name.to_owned(), stats.clone());
                self.0.entry(OTHER.to_owned()).or_default().merge(&folded);
            }
            None => self.0.entry(OTHER.to_owned()).or_default().merge(stats),
        }
    }

    /// Adds every name of `other`.
    pub fn merge(&mut self, other: &Self) {
        let Self(names) = other;
        names.iter().for_each(|(name, stats)| self.add(name, stats));
    }

    /// Takes away what `part` measured, which was merged before.
    pub fn subtract(&mut self, part: &Self) {
        let Self(names) = part;
        for (name, stats) in names {
            let name = if self.0.contains_key(name) { name } else { OTHER };
            if let Some(sum) = self.0.get_mut(name) {
                sum.subtract(stats);
            }
        }
        self.0.retain(|_, stats| !stats.is_empty());
    }

    /// Forgets every name.
    pub fn clear(&mut self) {
        let Self(names) = self;
        names.clear();
    }

    /// Whether no names are told apart.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The figures of one name.
    pub fn get(&self, name: &str) -> Option<&NameStats> {
        self.0.get(name)
    }

    /// The names in their order, each with its figures.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &NameStats)> {
        self.0.iter().map(|(name, stats)| (name.as_str(), stats))
    }

    /// The numbers of each name.
    pub fn summaries(&self) -> BTreeMap<String, NameSummary> {
        self.0.iter().map(|(name, stats)| (name.clone(), stats.summary())).collect()
    }

    /// All names together.
    pub fn whole(&self) -> NameStats {
        let mut whole = NameStats::default();
        self.0.values().for_each(|stats| whole.merge(stats));
        whole
    }
}
