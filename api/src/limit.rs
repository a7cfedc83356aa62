//! Who was the limit of a run.

use onrush_stats as stats;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who ended the growth of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LimitedBy {
    /// What is tested.
    Target,
    /// The drivers: the figures are a lower bound.
    Generator,
    /// What lies between.
    Network,
    /// Nobody: the asked rate was reached.
    None,
    /// The evidence does not suffice.
    Unknown,
}

impl LimitedBy {
    /// Its word, the same everywhere.
    pub fn name(self) -> &'static str {
        stats::LimitedBy::from(self).name()
    }
}

/// Who was the limit, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitView {
    /// Who it was.
    pub limited_by: LimitedBy,
    /// What of them: `cpu`, `bandwidth`, …; `null` where nobody was, or nobody knows.
    pub resource: Option<String>,
    /// Why, in one line.
    pub reasons: String,
    /// The first second of which it is true.
    pub since_second: Option<u64>,
    /// Whether the figures are only the least that the target can do.
    pub is_lower_bound: bool,
    /// All of that in one line, as the terminal shows it: `limit: target: CPU full …`.
    pub line: String,
}

super::proof::same_values!(LimitedBy = stats::LimitedBy: Target Generator Network None Unknown);

impl From<&stats::FoundLimit> for LimitView {
    fn from(found: &stats::FoundLimit) -> Self {
        let stats::FoundLimit { limited_by, resource, reasons, since_second } = found;
        Self {
            limited_by: (*limited_by).into(),
            resource: resource.map(|resource| resource.name().into()),
            reasons: reasons.clone(),
            since_second: *since_second,
            is_lower_bound: found.is_lower_bound(),
            line: found.line(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_written_as_its_word() {
        for known in stats::LimitedBy::ALL {
            let text = serde_json::to_string(&LimitedBy::from(known)).expect("a word");
            assert_eq!(text, format!("{:?}", known.name()));
        }
    }
}
