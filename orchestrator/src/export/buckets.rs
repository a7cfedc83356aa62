//! A Prometheus histogram that takes over distributions with exact counts.
//!
//! The exporter's own histograms take one sample at a time; here a whole slot of a distribution enters at once, so
//! that the cost of a second does not depend on how many requests it had.

use std::time::Duration;

use onrush_stats::Distribution;

/// 1 µs to 60 s in steps of 1, 2.5 and 5.
pub const SCHEDULE_ERROR_BOUNDS_NS: &[u64] = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    25_000_000_000,
    50_000_000_000,
    60_000_000_000,
];

/// The same from 10 µs on: only the schedule error of a generator in good order is of microseconds.
pub const DURATION_BOUNDS_NS: &[u64] = SCHEDULE_ERROR_BOUNDS_NS.split_at(3).1;

/// Counts below fixed bounds, with the exact sum, minimum and maximum.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    bounds_ns: &'static [u64],
    /// How many lie at or below each bound and above the one before; the last: above every bound.
    counts: Vec<u64>,
    sum_ns: u128,
    min_ns: Option<u64>,
    max_ns: Option<u64>,
}

impl Buckets {
    /// Empty, with these bounds.
    pub fn new(bounds_ns: &'static [u64]) -> Self {
        Self { bounds_ns, counts: vec![0; bounds_ns.len() + 1], sum_ns: 0, min_ns: None, max_ns: None }
    }

    /// Adds a distribution. A value counts by the upper end of its slot, which is also where REST draws it.
    pub fn add(&mut self, distribution: &Distribution) {
        let Some(histogram) = distribution.histogram() else { return };
        for slot in histogram.iter_recorded() {
            self.record_many(slot.value_iterated_to(), slot.count_at_value());
        }
        self.extend(distribution.sum_ns(), distribution.min_ns(), distribution.max_ns());
    }

    /// Adds one duration.
    pub fn observe(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.record_many(ns, 1);
        self.extend(ns, Some(ns), Some(ns));
    }

    fn record_many(&mut self, value_ns: u64, count: u64) {
        let bucket = self.bounds_ns.partition_point(|bound_ns| *bound_ns < value_ns);
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
    }

    fn extend(&mut self, sum_ns: u64, min_ns: Option<u64>, max_ns: Option<u64>) {
        self.sum_ns += u128::from(sum_ns);
        self.min_ns = self.min_ns.into_iter().chain(min_ns).min();
        self.max_ns = self.max_ns.max(max_ns);
    }

    /// Each bound in seconds, and how many lie at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let sums = self.counts.iter().scan(0u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        self.bounds_ns.iter().map(|bound_ns| seconds(*bound_ns)).zip(sums)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Their sum in seconds.
    pub fn sum_s(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Mean, minimum and maximum in seconds; `None` where there is nothing.
    pub fn mean_min_max_s(&self) -> Option<[f64; 3]> {
        let (min_ns, max_ns) = self.min_ns.zip(self.max_ns)?;
        Some([self.sum_s() / self.count() as f64, seconds(min_ns), seconds(max_ns)])
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_and_a_bound_belongs_to_its_bucket() {
        let mut buckets = Buckets::new(DURATION_BOUNDS_NS);
        assert_eq!(buckets.mean_min_max_s(), None);
        let mut distribution = Distribution::default();
        for ns in [1, 9_999, 30_000, 30_000, 70_000_000_000] {
            distribution.record(ns);
        }
        buckets.add(&distribution);
        buckets.observe(Duration::from_micros(10));
        let below: Vec<(f64, u64)> = buckets.cumulative().collect();
        assert_eq!(below[..3], [(1e-5, 3), (2.5e-5, 3), (5e-5, 5)]);
        assert_eq!((below.last().copied(), buckets.count()), (Some((60.0, 5)), 6));
        assert_eq!(buckets.sum_s(), 70.000_08);
        assert_eq!(buckets.mean_min_max_s(), Some([70.000_08 / 6.0, 1e-9, 70.0]));
    }

    #[test]
    fn bounds_rise_and_their_labels_are_short() {
        for bounds in [DURATION_BOUNDS_NS, SCHEDULE_ERROR_BOUNDS_NS] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
            assert_eq!(bounds.last(), Some(&60_000_000_000));
            assert!(bounds.iter().all(|bound_ns| seconds(*bound_ns).to_string().len() <= 9));
        }
        assert_eq!((SCHEDULE_ERROR_BOUNDS_NS[0], DURATION_BOUNDS_NS[0]), (1_000, 10_000));
    }
}
