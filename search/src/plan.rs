//! Which trial comes next: pure, from the trials so far.

use std::collections::BTreeMap;

use crate::block::Spoilt;
use crate::estimate::Estimate;
use crate::found::Ended;
use crate::goal::Goal;
use crate::grid::Grid;
use crate::trial::{Purpose, Trial, Verdict};

/// Different loads at most: each keeps a histogram of some 260 KiB. Later trials come back to the nearest of them.
pub const MAX_LOADS: usize = 96;

/// While the rate is doubled, a trial that is not bad by then is good enough to go on: what it proves is not needed yet.
const EXPAND_BLOCKS: usize = 5;
/// What a trial between a good load and a bad one takes while they are far apart.
const SPLIT_BLOCKS: usize = 10;
/// The fewest and the most blocks that a first trial near the capacity may take, and its part of the budget. A queue near its capacity takes
/// long to fill: a short trial would find it good. (MLRsearch's trials take a minute.)
const NARROW_BLOCKS: std::ops::RangeInclusive<usize> = 10..=60;
const NARROW_PART_OF_BUDGET: usize = 10;
/// Such a trial takes this part of all that was spent on narrowing: few changes of rate, and no trial that outweighs the others.
const NARROW_PART: usize = 5;
/// A load whose share is further from the limit than this factor is beyond question.
const FAR: f64 = 5.0;
/// Loads so many steps apart are close together.
const CLOSE_STEPS: i32 = 4;
/// A trial that is to last is given up as overload after so many blocks at the earliest.
pub const OVERLOAD_BLOCKS: usize = 20;
/// So many trials of that length at least stand behind an interval.
const MIN_NARROW_TRIALS: usize = 8;
/// The confirmation takes at least so many blocks, and this part of all that were counted.
const CONFIRM_BLOCKS: usize = 15;
const CONFIRM_PART: usize = 10;
/// So many blocks at most to prove that a load is good where none was bad.
const PROOF_BLOCKS: usize = 600;
/// A warm-up takes at least this part of its trial, so that it fades with what it distorts.
const WARM_UP_PART: usize = 20;
/// While the highest good load and the lowest bad one are further apart than twice this, in ln(rate), the middle is tried. Then trials
/// are held halfway from the most likely capacity to both ends of its interval, which tells how steep the curve is, too.
const WIDE: f64 = 0.1;
/// How close to the rate that the generator cannot keep its limit is looked for, as a ratio.
const GENERATOR_WIDTH: f64 = 1.05;
/// The rate is halved down to this part of the first one.
const LOWEST_PART: f64 = 1e-3;
/// An interval that is wider than the goal by this factor after the confirmation is narrowed again.
const REOPENED: f64 = 1.25;
/// So often the load that was found may turn out bad.
const MAX_UNCONFIRMED: usize = 2;

/// A trial to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Its load.
    pub step: i32,
    /// Why.
    pub purpose: Purpose,
    /// How many blocks it may take.
    pub max_blocks: usize,
    /// How the search ends when this confirms the load; `None`: it goes on.
    pub ending: Option<Ended>,
    /// Whether it is held only until it is clear.
    pub until_clear: bool,
}

impl Plan {
    /// The first trial of a search.
    pub fn first() -> Self {
        Self::expand(0)
    }

    fn expand(step: i32) -> Self {
        Self { step, purpose: Purpose::Expand, max_blocks: EXPAND_BLOCKS, ending: None, until_clear: true }
    }

    /// How many blocks after its change of rate do not count.
    pub fn warm_up_blocks(&self, goal: &Goal) -> usize {
        match self.purpose {
            // What is looked for is a load that cannot be overlooked.
            Purpose::Expand => goal.warm_up_blocks.min(1),
            Purpose::Narrow | Purpose::Confirm if self.until_clear => goal.warm_up_blocks,
            Purpose::Narrow | Purpose::Confirm => goal.warm_up_blocks.max(self.max_blocks / WARM_UP_PART),
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Hold this trial.
    Trial(Plan),
    /// The search ends.
    End {
        /// Why.
        ended: Ended,
        /// Whether the load that was found was held once more and kept the SLO.
        is_confirmed: bool,
    },
}

/// What is known.
pub struct Past<'a> {
    pub goal: &'a Goal,
    pub grid: &'a Grid,
    pub trials: &'a [Trial],
    /// What they say; `None`: nothing.
    pub estimate: Option<&'a Estimate>,
    /// The lowest load that the generator could not keep.
    pub ceiling: Option<(i32, Spoilt)>,
    /// The whole budget.
    pub blocks: usize,
    /// What is left of it.
    pub blocks_left: usize,
    /// The plan that ended.
    pub current: Plan,
}

impl Past<'_> {
    /// The trials that speak of the target.
    fn valid(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|trial| trial.counts())
    }

    /// A load is bad if its bad trials took more than half of its time (MLRsearch's exceed ratio of one half).
    fn is_bad(&self, step: i32) -> bool {
        let blocks = |verdict| {
            let of = self.valid().filter(|trial| trial.step == step && trial.verdict == verdict);
            of.map(|trial| trial.tally.blocks()).sum::<usize>()
        };
        blocks(Verdict::Bad) > blocks(Verdict::Good)
    }

    fn loads(&self) -> (i32, i32) {
        let steps = || self.valid().map(|trial| trial.step);
        (steps().min().unwrap_or(0), steps().max().unwrap_or(0))
    }

    fn blocks_of(&self, purpose: Purpose) -> usize {
        self.valid().filter(|trial| trial.purpose == purpose).map(|trial| trial.tally.blocks()).sum()
    }

    fn confirm_blocks(&self) -> usize {
        (self.valid().map(|trial| trial.tally.blocks()).sum::<usize>() / CONFIRM_PART).max(CONFIRM_BLOCKS)
    }

    fn confirm(&self, step: i32, ending: Ended) -> Next {
        // Where no load was bad nothing was held for long: the lower bound is proved here.
        let until_clear = matches!(ending, Ended::Generator { .. } | Ended::MaxRate);
        let max_blocks = if until_clear { PROOF_BLOCKS } else { self.confirm_blocks() };
        let plan = Plan { step, purpose: Purpose::Confirm, max_blocks, ending: Some(ending), until_clear };
        let max_blocks = plan.max_blocks.min(self.blocks_left.saturating_sub(plan.warm_up_blocks(self.goal)));
        if max_blocks < 3 {
            return Next::End { ended: ending, is_confirmed: false };
        }
        Next::Trial(Plan { max_blocks, ..plan })
    }
}

/// What comes after the trials so far.
pub fn next_plan(past: &Past<'_>) -> Next {
    if let Some(end) = after_confirmation(past) {
        return end;
    }
    let (lowest, highest) = past.loads();
    let any_valid = past.valid().next().is_some();
    let bad = |step: &i32| past.is_bad(*step);
    let steps: Vec<i32> = past.valid().map(|trial| trial.step).collect();
    if !any_valid {
        // The generator cannot even keep the first rate.
        return match past.ceiling {
            Some(_) => halve(past, past.current.step),
            None => Next::Trial(Plan::first()),
        };
    }
    if !steps.iter().any(bad) {
        return grow(past, highest);
    }
    if steps.iter().all(bad) {
        return halve(past, lowest);
    }
    let worst_bad = steps.iter().copied().filter(bad).min().unwrap_or(highest);
    match (past.estimate, steps.iter().copied().filter(|step| *step < worst_bad).max()) {
        (Some(estimate), Some(best_good)) => narrow(past, estimate, (best_good, worst_bad)),
        // A bad load below all good ones: what is between was never tried.
        _ => halve(past, lowest),
    }
}

/// Whether the search ends with the trial that was to confirm its load.
fn after_confirmation(past: &Past<'_>) -> Option<Next> {
    let ended = past.current.ending?;
    let last = past.trials.last().filter(|last| last.purpose == Purpose::Confirm)?;
    let is_refuted =
        |trial: &&Trial| trial.purpose == Purpose::Confirm && trial.verdict == Verdict::Bad && trial.is_clear;
    if matches!(last.verdict, Verdict::Void(_)) {
        return Some(Next::End { ended, is_confirmed: false });
    }
    // What was measured meanwhile may have opened the interval again.
    let is_narrow = || past.estimate.and_then(Estimate::width).is_some_and(|width| width <= REOPENED * past.goal.width);
    if !is_refuted(&last) && (ended != Ended::Width || is_narrow()) {
        return Some(Next::End { ended, is_confirmed: true });
    }
    let refuted = past.valid().filter(is_refuted).count();
    (refuted >= MAX_UNCONFIRMED).then_some(Next::End { ended: Ended::Unconfirmed, is_confirmed: false })
}

/// Every load so far was good: a higher one.
fn grow(past: &Past<'_>, highest: i32) -> Next {
    let mut step = past.grid.times(highest, 2.0);
    if let Some((ceiling, spoilt)) = past.ceiling
        && step >= ceiling
    {
        let ends_at_per_s = past.grid.rate_per_s(ceiling);
        if ends_at_per_s <= past.grid.rate_per_s(highest) * GENERATOR_WIDTH.max(1.0 + past.goal.width) {
            return past.confirm(highest, Ended::Generator { ends_at_per_s, spoilt });
        }
        step = i32::midpoint(highest, ceiling);
    }
    if step <= highest {
        return past.confirm(highest, Ended::MaxRate);
    }
    Next::Trial(Plan::expand(step))
}

/// Every load so far was bad, or beyond the generator: a lower one.
fn halve(past: &Past<'_>, lowest: i32) -> Next {
    let step = past.grid.times(lowest, 0.5);
    if past.grid.rate_per_s(step) >= past.goal.start_per_s * LOWEST_PART {
        return Next::Trial(Plan::expand(step));
    }
    let ended = match past.ceiling {
        Some((step, spoilt)) if past.valid().next().is_none() => {
            Ended::Generator { ends_at_per_s: past.grid.rate_per_s(step), spoilt }
        }
        _ => Ended::MinRate,
    };
    Next::End { ended, is_confirmed: false }
}

/// The capacity lies between loads that were tried: a trial where it tells most. `bracket`: the lowest bad load, and the highest
/// good one below it.
fn narrow(past: &Past<'_>, estimate: &Estimate, bracket: (i32, i32)) -> Next {
    let ln_rate = |step| past.grid.rate_per_s(step).ln();
    let lower = estimate.lower.unwrap_or(estimate.best - WIDE);
    let upper = estimate.upper.unwrap_or(estimate.best + WIDE);
    let confirm =
        |ended| past.confirm(past.grid.below(lower.clamp(ln_rate(past.loads().0), ln_rate(past.loads().1))), ended);
    let part = past.blocks_of(Purpose::Narrow) / NARROW_PART;
    let shortest = (past.blocks / NARROW_PART_OF_BUDGET).clamp(*NARROW_BLOCKS.start(), *NARROW_BLOCKS.end());
    let plan =
        Plan { step: 0, purpose: Purpose::Narrow, max_blocks: part.max(shortest), ending: None, until_clear: false };
    // A load that was given up as far beyond the capacity has said all it can.
    let is_whole = |trial: &&Trial| {
        let is_given_up = trial.verdict == Verdict::Bad && trial.is_clear && trial.tally.blocks() >= OVERLOAD_BLOCKS;
        trial.tally.blocks() >= shortest || is_given_up
    };
    let measured = past.valid().filter(|trial| trial.purpose != Purpose::Expand).filter(is_whole).count();
    if measured >= MIN_NARROW_TRIALS && estimate.width().is_some_and(|width| width <= past.goal.width) {
        return confirm(Ended::Width);
    }
    let reserve = past.confirm_blocks() + 2 * plan.warm_up_blocks(past.goal);
    let max_blocks = plan.max_blocks.min(past.blocks_left.saturating_sub(reserve));
    if max_blocks < SPLIT_BLOCKS / 2 {
        return confirm(Ended::Budget);
    }
    let (good, bad) = (ln_rate(bracket.0), ln_rate(bracket.1));
    if bad - good > 2.0 * WIDE && bracket.1 - bracket.0 > 1 {
        // The curve is not known yet.
        let step = i32::midpoint(bracket.0, bracket.1);
        return Next::Trial(Plan { step, max_blocks: max_blocks.min(SPLIT_BLOCKS), until_clear: true, ..plan });
    }
    let half = (0.5 * (upper - lower)).min(WIDE);
    let place = estimate.best + 0.5 * half * poorer_side(past, estimate.best);
    let step = known_load(past, open_load(past, past.grid.nearest(place), plan.max_blocks, bracket.1));
    match past.ceiling {
        Some((ceiling, spoilt)) if step >= ceiling => {
            confirm(Ended::Generator { ends_at_per_s: past.grid.rate_per_s(ceiling), spoilt })
        }
        _ => Next::Trial(Plan { step, max_blocks, ..plan }),
    }
}

/// The side of a place on which less was measured: -1 below, 1 above.
fn poorer_side(past: &Past<'_>, place: f64) -> f64 {
    let near = || past.valid().filter(|trial| trial.purpose != Purpose::Expand);
    let blocks = |above: bool| {
        let side = near().filter(|trial| (trial.rate_per_s.ln() > place) == above);
        side.map(|trial| trial.tally.blocks()).sum::<usize>()
    };
    if blocks(true) <= blocks(false) { 1.0 } else { -1.0 }
}

/// The step itself, or another one if it is not between the loads that are beyond question: those tell nothing more.
/// `lowest_bad`: the lowest load that is bad, beyond question or not.
fn open_load(past: &Past<'_>, step: i32, enough: usize, lowest_bad: i32) -> i32 {
    let mut loads: BTreeMap<i32, (usize, u64, Vec<u64>)> = BTreeMap::new();
    for trial in past.valid() {
        let criteria = past.goal.slo.len();
        let (blocks, due, broken) = loads.entry(trial.step).or_insert_with(|| (0, 0, vec![0; criteria]));
        *blocks += trial.tally.blocks();
        *due += trial.due;
        broken.iter_mut().enumerate().for_each(|(index, sum)| *sum += trial.tally.total_broken(index));
    }
    // The worst share as a multiple of its limit.
    let worst = |due: u64, broken: &[u64]| {
        let times = broken.iter().zip(&past.goal.slo).map(|(broken, c)| *broken as f64 / (due as f64 * c.share()));
        times.fold(0.0, f64::max)
    };
    let good =
        loads.iter().filter(|(_, (blocks, due, broken))| 2 * blocks >= enough && worst(*due, broken) < 1.0 / FAR);
    let good = good.map(|(step, _)| *step).max().unwrap_or(i32::MIN / 2);
    // One trial does not make a load bad: two must say so, of this load or of lower ones.
    let is_far = |trial: &&Trial| {
        let broken: Vec<u64> = (0..past.goal.slo.len()).map(|index| trial.tally.total_broken(index)).collect();
        2 * trial.tally.blocks() >= enough && worst(trial.due, &broken) > FAR
    };
    let mut bad: Vec<i32> = past.valid().filter(is_far).map(|trial| trial.step).collect();
    bad.sort_unstable();
    let bad = bad.get(1).copied().unwrap_or(i32::MAX / 2);
    // An unlucky trial can draw the curve far below what was quiet for long: then the capacity is looked for above that.
    if step <= good && lowest_bad < bad && lowest_bad.saturating_sub(good) > CLOSE_STEPS {
        return i32::midpoint(good, lowest_bad);
    }
    if bad.saturating_sub(good) > CLOSE_STEPS {
        let between = good + 1..=bad - 1;
        let is_far = loads.contains_key(&good) && loads.contains_key(&bad) && !between.contains(&step);
        return if is_far { i32::midpoint(good, bad) } else { step.clamp(*between.start(), *between.end()) };
    }
    // Close together, or a bad load below a good one: then one of them is not what it seems.
    step.clamp(good.min(bad), good.max(bad))
}

/// The step itself, or the nearest that was tried once there are too many.
fn known_load(past: &Past<'_>, step: i32) -> i32 {
    let mut steps: Vec<i32> = past.valid().map(|trial| trial.step).collect();
    steps.sort_unstable();
    steps.dedup();
    if steps.len() < MAX_LOADS {
        return step;
    }
    steps.into_iter().min_by_key(|known| known.abs_diff(step)).unwrap_or(step)
}
