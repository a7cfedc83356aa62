//! The proof that nothing was lost, and what a result is worth.

use onrush_stats as stats;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far the result of a test can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything is in, and every check holds.
    Exact,
    /// Everything is in and nothing contradicts it, but not every check could be made.
    Unproved,
    /// Something is missing; what is there does not contradict itself.
    Incomplete,
    /// A check does not hold.
    Invalid,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Unproved, Self::Incomplete, Self::Invalid];

    /// Its word, the same everywhere.
    pub fn name(self) -> &'static str {
        stats::Outcome::from(self).name()
    }

    /// Whether the result can be relied on: all of it is there, and nothing contradicts it.
    pub fn is_sound(self) -> bool {
        stats::Outcome::from(self).is_sound()
    }
}

/// The proof that nothing was lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConservationView {
    /// What the checks found in one line, as the terminal shows it: `conservation: exact (…)`.
    pub line: String,
    /// Each check.
    pub checks: Vec<CheckView>,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It holds to the digit.
    Exact,
    /// What is needed for the check is not there: a lost driver, a target without counters.
    Unknown,
    /// It does not hold: the result is invalid.
    Breach,
}

/// One check of conservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct CheckView {
    /// For instance `sent = answered + failed`.
    pub name: String,
    /// The driver; `null`: over all.
    pub node_id: Option<String>,
    pub verdict: Verdict,
    pub expected: Option<u64>,
    pub actual: Option<u64>,
    pub detail: String,
}

/// Conversions between enums of the same values: one that either lacks stops the build.
macro_rules! same_values {
    ($Shown:ident = $Known:ty: $($Value:ident)*) => {
        impl From<$Known> for $Shown {
            fn from(known: $Known) -> Self {
                match known { $(<$Known>::$Value => Self::$Value,)* }
            }
        }

        impl From<$Shown> for $Known {
            fn from(shown: $Shown) -> Self {
                match shown { $($Shown::$Value => Self::$Value,)* }
            }
        }
    };
}

pub(crate) use same_values;

same_values!(Outcome = stats::Outcome: Exact Unproved Incomplete Invalid);
same_values!(Verdict = stats::Verdict: Exact Unknown Breach);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_written_as_its_word() {
        for known in stats::Outcome::ALL {
            let text = serde_json::to_string(&Outcome::from(known)).expect("a word");
            assert_eq!(text, format!("{:?}", known.name()));
        }
    }
}
