//! The share of a schedule's slots that one thread serves.

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

    proptest! {
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
