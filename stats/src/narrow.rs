//! A recorder of durations for a hot path of which there are many: half as wide as a histogram, and what is not touched
//! costs neither memory nor time.

use crate::SparseDistribution;
use crate::buckets::{BUCKETS, OCTAVE, OCTAVES, bucket_of};

/// Counts durations of one second in the buckets of a [`Distribution`](crate::Distribution).
///
/// It has its 135,168 bytes of counters from the beginning. The system gives zeroed memory page by page when it is written to,
/// and clearing and reading look at the octaves that were written to, so a name that answers within two octaves takes 8 KiB.
#[derive(Debug)]
pub struct NarrowRecorder {
    /// A count of one second of one thread is far below 2^32.
    counts: Box<[u32]>,
    /// The octaves in which there is a count, a bit for each.
    touched: u64,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

impl Default for NarrowRecorder {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), touched: 0, sum_ns: 0, min_ns: u64::MAX, max_ns: 0 }
    }
}

impl NarrowRecorder {
    /// The bytes of its counters.
    pub const BYTES: usize = BUCKETS * size_of::<u32>();

    /// Records one duration, without allocating.
    pub fn record(&mut self, value_ns: u64) {
        let bucket = usize::from(bucket_of(value_ns));
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.touched |= 1 << (bucket / OCTAVE);
        self.sum_ns = self.sum_ns.saturating_add(value_ns);
        self.min_ns = self.min_ns.min(value_ns);
        self.max_ns = self.max_ns.max(value_ns);
    }

    /// What was recorded.
    pub fn distribution(&self) -> SparseDistribution {
        let Self { counts, touched: _, sum_ns, min_ns, max_ns } = self;
        let octaves = self.octaves().flat_map(|octave| octave * OCTAVE..(octave + 1) * OCTAVE);
        let buckets = octaves.filter(|bucket| counts[*bucket] > 0);
        let buckets = buckets.map(|bucket| (bucket as u16, u64::from(counts[bucket]))).collect();
        SparseDistribution::from_parts(buckets, *sum_ns, *min_ns, *max_ns).unwrap_or_default()
    }

    /// Forgets every value and keeps the memory.
    pub fn clear(&mut self) {
        for octave in self.octaves() {
            self.counts[octave * OCTAVE..(octave + 1) * OCTAVE].fill(0);
        }
        (self.touched, self.sum_ns, self.min_ns, self.max_ns) = (0, 0, u64::MAX, 0);
    }

    fn octaves(&self) -> impl Iterator<Item = usize> + use<> {
        let touched = self.touched;
        (0..OCTAVES).filter(move |octave| (touched >> octave) & 1 == 1)
    }
}
