//! What a number of broken requests says of the share behind it: the exact binomial interval of Clopper and Pearson.
//!
//! Clopper–Pearson and not Wilson, because the shares that matter are near 0 with few broken requests, where Wilson's coverage falls
//! below what it claims (Brown, Cai, DasGupta 2001), and an end of a trial must not rest on that. Correlation in time is
//! met as Korn and Graubard (1998) do it for clustered samples: the counts are divided by the design effect, and by
//! the square of Student's quantile over the normal one, since the design effect is an estimate itself.

use crate::dispersion::Dispersion;
use crate::math::{beta_regularized, solve_increasing, student_t};

/// A binomial sample; neither number need be whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// How many were observed.
    pub size: f64,
    /// How many of them broke the limit.
    pub broken: f64,
}

impl Sample {
    /// What was counted, reduced to what so many independent requests would say.
    pub fn effective(due: u64, broken: u64, dispersion: Dispersion, confidence: f64) -> Self {
        let student = student_t(confidence, dispersion.degrees) / student_t(confidence, f64::INFINITY);
        let divisor = dispersion.design_effect * student * student;
        Self { size: due as f64 / divisor, broken: broken.min(due) as f64 / divisor }
    }

    /// P(at least so many broken) if the share were `share`.
    fn at_least(self, share: f64) -> f64 {
        if self.broken <= 0.0 { 1.0 } else { beta_regularized(self.broken, self.size - self.broken + 1.0, share) }
    }

    /// P(at most so many broken) if the share were `share`.
    fn at_most(self, share: f64) -> f64 {
        if self.broken >= self.size {
            1.0
        } else {
            1.0 - beta_regularized(self.broken + 1.0, self.size - self.broken, share)
        }
    }

    /// Whether the whole two-sided interval lies above `share`.
    pub fn is_above(self, share: f64, confidence: f64) -> bool {
        self.at_least(share) < (1.0 - confidence) / 2.0
    }

    /// Whether the whole two-sided interval lies below `share`.
    pub fn is_below(self, share: f64, confidence: f64) -> bool {
        self.at_most(share) < (1.0 - confidence) / 2.0
    }

    /// The two-sided interval of the share.
    pub fn interval(self, confidence: f64) -> (f64, f64) {
        let tail = (1.0 - confidence) / 2.0;
        let lower = if self.broken <= 0.0 { 0.0 } else { solve_increasing(|share| self.at_least(share), tail) };
        let upper = if self.broken >= self.size {
            1.0
        } else {
            solve_increasing(|share| 1.0 - self.at_most(share), 1.0 - tail)
        };
        (lower, upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_clopper_and_pearson() {
        // 10 of 100: the printed interval is 4.900 % to 17.622 %.
        let (lower, upper) = Sample { size: 100.0, broken: 10.0 }.interval(0.95);
        assert!((lower - 0.049_00).abs() < 1e-4 && (upper - 0.176_22).abs() < 1e-4, "{lower} {upper}");
        assert_eq!(Sample { size: 50.0, broken: 0.0 }.interval(0.95).0, 0.0);
        assert_eq!(Sample { size: 50.0, broken: 50.0 }.interval(0.95).1, 1.0);
    }

    #[test]
    fn none_broken_proves_a_hundredth_from_368_requests_on() {
        let none_of = |due| Sample::effective(due, 0, Dispersion::INDEPENDENT, 0.95);
        assert!(!none_of(367).is_below(0.01, 0.95));
        assert!(none_of(368).is_below(0.01, 0.95));
        // Twenty times as many where a broken request brings twenty.
        let clustered = Dispersion { design_effect: 20.0, ..Dispersion::INDEPENDENT };
        assert!(!Sample::effective(7_339, 0, clustered, 0.95).is_below(0.01, 0.95));
        assert!(Sample::effective(7_360, 0, clustered, 0.95).is_below(0.01, 0.95));
    }

    #[test]
    fn the_questions_agree_with_the_interval() {
        for (size, broken) in [(400.0, 0.0), (400.0, 2.0), (500.0, 12.0), (37.5, 1.5), (10.0, 10.0)] {
            let sample = Sample { size, broken };
            let (lower, upper) = sample.interval(0.9);
            for share in [0.0005, 0.01, 0.02, 0.05, 0.3] {
                assert_eq!(sample.is_above(share, 0.9), share < lower, "{sample:?} {share}");
                assert_eq!(sample.is_below(share, 0.9), share > upper, "{sample:?} {share}");
            }
        }
    }
}
