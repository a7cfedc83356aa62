//! Slots at random, one process for all threads of all nodes: who serves which is decided by their numbers alone.
//!
//! The process has rate 1 along the curve's position, which makes it a Poisson process in time whose rate is the curve's
//! (time change; Lewis and Shedler, Simulation of Nonhomogeneous Poisson Processes, 1979). It comes in blocks that are a
//! function of the seed and the block's number: how many slots one has is drawn by inversion, and where they lie is then
//! uniform. All of it is whole numbers, so every machine computes the same.

use super::curve::SLOT;

/// So many slots a block has on average.
const MEAN: u32 = 64;
/// The length of a block.
const BLOCK: u128 = MEAN as u128 * SLOT;
/// e^-64, rounded to the nearest.
const E_TO_MINUS_MEAN: f64 = 1.603_810_890_548_637_8e-28;
/// More than this many slots in a block are less likely than 10^-30.
const MOST: usize = 192;
/// How likely it is that a block has at most so many slots, in parts of 2^64.
const AT_MOST: [u64; MOST] = at_most();
/// A slot's place in its block is one of 2^60: more would overflow where it is multiplied by the block's length.
const PLACE_BITS: u32 = 60;

/// Additions, multiplications and divisions only, which IEEE 754 rounds in one way.
const fn at_most() -> [u64; MOST] {
    let mut all = [0; MOST];
    let (mut one, mut sum, mut count) = (E_TO_MINUS_MEAN, E_TO_MINUS_MEAN, 0);
    while count < MOST {
        // Casts saturate: where nothing is left above, nothing but the largest number is.
        all[count] = if count + 1 == MOST { u64::MAX } else { (sum * 18_446_744_073_709_551_616.0) as u64 };
        count += 1;
        one = one * MEAN as f64 / count as f64;
        sum += one;
    }
    all
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), of which any number can be
/// computed without those before it.
struct Numbers(u64);

impl Numbers {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    fn at(&self, index: u64) -> u64 {
        let mut z = self.0.wrapping_add(index.wrapping_add(1).wrapping_mul(Self::STEP));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A look at the process. It walks to where it is asked for, block by block in both directions, and keeps one block
/// (1.5 KiB): what is asked for one after the other must not lie far apart.
#[derive(Debug)]
pub(super) struct Look {
    /// Of the blocks' own seeds.
    seed: u64,
    index: u64,
    /// Slots in the blocks before.
    before: u64,
    count: u64,
    /// Where they lie, in order; empty until somebody asks.
    places: Vec<u64>,
}

impl Look {
    pub fn new(seed: u64) -> Self {
        let mut look = Self { seed, index: 0, before: 0, count: 0, places: Vec::with_capacity(MOST) };
        look.enter(0);
        look
    }

    /// The position of a slot; `None` where it is not before `end`.
    pub fn position(&mut self, slot: u64, end: u128) -> Option<u128> {
        while slot < self.before {
            self.back();
        }
        while slot - self.before >= self.count {
            if u128::from(self.index + 1) * BLOCK >= end {
                return None;
            }
            self.forward();
        }
        self.place();
        let place = self.places[(slot - self.before) as usize];
        Some(self.position_of(place)).filter(|position| *position < end)
    }

    /// How many slots come before a position.
    pub fn slots_before(&mut self, position: u128) -> u64 {
        // At most 2^124 / 2^65.
        let index = (position / BLOCK) as u64;
        while self.index > index {
            self.back();
        }
        while self.index < index {
            self.forward();
        }
        self.place();
        self.before + self.places.partition_point(|place| self.position_of(*place) < position) as u64
    }

    fn position_of(&self, place: u64) -> u128 {
        u128::from(self.index) * BLOCK + ((u128::from(place) * BLOCK) >> PLACE_BITS)
    }

    fn numbers(&self) -> Numbers {
        Numbers(Numbers(self.seed).at(self.index))
    }

    fn forward(&mut self) {
        self.before += self.count;
        self.enter(self.index + 1);
    }

    fn back(&mut self) {
        self.enter(self.index - 1);
        self.before -= self.count;
    }

    fn enter(&mut self, index: u64) {
        self.index = index;
        let number = self.numbers().at(0);
        self.count = AT_MOST.partition_point(|at_most| *at_most <= number).min(MOST - 1) as u64;
        self.places.clear();
    }

    fn place(&mut self) {
        if self.places.is_empty() {
            let numbers = self.numbers();
            self.places.extend((1..=self.count).map(|index| numbers.at(index) >> (u64::BITS - PLACE_BITS)));
            self.places.sort_unstable();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::curve::Curve;
    use super::super::slots::Slots;
    use super::*;
    use crate::clock::SECOND_NS;
    use crate::profile::{Arrivals, Phase, Shape};

    fn poisson(curve: Curve, seed: u64) -> Slots {
        Slots::new(Arc::new(curve), Arrivals::Poisson { seed })
    }

    fn due_s(slots: &mut Slots, count: u64) -> Vec<f64> {
        (0..count).map(|k| slots.due_ns(k) as f64 / SECOND_NS as f64).collect()
    }

    /// The Kolmogorov–Smirnov statistic of the gaps of a process of rate 1 against the exponential distribution, times the
    /// square root of their number: above 1.95 in one of a thousand samples (Stephens, 1974).
    fn kolmogorov_smirnov(positions: &[f64]) -> f64 {
        let mut gaps: Vec<f64> = positions.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable_by(f64::total_cmp);
        let count = gaps.len() as f64;
        let distance = |(index, gap): (usize, &f64)| {
            let expected = 1.0 - (-gap).exp();
            (expected - index as f64 / count).abs().max((expected - (index + 1) as f64 / count).abs())
        };
        gaps.iter().enumerate().map(distance).fold(0.0, f64::max) * count.sqrt()
    }

    #[test]
    fn gaps_are_exponential_and_even_ones_are_not() {
        for seed in 0..20 {
            let rate = 1_000.0;
            let due = due_s(&mut poisson(Curve::per_second(rate, None), seed), 50_000);
            let positions: Vec<_> = due.iter().map(|due_s| due_s * rate).collect();
            let fit = kolmogorov_smirnov(&positions);
            assert!(fit < 1.95, "seed {seed}: {fit}");
        }
        let even = due_s(&mut Slots::new(Arc::new(Curve::per_second(1_000.0, None)), Arrivals::Even), 1_000);
        assert!(kolmogorov_smirnov(&even.iter().map(|due_s| due_s * 1_000.0).collect::<Vec<_>>()) > 10.0);
    }

    #[test]
    fn a_ramp_makes_the_process_denser_as_its_rate_says() {
        let phase =
            Phase { length: Duration::from_secs(100), shape: Shape::Ramp { from_per_s: 0.0, to_per_s: 2_000.0 } };
        for seed in 0..10 {
            let mut slots = poisson(Curve::of_phases(&[phase]), seed);
            let count = slots.first_from(u64::MAX);
            assert!(count.abs_diff(100_000) < 4 * 316, "{count} is more than four deviations off");
            // By the integral of the rate, 10 t².
            let positions: Vec<_> = due_s(&mut slots, count).iter().map(|due_s| 10.0 * due_s * due_s).collect();
            let fit = kolmogorov_smirnov(&positions);
            assert!(fit < 1.95, "seed {seed}: {fit}");
        }
    }

    #[test]
    fn counts_vary_as_those_of_a_poisson_process() {
        for window_ms in [7, 64, 300] {
            let mut slots = poisson(Curve::per_second(1_000.0, None), 7);
            let windows = 10_000u32;
            let (mut before, mut sum, mut squares) = (0, 0.0, 0.0);
            for window in 1..=u64::from(windows) {
                let until = slots.first_from(window * window_ms * SECOND_NS / 1_000);
                let count = (until - before) as f64;
                (before, sum, squares) = (until, sum + count, squares + count * count);
            }
            let mean = sum / f64::from(windows);
            let dispersion = (squares / f64::from(windows) - mean * mean) / mean;
            // Its own deviation is the square root of 2 / windows.
            assert!((dispersion - 1.0).abs() < 4.0 * 0.0142, "{window_ms} ms: {dispersion}");
            assert!((mean / window_ms as f64 - 1.0).abs() < 0.01, "{window_ms} ms: {mean}");
        }
    }

    #[test]
    fn a_blocks_count_is_distributed_as_its_table_says() {
        // In classes that the table gives a tenth or more: with nine degrees of freedom, one sample of a thousand exceeds 27.88.
        let mut observed = [0f64; MOST];
        let mut look = Look::new(3);
        for _ in 0..200_000 {
            observed[look.count as usize] += 1.0;
            look.forward();
        }
        let share = |count: usize| AT_MOST[count] as f64 / u64::MAX as f64;
        let (mut chi_square, mut classes, mut expected, mut seen, mut before) = (0.0, 0, 0.0, 0.0, 0.0);
        for (count, times) in observed.iter().enumerate() {
            expected += (share(count) - before) * 200_000.0;
            before = share(count);
            seen += times;
            if expected >= 20_000.0 || count + 1 == MOST {
                chi_square += (seen - expected) * (seen - expected) / expected;
                classes += 1;
                (expected, seen) = (0.0, 0.0);
            }
        }
        assert!(classes >= 8 && chi_square < 27.88, "{chi_square} in {classes} classes");
        assert_eq!(AT_MOST.iter().position(|at_most| *at_most > u64::MAX / 2), Some(64), "the median");
    }

    #[test]
    fn a_seed_always_gives_the_same_moments() {
        let mut slots = poisson(Curve::per_second(1_000.0, None), 42);
        let due: Vec<_> = (0..5).map(|k| slots.due_ns(k)).collect();
        assert_eq!(due, FIRST_OF_SEED_42);
        assert_ne!(due[0], poisson(Curve::per_second(1_000.0, None), 43).due_ns(0));
    }

    const FIRST_OF_SEED_42: [u64; 5] = [4_029_747, 4_310_905, 4_320_661, 6_951_379, 7_128_530];

    proptest! {
        #[test]
        fn first_from_is_the_inverse_of_due(
            seed in any::<u64>(), rate in 0.01..1e5f64, times_ns in prop::collection::vec(0..100 * SECOND_NS, 1..10),
        ) {
            let mut slots = poisson(Curve::per_second(rate, None), seed);
            for time_ns in times_ns {
                let k = slots.first_from(time_ns);
                prop_assert!(slots.due_ns(k) >= time_ns);
                prop_assert!(k == 0 || slots.due_ns(k - 1) < time_ns);
                prop_assert!(slots.due_about_now_ns(k) == slots.due_ns(k) && slots.due_ns(k + 1) >= slots.due_ns(k));
                prop_assert_eq!(slots.first_from_edge(time_ns), k);
            }
        }
    }
}
