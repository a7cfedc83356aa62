//! What a plan asks of all threads together, and how it is changed while they run.
//!
//! A change takes effect at a whole second that no thread has begun. Each thread tells under the lock that it begins a second,
//! before it claims anything in it, and takes up what was changed: so none can have sent by what a second was like before,
//! however late it wakes up. Where nothing is changed that costs one lock a second.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::curve::{Curve, MAX_PIECES};
use super::paced::Cap;
use super::slots::Slots;
use crate::amend_error::AmendError;
use crate::clock::{SECOND_NS, as_ns};
use crate::plan::{Mode, Plan};
use crate::plan_error::PlanError;
use crate::profile::{Arrivals, Phase, Shape};

/// What is asked of all threads together.
#[derive(Debug)]
pub(crate) struct Course {
    /// Whether requests have slots from the start on.
    pub(super) is_paced: bool,
    pub(super) backlog_is_kept: bool,
    /// Where the plan has a count, what it is one of.
    pub(super) counted: Option<Counted>,
    limit: Limit,
    arrivals: Arrivals,
    state: Mutex<State>,
    /// That of the state.
    version: AtomicU32,
}

/// What a count is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// Slots, which are shared out beforehand: this many, of all nodes.
    Slots(u64),
    /// Requests, first come, first served.
    Requests(u64),
}

/// How much a second may send.
#[derive(Debug)]
enum Limit {
    /// As much as it has slots.
    Own,
    /// As much as this curve has in it: the rate that goes with a longer delay.
    Rate(Arc<Curve>),
    /// A delay alone limits nothing.
    None,
}

#[derive(Debug)]
struct State {
    current: Amended,
    /// The latest second that any thread has begun.
    begun_second: u64,
    /// Threads that may still send.
    threads: u64,
}

/// A curve and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Amended {
    pub curve: Arc<Curve>,
    /// From which second on it is not the plan's; `u64::MAX`: it is.
    pub from_second: u64,
    pub version: u32,
}

impl Course {
    /// The course of a plan that so many threads run.
    pub fn of(plan: &Plan, threads: u64) -> Self {
        let end_ns = plan.duration.map(as_ns);
        let rate = plan.target_throughput_per_s.map(|rate_per_s| Curve::per_second(rate_per_s, end_ns));
        let delay = match plan.mode {
            Mode::Tsunami { delay } if !delay.is_zero() => Some(Curve::every(delay, end_ns)),
            Mode::Tsunami { .. } | Mode::Avalanche => None,
        };
        let is_paced = plan.profile.is_some() || rate.is_some() || delay.is_some();
        let (curve, limit) = match (&plan.profile, delay, rate) {
            (Some(phases), ..) => (Curve::of_phases(phases), Limit::Own),
            (None, Some(delay), Some(rate)) => (delay.slower(rate.clone()), Limit::Rate(Arc::new(rate))),
            (None, Some(delay), None) => (delay, Limit::None),
            (None, None, Some(rate)) => (rate, Limit::Own),
            (None, None, None) => (Curve::free(end_ns), Limit::None),
        };
        let backlog_is_kept = plan.mode != Mode::Avalanche;
        // Free time has no slots.
        let counts_slots = backlog_is_kept && !has_free(plan.profile.iter().flatten());
        // Each node serves its own count of them.
        let of_all_nodes = |count: u64| count.saturating_mul(plan.share.of.into());
        let counted = |count| if counts_slots { Counted::Slots(of_all_nodes(count)) } else { Counted::Requests(count) };
        let current = Amended { curve: Arc::new(curve), from_second: u64::MAX, version: 0 };
        Self {
            is_paced,
            backlog_is_kept,
            counted: plan.count.map(counted),
            limit,
            arrivals: plan.arrivals,
            state: Mutex::new(State { current, begun_second: 0, threads }),
            version: AtomicU32::new(0),
        }
    }

    pub(super) fn slots(&self, curve: Arc<Curve>) -> Slots {
        Slots::new(curve, self.arrivals)
    }

    pub(super) fn cap(&self) -> Cap {
        match &self.limit {
            Limit::Own => Cap::Own,
            Limit::Rate(curve) => Cap::Other(Slots::new(curve.clone(), Arrivals::Even)),
            Limit::None => Cap::None,
        }
    }

    /// Replaces what is asked for from a whole second on, which must lie after `now_second`; nothing before it changes.
    pub fn amend(&self, now_second: u64, at_second: u64, phases: &[Phase]) -> Result<(), AmendError> {
        self.fits(phases)?;
        let mut state = self.state();
        if state.threads == 0 {
            return Err(AmendError::Over);
        }
        let first_second = now_second.max(state.begun_second) + 1;
        if at_second < first_second {
            return Err(AmendError::Begun { at_second, first_second });
        }
        let end_ns = state.current.curve.end_ns().unwrap_or(u64::MAX);
        let at_ns = at_second.saturating_mul(SECOND_NS);
        if at_ns >= end_ns {
            return Err(AmendError::BeyondEnd { at_second, end: Duration::from_nanos(end_ns) });
        }
        let curve = state.current.curve.amended(at_ns, phases);
        let wrong = |problem: &str| Err(PlanError::new("profile", problem).into());
        if curve.end_ns().is_none() && self.counted.is_none() {
            return wrong("the test would never end; give its last phase a shorter length");
        }
        if curve.pieces() > MAX_PIECES {
            return wrong("the test has been changed too often to be changed again; start another one");
        }
        let version = state.current.version + 1;
        let from_second = state.current.from_second.min(at_second);
        state.current = Amended { curve: Arc::new(curve), from_second, version };
        self.version.store(version, Ordering::Release);
        Ok(())
    }

    fn fits(&self, phases: &[Phase]) -> Result<(), PlanError> {
        Phase::validate(phases)?;
        if matches!(self.counted, Some(Counted::Slots(_))) && has_free(phases) {
            let problem =
                "a Tsunami's count is one of its slots, of which a free phase has none; give rates and pauses";
            return Err(PlanError::new("profile", problem));
        }
        Ok(())
    }

    /// What is asked for now.
    pub(super) fn current(&self) -> Amended {
        self.state().current.clone()
    }

    /// The same, where it is not of this version.
    pub(super) fn newer_than(&self, version: u32) -> Option<Amended> {
        (self.version.load(Ordering::Acquire) != version).then(|| self.current())
    }

    /// A thread begins a second: what is asked for in it can change no more.
    pub(super) fn begin(&self, second: u64) -> Amended {
        let mut state = self.state();
        state.begun_second = state.begun_second.max(second);
        state.current.clone()
    }

    /// A thread sends nothing any more.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.threads = state.threads.saturating_sub(1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole whatever became of a thread that held the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_free<'a>(phases: impl IntoIterator<Item = &'a Phase>) -> bool {
    phases.into_iter().any(|phase| phase.shape == Shape::Free)
}
