//! Evenly spaced slots in time, and the share of them that one thread serves.

use std::time::Duration;

use crate::clock::as_ns;

/// Slot *k* is due at `k × numerator / denominator` nanoseconds, rounded down: whole numbers, so that it never
/// drifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    numerator: u128,
    denominator: u128,
}

impl Grid {
    /// A slot every `delay`, which must not be zero.
    pub fn every(delay: Duration) -> Self {
        assert!(!delay.is_zero(), "a validated plan has no grid without an interval");
        Self { numerator: as_ns(delay).into(), denominator: 1 }
    }

    /// `rate_per_s` slots a second, taken to a thousand millionth of a request and never above.
    pub fn per_second(rate_per_s: f64) -> Self {
        let parts = (rate_per_s * 1e9).floor() as u128;
        assert!(parts > 0, "a validated plan has a rate that can be told from zero");
        Self { numerator: 1_000_000_000_000_000_000, denominator: parts }
    }

    /// The grid with the longer interval.
    pub fn slower(self, other: Self) -> Self {
        // Both factors are below 2^64: the products fit.
        if self.numerator * other.denominator >= other.numerator * self.denominator { self } else { other }
    }

    /// When slot `k` is due.
    pub fn due_ns(&self, k: u64) -> u64 {
        u64::try_from(u128::from(k) * self.numerator / self.denominator).unwrap_or(u64::MAX)
    }

    /// The first slot that is due at `time_ns` or later.
    pub fn first_from(&self, time_ns: u64) -> u64 {
        u64::try_from((u128::from(time_ns) * self.denominator).div_ceil(self.numerator)).unwrap_or(u64::MAX)
    }
}

/// The share of one thread: of `stride` threads it serves every slot `k ≡ index (mod stride)`. Its own slots it
/// counts by position: 0, 1, 2 and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    pub index: u64,
    pub stride: u64,
}

impl Lane {
    /// The slot at `position`.
    pub fn slot(&self, position: u64) -> u64 {
        position.saturating_mul(self.stride).saturating_add(self.index)
    }

    /// How many of this lane's slots come before slot `k`; also the position of the first one from `k` on.
    pub fn positions_before(&self, k: u64) -> u64 {
        k.saturating_sub(self.index).div_ceil(self.stride)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::SECOND_NS;

    #[test]
    fn a_whole_rate_has_exactly_its_slots_in_every_second() {
        for rate in [1u32, 3, 7, 100, 333, 20_000, 1_000_003] {
            let grid = Grid::per_second(f64::from(rate));
            for second in [0, 1, 2, 59, 86_399] {
                let slots = grid.first_from((second + 1) * SECOND_NS) - grid.first_from(second * SECOND_NS);
                assert_eq!(slots, u64::from(rate), "second {second}");
            }
        }
    }

    #[test]
    fn a_slow_rate_is_its_interval_to_a_few_millionths() {
        for (rate_per_s, interval_s) in [(1.0 / 3600.0, 3600), (1.0 / 60.0, 60), (0.5, 2)] {
            let due_ns = Grid::per_second(rate_per_s).due_ns(1);
            let asked_ns = interval_s * SECOND_NS;
            assert!((asked_ns..=asked_ns + asked_ns / 200_000).contains(&due_ns), "{rate_per_s}: {due_ns} ns");
        }
    }

    #[test]
    fn the_longer_interval_wins() {
        let (ten_ms, rate_50) = (Grid::every(Duration::from_millis(10)), Grid::per_second(50.0));
        assert_eq!(ten_ms.slower(rate_50), rate_50);
        assert_eq!(ten_ms.slower(Grid::per_second(200.0)), ten_ms);
    }

    proptest! {
        #[test]
        fn first_from_is_the_inverse_of_due(rate in 0.01..2e6f64, time_ns in 0..10_000 * SECOND_NS) {
            let grid = Grid::per_second(rate);
            let k = grid.first_from(time_ns);
            prop_assert!(grid.due_ns(k) >= time_ns);
            prop_assert!(k == 0 || grid.due_ns(k - 1) < time_ns);
        }

        #[test]
        fn a_fractional_rate_never_has_more_slots_than_it_rounds_up_to(rate in 0.01..1e5f64, second in 0..100_000u64) {
            let grid = Grid::per_second(rate);
            let slots = grid.first_from((second + 1) * SECOND_NS) - grid.first_from(second * SECOND_NS);
            prop_assert!(slots as f64 <= rate.ceil(), "{slots} slots at {rate}/s");
        }

        #[test]
        fn lanes_share_the_slots_out(stride in 1..20u64, k in 0..10_000u64) {
            let lanes = (0..stride).map(|index| Lane { index, stride });
            prop_assert_eq!(lanes.clone().map(|lane| lane.positions_before(k)).sum::<u64>(), k);
            for lane in lanes {
                let position = lane.positions_before(k);
                prop_assert!(lane.slot(position) >= k);
                prop_assert!(position == 0 || lane.slot(position - 1) < k);
            }
        }
    }
}
