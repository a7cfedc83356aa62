//! Why something that was asked for was not done.

use onrush_protocol::TestId;

/// What happened and what to do, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The state of things forbids it.
    #[error("{0}")]
    Conflict(String),
    /// What was given cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be done now; later it can.
    #[error("{0}")]
    Unavailable(String),
}

impl Problem {
    pub(crate) fn conflict(why: impl Into<String>) -> Self {
        Self::Conflict(why.into())
    }

    pub(crate) fn no_such_test(test_id: &TestId) -> Self {
        Self::NotFound(format!("there is no test {test_id}"))
    }

    pub(crate) fn no_such_search(test_id: &TestId) -> Self {
        Self::NotFound(format!("there is no capacity search {test_id}"))
    }
}
