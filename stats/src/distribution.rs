//! A distribution of durations that merges without loss.

use std::sync::LazyLock;

use hdrhistogram::Histogram;

/// Three significant digits: a quantile is at most 0.1 % off, and about 260 KiB hold nanoseconds to hours.
const SIGNIFICANT_DIGITS: u8 = 3;
/// One hour; longer values are recorded as one hour (the exact maximum is kept beside).
pub(crate) const HIGHEST_NS: u64 = 3_600_000_000_000;

/// The histogram that every node uses, so that adding one to another loses nothing.
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HIGHEST_NS, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that hdrhistogram accepts")
}

/// Whether a histogram has the bounds of [`empty_histogram`].
pub fn same_layout(histogram: &Histogram<u64>) -> bool {
    histogram.low() == 1 && histogram.high() == HIGHEST_NS && histogram.sigfig() == SIGNIFICANT_DIGITS
}

/// Durations in nanoseconds: a histogram, with the sum, minimum and maximum kept exactly beside it.
///
/// An empty distribution holds no histogram and costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    histogram: Option<Histogram<u64>>,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

/// Nothing but one 0.
static ONE_ZERO: LazyLock<Histogram<u64>> = LazyLock::new(|| {
    let mut histogram = empty_histogram();
    histogram.saturating_record(0);
    histogram
});

impl Distribution {
    /// An empty distribution that has its memory already, for use on a hot path.
    pub fn preallocated() -> Self {
        Self { histogram: Some(empty_histogram()), ..Self::default() }
    }

    /// Puts a distribution together again from its parts, as they come from a message or a store.
    ///
    /// `histogram` must have [`same_layout`]; the exact values are bounded by what the histogram shows, so that
    /// a careless peer cannot make them contradict it.
    pub fn from_parts(histogram: Histogram<u64>, sum_ns: u64, min_ns: u64, max_ns: u64) -> Self {
        debug_assert!(same_layout(&histogram));
        if histogram.is_empty() {
            return Self::default();
        }
        // What a bucket may hold: its own range, and in the last one everything that is longer.
        let within = |value: u64, bucket: u64| {
            let longest =
                if histogram.equivalent(bucket, HIGHEST_NS) { u64::MAX } else { histogram.highest_equivalent(bucket) };
            value.clamp(histogram.lowest_equivalent(bucket), longest)
        };
        let min_ns = within(min_ns, histogram.min());
        let max_ns = within(max_ns, histogram.max()).max(min_ns);
        let count = histogram.len();
        let sum_ns = sum_ns.clamp(min_ns.saturating_mul(count), max_ns.saturating_mul(count));
        Self { histogram: Some(histogram), sum_ns, min_ns, max_ns }
    }

    /// Records one duration.
    pub fn record(&mut self, value_ns: u64) {
        let first = self.is_empty();
        let histogram = self.histogram.get_or_insert_with(empty_histogram);
        histogram.saturating_record(value_ns.min(HIGHEST_NS));
        self.sum_ns = self.sum_ns.saturating_add(value_ns);
        self.min_ns = if first { value_ns } else { self.min_ns.min(value_ns) };
        self.max_ns = self.max_ns.max(value_ns);
    }

    /// Adds every value of `other`.
    pub fn merge(&mut self, other: &Self) {
        let Self { histogram, sum_ns, min_ns, max_ns } = other;
        let Some(theirs) = histogram else { return };
        if theirs.is_empty() {
            return;
        }
        self.min_ns = if self.is_empty() { *min_ns } else { self.min_ns.min(*min_ns) };
        self.max_ns = self.max_ns.max(*max_ns);
        self.sum_ns = self.sum_ns.saturating_add(*sum_ns);
        match &mut self.histogram {
            Some(ours) => ours.add(theirs).expect("both have the one layout, so every value fits"),
            ours @ None => *ours = Some(theirs.clone()),
        }
    }

    /// Takes away every value of `part`, which was merged before. Minimum and maximum stay: they may have been its own.
    pub fn subtract(&mut self, part: &Self) {
        let Self { histogram, sum_ns, min_ns: _, max_ns: _ } = part;
        let (Some(ours), Some(theirs)) = (&mut self.histogram, histogram) else { return };
        // It fails only where counters were at their end, and then nothing is exact.
        let _ = ours.subtract(theirs);
        if ours.count_at(0) > 0 {
            // hdrhistogram 7.6 looks for the smallest value above 0 anew only where the smallest of all was taken away.
            ours.saturating_record(0);
            let _ = ours.subtract(&*ONE_ZERO);
        }
        self.sum_ns = self.sum_ns.saturating_sub(*sum_ns);
        if ours.is_empty() {
            *self = Self::default();
        }
    }

    /// Forgets every value and keeps the memory.
    pub fn clear(&mut self) {
        let Self { histogram, sum_ns, min_ns, max_ns } = self;
        if let Some(histogram) = histogram {
            histogram.reset();
        }
        (*sum_ns, *min_ns, *max_ns) = (0, 0, 0);
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
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

    /// The mean, from the exact sum; `None` when empty.
    pub fn mean_ns(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum_ns as f64 / self.count() as f64)
    }

    /// The value below or at which the share `quantile` (0 to 1) of all values lies, within 0.1 %, and never
    /// outside the exact minimum and maximum; `None` when empty.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        let histogram = self.histogram.as_ref().filter(|h| !h.is_empty())?;
        Some(histogram.value_at_quantile(quantile).clamp(self.min_ns, self.max_ns))
    }

    /// The value of the response that comes `rank`-th by its duration, from 1; `None` where there are not so many.
    pub fn at_rank_ns(&self, rank: u64) -> Option<u64> {
        let histogram = self.histogram.as_ref().filter(|h| (1..=h.len()).contains(&rank))?;
        let mut below = 0_u64;
        let found = histogram.iter_recorded().find(|value| {
            below = below.saturating_add(value.count_at_value());
            below >= rank
        })?;
        Some(found.value_iterated_to().clamp(self.min_ns, self.max_ns))
    }

    /// The numbers that people read, over `due` requests of which those without a value here are beyond every value: `None`
    /// for each that falls among them.
    pub fn summary_of_due(&self, due: u64) -> DueSummary {
        DueSummary::of(&self.whole(), due, |rank| self.at_rank_ns(rank))
    }

    /// The numbers that people read; `None` when empty.
    pub fn summary(&self) -> Option<Summary> {
        Summary::of(&self.whole(), |quantile| self.quantile_ns(quantile))
    }

    fn whole(&self) -> Whole {
        Whole { count: self.count(), sum_ns: self.sum_ns, min_ns: self.min_ns, max_ns: self.max_ns }
    }

    /// The histogram, where anything was recorded.
    pub fn histogram(&self) -> Option<&Histogram<u64>> {
        self.histogram.as_ref().filter(|h| !h.is_empty())
    }
}

/// The rank of a quantile among everything that was due. A thousandth of a thousandth is for a product that is not exact.
pub(crate) fn rank_of_due(quantile: f64, due: u64) -> u64 {
    (quantile * due as f64 - 1e-6).ceil().max(1.0) as u64
}

/// The numbers of [`Distribution::summary_of_due`], in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct DueSummary {
    pub mean_ms: Option<f64>,
    pub min_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub median_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub p999_ms: Option<f64>,
}

/// A distribution's exact numbers, whatever holds its values.
pub(crate) struct Whole {
    pub count: u64,
    pub sum_ns: u64,
    pub min_ns: u64,
    pub max_ns: u64,
}

impl Whole {
    fn mean_ms(&self) -> f64 {
        self.sum_ns as f64 / self.count as f64 / 1e6
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

impl DueSummary {
    /// Of `due` requests, of which only the `whole` have a value; `at_rank_ns`: the value of a rank, from 1.
    pub(crate) fn of(whole: &Whole, due: u64, at_rank_ns: impl Fn(u64) -> Option<u64>) -> Self {
        let due = due.max(whole.count);
        let (any, complete) = (whole.count > 0, whole.count > 0 && due == whole.count);
        let quantile_ms = |quantile: f64| at_rank_ns(rank_of_due(quantile, due)).map(ms);
        Self {
            mean_ms: complete.then(|| whole.mean_ms()),
            min_ms: any.then(|| ms(whole.min_ns)),
            max_ms: complete.then(|| ms(whole.max_ns)),
            median_ms: quantile_ms(0.5),
            p90_ms: quantile_ms(0.9),
            p95_ms: quantile_ms(0.95),
            p99_ms: quantile_ms(0.99),
            p999_ms: quantile_ms(0.999),
        }
    }

    /// The numbers of a distribution to which nothing is missing; `None`: nothing was measured.
    pub fn complete(summary: Option<Summary>) -> Self {
        let Some(summary) = summary else { return Self::default() };
        let Summary { count: _, mean_ms, min_ms, max_ms, median_ms, p90_ms, p95_ms, p99_ms, p999_ms } = summary;
        Self {
            mean_ms: Some(mean_ms),
            min_ms: Some(min_ms),
            max_ms: Some(max_ms),
            median_ms: Some(median_ms),
            p90_ms: Some(p90_ms),
            p95_ms: Some(p95_ms),
            p99_ms: Some(p99_ms),
            p999_ms: Some(p999_ms),
        }
    }
}

/// The numbers that people read of a distribution, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct Summary {
    pub count: u64,
    pub mean_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
    pub median_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
}

impl Summary {
    /// Of a distribution; `None` when empty. `quantile_ns`: the value of a quantile.
    pub(crate) fn of(whole: &Whole, quantile_ns: impl Fn(f64) -> Option<u64>) -> Option<Self> {
        let quantile_ms = |quantile| quantile_ns(quantile).map(ms);
        Some(Self {
            count: whole.count,
            mean_ms: (whole.count > 0).then(|| whole.mean_ms())?,
            min_ms: ms(whole.min_ns),
            max_ms: ms(whole.max_ns),
            median_ms: quantile_ms(0.5)?,
            p90_ms: quantile_ms(0.9)?,
            p95_ms: quantile_ms(0.95)?,
            p99_ms: quantile_ms(0.99)?,
            p999_ms: quantile_ms(0.999)?,
        })
    }
}
