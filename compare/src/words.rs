//! A comparison in words: the effect first.

use crate::comparison::{Compared, Comparison, Interval};
use crate::gate::{GateVerdict, Judged};
use crate::quantity::Quantity;

/// Differences that are told in one sentence; the table has the others.
const MAX_TOLD: usize = 3;
/// A difference of more than this could hide behind the noise: more time would tell.
const LARGE: f64 = 0.10;

impl Comparison {
    /// What is proven, or how large a difference can be at most: `p99 is 8.0 % ± 3.1 % higher in B`.
    pub fn sentence(&self) -> String {
        let mut proven: Vec<&Compared> = self.rows.iter().filter(|row| row.is_proven).collect();
        proven.sort_by_key(|row| weight(row.quantity));
        if proven.is_empty() {
            return self.no_difference();
        }
        let told: Vec<String> = proven.iter().take(MAX_TOLD).map(|row| row.in_words()).collect();
        let more = match proven.len().saturating_sub(MAX_TOLD) {
            0 => String::new(),
            1 => "; one more difference is proven".into(),
            n => format!("; {n} more differences are proven"),
        };
        format!("in B {}{more}", told.join(", "))
    }

    fn no_difference(&self) -> String {
        let largest = |rows: &mut dyn Iterator<Item = &Compared>| {
            let ends = rows.filter_map(|row| row.together).map(|of| of.lower.abs().max(of.upper.abs()));
            ends.reduce(f64::max)
        };
        let is_usual = |quantity: Quantity| matches!(quantity, Quantity::Quantile(quantile) if quantile <= 0.99);
        let usual = self.rows.iter().filter(|row| row.together.is_some() && is_usual(row.quantity));
        let highest = usual.clone().next_back().map(|row| row.quantity);
        let mut bounds = Vec::new();
        if let (Some(bound), Some(highest)) = (largest(&mut usual.clone()), highest) {
            bounds.push(format!("{} up to {highest}", percent(bound, bound)));
        }
        for row in self.rows.iter().filter(|row| !is_usual(row.quantity)) {
            let Some(bound) = largest(&mut std::iter::once(row)) else { continue };
            match row.quantity {
                Quantity::Quantile(_) => bounds.push(format!("{} at {}", percent(bound, bound), row.quantity)),
                Quantity::Rate => bounds.push(format!("{} in the rate", percent(bound, bound))),
                Quantity::Failed if row.a == Some(0.0) && row.b == Some(0.0) => {}
                Quantity::Failed => {
                    bounds.push(format!("{} points in what failed", number(bound * 100.0, bound * 100.0)))
                }
            }
        }
        let limit = match &bounds[..] {
            [] => return "there are too few responses to compare; let both run longer".into(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        };
        let advice = if largest(&mut usual.clone()).is_some_and(|bound| bound > LARGE) {
            "; longer runs would tell more"
        } else {
            ""
        };
        format!("no difference is proven, none larger than {limit}{advice}")
    }
}

/// What matters most comes first.
fn weight(quantity: Quantity) -> (u8, u64) {
    match quantity {
        Quantity::Failed => (0, 0),
        Quantity::Quantile(0.99) => (1, 0),
        Quantity::Quantile(0.5) => (2, 0),
        Quantity::Rate => (3, 0),
        Quantity::Quantile(quantile) => (4, (quantile * 1e8) as u64),
    }
}

impl Compared {
    /// `p99 is 8.0 % ± 3.1 % higher`.
    pub fn in_words(&self) -> String {
        let (Some(difference), Some(interval)) = (self.difference, self.interval) else {
            return format!("{} is not known", self.quantity);
        };
        format!("{} is {}", self.subject(), effect(self.quantity, difference, interval))
    }

    fn subject(&self) -> String {
        match self.quantity {
            Quantity::Quantile(_) => self.quantity.to_string(),
            Quantity::Rate => "the rate".into(),
            Quantity::Failed => "the share that failed".into(),
        }
    }

    /// `8.0 % ± 3.1 % higher`; `unknown` where nothing can be said.
    pub fn effect(&self) -> String {
        match (self.difference, self.interval) {
            (Some(difference), Some(interval)) => effect(self.quantity, difference, interval),
            _ => "unknown".into(),
        }
    }
}

impl Judged {
    /// What became of it, with `row`, the one it is about: `gate p99<+5%: BROKEN, p99 is 8.0 % ± 3.1 % higher`.
    pub fn in_words(&self, row: &Compared) -> String {
        let Self { gate, verdict } = self;
        let found = row.in_words();
        match verdict {
            GateVerdict::Broken if row.difference.is_none() => {
                format!("{} lies among the requests that got no response", row.subject())
            }
            GateVerdict::Broken => format!("{found}, and that it is beyond {} is proven", limit(gate.limit)),
            GateVerdict::Kept => format!("{found}, and that it is within {} is proven", limit(gate.limit)),
            GateVerdict::Open => format!("{found}; that it is beyond {} is not proven", limit(gate.limit)),
            GateVerdict::Unknown => {
                format!("too few requests, or too few moments, lie beyond {} to judge it", row.subject())
            }
        }
    }
}

fn limit(share: f64) -> String {
    format!("{:+} %", (share * 1e10).round() / 1e8)
}

fn effect(quantity: Quantity, difference: f64, interval: Interval) -> String {
    let Interval { lower, upper } = interval;
    let margin = (upper - lower) / 2.0;
    let word = if difference < 0.0 { "lower" } else { "higher" };
    match quantity {
        Quantity::Failed => {
            let points = |share: f64| number((share * 100.0).abs(), margin * 100.0);
            format!("{} ± {} points {word}", points(difference), points(margin))
        }
        // Beyond the double percentages are harder to read than a factor, and the interval is not even.
        _ if difference >= 1.0 => {
            let times = |share: f64| number(1.0 + share, 1.0);
            format!("{} times as high ({} to {})", times(difference), times(lower), times(upper))
        }
        _ => format!("{} ± {} {word}", percent(difference.abs(), margin), percent(margin, margin)),
    }
}

/// With as many digits as the margin allows.
fn percent(share: f64, margin: f64) -> String {
    format!("{} %", number(share * 100.0, margin * 100.0))
}

fn number(value: f64, margin: f64) -> String {
    let digits = match margin.abs() {
        margin if margin >= 10.0 => 0,
        margin if margin >= 0.95 => 1,
        margin if margin >= 0.095 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(quantity: Quantity, difference: f64, margin: f64, is_proven: bool) -> Compared {
        let interval = Some(Interval { lower: difference - margin, upper: difference + margin });
        let (a, b) = (Some(1e6), Some(1e6 * (1.0 + difference)));
        Compared { quantity, a, b, difference: Some(difference), interval, together: interval, is_proven }
    }

    fn comparison(rows: Vec<Compared>) -> Comparison {
        Comparison { rows, gates: Vec::new(), seconds: [60, 60], block_s: [1.0, 1.0], is_paired: false }
    }

    #[test]
    fn the_effect_comes_first() {
        let p = Quantity::Quantile;
        let one = comparison(vec![row(p(0.5), 0.001, 0.01, false), row(p(0.99), 0.0804, 0.031, true)]);
        assert_eq!(one.sentence(), "in B p99 is 8.0 % ± 3.1 % higher");
        let many = comparison(vec![
            row(p(0.5), -0.1234, 0.002, true),
            row(p(0.9), -0.1, 0.002, true),
            row(p(0.95), -0.1, 0.002, true),
            row(p(0.99), 1.5, 0.2, true),
            row(Quantity::Failed, 0.012, 0.003, true),
        ]);
        let words = "in B the share that failed is 1.20 ± 0.30 points higher, p99 is 2.5 times as high (2.3 to 2.7), \
            p50 is 12.34 % ± 0.20 % lower; 2 more differences are proven";
        assert_eq!(many.sentence(), words);
    }

    #[test]
    fn where_nothing_is_proven_the_largest_that_is_possible_is_said() {
        let p = Quantity::Quantile;
        let mut rows = vec![
            row(p(0.5), 0.001, 0.004, false),
            row(p(0.99), -0.006, 0.012, false),
            row(p(0.999), 0.02, 0.04, false),
            row(Quantity::Rate, 0.0, 0.001, false),
        ];
        let words = "no difference is proven, none larger than 1.8 % up to p99, 6.0 % at p99.9 and 0.10 % in the rate";
        assert_eq!(comparison(rows.clone()).sentence(), words);
        rows.truncate(2);
        rows[1] = row(p(0.99), 0.1, 0.2, false);
        let words = "no difference is proven, none larger than 30 % up to p99; longer runs would tell more";
        assert_eq!(comparison(rows).sentence(), words);
        assert!(comparison(Vec::new()).sentence().contains("too few"));
    }
}
