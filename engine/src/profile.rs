//! What is asked for over time: phases of a load profile, how due moments lie, and the share of one node.

use std::time::Duration;

use crate::clock::as_ns;
use crate::plan::{MAX_RATE_PER_S, MIN_RATE_PER_S};
use crate::plan_error::PlanError;

/// A profile has at most this many phases.
pub const MAX_PHASES: usize = 1_000;

/// A part of a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// How long it lasts. One that reaches beyond 2^64 nanoseconds of the run (584 years) never ends.
    pub length: Duration,
    /// What is asked for meanwhile.
    pub shape: Shape,
}

/// What a phase asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Always as many requests a second.
    Constant {
        /// Requests a second, from [`MIN_RATE_PER_S`] to [`MAX_RATE_PER_S`].
        rate_per_s: f64,
    },
    /// A rate that changes evenly: after a part *p* of the phase it is `from + p × (to − from)`. It is sent as a staircase of
    /// tenths of a second, each with as many requests as the ramp has in it.
    Ramp {
        /// Requests a second at the beginning; 0, or as in a constant phase.
        from_per_s: f64,
        /// Requests a second at the end; 0, or as in a constant phase.
        to_per_s: f64,
    },
    /// As fast as connections allow: a request is due when it is sent.
    Free,
    /// Nothing becomes due.
    Pause,
}

/// How the due moments of a rate lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// At even distances.
    #[default]
    Even,
    /// At random, as those of many users who know nothing of one another: a Poisson process with the rate that is asked for.
    /// The same seed gives the same moments, for any number of threads and nodes.
    Poisson {
        /// Which of the processes.
        seed: u64,
    },
}

/// The share of a schedule that one node serves: of `of` nodes that have the same plan but for this, every slot
/// `k ≡ index (mod of)`. A count is the node's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which of the nodes this is, from 0.
    pub index: u32,
    /// How many nodes there are.
    pub of: u32,
}

impl Default for Share {
    /// The whole schedule.
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Phase {
    /// Checks the phases of a profile. Errors name the phase, counted from 1.
    pub(crate) fn validate(phases: &[Self]) -> Result<(), PlanError> {
        let wrong = |problem: String| Err(PlanError::new("profile", problem));
        if phases.is_empty() {
            return wrong("a profile needs at least one phase".into());
        }
        if phases.len() > MAX_PHASES {
            return wrong(format!("{} phases are too many; give at most {MAX_PHASES}", phases.len()));
        }
        for (index, phase) in phases.iter().enumerate() {
            let wrong = |problem: String| wrong(format!("phase {}: {problem}", index + 1));
            if phase.length.is_zero() {
                return wrong("its length must be greater than 0".into());
            }
            match phase.shape {
                Shape::Constant { rate_per_s: 0.0 } => {
                    return wrong("a rate of 0 sends nothing; make it a pause".into());
                }
                Shape::Constant { rate_per_s } if !is_rate(rate_per_s) => return wrong(no_rate(rate_per_s)),
                Shape::Ramp { from_per_s, to_per_s } => {
                    if let Some(end) = [from_per_s, to_per_s].into_iter().find(|end| *end != 0.0 && !is_rate(*end)) {
                        return wrong(format!("{}, or 0 at one end of a ramp", no_rate(end)));
                    }
                    if from_per_s == 0.0 && to_per_s == 0.0 {
                        return wrong("a ramp from 0 to 0 sends nothing; make it a pause".into());
                    }
                }
                Shape::Constant { .. } | Shape::Free | Shape::Pause => (),
            }
        }
        Ok(())
    }

    /// How long phases last together, in nanoseconds; `u64::MAX`: for ever.
    pub(crate) fn total_ns(phases: &[Self]) -> u64 {
        phases.iter().fold(0, |sum, phase| sum.saturating_add(as_ns(phase.length)))
    }
}

fn is_rate(rate_per_s: f64) -> bool {
    (MIN_RATE_PER_S..=MAX_RATE_PER_S).contains(&rate_per_s)
}

fn no_rate(rate_per_s: f64) -> String {
    format!("{rate_per_s} is not a rate; give one request an hour to {MAX_RATE_PER_S} a second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_phase_is_named() {
        let second = |shape| Phase { length: Duration::from_secs(1), shape };
        let constant = |rate_per_s| second(Shape::Constant { rate_per_s });
        let ramp = |from_per_s, to_per_s| second(Shape::Ramp { from_per_s, to_per_s });
        let fine = [constant(1.0), ramp(0.0, 5.0), ramp(5.0, 0.0), second(Shape::Free), second(Shape::Pause)];
        assert_eq!(Phase::validate(&fine), Ok(()));
        for wrong in [
            constant(0.0),
            constant(-1.0),
            constant(f64::NAN),
            constant(2e9),
            ramp(0.0, 0.0),
            ramp(1.0, f64::INFINITY),
            ramp(1e-9, 1.0),
            Phase { length: Duration::ZERO, ..constant(1.0) },
        ] {
            let error = Phase::validate(&[constant(1.0), wrong]).expect_err("a wrong phase");
            assert!(error.field == "profile" && error.problem.starts_with("phase 2: "), "{error}");
        }
        assert!(Phase::validate(&[]).is_err());
        assert!(Phase::validate(&[constant(1.0); MAX_PHASES]).is_ok());
        assert!(Phase::validate(&[constant(1.0); MAX_PHASES + 1]).is_err());
    }
}
