//! How long neighbouring stretches hang together: how many follow one another in a block, and what blocks of that length do not see.
//!
//! The length is that of Politis and White 2004, "Automatic block-length selection for the dependent bootstrap", with the constant of
//! Patton, Politis and White 2009 for the circular bootstrap: `b = (2 G² / (4/3 g²))^(1/3) × N^(1/3)`, with `g` the sum of the
//! autocovariances and `G` their sum weighted by the distance, both under a flat-top window that ends where the correlation
//! can no longer be told from none.

/// The fewest blocks that a run is cut into; with fewer, nothing can be said of how they vary.
pub const MIN_BLOCKS: usize = 6;
/// The window of the correction reaches at least so far: what is too weak to be told from none adds up all the same.
const MIN_WINDOW: usize = 4;
/// A correction beyond this is an accident of a short series.
const MAX_CORRECTION: f64 = 2.0;

/// The correlation of a series in time.
pub struct Dependence {
    /// By distance, from 0 on.
    covariances: Vec<f64>,
    /// As far as a correlation is seen, twice.
    window: usize,
    n: usize,
    kurtosis: f64,
}

impl Dependence {
    /// Of a series; `None` where it does not vary.
    pub fn of(series: &[f64]) -> Option<Self> {
        let n = series.len();
        let size = n as f64;
        let mean = series.iter().sum::<f64>() / n.max(1) as f64;
        let covariance = |lag: usize| {
            let pairs = series.iter().zip(series.iter().skip(lag));
            pairs.map(|(early, late)| (early - mean) * (late - mean)).sum::<f64>() / size
        };
        let variance = if n > 1 { covariance(0) } else { 0.0 };
        if variance.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
            return None;
        }
        // Both as the authors recommend.
        let in_a_row = (size.log10().sqrt().ceil() as usize).max(5);
        let negligible = 2.0 * (size.log10() / size).sqrt();
        let most_lags = ((size.sqrt().ceil() as usize) + in_a_row).min(n - 1);
        let covariances: Vec<f64> = (0..=most_lags).map(covariance).collect();
        let small = |covariance: &f64| covariance.abs() < negligible * variance;
        let found = covariances[1..].windows(in_a_row).position(|lags| lags.iter().all(small));
        // The last lag at which anything is seen, or the one behind which there is nothing.
        let seen = found.unwrap_or_else(|| covariances[1..].iter().rposition(|c| !small(c)).map_or(0, |last| last + 1));
        let window = (2 * seen).min(most_lags);
        let fourth = series.iter().map(|value| (value - mean).powi(4)).sum::<f64>() / size;
        Some(Self { covariances, window, n, kurtosis: fourth / (variance * variance) })
    }

    /// The flat-top sum of the covariances within a window, each with a weight that depends on its distance.
    fn sum(&self, window: usize, weight: impl Fn(f64) -> f64) -> f64 {
        let within = window.min(self.covariances.len() - 1);
        let window = within as f64;
        let term = |(lag, covariance): (usize, &f64)| {
            let lag = lag as f64;
            let flat_top = if lag <= window / 2.0 { 1.0 } else { 2.0 * (1.0 - lag / window) };
            let both_ways = if lag > 0.0 { 2.0 } else { 1.0 };
            both_ways * flat_top * weight(lag) * covariance
        };
        self.covariances[..=within].iter().enumerate().map(term).sum()
    }

    /// The length of a block: from 1 to a sixth of the series.
    pub fn block_length(&self) -> f64 {
        let longest = (self.n / MIN_BLOCKS).max(1) as f64;
        let (all, weighted) = (self.sum(self.window, |_| 1.0), self.sum(self.window, |lag| lag));
        let spread = 4.0 / 3.0 * all * all;
        if spread <= 0.0 {
            return longest;
        }
        ((2.0 * weighted * weighted / spread).cbrt() * (self.n as f64).cbrt()).clamp(1.0, longest)
    }

    /// The degrees of freedom of the variance of such a series, were its values independent: few, where few moments make most of it. The
    /// variance of a variance has the fourth moment in it (Box 1953): `2 N / (kurtosis - 1)`, which is N for normal values.
    pub fn degrees(&self) -> f64 {
        let above = self.kurtosis - 1.0;
        if above > 0.0 { (2.0 * self.n as f64 / above).min(self.n as f64) } else { self.n as f64 }
    }

    /// How much larger the variance is than blocks of this length show. A block tears correlated neighbours apart at its ends, so it
    /// sees covariances through a triangle (Künsch 1989, theorem 3.1); at least 1.
    pub fn correction(&self, length: usize) -> f64 {
        let length = length.max(1) as f64;
        let window = self.window.max(MIN_WINDOW);
        let seen = self.sum(window, |lag| (1.0 - lag / length).max(0.0));
        if seen <= 0.0 { MAX_CORRECTION } else { (self.sum(window, |_| 1.0) / seen).clamp(1.0, MAX_CORRECTION) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An autoregressive series: each value is `rho` times the one before, and noise.
    fn correlated(n: usize, rho: f64, seed: u64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut last = 0.0;
        let noise = |random: &mut fastrand::Rng| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        let next = |_| {
            last = rho * last + noise(&mut random);
            last
        };
        (0..n).map(next).collect()
    }

    fn mean(rho: f64, of: impl Fn(Dependence) -> f64) -> f64 {
        (0..40).filter_map(|seed| Dependence::of(&correlated(120, rho, seed))).map(of).sum::<f64>() / 40.0
    }

    #[test]
    fn what_hangs_together_longer_needs_longer_blocks() {
        let [none, some, much] = [0.0, 0.5, 0.8].map(|rho| mean(rho, |of| of.block_length()));
        // By the formula with the true covariances: 1, 6.8 and 15.
        assert!(none < 2.5 && (4.0..9.0).contains(&some) && much > some + 2.0, "{none} {some} {much}");
    }

    #[test]
    fn what_short_blocks_do_not_see_is_made_up_for() {
        // By the true covariances with rho = 0.5: 3 in all; of blocks of 5 2.23 are seen, of blocks of 1 only 1.
        let [five, one] = [5, 1].map(|length| mean(0.5, |of| of.correction(length)));
        assert!((1.15..1.55).contains(&five) && one > 1.7, "{five} {one}");
        let nothing_hidden = mean(0.0, |of| of.correction(5));
        assert!(nothing_hidden < 1.15, "{nothing_hidden}");
    }

    #[test]
    fn few_moments_leave_few_degrees() {
        let normal = mean(0.0, |of| of.degrees());
        assert!((95.0..=120.0).contains(&normal), "{normal}");
        let three_bursts: Vec<f64> = (0..60).map(|i| if i % 20 == 7 { 1.0 } else { 0.0 }).collect();
        let few = Dependence::of(&three_bursts).expect("it varies").degrees();
        assert!((5.0..8.0).contains(&few), "{few}");
    }

    #[test]
    fn odd_series_break_nothing() {
        for series in [vec![], vec![1.0], vec![3.0; 50], vec![f64::NAN; 9]] {
            assert!(Dependence::of(&series).is_none());
        }
        for series in [vec![1.0, 2.0], vec![0.0, 1.0, 0.0], (0..60).map(f64::from).collect()] {
            let of = Dependence::of(&series).expect("it varies");
            let length = of.block_length();
            assert!(length >= 1.0 && length <= (series.len() / MIN_BLOCKS).max(1) as f64, "{length}");
            assert!((1.0..=MAX_CORRECTION).contains(&of.correction(1)));
        }
    }
}
