//! The quantities of a run whose stretches count more or less often: what a resampled run measures.

use crate::quantity::Quantity;
use crate::timeline::Stretch;

/// A run, laid out so that its quantities are found fast for any weights.
pub struct Weighed {
    /// The upper ends of all buckets that any stretch has, in order.
    values: Vec<u64>,
    /// For each of them, how many of each stretch lie at or below it: `[value][stretch]`.
    up_to: Vec<u64>,
    /// Of each stretch, what was due and is decided.
    due: Vec<u64>,
    sending_ns: Vec<u64>,
    responses: Vec<u64>,
    ended: Vec<u64>,
    failed: Vec<u64>,
}

impl Weighed {
    /// Lays a run out. It takes 8 bytes for each pair of a stretch and a bucket.
    pub fn new(stretches: &[Stretch]) -> Self {
        let mut values: Vec<u64> = stretches.iter().flat_map(|s| s.latency.iter().map(|(value, _)| *value)).collect();
        values.sort_unstable();
        values.dedup();
        let mut up_to = vec![0; values.len() * stretches.len()];
        for (index, stretch) in stretches.iter().enumerate() {
            let mut buckets = stretch.latency.iter().peekable();
            let mut sum = 0_u64;
            for (value, row) in values.iter().zip(up_to.chunks_exact_mut(stretches.len())) {
                while let Some((_, count)) = buckets.next_if(|(bucket, _)| bucket <= value) {
                    sum = sum.saturating_add(*count);
                }
                row[index] = sum;
            }
        }
        let of = |number: fn(&Stretch) -> u64| stretches.iter().map(number).collect();
        Self {
            values,
            up_to,
            due: of(Stretch::due),
            sending_ns: of(|s| s.sending_ns),
            responses: of(|s| s.responses),
            ended: of(|s| s.ended),
            failed: of(|s| s.failed),
        }
    }

    /// How many stretches there are.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Everything that was due and is decided.
    pub fn due(&self) -> u64 {
        self.due.iter().sum()
    }

    /// Everything that ended.
    pub fn ended(&self) -> u64 {
        self.ended.iter().sum()
    }

    /// The largest value of all; 0 where there is none.
    pub fn largest(&self) -> u64 {
        self.values.last().copied().unwrap_or(0)
    }

    fn row(&self, value_index: usize) -> &[u64] {
        &self.up_to[value_index * self.len()..][..self.len()]
    }

    /// The place of the smallest value at or below which so many lie; `None`: there are not so many values.
    fn place_of(&self, quantile: f64, weights: &[u64]) -> Option<usize> {
        let due = dot(&self.due, weights);
        // The rank of `Distribution::summary_of_due`.
        let rank = (quantile * due as f64 - 1e-6).ceil().max(1.0) as u64;
        let (mut low, mut high) = (0, self.values.len());
        while low < high {
            let middle = low.midpoint(high);
            if dot(self.row(middle), weights) >= rank { high = middle } else { low = middle + 1 }
        }
        (low < self.values.len()).then_some(low)
    }

    /// A quantity where each stretch counts so often: nanoseconds, responses per second, or a share. `None`: there is none, or a
    /// quantile lies among what got no response.
    pub fn quantity(&self, quantity: Quantity, weights: &[u64]) -> Option<f64> {
        let ratio = |above: u64, below: u64| (below > 0).then(|| above as f64 / below as f64);
        match quantity {
            Quantity::Quantile(quantile) => Some(self.values[self.place_of(quantile, weights)?] as f64),
            Quantity::Rate => {
                ratio(dot(&self.responses, weights), dot(&self.sending_ns, weights)).map(|rate| rate * 1e9)
            }
            Quantity::Failed => ratio(dot(&self.failed, weights), dot(&self.ended, weights)),
        }
    }

    /// How much each stretch pulls a quantity away from what it is over the whole run, in its own unit and up to a factor: the
    /// series whose correlation in time tells how long a block must be.
    pub fn pulls(&self, quantity: Quantity) -> Vec<f64> {
        let ones = vec![1; self.len()];
        let residuals = |above: &[u64], below: &[u64]| {
            let (sum, total) = (dot(above, &ones) as f64, dot(below, &ones) as f64);
            let share = if total > 0.0 { sum / total } else { 0.0 };
            above
                .iter()
                .zip(below)
                .map(|(above, below)| (*above as f64 - share * *below as f64) / total.max(1.0))
                .collect()
        };
        match quantity {
            Quantity::Rate => residuals(&self.responses, &self.sending_ns),
            Quantity::Failed => residuals(&self.failed, &self.ended),
            Quantity::Quantile(quantile) => match self.place_of(quantile, &ones) {
                Some(place) => residuals(self.row(place), &self.due),
                None => vec![0.0; self.len()],
            },
        }
    }
}

fn dot(numbers: &[u64], weights: &[u64]) -> u64 {
    numbers.iter().zip(weights).fold(0, |sum, (number, weight)| sum.saturating_add(number.saturating_mul(*weight)))
}

#[cfg(test)]
mod tests {
    use onrush_stats::{Counts, Distribution, FailureCause};

    use super::*;

    fn stretch(latencies_ns: &[u64], timeouts: u64) -> (Stretch, Distribution) {
        let mut latency = Distribution::default();
        latencies_ns.iter().for_each(|ns| latency.record(*ns));
        let mut counts = Counts::default();
        counts.statuses.insert(200, latencies_ns.len() as u64);
        counts.failures.insert(FailureCause::Timeout, timeouts);
        (Stretch::of_second(0, 500_000_000, &counts, &latency), latency)
    }

    #[test]
    fn a_resampled_run_has_the_quantiles_of_its_merged_distribution() {
        let mut random = fastrand::Rng::with_seed(3);
        let drawn = (0..9).map(|_| (0..200).map(|_| random.u64(1_000..10_000_000)).collect::<Vec<_>>());
        let (stretches, distributions): (Vec<_>, Vec<_>) = drawn.map(|ns| stretch(&ns, 1)).unzip();
        let weighed = Weighed::new(&stretches);
        for weights in [[1; 9], [0, 3, 0, 1, 2, 0, 0, 2, 1]] {
            let mut all = Distribution::default();
            let times = |n: u64| 0..n;
            distributions.iter().zip(weights).for_each(|(of, n)| times(n).for_each(|_| all.merge(of)));
            let due = 201 * 9;
            for quantile in [0.001, 0.5, 0.9, 0.99, 0.995] {
                let rank = (quantile * f64::from(due)).ceil() as u64;
                let right = all.at_rank_ns(rank).map(|ns| ns as f64);
                let found = weighed.quantity(Quantity::Quantile(quantile), &weights);
                match (right, found) {
                    (Some(right), Some(found)) => {
                        assert!((found / right - 1.0).abs() < 1e-3, "{quantile}: {found} {right}")
                    }
                    _ => assert_eq!(right, found, "{quantile}"),
                }
            }
        }
    }

    #[test]
    fn what_got_no_response_is_slower_than_all() {
        let weighed = Weighed::new(&[stretch(&[10, 20], 0).0, stretch(&[30], 1).0]);
        let of = |quantity, weights: [u64; 2]| weighed.quantity(quantity, &weights);
        assert_eq!(of(Quantity::Quantile(0.75), [1, 1]), Some(30.0));
        assert_eq!(of(Quantity::Quantile(0.76), [1, 1]), None);
        assert_eq!(of(Quantity::Quantile(0.99), [1, 0]), Some(20.0));
        assert_eq!(of(Quantity::Rate, [1, 1]), Some(3.0));
        assert_eq!(of(Quantity::Failed, [1, 1]), Some(0.25));
        assert_eq!(of(Quantity::Failed, [0, 1]), Some(0.5));
        assert_eq!(of(Quantity::Failed, [0, 0]), None);
    }

    #[test]
    fn pulls_add_up_to_nothing() {
        let stretches = [stretch(&[10, 20], 0).0, stretch(&[30], 1).0, stretch(&[], 0).0];
        let weighed = Weighed::new(&stretches);
        for quantity in [Quantity::Rate, Quantity::Failed] {
            let sum: f64 = weighed.pulls(quantity).iter().sum();
            assert!(sum.abs() < 1e-12, "{quantity}: {sum}");
        }
        assert!(Weighed::new(&[]).pulls(Quantity::Quantile(0.5)).is_empty());
    }
}
