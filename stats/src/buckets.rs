//! The buckets of our histograms as numbers: the arithmetic of HdrHistogram for 1 ns to 1 h with three significant digits.
//!
//! An octave (the values from 2^n to 2^(n+1)) has 1,024 buckets of one width; below 2,048 ns each value has its own.

use crate::distribution::HIGHEST_NS;

/// Buckets of an octave.
pub(crate) const OCTAVE: usize = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 10;
/// Octaves up to that of the longest duration; what lies below 2,048 ns takes two.
pub(crate) const OCTAVES: usize = 33;
/// All buckets.
pub(crate) const BUCKETS: usize = OCTAVES * OCTAVE;
// The bucket of the longest duration is one of them, and a number of 16 bits.
const _: () = assert!((HIGHEST_NS.ilog2() - OCTAVE_BITS + 2) as usize == OCTAVES && BUCKETS <= u16::MAX as usize + 1);

/// The bucket of a duration; what is longer than an hour lies in the bucket of an hour.
pub(crate) fn bucket_of(value_ns: u64) -> u16 {
    let value_ns = value_ns.min(HIGHEST_NS);
    // How many low bits the bucket of this value leaves out.
    let shift = (value_ns | ((1 << (OCTAVE_BITS + 1)) - 1)).ilog2() - OCTAVE_BITS;
    ((u64::from(shift) << OCTAVE_BITS) + (value_ns >> shift)) as u16
}

/// The longest duration of a bucket.
pub(crate) fn highest_ns(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let shift = (bucket >> OCTAVE_BITS).saturating_sub(1);
    let sub_bucket = bucket - (shift << OCTAVE_BITS);
    ((sub_bucket + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::empty_histogram;

    #[test]
    fn buckets_are_those_of_the_histogram() {
        let histogram = empty_histogram();
        assert_eq!(histogram.distinct_values(), BUCKETS);
        let around = |value: u64| [value.saturating_sub(1), value, value + 1];
        let powers = (0..42).flat_map(|bits| around(1 << bits));
        let thirds = (0..40).flat_map(|bits| around(3 << bits));
        for value in powers.chain(thirds).chain([0, HIGHEST_NS - 1, HIGHEST_NS]).filter(|value| *value <= HIGHEST_NS) {
            assert_eq!(highest_ns(bucket_of(value)), histogram.highest_equivalent(value), "{value}");
        }
        assert_eq!(bucket_of(u64::MAX), bucket_of(HIGHEST_NS));
        // Each has one number, without a gap.
        for bucket in 1..=bucket_of(HIGHEST_NS) {
            assert_eq!((bucket_of(highest_ns(bucket - 1) + 1), bucket_of(highest_ns(bucket))), (bucket, bucket));
        }
    }
}
