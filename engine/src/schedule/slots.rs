//! When each slot of a schedule is due, and how many are due before a time.

use std::sync::Arc;

use super::curve::{Curve, SLOT, Segment};
use super::poisson::Look;
use crate::profile::Arrivals;

/// The slots that lie on a curve, as one thread looks at them.
#[derive(Debug)]
pub(super) struct Slots {
    curve: Arc<Curve>,
    places: Places,
    /// Where the thread's next slot lies: the ones after it mostly lie there, too.
    next: Option<Segment>,
    /// Where the slot after now lies, which may be far ahead of the next one.
    about_now: Option<Segment>,
}

/// Where on the curve slots lie.
#[derive(Debug)]
enum Places {
    /// One at every whole position.
    Even,
    Poisson(Box<Looks>),
}

/// As far from one another as what the thread asks for.
#[derive(Debug)]
struct Looks {
    next: Look,
    about_now: Look,
    /// At seconds' ends, the last of which is kept: until when, and how many before.
    edge: Look,
    last_edge: (u64, u64),
}

impl Slots {
    pub fn new(curve: Arc<Curve>, arrivals: Arrivals) -> Self {
        let places = match arrivals {
            Arrivals::Even => Places::Even,
            Arrivals::Poisson { seed } => {
                let [next, about_now, edge] = [(); 3].map(|()| Look::new(seed));
                Places::Poisson(Box::new(Looks { next, about_now, edge, last_edge: (0, 0) }))
            }
        };
        Self { curve, places, next: None, about_now: None }
    }

    /// They lie on another curve, which has been the same so far.
    pub fn amend(&mut self, curve: Arc<Curve>) {
        (self.curve, self.next, self.about_now) = (curve, None, None);
        if let Places::Poisson(looks) = &mut self.places {
            looks.last_edge = (0, 0);
        }
    }

    pub fn curve(&self) -> &Curve {
        &self.curve
    }

    /// Whether all intervals are alike.
    pub fn are_even(&self) -> bool {
        matches!(self.places, Places::Even) && self.curve.is_straight()
    }

    /// When a slot is due; `u64::MAX`: never. For a thread's slots one after the other.
    #[inline]
    pub fn due_ns(&mut self, slot: u64) -> u64 {
        match &mut self.places {
            Places::Even => {
                let position = u128::from(slot) * SLOT;
                match &self.next {
                    Some(segment) if segment.leaves(position) => segment.time_of_slot(slot),
                    _ => time_of(&self.curve, &mut self.next, position),
                }
            }
            Places::Poisson(looks) => {
                let position = looks.next.position(slot, self.curve.last_position());
                position.map_or(u64::MAX, |position| time_of(&self.curve, &mut self.next, position))
            }
        }
    }

    /// The same, for slots that are due about now.
    pub fn due_about_now_ns(&mut self, slot: u64) -> u64 {
        let position = self.position_about_now(slot);
        position.map_or(u64::MAX, |position| time_of(&self.curve, &mut self.about_now, position))
    }

    /// The first slot that is due at `time_ns` or later; also how many are due before.
    pub fn first_from(&mut self, time_ns: u64) -> u64 {
        let position = self.curve.position(time_ns);
        match &mut self.places {
            Places::Even => whole_slots(position),
            Places::Poisson(looks) => looks.about_now.slots_before(position),
        }
    }

    /// The same, for the ends of seconds one after the other.
    pub fn first_from_edge(&mut self, time_ns: u64) -> u64 {
        let position = self.curve.position(time_ns);
        match &mut self.places {
            Places::Even => whole_slots(position),
            Places::Poisson(looks) => {
                if looks.last_edge.0 != time_ns {
                    looks.last_edge = (time_ns, looks.edge.slots_before(position));
                }
                looks.last_edge.1
            }
        }
    }

    /// When the interval after a slot is over: when the next one is due, or the phase ends before.
    pub fn interval_end_ns(&mut self, slot: u64) -> u64 {
        let piece_end_ns = self.position_about_now(slot).map_or(u64::MAX, |position| self.curve.piece_end_ns(position));
        self.due_about_now_ns(slot.saturating_add(1)).min(piece_end_ns)
    }

    fn position_about_now(&mut self, slot: u64) -> Option<u128> {
        match &mut self.places {
            Places::Even => Some(u128::from(slot) * SLOT),
            Places::Poisson(looks) => looks.about_now.position(slot, self.curve.last_position()),
        }
    }
}

fn whole_slots(position: u128) -> u64 {
    u64::try_from(position.div_ceil(SLOT)).unwrap_or(u64::MAX)
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
