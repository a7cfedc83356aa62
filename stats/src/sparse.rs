//! The same distribution in as much memory as it has values: of it there may be many.

use crate::buckets::{BUCKETS, bucket_of, highest_ns};
use crate::distribution::{DueSummary, Summary, Whole};
use crate::{Distribution, empty_histogram};

/// Durations in nanoseconds: the buckets of a [`Distribution`] that hold a value, with the sum, minimum and maximum kept
/// exactly beside them. It merges as a [`Distribution`] does, bucket by bucket.
///
/// A bucket takes 16 bytes, of which a name that answers within two octaves has some thousand, and none more than 33,792.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseDistribution {
    /// In their order, each with its count, which is not 0.
    buckets: Vec<(u16, u64)>,
    count: u64,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

impl SparseDistribution {
    /// Puts a distribution together again from its parts, as they come from a store. `None`: these cannot be its buckets.
    pub fn from_parts(buckets: Vec<(u16, u64)>, sum_ns: u64, min_ns: u64, max_ns: u64) -> Option<Self> {
        let in_order = buckets.is_sorted_by(|(a, _), (b, _)| a < b);
        let sound = in_order && buckets.iter().all(|(bucket, n)| usize::from(*bucket) < BUCKETS && *n > 0);
        let count = buckets.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
        sound.then(|| if count == 0 { Self::default() } else { Self { buckets, count, sum_ns, min_ns, max_ns } })
    }

    /// Records one duration.
    pub fn record(&mut self, value_ns: u64) {
        let one = Self {
            buckets: vec![(bucket_of(value_ns), 1)],
            count: 1,
            sum_ns: value_ns,
            min_ns: value_ns,
            max_ns: value_ns,
        };
        self.merge(&one);
    }

    /// Adds every value of `other`.
    pub fn merge(&mut self, other: &Self) {
        let Self { buckets, count, sum_ns, min_ns, max_ns } = other;
        if *count == 0 {
            return;
        }
        self.min_ns = if self.count == 0 { *min_ns } else { self.min_ns.min(*min_ns) };
        self.max_ns = self.max_ns.max(*max_ns);
        self.sum_ns = self.sum_ns.saturating_add(*sum_ns);
        self.count = self.count.saturating_add(*count);
        self.combine(buckets, u64::saturating_add);
    }

    /// Takes away every value of `part`, which was merged before. Minimum and maximum stay: they may have been its own.
    pub fn subtract(&mut self, part: &Self) {
        let Self { buckets, count, sum_ns, min_ns: _, max_ns: _ } = part;
        self.count = self.count.saturating_sub(*count);
        self.sum_ns = self.sum_ns.saturating_sub(*sum_ns);
        self.combine(buckets, u64::saturating_sub);
        self.buckets.retain(|(_, n)| *n > 0);
        if self.buckets.is_empty() {
            *self = Self::default();
        }
    }

    /// Makes each count what `combine` says of it and the other's.
    fn combine(&mut self, others: &[(u16, u64)], combine: fn(u64, u64) -> u64) {
        let mut theirs = others.iter().copied().peekable();
        // Most of the time the buckets are there, and nothing moves.
        let mut new = 0;
        let mut ours = self.buckets.iter_mut().peekable();
        for (bucket, n) in others {
            while ours.next_if(|(our, _)| our < bucket).is_some() {}
            match ours.next_if(|(our, _)| our == bucket) {
                Some((_, count)) => *count = combine(*count, *n),
                None => new += 1,
            }
        }
        if new == 0 {
            return;
        }
        let mut merged = Vec::with_capacity(self.buckets.len() + new);
        for &(bucket, n) in &self.buckets {
            while let Some((theirs, n)) = theirs.next_if(|(theirs, _)| *theirs < bucket) {
                merged.push((theirs, combine(0, n)));
            }
            theirs.next_if(|(theirs, _)| *theirs == bucket);
            merged.push((bucket, n));
        }
        merged.extend(theirs.map(|(bucket, n)| (bucket, combine(0, n))));
        self.buckets = merged;
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all values.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The smallest value; `None` when empty.
    pub fn min_ns(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.min_ns)
    }

    /// The largest value; `None` when empty.
    pub fn max_ns(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.max_ns)
    }

    /// The buckets that hold a value, in their order, each with its count.
    pub fn buckets(&self) -> &[(u16, u64)] {
        &self.buckets
    }

    /// The value of the response that comes `rank`-th by its duration, from 1; `None` where there are not so many.
    fn at_rank_ns(&self, rank: u64) -> Option<u64> {
        let mut below = 0_u64;
        let found = self.buckets.iter().find(|(_, n)| {
            below = below.saturating_add(*n);
            below >= rank
        })?;
        (rank > 0).then(|| highest_ns(found.0).clamp(self.min_ns, self.max_ns))
    }

    /// As [`Distribution::quantile_ns`].
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        self.at_rank_ns((quantile.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64)
    }

    /// As [`Distribution::summary_of_due`].
    pub fn summary_of_due(&self, due: u64) -> DueSummary {
        DueSummary::of(&self.whole(), due, |rank| self.at_rank_ns(rank))
    }

    /// The numbers that people read; `None` when empty.
    pub fn summary(&self) -> Option<Summary> {
        Summary::of(&self.whole(), |quantile| self.quantile_ns(quantile))
    }

    fn whole(&self) -> Whole {
        let Self { buckets: _, count, sum_ns, min_ns, max_ns } = *self;
        Whole { count, sum_ns, min_ns, max_ns }
    }
}

impl From<&Distribution> for SparseDistribution {
    fn from(distribution: &Distribution) -> Self {
        let Some(histogram) = distribution.histogram() else { return Self::default() };
        let recorded = histogram.iter_recorded();
        Self {
            buckets: recorded.map(|value| (bucket_of(value.value_iterated_to()), value.count_at_value())).collect(),
            count: distribution.count(),
            sum_ns: distribution.sum_ns(),
            min_ns: distribution.min_ns().unwrap_or(0),
            max_ns: distribution.max_ns().unwrap_or(0),
        }
    }
}

impl From<&SparseDistribution> for Distribution {
    fn from(sparse: &SparseDistribution) -> Self {
        let SparseDistribution { buckets, count: _, sum_ns, min_ns, max_ns } = sparse;
        let mut histogram = empty_histogram();
        buckets.iter().for_each(|(bucket, n)| histogram.saturating_record_n(highest_ns(*bucket), *n));
        Self::from_parts(histogram, *sum_ns, *min_ns, *max_ns)
    }
}
