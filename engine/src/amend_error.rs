//! Why a run under way cannot be changed.

use std::time::Duration;

use crate::plan_error::PlanError;

/// Why a run under way cannot be changed. It goes on as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendError {
    /// The new phases are wrong, or do not fit the run's plan.
    #[error(transparent)]
    Phases(#[from] PlanError),
    /// Requests of that second may have been sent already.
    #[error("second {at_second} has begun; the first one that can still be changed is {first_second}")]
    Begun {
        /// The second that was asked for.
        at_second: u64,
        /// The first one that has not begun.
        first_second: u64,
    },
    /// The run is over by then.
    #[error("second {at_second} is beyond the end of the run, which is at {end:?}")]
    BeyondEnd {
        /// The second that was asked for.
        at_second: u64,
        /// When the run ends.
        end: Duration,
    },
    /// Everything has been sent, or the run was stopped.
    #[error("the run sends nothing any more")]
    Over,
}
