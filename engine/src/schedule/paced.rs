//! Slots on a curve, with a cap on what one second may send.

use std::sync::Arc;

use super::curve::Curve;
use super::lane::Lane;
use super::slots::Slots;
use crate::clock::SECOND_NS;

/// A slot that is late by no more than this is late by a wake-up, or by two where the first carried it into the next
/// second: it is sent all the same, even after the end of the duration that it belongs to. So a rate that can be
/// held gives its exact count.
const LATE_NS: u64 = 2_000_000;
/// Where a backlog is dropped, what became due this short before a second's end still goes out in the next one:
/// it was late by a wake-up and not for want of a connection, and the next second's cap holds all the same.
const GRACE_NS: u64 = 50_000_000;
/// Of what is carried over in that way, one slot for this many that a second may send is dropped each second.
/// So one bad wake-up does not delay the last requests of every second that follows, and less than half of the
/// tolerated half a per cent is lost.
const SLOTS_PER_DROP: u64 = 400;

/// What becomes of slots that were not served in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backlog {
    /// They wait, and the schedule has this many slots.
    Kept { slots: u64 },
    /// They are dropped when their second is over.
    Dropped,
}

/// How much a second may send.
#[derive(Debug)]
pub(super) enum Cap {
    /// As much as it has slots in it.
    Own,
    /// As much as these have in it.
    Other(Slots),
    /// There is no limit.
    None,
}

/// The slots of one thread.
#[derive(Debug)]
pub(super) struct Paced {
    slots: Slots,
    cap: Cap,
    /// From this second on a second may send as much as it has slots, whatever the cap.
    amended_from_second: u64,
    lane: Lane,
    backlog: Backlog,
    /// The position of the next slot in the lane, and when it is due.
    position: u64,
    next_due_ns: u64,
    /// The second that `left_in_second` is about.
    second: u64,
    left_in_second: u64,
    /// In `SLOTS_PER_DROP`-ths of a slot.
    drop_credit: u64,
    /// Slots given up and not asked for yet.
    dropped: u64,
    /// The current or else the next time in which requests need no slot: from when, until when.
    free_ns: (u64, u64),
}

impl Paced {
    pub fn new(mut slots: Slots, cap: Cap, lane: Lane, backlog: Backlog) -> Self {
        let next_due_ns = slots.due_ns(lane.slot(0));
        let mut paced = Self {
            slots,
            cap,
            amended_from_second: u64::MAX,
            lane,
            backlog,
            position: 0,
            next_due_ns,
            second: 0,
            left_in_second: 0,
            drop_credit: 0,
            dropped: 0,
            free_ns: (0, 0),
        };
        paced.left_in_second = paced.cap_of(0).unwrap_or(u64::MAX);
        paced
    }

    /// From a second on that has not begun, slots lie on another curve, which has been the same before.
    pub fn amend(&mut self, curve: Arc<Curve>, from_second: u64) {
        self.slots.amend(curve);
        self.amended_from_second = from_second;
        self.free_ns = (0, 0);
        self.move_to(self.position);
    }

    /// When the next slot was due, if it may be sent now.
    pub fn due_ns(&mut self, now_ns: u64) -> Option<u64> {
        self.enter_second(now_ns / SECOND_NS);
        let ready = !self.is_over() && self.next_due_ns <= now_ns && self.left_in_second > 0;
        ready.then_some(self.next_due_ns)
    }

    /// The next slot is taken.
    pub fn advance(&mut self) {
        self.left_in_second -= 1;
        self.move_to(self.position + 1);
    }

    /// Whether a slot from before `end_ns` should still go out at `now_ns`.
    pub fn owes(&self, now_ns: u64, end_ns: u64) -> bool {
        let may_send = self.left_in_second > 0 || now_ns / SECOND_NS > self.second;
        self.next_due_ns < end_ns && now_ns.saturating_sub(self.next_due_ns) <= LATE_NS && may_send && !self.is_over()
    }

    pub fn is_over(&self) -> bool {
        matches!(self.backlog, Backlog::Kept { slots } if self.lane.slot(self.position) >= slots)
    }

    /// Whether a request may be sent that has no slot.
    pub fn is_free(&mut self, now_ns: u64) -> bool {
        if now_ns >= self.free_ns.1 {
            self.free_ns = self.slots.curve().free_from(now_ns).unwrap_or((u64::MAX, u64::MAX));
        }
        now_ns >= self.free_ns.0
    }

    pub fn next_wake_ns(&mut self, now_ns: u64) -> u64 {
        self.enter_second(now_ns / SECOND_NS);
        let slot_ns = if self.left_in_second == 0 {
            self.next_due_ns.max((self.second + 1).saturating_mul(SECOND_NS))
        } else if self.next_due_ns > now_ns {
            self.next_due_ns
        } else {
            let position = self.lane.positions_before(self.slots.first_from(now_ns.saturating_add(1)));
            self.slots.due_about_now_ns(self.lane.slot(position))
        };
        if self.is_free(now_ns) { slot_ns } else { slot_ns.min(self.free_ns.0) }
    }

    /// Slots whose moment came before `time_ns`.
    pub fn due_before(&mut self, time_ns: u64) -> u64 {
        let slots = match self.backlog {
            Backlog::Dropped => u64::MAX,
            Backlog::Kept { slots } => slots,
        };
        self.lane.positions_before(self.slots.first_from(time_ns).min(slots))
    }

    /// Slots that were claimed or given up.
    pub fn decided(&self) -> u64 {
        self.position
    }

    pub fn keeps_backlog(&self) -> bool {
        self.backlog != Backlog::Dropped
    }

    /// Slots given up since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// When the interval of the last slot that was claimed or given up is over.
    pub fn end_of_last_ns(&mut self) -> u64 {
        self.position.checked_sub(1).map_or(0, |last| self.slots.interval_end_ns(self.lane.slot(last)))
    }

    fn move_to(&mut self, position: u64) {
        self.position = position;
        self.next_due_ns = self.slots.due_ns(self.lane.slot(position));
    }

    /// How many this lane may send in a second; `None`: no limit, as where a second has free time in it.
    fn cap_of(&mut self, second: u64) -> Option<u64> {
        let (start_ns, end_ns) = (second.saturating_mul(SECOND_NS), second.saturating_add(1).saturating_mul(SECOND_NS));
        let slots = match &mut self.cap {
            _ if second >= self.amended_from_second => &mut self.slots,
            Cap::Own => &mut self.slots,
            Cap::Other(slots) => slots,
            Cap::None => return None,
        };
        if slots.curve().free_from(start_ns).is_some_and(|free_ns| free_ns.0 < end_ns) {
            return None;
        }
        let before = self.lane.positions_before(slots.first_from_edge(start_ns));
        Some(self.lane.positions_before(slots.first_from_edge(end_ns)) - before)
    }

    fn enter_second(&mut self, second: u64) {
        if second <= self.second {
            return;
        }
        self.second = second;
        let (start_ns, cap) = (second.saturating_mul(SECOND_NS), self.cap_of(second));
        if self.backlog == Backlog::Dropped {
            self.drop_backlog(start_ns, cap.unwrap_or(0));
        }
        self.left_in_second = cap.map_or(u64::MAX, |cap| cap + self.late_at(start_ns));
    }

    /// Slots that a mere wake-up carries over the end of their second. At an even rate they go out in place of the next
    /// second's last ones; where that has fewer slots, or none, they go out beside its own.
    fn late_at(&mut self, second_start_ns: u64) -> u64 {
        let is_late = self.next_due_ns < second_start_ns && second_start_ns - self.next_due_ns <= LATE_NS;
        let late = is_late && !self.slots.are_even();
        if late { self.due_before(second_start_ns).saturating_sub(self.position) } else { 0 }
    }

    fn drop_backlog(&mut self, second_start_ns: u64, cap: u64) {
        let within_grace = self.position.max(self.due_before(second_start_ns.saturating_sub(GRACE_NS)));
        // Beside those that are hardly late.
        let carried = self.due_before(second_start_ns.saturating_sub(LATE_NS)).saturating_sub(within_grace);

        let credit = self.drop_credit + cap.max(1);
        let dropped = carried.min(credit / SLOTS_PER_DROP);
        // Credit is kept for a single bad second, not for a storm.
        self.drop_credit = (credit - dropped * SLOTS_PER_DROP).min(cap.max(SLOTS_PER_DROP));
        if within_grace + dropped > self.position {
            self.dropped += within_grace + dropped - self.position;
            self.move_to(within_grace + dropped);
        }
    }
}
