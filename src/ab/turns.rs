//! Who sends when: A and B take turns in the order ABBA, so that what changes evenly with time changes nothing between them. Pure.

use std::time::Duration;

use onrush_compare::Stretch;
use onrush_engine::{Phase, SecondReport, Shape};

/// The turns of two runs that begin at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// How long each sends before the other does, in seconds.
    pub turn_s: u64,
    /// How many seconds of a turn do not count: connections wake up, and what the other sent is answered.
    pub settle_s: u64,
    /// How often both have had a turn.
    pub pairs: u64,
}

impl Turns {
    /// Whether run B (else A) sends in this turn.
    fn is_of(self, turn: u64, is_b: bool) -> bool {
        matches!(turn % 4, 1 | 2) == is_b
    }

    /// How long it takes altogether.
    pub fn total_s(self) -> u64 {
        2 * self.pairs * self.turn_s
    }

    /// What one of the runs is asked for.
    pub fn phases(self, is_b: bool, load: Shape) -> Vec<Phase> {
        let mut phases: Vec<Phase> = Vec::new();
        for turn in 0..2 * self.pairs {
            let shape = if self.is_of(turn, is_b) { load } else { Shape::Pause };
            let length = Duration::from_secs(self.turn_s);
            match phases.last_mut() {
                // A pause at the very end sends nothing either way, and a profile may end with it.
                Some(last) if last.shape == shape => last.length += length,
                _ => phases.push(Phase { length, shape }),
            }
        }
        phases
    }

    /// The pair that a second of this run counts for; `None`: it is not its turn, or the second does not count.
    fn pair_of(self, second: u64, is_b: bool) -> Option<usize> {
        let (turn, place) = (second / self.turn_s, second % self.turn_s);
        // Where the turn before was its own, nothing has to settle.
        let goes_on = turn > 0 && self.is_of(turn - 1, is_b);
        let counts = turn < 2 * self.pairs && self.is_of(turn, is_b) && (goes_on || place >= self.settle_s);
        counts.then(|| usize::try_from(turn / 2).ok()).flatten()
    }
}

/// What one of the two runs measured in its turns, by pair.
pub struct Taken {
    turns: Turns,
    is_b: bool,
    pairs: Vec<Option<Stretch>>,
}

impl Taken {
    /// Nothing yet.
    pub fn new(turns: Turns, is_b: bool) -> Self {
        Self { turns, is_b, pairs: vec![None; usize::try_from(turns.pairs).unwrap_or(0)] }
    }

    /// The next second of the run. By its `sending` time pauses are sent for, too; what counts is the second's length.
    pub fn add(&mut self, second: &SecondReport) {
        let Some(pair) = self.turns.pair_of(second.index, self.is_b) else { return };
        let length_ns = u64::try_from(second.length.as_nanos()).unwrap_or(u64::MAX);
        let stretch = Stretch::of_second(second.index, length_ns, &second.stats.counts, &second.stats.latency);
        match self.pairs.get_mut(pair) {
            Some(Some(known)) => known.append(&stretch),
            Some(empty) => *empty = Some(stretch),
            None => {}
        }
    }

    /// The pairs of both that are whole, A's and B's.
    pub fn pairs(self, other: Self) -> (Vec<Stretch>, Vec<Stretch>) {
        let whole = |(a, b): (Option<Stretch>, Option<Stretch>)| Some((a?, b?));
        self.pairs.into_iter().zip(other.pairs).filter_map(whole).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_abba_and_complement_one_another() {
        let turns = Turns { turn_s: 2, settle_s: 1, pairs: 3 };
        let free = |seconds| Phase { length: Duration::from_secs(seconds), shape: Shape::Free };
        let pause = |seconds| Phase { length: Duration::from_secs(seconds), shape: Shape::Pause };
        assert_eq!(turns.phases(false, Shape::Free), [free(2), pause(4), free(4), pause(2)]);
        assert_eq!(turns.phases(true, Shape::Free), [pause(2), free(4), pause(4), free(2)]);
        let pairs = |is_b| (0..14).map(|second| turns.pair_of(second, is_b)).collect::<Vec<_>>();
        let (none, zero, one, two) = (None, Some(0), Some(1), Some(2));
        assert_eq!(pairs(false), [none, zero, none, none, none, none, none, one, two, two, none, none, none, none]);
        assert_eq!(pairs(true), [none, none, none, zero, one, one, none, none, none, none, none, two, none, none]);
    }
}
