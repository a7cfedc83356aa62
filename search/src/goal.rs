//! What is looked for: the SLO, how exactly, how surely and for how long.

use std::fmt;
use std::time::Duration;

/// The most criteria of one SLO.
pub const MAX_CRITERIA: usize = 8;
/// The longest search: its blocks are kept, some 70 bytes each for the largest SLO.
pub const MAX_BUDGET: Duration = Duration::from_secs(24 * 3600);
/// The narrowest interval that can be asked for. Below, clocks and schedulers decide and not the target.
pub const MIN_WIDTH: f64 = 0.001;
/// The widest.
pub const MAX_WIDTH: f64 = 1.0;

/// One criterion of an SLO: the share of the requests due that break it must stay below a limit.
///
/// `p99<50ms` says that the share without a response within 50 ms is below 1 %; `failed<0.1%` is a share already. Saying
/// both the same way is what makes an interval possible: a share has a binomial one, a quantile has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Criterion {
    /// Requests without a response within a time.
    Latency {
        /// From the moment the request was due to the last byte of its response, in nanoseconds.
        limit_ns: u64,
        /// Their share must be below this: 0.01 for a p99.
        share: f64,
    },
    /// Requests that failed, were skipped or dropped.
    Failed {
        /// Their share must be below this.
        share: f64,
    },
}

impl Criterion {
    /// The quantile `quantile` (0.99 for the p99) must be below `limit`.
    pub fn quantile(quantile: f64, limit: Duration) -> Self {
        Self::Latency { limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), share: 1.0 - quantile }
    }

    /// The share that must not be reached.
    pub fn share(&self) -> f64 {
        match self {
            Self::Latency { share, .. } | Self::Failed { share } => *share,
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A share that was made of a quantile is not exact.
        let percent = |share: f64| (share * 1e8).round() / 1e6;
        match self {
            Self::Latency { limit_ns, share } => {
                write!(f, "p{}<{:?}", percent(1.0 - share), Duration::from_nanos(*limit_ns))
            }
            Self::Failed { share } => write!(f, "failed<{}%", percent(*share)),
        }
    }
}

/// What a search is to find, and what it may cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// All of these must be kept.
    pub slo: Vec<Criterion>,
    /// The goal width: the search ends when the upper bound is this share above the lower one.
    pub width: f64,
    /// How sure the interval is.
    pub confidence: f64,
    /// How long the search may take.
    pub budget: Duration,
    /// The first rate, in requests per second.
    pub start_per_s: f64,
    /// The highest rate that may be asked for.
    pub max_per_s: f64,
    /// Blocks after each change of rate that do not count, at least: queues and caches have to follow it. Long trials
    /// leave out more.
    pub warm_up_blocks: usize,
}

impl Goal {
    /// That SLO, to 2 % with a confidence of 95 %, in five minutes.
    pub fn new(slo: Vec<Criterion>) -> Self {
        Self {
            slo,
            width: 0.02,
            confidence: 0.95,
            budget: Duration::from_secs(300),
            start_per_s: 10.0,
            max_per_s: 10_000_000.0,
            warm_up_blocks: 3,
        }
    }

    /// Whether this can be searched for.
    pub(crate) fn check(&self) -> Result<(), GoalError> {
        let Self { slo, width, confidence, budget, start_per_s, max_per_s, warm_up_blocks } = self;
        if slo.is_empty() || slo.len() > MAX_CRITERIA {
            return Err(GoalError::Criteria { count: slo.len() });
        }
        for criterion in slo {
            if !(criterion.share() > 0.0 && criterion.share() < 1.0) {
                return Err(GoalError::Share { criterion: *criterion });
            }
        }
        if !(MIN_WIDTH..=MAX_WIDTH).contains(width) {
            return Err(GoalError::Width { width: *width });
        }
        if !(0.5..=0.999).contains(confidence) {
            return Err(GoalError::Confidence { confidence: *confidence });
        }
        if budget.is_zero() || *budget > MAX_BUDGET {
            return Err(GoalError::Budget { budget: *budget });
        }
        // At a millionth of a request per second nothing is due within any budget.
        if !(1e-6..=1e9).contains(start_per_s) || !(*start_per_s..=1e9).contains(max_per_s) {
            return Err(GoalError::Rates { start_per_s: *start_per_s, max_per_s: *max_per_s });
        }
        if *warm_up_blocks > 3600 {
            return Err(GoalError::WarmUp { blocks: *warm_up_blocks });
        }
        Ok(())
    }
}

/// Why a goal cannot be searched for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GoalError {
    /// No criterion, or too many.
    #[error("the SLO has {count} criteria: give 1 to {MAX_CRITERIA}, like p99<50ms")]
    Criteria {
        /// How many there are.
        count: usize,
    },
    /// A share of nothing or of everything.
    #[error("{criterion} leaves no share that can be measured: the quantile or share must lie between 0 % and 100 %")]
    Share {
        /// The criterion.
        criterion: Criterion,
    },
    /// An interval that is too narrow or too wide.
    #[error("the width {width} is out of range: give 0.001 (0.1 %) to 1 (100 %)")]
    Width {
        /// The width asked for.
        width: f64,
    },
    /// A confidence that makes no interval.
    #[error("the confidence {confidence} is out of range: give 0.5 to 0.999")]
    Confidence {
        /// The confidence asked for.
        confidence: f64,
    },
    /// No time, or too much.
    #[error("the budget of {budget:?} is out of range: give more than 0 and at most 24 hours")]
    Budget {
        /// The budget asked for.
        budget: Duration,
    },
    /// Rates that cannot be asked for.
    #[error(
        "the rates {start_per_s}/s to {max_per_s}/s are out of range: give 0.000001 to 1,000,000,000, the start not above the maximum"
    )]
    Rates {
        /// The first rate.
        start_per_s: f64,
        /// The highest rate.
        max_per_s: f64,
    },
    /// A warm-up of more than an hour.
    #[error("a warm-up of {blocks} blocks is too long: at most 3,600")]
    WarmUp {
        /// The blocks asked for.
        blocks: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_criterion_is_shown_as_it_is_written() {
        let p99 = Criterion::quantile(0.99, Duration::from_millis(50));
        assert_eq!(p99.to_string(), "p99<50ms");
        assert_eq!(Criterion::quantile(0.999, Duration::from_secs(1)).to_string(), "p99.9<1s");
        assert_eq!(Criterion::Failed { share: 0.001 }.to_string(), "failed<0.1%");
    }

    #[test]
    fn what_cannot_be_searched_for_is_refused_in_words() {
        let good = Goal::new(vec![Criterion::Failed { share: 0.01 }]);
        assert_eq!(good.check(), Ok(()));
        for (wrong, said) in [
            (Goal { slo: vec![], ..good.clone() }, "0 criteria"),
            (Goal { slo: vec![Criterion::Failed { share: 0.0 }], ..good.clone() }, "failed<0%"),
            (Goal { slo: vec![Criterion::Failed { share: f64::NAN }], ..good.clone() }, "0 % and 100 %"),
            (Goal { width: f64::NAN, ..good.clone() }, "width"),
            (Goal { confidence: 1.0, ..good.clone() }, "confidence"),
            (Goal { budget: Duration::ZERO, ..good.clone() }, "budget"),
            (Goal { start_per_s: 0.0, ..good.clone() }, "rates"),
            (Goal { max_per_s: 5.0, ..good.clone() }, "rates"),
            (Goal { warm_up_blocks: 9_999, ..good.clone() }, "warm-up"),
        ] {
            let error = wrong.check().expect_err("it is refused").to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
