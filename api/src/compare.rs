//! Two results compared, as REST and the command line show it.

use onrush_compare::{Compared, Comparison, Interval, Quantity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Two results compared: how B differs from A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CompareView {
    /// The first result.
    pub a: ComparedRunView,
    /// The second one.
    pub b: ComparedRunView,
    /// What is proven, or how large a difference can be at most, in words.
    pub sentence: String,
    /// Whether they were interleaved, so that what disturbed one disturbed the other.
    pub interleaved: bool,
    /// What was compared.
    pub rows: Vec<ComparedView>,
    /// What became of the gates, in the order in which they were given.
    pub gates: Vec<GateView>,
    /// What makes the comparison doubtful, in words.
    pub remarks: Vec<String>,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComparedRunView {
    /// The test's id, the file or the URL.
    pub name: String,
    /// Seconds that were compared.
    pub seconds: u64,
    /// How long the blocks were that were drawn: as long as seconds hang together.
    pub block_s: f64,
}

/// One quantity of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComparedView {
    /// `p50`, `p99.9`, `rate` or `failed`. Quantiles are over everything that was due.
    pub quantity: String,
    /// `ms`, `per_s` or `share`.
    pub unit: String,
    /// In A; `null`: it lies among the requests that got no response, or there is none.
    pub a: Option<f64>,
    /// In B.
    pub b: Option<f64>,
    /// How much higher it is in B, as a share of A: 0.08 is 8 % higher. For `failed`, the difference of the shares. `null`: too few
    /// requests lie beyond it to say.
    pub difference: Option<f64>,
    /// Where the difference lies with 95 % confidence.
    pub interval: Option<IntervalView>,
    /// Where it lies with 95 % confidence for all rows together.
    pub interval_together: Option<IntervalView>,
    /// Whether there is a difference, with 95 % confidence for all rows together.
    pub proven: bool,
    /// The difference in words.
    pub effect: String,
}

/// From where to where a difference lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct IntervalView {
    pub lower: f64,
    pub upper: f64,
}

/// A gate, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateView {
    /// As it was given: `p99<+5%`.
    pub gate: String,
    /// `broken`: the difference is proven to be beyond it; `kept`: proven to be within; `open`: neither; `unknown`: too few
    /// requests to judge it.
    pub verdict: String,
    /// Why, in words.
    pub detail: String,
}

impl CompareView {
    /// A comparison of results with these names.
    pub fn of(comparison: &Comparison, names: [String; 2], remarks: Vec<String>) -> Self {
        let Comparison { rows, gates, seconds, block_s, is_paired } = comparison;
        let [a, b] = names;
        let run = |name, side: usize| ComparedRunView { name, seconds: seconds[side], block_s: block_s[side] };
        let gate = |judged: &onrush_compare::Judged| {
            let row = rows.iter().find(|row| row.quantity == judged.gate.quantity);
            GateView {
                gate: judged.gate.to_string(),
                verdict: judged.verdict.name().into(),
                detail: row.map_or(String::new(), |row| judged.in_words(row)),
            }
        };
        Self {
            a: run(a, 0),
            b: run(b, 1),
            sentence: comparison.sentence(),
            interleaved: *is_paired,
            rows: rows.iter().map(ComparedView::of).collect(),
            gates: gates.iter().map(gate).collect(),
            remarks,
        }
    }

    /// The gates that are proven to be broken, in words; `None`: none is.
    pub fn broken(&self) -> Option<String> {
        let broken: Vec<&str> = self.gates.iter().filter(|gate| gate.verdict == "broken").map(|g| &*g.gate).collect();
        (!broken.is_empty()).then(|| format!("a regression is proven: {}", broken.join(", ")))
    }
}

impl ComparedView {
    fn of(row: &Compared) -> Self {
        let (unit, factor) = match row.quantity {
            Quantity::Quantile(_) => ("ms", 1e-6),
            Quantity::Rate => ("per_s", 1.0),
            Quantity::Failed => ("share", 1.0),
        };
        let interval = |of: Option<Interval>| of.map(|Interval { lower, upper }| IntervalView { lower, upper });
        Self {
            quantity: row.quantity.to_string(),
            unit: unit.into(),
            a: row.a.map(|value| value * factor),
            b: row.b.map(|value| value * factor),
            difference: row.difference,
            interval: interval(row.interval),
            interval_together: interval(row.together),
            proven: row.is_proven,
            effect: row.effect(),
        }
    }
}
