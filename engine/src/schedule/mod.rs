//! When the next request of a thread may be sent: pure, a function of the plan and of the time since the start.
//!
//! It refuses to know clocks, connections and the ring. Slots are numbered along a curve: a backlog is a difference
//! of two numbers and costs no memory, however long it grows.

mod budget;
mod course;
mod curve;
mod lane;
mod paced;
mod poisson;
#[cfg(test)]
mod profile_tests;
mod slots;
#[cfg(test)]
mod tests;

use crate::plan::{Mode, Plan};
use crate::profile::Shape;

pub(crate) use budget::Budget;
use course::Course;
pub(crate) use lane::Lane;
use paced::{Backlog, Paced};

/// What a thread may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Send a request, which was due at this time after the start.
    Send { due_ns: u64 },
    /// Nothing may be sent yet.
    Wait,
    /// Nothing will be sent any more.
    Over,
}

/// The schedule of one thread. All times are nanoseconds since the start of the run and never go back.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// `None`: a request is due whenever a connection is free.
    paced: Option<Paced>,
    lane: Lane,
    budget: Budget,
    end_ns: Option<u64>,
    /// Requests that were sent without a slot.
    freely_sent: u64,
    /// The last one was.
    last_was_free: bool,
}

impl Schedule {
    /// The schedules of all threads of a run.
    pub fn for_threads(plan: &Plan, threads: u64) -> Vec<Self> {
        let course = Course::of(plan);
        // A Tsunami's count is a number of slots, which are shared out beforehand. Free time has none.
        let has_free = plan.profile.iter().flatten().any(|phase| phase.shape == Shape::Free);
        let counts_slots = plan.mode != Mode::Avalanche && !has_free;
        // Of so many slots together, each node serves its count.
        let of_all = |count: u64| count.saturating_mul(plan.share.of.into());
        let slots = plan.count.filter(|_| counts_slots).map_or(u64::MAX, of_all);
        let backlog = match plan.mode {
            Mode::Avalanche => Backlog::Dropped,
            Mode::Tsunami { .. } => Backlog::Kept { slots },
        };
        let budgets = Budget::shared_by(threads, plan.count.filter(|_| !counts_slots));
        let schedule = |(index, budget)| {
            let (node, nodes) = (u64::from(plan.share.index), u64::from(plan.share.of));
            let lane = Lane { index: node + nodes * index, stride: nodes * threads };
            let end_ns = course.curve.end_ns();
            let paced = course.is_paced.then(|| Paced::new(course.slots(), course.cap(), lane, backlog));
            Self { paced, lane, budget, end_ns, freely_sent: 0, last_was_free: false }
        };
        (0..threads).zip(budgets).map(schedule).collect()
    }

    /// Claims the next request. A claim that says `Send` must be sent, at the very `now_ns` given here.
    pub fn claim(&mut self, now_ns: u64) -> Claim {
        if self.is_over(now_ns) {
            return Claim::Over;
        }
        let slot_ns = match &mut self.paced {
            None => None,
            Some(paced) => match paced.due_ns(now_ns) {
                None if !paced.is_free(now_ns) => return Claim::Wait,
                due_ns => due_ns,
            },
        };
        if !self.budget.take() {
            return Claim::Over;
        }
        self.last_was_free = slot_ns.is_none();
        match (&mut self.paced, slot_ns) {
            (Some(paced), Some(_)) => paced.advance(),
            _ => self.freely_sent += 1,
        }
        Claim::Send { due_ns: slot_ns.unwrap_or(now_ns) }
    }

    /// When, from `now_ns` on and at most `ahead_ns` later, a claim would say `Send` (as far as one thread can know).
    pub fn ready_within(&mut self, now_ns: u64, ahead_ns: u64) -> Option<u64> {
        if self.is_over(now_ns) {
            return None;
        }
        let Some(paced) = &mut self.paced else { return Some(now_ns) };
        if paced.due_ns(now_ns).is_some() || paced.is_free(now_ns) {
            return Some(now_ns);
        }
        let wake_ns = paced.next_wake_ns(now_ns);
        (wake_ns - now_ns <= ahead_ns && !self.is_over(wake_ns)).then_some(wake_ns)
    }

    /// Whether nothing will be sent any more.
    pub fn is_over(&self, now_ns: u64) -> bool {
        self.has_ended(now_ns) || self.is_spent()
    }

    /// Whether every request of the count is taken.
    pub fn is_spent(&self) -> bool {
        self.budget.is_spent() || self.paced.as_ref().is_some_and(Paced::is_over)
    }

    /// The end of the duration or the profile, when it has come. What was due before it and is late by a mere wake-up still goes out.
    pub fn has_ended(&self, now_ns: u64) -> bool {
        let owes = |end_ns| self.paced.as_ref().is_some_and(|paced| paced.owes(now_ns, end_ns));
        self.end_ns.is_some_and(|end_ns| now_ns >= end_ns && !owes(end_ns))
    }

    /// When the duration or the profile ends.
    pub fn end_ns(&self) -> Option<u64> {
        self.end_ns
    }

    /// The next moment after `now_ns` at which something new may be sent; `None` where time alone changes nothing.
    pub fn next_wake_ns(&mut self, now_ns: u64) -> Option<u64> {
        self.paced.as_mut().map(|paced| paced.next_wake_ns(now_ns))
    }

    /// Whether slots come at moments of their own.
    pub fn is_paced(&self) -> bool {
        self.paced.is_some()
    }

    /// Which slots it serves.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Slots whose moment came before `time_ns` and before the end, whatever became of them, and requests that were sent without
    /// one so far. `None` where nothing has a slot.
    pub fn due_before(&mut self, time_ns: u64) -> Option<u64> {
        let time_ns = self.end_ns.map_or(time_ns, |end_ns| end_ns.min(time_ns));
        self.paced.as_mut().map(|paced| paced.due_before(time_ns) + self.freely_sent)
    }

    /// Slots that were claimed or given up, and requests that were sent without one; `None` where nothing has a slot.
    pub fn decided(&self) -> Option<u64> {
        self.paced.as_ref().map(|paced| paced.decided() + self.freely_sent)
    }

    /// Whether slots that were not served in time wait to be sent; otherwise they are given up.
    pub fn keeps_backlog(&self) -> bool {
        self.paced.as_ref().is_some_and(Paced::keeps_backlog)
    }

    /// Slots that were given up since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        self.paced.as_mut().map_or(0, Paced::take_dropped)
    }

    /// When the interval of the last slot is over; `None` where the last request had none.
    pub fn end_of_last_ns(&mut self) -> Option<u64> {
        self.paced.as_mut().filter(|_| !self.last_was_free).map(Paced::end_of_last_ns)
    }
}
