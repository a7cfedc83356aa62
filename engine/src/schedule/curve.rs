//! How many slots come before each moment: the integral of the rate that is asked for, in whole numbers.
//!
//! A position on the curve counts [`SLOT`]ths of a slot. A rate of *p* thousand millionths of a request a second is *p* of
//! them a nanosecond, so a constant rate never drifts. No sum overflows: 2^64 ns at [`SLOT`] a nanosecond are 2^124.

use std::time::Duration;

use crate::clock::{SECOND_NS, as_ns};
use crate::profile::{Phase, Shape};

/// One slot, in the unit of positions.
pub(crate) const SLOT: u128 = 1_000_000_000_000_000_000;
/// The steps of a ramp.
const STAIR_NS: u64 = SECOND_NS / 10;
/// Amendments leave a curve with at most this many pieces, which are 1.1 MB.
pub(crate) const MAX_PIECES: usize = 10_000;

/// A position for every moment: it begins at 0, is continuous and never falls. After the last piece it stays where it is.
///
/// Slot *k* is due when the curve leaves position `k × SLOT`, rounded down to a nanosecond. So where nothing is asked for
/// between two slots, the later one is due when the rate rises again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Curve {
    /// Without a gap from 0 on.
    pieces: Vec<Piece>,
    end_ns: Option<u64>,
}

/// A part of a curve that keeps one law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start_ns: u64,
    end_ns: u64,
    start: u128,
    end: u128,
    law: Law,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Law {
    /// No slots, and nothing is sent.
    Pause,
    /// No slots: requests are sent as connections allow.
    Free,
    /// `rise` in `run_ns` nanoseconds.
    Line { rise: u128, run_ns: u64 },
    /// Stairs of [`STAIR_NS`], each of which ends where the integral of the rate does.
    Ramp { from: u64, to: u64, length_ns: u64 },
}

/// A straight part of a curve that rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    start_ns: u64,
    start: u128,
    /// Where it is left, at its end.
    end: u128,
    rise: u128,
    run_ns: u64,
}

impl Segment {
    /// Whether the curve leaves this position within the segment.
    #[inline]
    pub fn leaves(&self, position: u128) -> bool {
        (self.start..self.end).contains(&position)
    }

    /// The same as [`Segment::time_of`] the slot's whole position.
    #[inline]
    pub fn time_of_slot(&self, slot: u64) -> u64 {
        if self.start == 0 && self.rise == SLOT {
            // A delay needs no division.
            return self.start_ns.saturating_add(slot.saturating_mul(self.run_ns));
        }
        self.time_of(u128::from(slot) * SLOT)
    }

    /// The last nanosecond at which the curve is not beyond `position`, which it must leave within the segment.
    #[inline]
    pub fn time_of(&self, position: u128) -> u64 {
        let ahead = position - self.start;
        let after_ns = if self.run_ns == 1 {
            ahead / self.rise
        } else {
            // In two steps, so that neither product overflows.
            let (run_ns, whole) = (u128::from(self.run_ns), ahead / self.rise);
            let rest = ahead - whole * self.rise;
            let rest_ns = if rest == 0 { 0 } else { rest * run_ns / self.rise };
            (whole * run_ns).saturating_add(rest_ns)
        };
        u64::try_from(after_ns).map_or(u64::MAX, |after_ns| self.start_ns.saturating_add(after_ns))
    }

    /// The position at a time that is not before the segment. Rounded up, so that it is beyond `position` exactly from the
    /// nanosecond after [`Segment::time_of`] that position.
    fn position(&self, time_ns: u64) -> u128 {
        let after_ns = u128::from(time_ns.saturating_sub(self.start_ns));
        (self.start + (after_ns * self.rise).div_ceil(self.run_ns.into())).min(self.end)
    }
}

impl Piece {
    /// The piece that begins where and when another ends.
    fn new(start_ns: u64, start: u128, length_ns: u64, law: Law) -> Self {
        let end_ns = start_ns.saturating_add(length_ns);
        let mut piece = Self { start_ns, end_ns, start, end: u128::MAX, law };
        piece.end = piece.position(end_ns);
        piece
    }

    fn position(&self, time_ns: u64) -> u128 {
        match self.law {
            Law::Pause | Law::Free => self.start,
            Law::Line { rise, run_ns } => self.line(rise, run_ns).position(time_ns),
            Law::Ramp { from, to, length_ns } => {
                let stair = time_ns.saturating_sub(self.start_ns).min(length_ns.saturating_sub(1)) / STAIR_NS;
                self.stair(stair, from, to, length_ns).position(time_ns)
            }
        }
    }

    /// The segment within which the curve leaves `position`, which it must do within this piece.
    fn segment(&self, position: u128) -> Option<Segment> {
        match self.law {
            Law::Pause | Law::Free => None,
            Law::Line { rise, run_ns } => Some(self.line(rise, run_ns)),
            Law::Ramp { from, to, length_ns } => {
                // The first stair whose end lies beyond the position.
                let (mut low, mut high) = (0, length_ns.div_ceil(STAIR_NS));
                while low < high {
                    let middle = low + (high - low) / 2;
                    let end_ns = (middle + 1).saturating_mul(STAIR_NS).min(length_ns);
                    if self.start + ramp_rise(from, to, length_ns, end_ns) <= position {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                Some(self.stair(low, from, to, length_ns))
            }
        }
    }

    fn line(&self, rise: u128, run_ns: u64) -> Segment {
        Segment { start_ns: self.start_ns, start: self.start, end: self.end, rise, run_ns }
    }

    fn stair(&self, stair: u64, from: u64, to: u64, length_ns: u64) -> Segment {
        let begins_ns = stair.saturating_mul(STAIR_NS);
        let ends_ns = begins_ns.saturating_add(STAIR_NS).min(length_ns);
        let (before, after) = (ramp_rise(from, to, length_ns, begins_ns), ramp_rise(from, to, length_ns, ends_ns));
        Segment {
            start_ns: self.start_ns.saturating_add(begins_ns),
            start: self.start + before,
            end: (self.start + after).min(self.end),
            // A stair without a rise is never asked for a time.
            rise: after - before,
            run_ns: ends_ns.saturating_sub(begins_ns).max(1),
        }
    }
}

/// The integral of a rate that goes evenly from `from` to `to` within `length_ns`, over its first `after_ns`, rounded down:
/// `from × t + (to − from) × t² / 2L`.
fn ramp_rise(from: u64, to: u64, length_ns: u64, after_ns: u64) -> u128 {
    let (after, twice) = (u128::from(after_ns), 2 * u128::from(length_ns));
    let square = after * after;
    // In two steps: the whole product could have 188 bits.
    let (whole, rest) = (square / twice, square % twice);
    let steady = u128::from(from) * after;
    let change = u128::from(from.abs_diff(to));
    if to >= from {
        steady + change * whole + change * rest / twice
    } else {
        steady - change * whole - (change * rest).div_ceil(twice)
    }
}

/// A rate in thousand millionths of a request a second, rounded down: never above what was asked for.
fn parts(rate_per_s: f64) -> u64 {
    (rate_per_s * 1e9).floor() as u64
}

impl Curve {
    /// A slot every `delay`, which must not be zero, for as long as somebody asks; the run ends at `end_ns`.
    pub fn every(delay: Duration, end_ns: Option<u64>) -> Self {
        assert!(!delay.is_zero(), "a validated plan has no schedule without an interval");
        Self::endless(Law::Line { rise: SLOT, run_ns: as_ns(delay) }, end_ns)
    }

    /// `rate_per_s` slots a second, for as long as somebody asks; the run ends at `end_ns`.
    pub fn per_second(rate_per_s: f64, end_ns: Option<u64>) -> Self {
        let rise = u128::from(parts(rate_per_s));
        assert!(rise > 0, "a validated plan has a rate that can be told from zero");
        Self::endless(Law::Line { rise, run_ns: 1 }, end_ns)
    }

    /// No slots; the run ends at `end_ns`.
    pub fn free(end_ns: Option<u64>) -> Self {
        Self::endless(Law::Free, end_ns)
    }

    fn endless(law: Law, end_ns: Option<u64>) -> Self {
        Self { pieces: vec![Piece::new(0, 0, u64::MAX, law)], end_ns }
    }

    /// The curve of a profile, which ends with it.
    pub fn of_phases(phases: &[Phase]) -> Self {
        let mut curve = Self { pieces: Vec::with_capacity(phases.len()), end_ns: Some(0) };
        curve.append(0, phases);
        curve
    }

    /// The same before `at_ns`, and these phases from then on.
    pub fn amended(&self, at_ns: u64, phases: &[Phase]) -> Self {
        let mut curve = self.clone();
        curve.pieces.retain(|piece| piece.start_ns < at_ns);
        if let Some(last) = curve.pieces.last_mut().filter(|last| last.end_ns > at_ns) {
            last.end = last.position(at_ns);
            last.end_ns = at_ns;
        }
        curve.append(at_ns, phases);
        curve
    }

    fn append(&mut self, mut at_ns: u64, phases: &[Phase]) {
        for phase in phases {
            let length_ns = as_ns(phase.length);
            let law = match phase.shape {
                Shape::Constant { rate_per_s } => Law::Line { rise: parts(rate_per_s).max(1).into(), run_ns: 1 },
                Shape::Ramp { from_per_s, to_per_s } => {
                    Law::Ramp { from: parts(from_per_s), to: parts(to_per_s), length_ns }
                }
                Shape::Free => Law::Free,
                Shape::Pause => Law::Pause,
            };
            let piece = Piece::new(at_ns, self.last_position(), length_ns, law);
            at_ns = piece.end_ns;
            self.pieces.push(piece);
        }
        self.end_ns = (at_ns < u64::MAX).then_some(at_ns);
    }

    /// The one with the longer interval, of two curves that keep one law each.
    pub fn slower(self, other: Self) -> Self {
        let law = |curve: &Self| match curve.pieces[0].law {
            Law::Line { rise, run_ns } => (rise, u128::from(run_ns)),
            Law::Pause | Law::Free | Law::Ramp { .. } => (0, 1),
        };
        let ((rise, run), (other_rise, other_run)) = (law(&self), law(&other));
        // All factors are below 2^64: the products fit.
        if rise * other_run <= other_rise * run { self } else { other }
    }

    /// Whether it is one rate for as long as somebody asks.
    pub fn is_straight(&self) -> bool {
        matches!(self.pieces[..], [Piece { end_ns: u64::MAX, law: Law::Line { .. }, .. }])
    }

    /// When the run ends, where it does by time.
    pub fn end_ns(&self) -> Option<u64> {
        self.end_ns
    }

    /// How many pieces it has.
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// The position at a time.
    pub fn position(&self, time_ns: u64) -> u128 {
        let index = self.pieces.partition_point(|piece| piece.end_ns <= time_ns);
        self.pieces.get(index).map_or(self.last_position(), |piece| piece.position(time_ns))
    }

    /// The segment within which the curve leaves a position; `None`: it never does.
    pub fn segment(&self, position: u128) -> Option<Segment> {
        let index = self.pieces.partition_point(|piece| piece.end <= position);
        self.pieces.get(index).and_then(|piece| piece.segment(position))
    }

    /// When the piece ends within which the curve leaves a position; `u64::MAX`: it never does.
    pub fn piece_end_ns(&self, position: u128) -> u64 {
        let index = self.pieces.partition_point(|piece| piece.end <= position);
        self.pieces.get(index).map_or(u64::MAX, |piece| piece.end_ns)
    }

    /// The first time from `time_ns` on in which requests are sent as connections allow: from when, until when.
    pub fn free_from(&self, time_ns: u64) -> Option<(u64, u64)> {
        let free = self.pieces.iter().find(|piece| piece.law == Law::Free && piece.end_ns > time_ns)?;
        Some((free.start_ns, free.end_ns))
    }

    /// The position at which the last piece ends.
    pub fn last_position(&self) -> u128 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }
}

#[cfg(test)]
#[path = "curve_tests.rs"]
mod tests;
