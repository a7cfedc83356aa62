//! The few special functions that binomial and Student intervals need.

/// ln Γ(x) for x > 0, by Lanczos' approximation (g = 7, nine terms): about 15 digits.
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let base = x + 7.5;
    let sum = COEFFICIENTS[1..]
        .iter()
        .zip(1..)
        .fold(COEFFICIENTS[0], |sum, (coefficient, index)| sum + coefficient / (x + f64::from(index)));
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * base.ln() - base + sum.ln()
}

/// The regularized incomplete beta function I_x(a, b), for a, b > 0, by its continued fraction (DLMF 8.17.22) with Lentz's method.
pub fn beta_regularized(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on this side of the mean; I_x(a, b) = 1 - I_{1-x}(b, a) leads there from the other.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_regularized(b, a, 1.0 - x);
    }
    let ln_front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    ln_front.exp() / a * beta_fraction(a, b, x)
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    // It takes some square root of `max(a, b)` terms: enough for millions of samples.
    const MAX_TERMS: u32 = 10_000;
    let not_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for term in 1..MAX_TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / not_zero(1.0 + even * d);
        c = not_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / not_zero(1.0 + odd * d);
        c = not_zero(1.0 + odd / c);
        let change = d * c;
        fraction *= change;
        if (change - 1.0).abs() < 1e-12 {
            break;
        }
    }
    fraction
}

/// The x in 0 to 1 at which an increasing function reaches `wanted`, by bisection.
pub fn solve_increasing(function: impl Fn(f64) -> f64, wanted: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if function(middle) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The t that |T| exceeds with probability `1 - confidence`, for Student's T with so many degrees of freedom (at least 1).
///
/// From 1,000 on the normal distribution's value is met to 0.2 %, and more degrees are taken for 1,000.
pub fn student_t(confidence: f64, degrees: f64) -> f64 {
    let degrees = degrees.clamp(1.0, 1_000.0);
    // P(|T| > t) = I_x(degrees / 2, 1 / 2) where x = degrees / (degrees + t^2).
    let x = solve_increasing(|x| beta_regularized(degrees / 2.0, 0.5, x), 1.0 - confidence);
    (degrees * (1.0 - x) / x.max(f64::MIN_POSITIVE)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-4 * expected.abs().max(1e-6), "{actual} is not {expected}");
    }

    #[test]
    fn the_beta_function_meets_values_that_are_known() {
        // I_x(1, b) = 1 - (1 - x)^b, I_x(a, 1) = x^a, I_1/2(a, a) = 1/2.
        assert_near(beta_regularized(1.0, 368.0, 0.01), 1.0 - 0.99_f64.powi(368));
        assert_near(beta_regularized(3.5, 1.0, 0.2), 0.2_f64.powf(3.5));
        assert_near(beta_regularized(1_000.0, 1_000.0, 0.5), 0.5);
        // P(X >= 3) for ten trials of one half is 968/1024.
        assert_near(beta_regularized(3.0, 8.0, 0.5), 968.0 / 1024.0);
    }

    #[test]
    fn students_t_meets_the_printed_tables() {
        for (confidence, degrees, expected) in
            [(0.95, 1.0, 12.7062), (0.95, 10.0, 2.22814), (0.99, 4.0, 4.60409), (0.95, 120.0, 1.97993)]
        {
            assert_near(student_t(confidence, degrees), expected);
        }
    }
}
