//! The proof that nothing was lost.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The proof that nothing was lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConservationView {
    /// The verdict over all checks.
    pub verdict: Verdict,
    /// The verdict in one line, as the terminal shows it: `conservation: exact (…)`.
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
