//! Which of a driver's reports are in, by their sequence numbers: as ranges, so that a gap costs no more than one range.

use std::collections::BTreeMap;

/// Gaps that are kept track of at once.
pub const MAX_RANGES: usize = 4096;

/// Sequence numbers that were seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequences {
    /// Ranges by their first number, each with the number behind its last; they neither touch nor overlap.
    ranges: BTreeMap<u64, u64>,
    count: u64,
}

impl Sequences {
    /// Whether it was seen.
    pub fn contains(&self, sequence: u64) -> bool {
        self.ranges.range(..=sequence).next_back().is_some_and(|(_, end)| sequence < *end)
    }

    /// Takes one that was not seen; false where that would be one range too many.
    pub fn insert(&mut self, sequence: u64) -> bool {
        let before = self.ranges.range(..sequence).next_back().filter(|(_, end)| **end == sequence);
        let before = before.map(|(start, _)| *start);
        let after = self.ranges.get(&(sequence + 1)).copied();
        if before.is_none() && after.is_none() && self.ranges.len() >= MAX_RANGES {
            return false;
        }
        if after.is_some() {
            self.ranges.remove(&(sequence + 1));
        }
        self.ranges.insert(before.unwrap_or(sequence), after.unwrap_or(sequence + 1));
        self.count += 1;
        true
    }

    /// The ranges, each with the number behind its last.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(start, end)| (*start, *end))
    }

    /// Those of [`ranges`](Self::ranges); `None`: they are not in order, or touch, or are too many.
    pub fn from_ranges(ranges: &[(u64, u64)]) -> Option<Self> {
        let are_ranges = ranges.iter().all(|(start, end)| start < end);
        let are_apart = ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
        let fit = are_ranges && are_apart && ranges.len() <= MAX_RANGES;
        fit.then(|| Self { ranges: ranges.iter().copied().collect(), count: ranges.iter().map(|(s, e)| e - s).sum() })
    }

    /// The highest.
    pub fn newest(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, end)| end - 1)
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether every number below the highest was seen.
    pub fn without_gap(&self) -> bool {
        self.newest().is_none_or(|newest| self.count == newest + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_the_set_of_what_was_seen(numbers in prop::collection::vec(0u64..300, 0..400)) {
            let (mut sequences, mut set) = (Sequences::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(sequences.contains(number), set.contains(&number));
                if set.insert(number) {
                    prop_assert!(sequences.insert(number));
                }
                prop_assert_eq!((sequences.count(), sequences.newest()), (set.len() as u64, set.last().copied()));
                let whole = set.iter().copied().eq(0..set.len() as u64);
                prop_assert_eq!(sequences.without_gap(), whole);
            }
            prop_assert!((0..300).all(|number| sequences.contains(number) == set.contains(&number)));
            let ranges: Vec<_> = sequences.ranges().collect();
            prop_assert_eq!(Sequences::from_ranges(&ranges), Some(sequences));
        }
    }

    #[test]
    fn a_gap_is_one_range_however_long_what_follows() {
        let mut sequences = Sequences::default();
        assert!(sequences.insert(0));
        assert!((10..200_000).all(|number| sequences.insert(number)));
        assert_eq!((sequences.ranges.len(), sequences.without_gap()), (2, false));
        assert!((1..10).all(|number| sequences.insert(number)));
        assert_eq!((sequences.ranges.len(), sequences.without_gap(), sequences.count()), (1, true, 200_000));
    }

    #[test]
    fn ranges_that_no_sequences_have_are_refused() {
        for ranges in [&[(3, 3)][..], &[(3, 2)], &[(0, 2), (2, 4)], &[(0, 2), (1, 4)], &[(5, 6), (0, 1)]] {
            assert_eq!(Sequences::from_ranges(ranges), None, "{ranges:?}");
        }
    }

    #[test]
    fn gaps_are_bounded() {
        let mut sequences = Sequences::default();
        assert!((0..MAX_RANGES as u64).all(|i| sequences.insert(2 * i)));
        assert!(!sequences.insert(2 * MAX_RANGES as u64));
        assert!(sequences.insert(1), "what closes a gap is taken");
        assert!(sequences.insert(2 * MAX_RANGES as u64));
        assert_eq!(sequences.ranges.len(), MAX_RANGES);
    }
}
