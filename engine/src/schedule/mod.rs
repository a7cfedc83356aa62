//! When the next request of a thread may be sent: pure, a function of the plan, its changes and the time since
//! the start.
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

use std::sync::Arc;

use crate::clock::SECOND_NS;
use crate::plan::Plan;

pub(crate) use budget::Budget;
pub(crate) use course::Course;
use course::{Amended, Counted};
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
    course: Arc<Course>,
    /// The version of the course that is taken up.
    version: u32,
    /// When the second ends in which anything may be claimed without the others' knowledge.
    second_end_ns: u64,
    /// `None`: a request is due whenever a connection is free.
    paced: Option<Paced>,
    lane: Lane,
    backlog: Backlog,
    budget: Budget,
    end_ns: Option<u64>,
    /// Requests that were sent without a slot.
    freely_sent: u64,
    /// The last one was.
    last_was_free: bool,
}

impl Schedule {
    /// The schedules of all threads of a run.
    pub fn for_threads(plan: &Plan, course: &Arc<Course>, threads: u64) -> Vec<Self> {
        let (requests, slots) = match course.counted {
            Some(Counted::Slots(slots)) => (None, slots),
            Some(Counted::Requests(requests)) => (Some(requests), u64::MAX),
            None => (None, u64::MAX),
        };
        let backlog = if course.backlog_is_kept { Backlog::Kept { slots } } else { Backlog::Dropped };
        let Amended { curve, version, .. } = course.current();
        let schedule = |(index, budget)| {
            let (node, nodes) = (u64::from(plan.share.index), u64::from(plan.share.of));
            let lane = Lane { index: node + nodes * index, stride: nodes * threads };
            let paced = course.is_paced.then(|| Paced::new(course.slots(curve.clone()), course.cap(), lane, backlog));
            Self {
                course: course.clone(),
                version,
                second_end_ns: SECOND_NS,
                paced,
                lane,
                backlog,
                budget,
                end_ns: curve.end_ns(),
                freely_sent: 0,
                last_was_free: false,
            }
        };
        (0..threads).zip(Budget::shared_by(threads, requests)).map(schedule).collect()
    }

    /// Takes up what was changed about seconds to come.
    pub fn take_up(&mut self) {
        if let Some(amended) = self.course.newer_than(self.version) {
            self.amend(amended);
        }
    }

    /// Nothing will be claimed any more.
    pub fn leave(&self) {
        self.course.leave();
    }

    fn enter(&mut self, now_ns: u64) {
        if now_ns < self.second_end_ns {
            return;
        }
        let second = now_ns / SECOND_NS;
        self.second_end_ns = (second + 1).saturating_mul(SECOND_NS);
        let current = self.course.begin(second);
        if current.version != self.version {
            self.amend(current);
        }
    }

    fn amend(&mut self, amended: Amended) {
        let Amended { curve, from_second, version } = amended;
        self.version = version;
        self.end_ns = curve.end_ns();
        let (course, lane, backlog) = (&self.course, self.lane, self.backlog);
        let paced =
            self.paced.get_or_insert_with(|| Paced::new(course.slots(curve.clone()), course.cap(), lane, backlog));
        paced.amend(curve, from_second);
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
        // Looking ahead begins no second.
        let has_ended = self.end_ns.is_some_and(|end_ns| wake_ns >= end_ns && !paced.owes(wake_ns, end_ns));
        (wake_ns - now_ns <= ahead_ns && !has_ended).then_some(wake_ns)
    }

    /// Whether nothing will be sent any more.
    pub fn is_over(&mut self, now_ns: u64) -> bool {
        self.has_ended(now_ns) || self.is_spent()
    }

    /// Whether every request of the count is taken.
    pub fn is_spent(&self) -> bool {
        self.budget.is_spent() || self.paced.as_ref().is_some_and(Paced::is_over)
    }

    /// The end of the duration or the profile, when it has come. What was due before it and is late by a mere wake-up still goes out.
    pub fn has_ended(&mut self, now_ns: u64) -> bool {
        self.enter(now_ns);
        let owes = |end_ns| self.paced.as_ref().is_some_and(|paced| paced.owes(now_ns, end_ns));
        self.end_ns.is_some_and(|end_ns| now_ns >= end_ns && !owes(end_ns))
    }

    /// When the duration or the profile ends.
    pub fn end_ns(&self) -> Option<u64> {
        self.end_ns
    }

    /// The next moment after `now_ns` at which something new may be sent; `None` where time alone changes nothing.
    pub fn next_wake_ns(&mut self, now_ns: u64) -> Option<u64> {
        self.enter(now_ns);
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
