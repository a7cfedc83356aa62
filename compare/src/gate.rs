//! What a difference may be, and what became of it.

use std::fmt;
use std::str::FromStr;

use crate::comparison::Estimate;
use crate::quantity::Quantity;

/// More gates than this are a mistake.
pub const MAX_GATES: usize = 20;
/// The largest difference that a gate may speak of: a hundred times as much.
const MAX_PERCENT: f64 = 10_000.0;

const RIGHT: &str =
    "write a quantity and how much higher or lower it may be in B, like p99<+5%, rate>-3% or failed<+0.5%";

/// A limit on a difference: `p99<+5%`, `rate>-3%`; for what failed in percentage points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// What it is about.
    pub quantity: Quantity,
    /// Whether the difference must stay below the limit; else above.
    pub is_below: bool,
    /// The limit, as a share of A (0.05: 5 % higher); for what failed a difference of shares.
    pub limit: f64,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: {RIGHT}");
        let place = text.find(['<', '>']).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(place);
        let is_below = rest.starts_with('<');
        let quantity = Quantity::named(name).ok_or_else(wrong)?;
        let number = rest[1..].trim().strip_suffix('%').ok_or_else(wrong)?.trim();
        let percent: f64 = number.parse().map_err(|_| wrong())?;
        if !(percent > -100.0 && percent <= MAX_PERCENT) {
            return Err(wrong());
        }
        Ok(Self { quantity, is_below, limit: percent / 100.0 })
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quantity, is_below, limit } = self;
        // Rounded, so that what was written comes back.
        let percent = (limit * 1e10).round() / 1e8;
        write!(f, "{quantity}{}{percent:+}%", if *is_below { '<' } else { '>' })
    }
}

/// What became of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateVerdict {
    /// The difference is proven to be beyond the limit.
    Broken,
    /// The difference is proven to be within the limit.
    Kept,
    /// Neither is proven.
    Open,
    /// Too few requests lie beyond the quantile, or it has no value.
    Unknown,
}

impl GateVerdict {
    /// Its name: `broken`, `kept`, `open`, `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Kept => "kept",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

/// A gate and what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The gate.
    pub gate: Gate,
    /// What became of it.
    pub verdict: GateVerdict,
}

impl Judged {
    /// Holds a gate against an estimate, at so many standard errors. Where a value is not known, the estimate takes the largest
    /// that was measured in its place: then only a break can be proven.
    pub(crate) fn of(gate: &Gate, estimate: Option<&Estimate>, z: f64, is_known: bool) -> Self {
        let judge = |estimate: &Estimate| {
            let limit = if gate.quantity.is_ratio() { gate.limit.ln_1p() } else { gate.limit };
            let sign = if gate.is_below { 1.0 } else { -1.0 };
            let (beyond, margin) = (sign * (estimate.difference - limit), estimate.margin(z));
            match () {
                () if beyond > margin => GateVerdict::Broken,
                () if !is_known => GateVerdict::Unknown,
                () if beyond < -margin => GateVerdict::Kept,
                () => GateVerdict::Open,
            }
        };
        Self { gate: *gate, verdict: estimate.map_or(GateVerdict::Unknown, judge) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read_and_written() {
        for text in ["p99<+5%", "p99.9<+0.1%", "rate>-3%", "failed<+0.5%", "p50<-10%"] {
            assert_eq!(text.parse::<Gate>().map(|gate| gate.to_string()), Ok(text.into()));
        }
        assert_eq!(" P99 < 5 % ".parse::<Gate>(), "p99<+5%".parse());
        for wrong in
            ["", "p99", "p99<", "p99<5", "p99<50ms", "mean<5%", "p99<-100%", "p99<NaN%", "p99<inf%", "p99=5%", "<5%"]
        {
            let problem = wrong.parse::<Gate>().expect_err(wrong);
            assert!(problem.contains("p99<+5%") && problem.contains(&format!("{wrong:?}")), "{problem}");
        }
    }
}
