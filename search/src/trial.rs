//! One trial: a stretch of time at one load, and what it says.

use std::fmt;
use std::time::Duration;

use crate::binomial::Sample;
use crate::block::Spoilt;
use crate::dispersion::{Dispersion, Series, dispersion};
use crate::goal::Criterion;

/// A trial ends early at this confidence: higher than what a result claims, because it is asked again and again.
const EARLY_CONFIDENCE: f64 = 0.99;

/// No block counts more, so that the blocks of a search add up (2^40 times 200,000 fits).
const MAX_COUNT: u64 = 1 << 40;

/// Why a trial is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To find a load that is bad, or good: the rate is doubled or halved.
    Expand,
    /// To narrow the interval.
    Narrow,
    /// To confirm the load that was found.
    Confirm,
}

/// What a trial said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every criterion was kept.
    Good,
    /// One was broken.
    Bad,
    /// The generator spoilt it: it says nothing of the target.
    Void(Spoilt),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Bad => f.write_str("bad"),
            Self::Void(spoilt) => write!(f, "void: {spoilt}"),
        }
    }
}

/// The share that broke one criterion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Broken {
    /// Requests that broke it.
    pub count: u64,
    /// Their share of those due.
    pub share: f64,
    /// The lower end of the share's interval.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
    /// How many independent requests say as much as those due.
    pub effective: f64,
}

/// A trial that has ended.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The load: the rate that was asked for, per second.
    pub rate_per_s: f64,
    /// Why it was held.
    pub purpose: Purpose,
    /// What it said.
    pub verdict: Verdict,
    /// Whether the intervals of its shares lie on one side; else the verdict is that of the shares themselves.
    pub is_clear: bool,
    /// Whether it contradicts the others and was outvoted when it was repeated: a hiccup. It counts for no bound.
    pub is_set_aside: bool,
    /// From the start of the search to the first block that counts.
    pub from: Duration,
    /// The blocks that count, in time.
    pub length: Duration,
    /// Requests due in them.
    pub due: u64,
    /// What broke each criterion, in the order of the SLO.
    pub broken: Vec<Broken>,
    pub(crate) step: i32,
    pub(crate) tally: Tally,
}

impl Trial {
    /// Whether it speaks of the target: it is neither void nor set aside.
    pub fn counts(&self) -> bool {
        !self.is_set_aside && !matches!(self.verdict, Verdict::Void(_))
    }
}

/// The blocks of a trial, counted.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Requests due by block.
    pub due: Vec<u64>,
    /// Requests broken, by criterion and block.
    pub broken: Vec<Vec<i64>>,
}

impl Tally {
    /// Nothing counted.
    pub fn new(criteria: usize) -> Self {
        Self { due: Vec::new(), broken: vec![Vec::new(); criteria] }
    }

    /// Counts a block.
    pub fn add(&mut self, due: u64, broken: &[i64]) {
        self.due.push(due.min(MAX_COUNT));
        for (all, broken) in self.broken.iter_mut().zip(broken) {
            all.push((*broken).clamp(-(MAX_COUNT as i64), MAX_COUNT as i64));
        }
    }

    /// How many blocks.
    pub fn blocks(&self) -> usize {
        self.due.len()
    }

    /// Requests due in all of them.
    pub fn total_due(&self) -> u64 {
        self.due.iter().sum()
    }

    /// Requests that broke that criterion in all of them, not below 0 and not above those due.
    pub fn total_broken(&self, criterion: usize) -> u64 {
        let broken: i64 = self.broken[criterion].iter().sum();
        u64::try_from(broken).unwrap_or(0).min(self.total_due())
    }

    /// For the dispersion.
    pub fn series(&self, criterion: usize) -> Series<'_> {
        Series { due: &self.due, broken: &self.broken[criterion], expected: None }
    }

    /// The dispersion of this trial alone.
    pub fn dispersion(&self, criterion: usize) -> Dispersion {
        dispersion(std::iter::once(self.series(criterion)))
    }

    /// Failures that never came show nothing of how they would come: then each request stands for itself. Requests that are too late
    /// come in bursts in every queue, also before the first is seen.
    fn is_unfailed(&self, criterion: Criterion, index: usize) -> bool {
        matches!(criterion, Criterion::Failed { .. }) && self.total_broken(index) == 0
    }

    /// On which side of the SLO the intervals lie; `None`: on neither.
    ///
    /// One criterion that is broken makes a trial bad; all must be kept for it to be good. `design_effects` are those seen at
    /// similar loads, by criterion: a trial in which nothing broke does not show its own.
    pub fn clear_verdict(&self, slo: &[Criterion], design_effects: &[f64]) -> Option<Verdict> {
        let mut verdict = Some(Verdict::Good);
        for (index, criterion) in slo.iter().enumerate() {
            let (due, broken) = (self.total_due(), self.total_broken(index));
            if due > 0 && self.is_unfailed(*criterion, index) {
                // Whether enough was due to have seen one is asked of all trials together.
                continue;
            }
            let mut dispersion = self.dispersion(index).with_prior();
            dispersion.design_effect = dispersion.design_effect.max(design_effects.get(index).copied().unwrap_or(1.0));
            let sample = Sample::effective(due, broken, dispersion, EARLY_CONFIDENCE);
            if sample.is_above(criterion.share(), EARLY_CONFIDENCE) {
                return Some(Verdict::Bad);
            }
            if !sample.is_below(criterion.share(), EARLY_CONFIDENCE) {
                verdict = None;
            }
        }
        verdict
    }

    /// What the shares themselves say.
    pub fn plain_verdict(&self, slo: &[Criterion]) -> Verdict {
        let due = self.total_due() as f64;
        let broken = |(index, criterion): (usize, &Criterion)| {
            let broken = self.total_broken(index);
            broken > 0 && broken as f64 >= criterion.share() * due
        };
        if slo.iter().enumerate().any(broken) { Verdict::Bad } else { Verdict::Good }
    }

    /// The shares with their intervals.
    pub fn shares(&self, slo: &[Criterion], confidence: f64) -> Vec<Broken> {
        let due = self.total_due();
        let of = |(index, criterion): (usize, &Criterion)| {
            let count = self.total_broken(index);
            let is_unfailed = self.is_unfailed(*criterion, index);
            let dispersion = if is_unfailed { Dispersion::INDEPENDENT } else { self.dispersion(index) };
            let sample = Sample::effective(due, count, dispersion, confidence);
            let (lower, upper) = sample.interval(confidence);
            let share = if due == 0 { 0.0 } else { count as f64 / due as f64 };
            Broken { count, share, lower, upper, effective: sample.size }
        };
        slo.iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLO: [Criterion; 2] =
        [Criterion::Latency { limit_ns: 50_000_000, share: 0.01 }, Criterion::Failed { share: 0.001 }];

    fn tally(blocks: &[(u64, i64, i64)]) -> Tally {
        let mut tally = Tally::new(2);
        for (due, late, failed) in blocks {
            tally.add(*due, &[*late, *failed]);
        }
        tally
    }

    #[test]
    fn overload_is_clear_after_three_blocks() {
        assert_eq!(tally(&[(400, 390, 0), (400, 400, 0), (400, 400, 0)]).clear_verdict(&SLO, &[]), Some(Verdict::Bad));
    }

    #[test]
    fn one_hiccup_is_not_clear() {
        let mut blocks = vec![(1_000, 0, 0); 20];
        blocks[7] = (1_000, 1_000, 0);
        assert_eq!(tally(&blocks).clear_verdict(&SLO, &[]), None);
        assert_eq!(tally(&blocks).plain_verdict(&SLO), Verdict::Bad);
    }

    #[test]
    fn what_breaks_in_bursts_takes_longer_to_be_clear() {
        let good = tally(&[(10_000, 0, 0); 20]);
        assert_eq!(good.clear_verdict(&SLO, &[1.0, 1.0]), Some(Verdict::Good));
        assert_eq!(good.clear_verdict(&SLO, &[500.0, 1.0]), None);
    }

    #[test]
    fn all_criteria_must_be_kept() {
        let good = tally(&[(10_000, 5, 0); 12]);
        assert_eq!(good.clear_verdict(&SLO, &[]), Some(Verdict::Good));
        let failing = tally(&[(10_000, 5, 500); 12]);
        assert_eq!(failing.clear_verdict(&SLO, &[]), Some(Verdict::Bad));
        // 10 of 10,000 are just what may not be reached.
        let at_limit = tally(&[(10_000, 5, 10); 12]);
        assert_eq!((at_limit.clear_verdict(&SLO, &[]), at_limit.plain_verdict(&SLO)), (None, Verdict::Bad));
    }

    #[test]
    fn nothing_due_says_nothing() {
        let empty = tally(&[(0, 0, 0); 9]);
        assert_eq!(empty.clear_verdict(&SLO, &[]), None);
        assert!(empty.shares(&SLO, 0.95).iter().all(|broken| broken.share == 0.0 && broken.upper == 1.0));
    }

    #[test]
    fn responses_of_earlier_requests_do_not_make_a_count_negative() {
        let draining = tally(&[(10, -40, 0), (10, 5, 0)]);
        assert_eq!(draining.total_broken(0), 0);
    }
}
