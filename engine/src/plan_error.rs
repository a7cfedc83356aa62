//! Why a plan cannot be run.

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct PlanError {
    /// The field of [`Plan`](crate::Plan) or [`Request`](crate::Request).
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl PlanError {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}
