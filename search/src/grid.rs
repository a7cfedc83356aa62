//! The loads that a search may ask for: steps of equal ratio, so that trials come back to loads that were tried before.

/// Loads by number; number 0 is the first rate of a search.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    start_per_s: f64,
    ln_ratio: f64,
    highest: i32,
}

impl Grid {
    /// Steps of an eighth of the goal width, up to the highest rate that may be asked for.
    pub fn new(start_per_s: f64, max_per_s: f64, width: f64) -> Self {
        let ln_ratio = (width / 8.0).ln_1p();
        // Bounded by the goal's limits: at most 35/0.000125 steps.
        let highest = ((max_per_s / start_per_s).ln() / ln_ratio + 1e-9).floor() as i32;
        Self { start_per_s, ln_ratio, highest }
    }

    /// The rate of a step, per second, to a millionth.
    pub fn rate_per_s(&self, step: i32) -> f64 {
        let rate = self.start_per_s * (f64::from(step) * self.ln_ratio).exp();
        (rate * 1e6).round().max(1.0) / 1e6
    }

    /// The step nearest to a rate, given by its natural logarithm; never above the highest.
    pub fn nearest(&self, ln_rate: f64) -> i32 {
        (self.steps(ln_rate).round() as i32).min(self.highest)
    }

    /// The highest step that is not above that rate, but for rounding.
    pub fn below(&self, ln_rate: f64) -> i32 {
        ((self.steps(ln_rate) + 1e-3).floor() as i32).min(self.highest)
    }

    /// The step at that multiple of another one's rate.
    pub fn times(&self, step: i32, factor: f64) -> i32 {
        step.saturating_add((factor.ln() / self.ln_ratio).round() as i32).min(self.highest)
    }

    fn steps(&self, ln_rate: f64) -> f64 {
        (ln_rate - self.start_per_s.ln()) / self.ln_ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_again_by_its_rate() {
        let grid = Grid::new(10.0, 1_000.0, 0.02);
        for step in [-300, -1, 0, 1, 17, 400] {
            assert_eq!(grid.nearest(grid.rate_per_s(step).ln()), step, "{step}");
            assert_eq!(grid.below(grid.rate_per_s(step).ln()), step);
        }
        assert!((grid.rate_per_s(grid.times(0, 2.0)) / 20.0 - 1.0).abs() < 0.002);
        let highest = grid.nearest(9e9_f64.ln());
        assert!((990.0..=1_000.0).contains(&grid.rate_per_s(highest)));
        assert_eq!(grid.times(highest, 2.0), highest);
    }
}
