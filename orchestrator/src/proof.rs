//! The proof that nothing was lost, as a value.

use onrush_protocol::NodeId;
use onrush_stats::Verdict;

/// The check against the target's counters: without it, a result may still be exact.
pub const TARGET_CHECK: &str = "target counted = sent";

/// The proof that nothing was lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Conservation {
    /// What the checks found, in one line.
    pub line: String,
    /// Each check.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// For instance `sent = answered + failed`.
    pub name: String,
    /// The driver; `None`: over all.
    pub node_id: Option<NodeId>,
    /// What it found.
    pub verdict: Verdict,
    /// The number that should be; `None`: unknown.
    pub expected: Option<u64>,
    /// The number that is; `None`: unknown.
    pub actual: Option<u64>,
    /// The same in words.
    pub detail: String,
}

impl Check {
    /// Whether the outcome depends on it: many a target has no counters.
    pub fn counts(&self) -> bool {
        self.name != TARGET_CHECK || self.verdict == Verdict::Breach
    }

    /// Who is checked, for a sentence.
    pub fn who(&self) -> &str {
        self.node_id.as_ref().map_or("all", NodeId::as_str)
    }
}
