//! When the next request of a thread may be sent: pure, a function of the plan and of the time since the start.
//!
//! It refuses to know clocks, connections and the ring. Slots are indices into a grid: a backlog is a difference
//! of two numbers and costs no memory, however long it grows.

mod budget;
mod grid;
mod paced;
#[cfg(test)]
mod tests;

use crate::clock::as_ns;
use crate::plan::{Mode, Plan};

pub(crate) use budget::Budget;
use grid::{Grid, Lane};
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
    budget: Budget,
    end_ns: Option<u64>,
}

impl Schedule {
    /// The schedules of all threads of a run.
    pub fn for_threads(plan: &Plan, threads: u64) -> Vec<Self> {
        let rate_grid = plan.target_throughput_per_s.map(Grid::per_second);
        let (grid, backlog) = match plan.mode {
            Mode::Avalanche => (rate_grid, Backlog::Dropped),
            Mode::Tsunami { delay } => {
                let delay_grid = (!delay.is_zero()).then(|| Grid::every(delay));
                let grid = match (delay_grid, rate_grid) {
                    (Some(delay), Some(rate)) => Some(delay.slower(rate)),
                    (delay, rate) => delay.or(rate),
                };
                (grid, Backlog::Kept { slots: plan.count.unwrap_or(u64::MAX) })
            }
        };
        // A Tsunami's count is a number of slots, which are shared out beforehand.
        let budget_count = plan.count.filter(|_| plan.mode == Mode::Avalanche);
        let budgets = Budget::shared_by(threads, budget_count);
        let schedule = |(index, budget)| {
            let lane = Lane { index, stride: threads };
            let paced = grid.map(|grid| Paced::new(grid, rate_grid, lane, backlog));
            Self { paced, budget, end_ns: plan.duration.map(as_ns) }
        };
        (0..threads).zip(budgets).map(schedule).collect()
    }

    /// Claims the next request. A claim that says `Send` must be sent, at the very `now_ns` given here.
    pub fn claim(&mut self, now_ns: u64) -> Claim {
        if self.is_over(now_ns) {
            return Claim::Over;
        }
        let due_ns = match &mut self.paced {
            None => now_ns,
            Some(paced) => match paced.due_ns(now_ns) {
                None => return Claim::Wait,
                Some(due_ns) => due_ns,
            },
        };
        if !self.budget.take() {
            return Claim::Over;
        }
        if let Some(paced) = &mut self.paced {
            paced.advance();
        }
        Claim::Send { due_ns }
    }

    /// When, from `now_ns` on and at most `ahead_ns` later, a claim would say `Send` (as far as one thread can know).
    pub fn ready_within(&mut self, now_ns: u64, ahead_ns: u64) -> Option<u64> {
        if self.is_over(now_ns) {
            return None;
        }
        let Some(paced) = &mut self.paced else { return Some(now_ns) };
        if paced.due_ns(now_ns).is_some() {
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

    /// The end of the duration, when it has come. What was due before it and is late by a mere wake-up still goes out.
    pub fn has_ended(&self, now_ns: u64) -> bool {
        let owes = |end_ns| self.paced.as_ref().is_some_and(|paced| paced.owes(now_ns, end_ns));
        self.end_ns.is_some_and(|end_ns| now_ns >= end_ns && !owes(end_ns))
    }

    /// When the duration ends.
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

    /// Slots whose moment came before `time_ns` and before the end of the duration: a function of time, whatever became of
    /// them. `None` where slots have no moments.
    pub fn due_before(&self, time_ns: u64) -> Option<u64> {
        self.paced.as_ref().map(|paced| paced.due_before(self.end_ns.map_or(time_ns, |end_ns| end_ns.min(time_ns))))
    }

    /// Slots that were claimed or given up; `None` where slots have no moments.
    pub fn decided(&self) -> Option<u64> {
        self.paced.as_ref().map(Paced::decided)
    }

    /// Whether slots that were not served in time wait to be sent; otherwise they are given up.
    pub fn keeps_backlog(&self) -> bool {
        self.paced.as_ref().is_some_and(Paced::keeps_backlog)
    }

    /// Slots that were given up since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        self.paced.as_mut().map_or(0, Paced::take_dropped)
    }

    /// When the interval of the last slot is over; `None` where slots have no moments.
    pub fn end_of_last_ns(&self) -> Option<u64> {
        self.paced.as_ref().map(Paced::end_of_last_ns)
    }
}
