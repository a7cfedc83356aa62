//! What is compared.

use std::fmt;

/// A number of a run that is compared with that of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// A quantile of the latency over everything that was due, above 0 and below 1. The difference is a ratio.
    Quantile(f64),
    /// Responses per second of sending. The difference is a ratio.
    Rate,
    /// Failed requests among those that ended. The difference is one of shares: a ratio to nothing means nothing.
    Failed,
}

/// The quantiles that every comparison has.
const QUANTILES: [f64; 6] = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999];

impl Quantity {
    /// What every comparison has, in the order in which it is shown.
    pub fn usual() -> Vec<Self> {
        QUANTILES.map(Self::Quantile).into_iter().chain([Self::Rate, Self::Failed]).collect()
    }

    /// The quantity of that name (`p99`, `median`, `rate`, `failed`).
    pub fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "rate" => Some(Self::Rate),
            "failed" => Some(Self::Failed),
            "median" => Some(Self::Quantile(0.5)),
            name => {
                let percent: f64 = name.strip_prefix('p').filter(|digits| !digits.starts_with('+'))?.parse().ok()?;
                // Rounded, so that 99.9 is the same number as in the list above.
                let quantile = (percent * 1e6).round() / 1e8;
                (quantile > 0.0 && quantile < 1.0).then_some(Self::Quantile(quantile))
            }
        }
    }

    /// Whether its difference is a ratio; else it is one of shares.
    pub fn is_ratio(self) -> bool {
        self != Self::Failed
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As many digits as were written.
            Self::Quantile(quantile) => write!(f, "p{}", (quantile * 1e8).round() / 1e6),
            Self::Rate => f.write_str("rate"),
            Self::Failed => f.write_str("failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for quantity in Quantity::usual() {
            assert_eq!(Quantity::named(&quantity.to_string()), Some(quantity));
        }
        let names: Vec<String> = Quantity::usual().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["p50", "p90", "p95", "p99", "p99.9", "p99.99", "rate", "failed"]);
        assert_eq!(Quantity::named(" P99 "), Some(Quantity::Quantile(0.99)));
        assert_eq!(Quantity::named("median"), Quantity::named("p50"));
        for wrong in ["", "p", "p0", "p100", "pNaN", "p+9", "p-1", "99", "mean"] {
            assert_eq!(Quantity::named(wrong), None, "{wrong}");
        }
    }
}
