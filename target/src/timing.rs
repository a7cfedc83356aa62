//! When an answer may go out: a delay drawn for each request, and stalls in which nothing is answered.
//!
//! Pure: no clocks and no random source. All times are since the target's start.

use std::time::Duration;

/// A longer delay or stall is taken for a mistake.
pub const MAX_DELAY: Duration = Duration::from_secs(3600);

/// How long an answer of `/ping` waits after its request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Always so long; zero: not at all.
    Fixed(Duration),
    /// Evenly spread from `low` to `high`.
    Uniform {
        /// The shortest.
        low: Duration,
        /// The longest.
        high: Duration,
    },
    /// Exponentially distributed: mostly short, now and then long. No delay is longer than an hour.
    Exponential {
        /// The mean of all delays.
        mean: Duration,
    },
}

impl Default for Delay {
    fn default() -> Self {
        Self::Fixed(Duration::ZERO)
    }
}

impl Delay {
    /// What is wrong with this delay, and what would be right; `None`: nothing.
    pub fn problem(&self) -> Option<String> {
        let (longest, order) = match *self {
            Self::Fixed(delay) => (delay, true),
            Self::Uniform { low, high } => (high, low <= high),
            Self::Exponential { mean } => (mean, true),
        };
        if !order {
            return Some("a uniform delay goes from the shortest to the longest, like uniform:1ms-9ms".into());
        }
        (longest > MAX_DELAY).then(|| format!("a delay of {longest:?} is too long: at most {MAX_DELAY:?}"))
    }

    /// Whether no answer ever waits.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The delay of the request at `index`: the same for the same seed and index, and independent of all others.
    pub fn draw(&self, seed: u64, index: u64) -> Duration {
        match *self {
            Self::Fixed(delay) => delay,
            Self::Uniform { low, high } => low + high.saturating_sub(low).mul_f64(unit(seed, index)),
            // `unit` is below 1, so the logarithm is finite.
            Self::Exponential { mean } => mean.mul_f64(-(1.0 - unit(seed, index)).ln()).min(MAX_DELAY),
        }
    }
}

/// A number from 0 to 1, the latter excluded: the output of SplitMix64 at `index` of the stream that `seed` begins.
fn unit(seed: u64, index: u64) -> f64 {
    let mut x = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    // The 53 bits that a float holds exactly.
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// At the end of each period, counted from the target's start, nothing is answered for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// How long nothing is answered.
    pub length: Duration,
    /// From one stall's end to the next one's.
    pub period: Duration,
}

impl Stall {
    /// What is wrong with this stall, and what would be right; `None`: nothing.
    pub fn problem(&self) -> Option<String> {
        let Self { length, period } = self;
        if length.is_zero() || length >= period {
            return Some(format!(
                "a stall of {length:?} in {period:?} is none; give a length above 0 and below its period, like 1s/10s"
            ));
        }
        (*period > MAX_DELAY).then(|| format!("a period of {period:?} is too long: at most {MAX_DELAY:?}"))
    }

    /// The moment from `ready` on at which an answer may go out: `ready` itself, or the end of the stall it falls into.
    pub fn release(&self, ready: Duration) -> Duration {
        let period_ns = self.period.as_nanos().max(1);
        let phase_ns = ready.as_nanos() % period_ns;
        let stalls_from_ns = period_ns.saturating_sub(self.length.as_nanos());
        if phase_ns < stalls_from_ns {
            return ready;
        }
        // At most a period, which fits.
        ready + Duration::from_nanos(u64::try_from(period_ns - phase_ns).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u64 = 100_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The share of draws at or below `limit`.
    fn share_up_to(delay: Delay, limit: Duration) -> f64 {
        (0..DRAWS).filter(|index| delay.draw(7, *index) <= limit).count() as f64 / DRAWS as f64
    }

    fn assert_near(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual - expected).abs() <= tolerance, "{actual} is not within {tolerance} of {expected}");
    }

    #[test]
    fn draws_are_those_of_their_seed_and_index() {
        let delay = Delay::Exponential { mean: ms(5) };
        let draws = |seed| (0..100).map(|index| delay.draw(seed, index)).collect::<Vec<_>>();
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        // The published first outputs of SplitMix64 for the seed 1234567.
        let first = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        for (index, expected) in (0..).zip(first) {
            assert_eq!(unit(1_234_567, index), (expected >> 11) as f64 / (1u64 << 53) as f64);
        }
    }

    #[test]
    fn a_uniform_delay_is_spread_evenly_between_its_bounds() {
        let delay = Delay::Uniform { low: ms(1), high: ms(9) };
        assert!((0..DRAWS).all(|index| (ms(1)..=ms(9)).contains(&delay.draw(7, index))));
        for (limit, expected) in [(2, 0.125), (5, 0.5), (8, 0.875)] {
            assert_near(share_up_to(delay, ms(limit)), expected, 0.01);
        }
        assert_eq!(Delay::Uniform { low: ms(3), high: ms(3) }.draw(7, 0), ms(3));
    }

    #[test]
    fn an_exponential_delay_has_its_mean_and_its_tail() {
        let delay = Delay::Exponential { mean: ms(5) };
        let sum: Duration = (0..DRAWS).map(|index| delay.draw(7, index)).sum();
        assert_near(sum.as_secs_f64() / DRAWS as f64, 0.005, 0.0001);
        for (limit, times_mean) in [(5, 1.0), (10, 2.0), (25, 5.0_f64)] {
            assert_near(share_up_to(delay, ms(limit)), 1.0 - (-times_mean).exp(), 0.01);
        }
        let long = Delay::Exponential { mean: MAX_DELAY };
        assert!((0..DRAWS).all(|index| long.draw(7, index) <= MAX_DELAY));
    }

    #[test]
    fn a_stall_is_the_end_of_its_period() {
        let stall = Stall { length: ms(1000), period: ms(10_000) };
        for (ready, release) in [
            (0, 0),
            (8_999, 8_999),
            (9_000, 10_000),
            (9_999, 10_000),
            (10_000, 10_000),
            (18_999, 18_999),
            (19_500, 20_000),
            (3_609_000, 3_610_000),
        ] {
            assert_eq!(stall.release(ms(ready)), ms(release), "{ready}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let uniform = |low, high| Delay::Uniform { low: ms(low), high: ms(high) };
        assert_eq!(uniform(1, 9).problem(), None);
        assert!(uniform(9, 1).problem().is_some_and(|problem| problem.contains("uniform:1ms-9ms")));
        for delay in [Delay::Fixed(MAX_DELAY * 2), Delay::Exponential { mean: MAX_DELAY * 2 }, uniform(1, 4_000_000)] {
            assert!(delay.problem().is_some_and(|problem| problem.contains("too long")), "{delay:?}");
        }
        let stall = |length, period| Stall { length: ms(length), period: ms(period) };
        assert_eq!(stall(1, 2).problem(), None);
        for wrong in [stall(0, 2), stall(2, 2), stall(3, 2), stall(1, 4_000_000)] {
            assert!(wrong.problem().is_some(), "{wrong:?}");
        }
    }
}
