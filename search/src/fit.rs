//! The rate at which a share reaches its limit, from the shares measured at several rates, with an interval.
//!
//! The share of broken requests is taken to rise with the rate as a logistic curve of ln(rate), near its limit only: the caller
//! leaves out what is far from it. The curve has two parameters, the capacity `c` (the rate at which the share is at its limit) and
//! its steepness `s`:
//!
//! ```text
//! logit(share) = logit(limit) + s · ln(rate / c)
//! ```
//!
//! The interval of `c` is that of the profile likelihood (Williams 1986, "Interval estimation of the median lethal dose", Biometrics 42;
//! the same question with a rate for a dose): every `c` whose best `s` makes what was measured not much less likely. It needs no
//! symmetry, and it holds where the curve is a step: then it reaches from the last good rate to the first bad one.

/// What one rate showed, in effective counts.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The natural logarithm of the rate.
    pub ln_rate: f64,
    /// Effective number of requests.
    pub size: f64,
    /// Of these the broken ones.
    pub broken: f64,
}

/// Where the limit is met, as natural logarithms of rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Root {
    /// The most likely place.
    pub best: f64,
    /// The lower end of the interval; `None`: open.
    pub lower: Option<f64>,
    /// The upper end of the interval; `None`: open.
    pub upper: Option<f64>,
    /// The steepness of the curve at the most likely place.
    pub steepness: f64,
}

impl Root {
    /// The share that the curve says for a load.
    pub fn share_at(&self, limit: f64, ln_rate: f64) -> f64 {
        1.0 / (1.0 + (-(logit(limit) + self.steepness * (ln_rate - self.best))).exp())
    }
}

/// A share that takes a hundredfold rate for a hundredfold share; less counts as no rise at all.
const MIN_STEEPNESS: f64 = 1.0;
/// A share that rises tenfold within a thousandth of the rate: a step.
const MAX_STEEPNESS: f64 = 2_000.0;
/// How far beyond the rates that were measured the place is looked for, as a factor.
const REACH: f64 = 1.5;
/// Places that are hardly less likely than the best are as good as it. Their middle is taken, which matters where the curve is a step.
const INDIFFERENT: f64 = 0.02;

/// The logit of a share.
pub fn logit(share: f64) -> f64 {
    (share / (1.0 - share)).ln()
}

/// Finds the rate whose share is `limit`; `student` is the two-sided quantile that makes the interval. `None`: there are no points.
pub fn root(points: &[Point], limit: f64, student: f64) -> Option<Root> {
    let lowest = points.iter().map(|point| point.ln_rate).min_by(f64::total_cmp)? - REACH.ln();
    let highest = points.iter().map(|point| point.ln_rate).max_by(f64::total_cmp)? + REACH.ln();
    let profile = |place: f64| {
        let steepness = best_steepness(points, limit, place);
        likelihood(points, limit, place, steepness)
    };
    let peak = maximize(&profile, lowest, highest);
    let most = profile(peak);
    let end = |edge: f64, drop: f64| crossing(&profile, peak, edge, most - drop);
    let middle = |drop| 0.5 * (end(lowest, drop).unwrap_or(lowest) + end(highest, drop).unwrap_or(highest));
    let best = middle(INDIFFERENT);
    let drop = 0.5 * student * student;
    Some(Root {
        best,
        lower: end(lowest, drop),
        upper: end(highest, drop),
        steepness: best_steepness(points, limit, best),
    })
}

fn likelihood(points: &[Point], limit: f64, place: f64, steepness: f64) -> f64 {
    let offset = logit(limit);
    let of = |point: &Point| {
        let eta = offset + steepness * (point.ln_rate - place);
        // ln(1 + e^eta) without overflow.
        point.broken * eta - point.size * (eta.max(0.0) + (-eta.abs()).exp().ln_1p())
    };
    points.iter().map(of).sum()
}

/// The likelihood is concave in the steepness, so its slope has one zero.
fn best_steepness(points: &[Point], limit: f64, place: f64) -> f64 {
    let offset = logit(limit);
    let slope = |steepness: f64| {
        let of = |point: &Point| {
            let distance = point.ln_rate - place;
            let share = 1.0 / (1.0 + (-(offset + steepness * distance)).exp());
            (point.broken - point.size * share) * distance
        };
        points.iter().map(of).sum::<f64>()
    };
    let (mut low, mut high) = (MIN_STEEPNESS.ln(), MAX_STEEPNESS.ln());
    for _ in 0..24 {
        let middle = 0.5 * (low + high);
        if slope(middle.exp()) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    (0.5 * (low + high)).exp()
}

/// The highest place of a function with one peak: by a coarse look, for a peak may be narrow, and then by thirds.
fn maximize(function: &impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    const LOOKS: u32 = 64;
    let step = (high - low) / f64::from(LOOKS);
    let looks = (0..=LOOKS).map(|look| low + step * f64::from(look));
    let best = looks.max_by(|a, b| function(*a).total_cmp(&function(*b))).unwrap_or(low);
    let (mut low, mut high) = ((best - step).max(low), (best + step).min(high));
    for _ in 0..40 {
        let third = (high - low) / 3.0;
        if function(low + third) < function(high - third) {
            low += third;
        } else {
            high -= third;
        }
    }
    0.5 * (low + high)
}

/// Where, from the peak towards `edge`, the function falls below `level`; `None`: it does not.
fn crossing(function: &impl Fn(f64) -> f64, peak: f64, edge: f64, level: f64) -> Option<f64> {
    if function(edge) >= level {
        return None;
    }
    let (mut inside, mut outside) = (peak, edge);
    for _ in 0..40 {
        let middle = 0.5 * (inside + outside);
        if function(middle) >= level {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    Some(0.5 * (inside + outside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rate: f64, size: f64, broken: f64) -> Point {
        Point { ln_rate: rate.ln(), size, broken }
    }

    /// What a curve would show on average.
    fn on_curve(rate: f64, size: f64, capacity: f64, steepness: f64) -> Point {
        let share = 1.0 / (1.0 + (-(logit(0.01) + steepness * (rate / capacity).ln())).exp());
        point(rate, size, size * share)
    }

    #[test]
    fn a_curve_is_found_again() {
        for steepness in [3.0, 12.0, 60.0] {
            let points = [90.0, 100.0, 115.0].map(|rate| on_curve(rate, 1e5, 104.0, steepness));
            let found = root(&points, 0.01, 1.96).expect("there are points");
            assert!((found.best.exp() - 104.0).abs() < 0.2, "{steepness}: {found:?}");
            assert!((found.steepness / steepness - 1.0).abs() < 0.05, "{steepness}: {found:?}");
            let (lower, upper) = (found.lower.expect("it is bounded"), found.upper.expect("it is bounded"));
            assert!(lower < 104_f64.ln() && 104_f64.ln() < upper, "{found:?}");
        }
    }

    #[test]
    fn four_times_the_requests_halve_the_interval() {
        let width = |size| {
            let points = [95.0, 100.0, 110.0].map(|rate| on_curve(rate, size, 104.0, 12.0));
            let found = root(&points, 0.01, 1.96).expect("there are points");
            found.upper.expect("it is bounded") - found.lower.expect("it is bounded")
        };
        let ratio = width(20_000.0) / width(80_000.0);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }

    #[test]
    fn a_step_lies_between_the_last_good_rate_and_the_first_bad_one() {
        let points = [point(100.0, 1_000.0, 0.0), point(200.0, 1_000.0, 1_000.0)];
        let found = root(&points, 0.01, 1.96).expect("there are points");
        let (lower, upper) = (found.lower.expect("it is bounded"), found.upper.expect("it is bounded"));
        assert!((95.0..=101.0).contains(&lower.exp()), "{}", lower.exp());
        assert!((190.0..=202.0).contains(&upper.exp()), "{}", upper.exp());
    }

    #[test]
    fn what_was_never_bad_has_no_upper_end_and_what_was_never_good_no_lower_one() {
        let good = root(&[point(10.0, 5_000.0, 0.0), point(20.0, 5_000.0, 1.0)], 0.01, 1.96).expect("there are points");
        assert_eq!(good.upper, None);
        assert!(good.lower.is_some_and(|lower| lower.exp() >= 19.0), "{good:?}");
        let bad = root(&[point(10.0, 5_000.0, 900.0), point(20.0, 5_000.0, 2_000.0)], 0.01, 1.96);
        assert_eq!(bad.expect("there are points").lower, None);
        assert_eq!(root(&[], 0.01, 1.96), None);
    }
}
