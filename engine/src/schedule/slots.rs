//! When each slot of a schedule is due, and how many are due before a time.

use std::sync::Arc;

use super::curve::{Curve, SLOT, Segment};

/// The slots that lie on a curve.
#[derive(Debug)]
pub(super) struct Slots {
    curve: Arc<Curve>,
    /// Where the thread's next slot lies: the ones after it mostly lie there, too.
    next: Option<Segment>,
    /// Where the slot after now lies, which may be far ahead of the next one.
    ahead: Option<Segment>,
}

impl Slots {
    pub fn new(curve: Arc<Curve>) -> Self {
        Self { curve, next: None, ahead: None }
    }

    pub fn curve(&self) -> &Curve {
        &self.curve
    }

    /// Whether all intervals are alike.
    pub fn are_even(&self) -> bool {
        self.curve.is_straight()
    }

    /// When a slot is due; `u64::MAX`: never. For a thread's slots one after the other.
    #[inline]
    pub fn due_ns(&mut self, slot: u64) -> u64 {
        time_of(&self.curve, &mut self.next, u128::from(slot) * SLOT)
    }

    /// The same, for slots that are due about now.
    pub fn due_about_now_ns(&mut self, slot: u64) -> u64 {
        time_of(&self.curve, &mut self.ahead, u128::from(slot) * SLOT)
    }

    /// The first slot that is due at `time_ns` or later; also how many are due before.
    pub fn first_from(&mut self, time_ns: u64) -> u64 {
        u64::try_from(self.curve.position(time_ns).div_ceil(SLOT)).unwrap_or(u64::MAX)
    }

    /// When the interval after a slot is over: when the next one is due, or the phase ends before.
    pub fn interval_end_ns(&mut self, slot: u64) -> u64 {
        let piece_end_ns = self.curve.piece_end_ns(u128::from(slot) * SLOT);
        self.due_about_now_ns(slot.saturating_add(1)).min(piece_end_ns)
    }
}

#[inline]
fn time_of(curve: &Curve, kept: &mut Option<Segment>, position: u128) -> u64 {
    if let Some(segment) = kept
        && segment.leaves(position)
    {
        return segment.time_of(position);
    }
    *kept = curve.segment(position);
    kept.map_or(u64::MAX, |segment| segment.time_of(position))
}
