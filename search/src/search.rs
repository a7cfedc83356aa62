//! The state machine: blocks in, rates out.
//!
//! This file runs one trial after the other; which one comes next is decided in `plan`.

use std::collections::BTreeMap;
use std::time::Duration;

use onrush_stats::Distribution;

use crate::block::{Block, Spoilt};
use crate::estimate::{estimate, surprise};
use crate::found::{Ended, Found};
use crate::goal::{Criterion, Goal, GoalError};
use crate::grid::Grid;
use crate::ledger::Ledger;
use crate::plan::{Next, OVERLOAD_BLOCKS, Past, Plan, next_plan};
use crate::trial::{Purpose, Tally, Trial, Verdict};

/// The fewest blocks of a trial.
const MIN_BLOCKS: usize = 3;
/// Shorter blocks than this are none.
const MIN_BLOCK_NS: u64 = 1_000_000;
/// The fewest requests of a trial: at rates below one a second it lasts until so many were due.
const MIN_DUE: u64 = 10;
/// A target that kept the SLO with fewer requests than this may not have kept it.
const MIN_DUE_OF_GOOD: u64 = 100;
/// So many void blocks, and as many as there are good ones, make a trial void.
const MAX_VOID_BLOCKS: usize = 5;
/// So many void trials in a row, and the generator cannot keep that rate.
const MAX_VOID_TRIALS: u32 = 2;
/// What an overload leaves behind is served at this part of the next rate…
const REST_PART: f64 = 0.5;
/// …or, where that does not help at a load that was kept before, at this one.
const LAST_REST_PART: f64 = 0.1;
/// So many blocks are waited for at least, until a target that was overloaded keeps the SLO again…
const REST_BLOCKS: usize = 60;
/// …and at most this part of the budget.
const REST_PART_OF_BUDGET: usize = 10;
/// A block in which so large a share broke a criterion leaves a queue behind.
const OVERLOAD: f64 = 0.5;
/// A trial that is to last ends early where at least that share broke, and so many times the limit.
const OVERLOAD_TIMES: f64 = 1.5;
/// A trial that broke more than the others say, by so many standard deviations, is repeated.
const DOUBTFUL: f64 = 6.0;
/// Blocks of a search at most, however short they are. (24 hours of seconds are 86,400.)
const MAX_BLOCKS: usize = 200_000;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Measure another block at the rate that is asked for now.
    Hold,
    /// Ask for this rate, then measure a block. Connections stay open.
    Change {
        /// Requests per second.
        rate_per_s: f64,
    },
    /// The search has ended: [`Search::found`] has what it found.
    Done,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// At a part of the rate, until the target has served what an overload left behind.
    Rest { left: usize, part: f64 },
    /// At the rate, without counting.
    WarmUp { left: usize },
    /// At the rate, counting.
    Trial,
}

/// A search that is under way.
#[derive(Clone, Debug)]
pub struct Search {
    goal: Goal,
    grid: Grid,
    trials: Vec<Trial>,
    /// The latency at each load; bounded by `plan::MAX_LOADS`.
    latency: BTreeMap<i32, Distribution>,
    ledger: Ledger,
    plan: Plan,
    stage: Stage,
    tally: Tally,
    tally_latency: Distribution,
    tally_length_ns: u64,
    /// When the first block that counts began.
    from_ns: u64,
    void_blocks: usize,
    void_trials: u32,
    /// The lowest load that the generator could not keep.
    ceiling: Option<(i32, Spoilt)>,
    /// The trial that is being repeated, and its latency.
    doubt: Option<(usize, Distribution)>,
    /// Those near the capacity, as far as it is known.
    design_effects: Vec<f64>,
    /// The last block left a queue behind.
    overloaded: bool,
    /// What the generator sends now; `None`: nothing yet.
    applied_per_s: Option<f64>,
    elapsed_ns: u64,
    blocks: usize,
    found: Option<Found>,
}

impl Search {
    /// A search that begins.
    pub fn new(goal: Goal) -> Result<Self, GoalError> {
        goal.check()?;
        let plan = Plan::first();
        let mut search = Self {
            grid: Grid::new(goal.start_per_s, goal.max_per_s, goal.width),
            trials: Vec::new(),
            latency: BTreeMap::new(),
            ledger: Ledger::new(goal.slo.len()),
            stage: Stage::Trial,
            plan,
            tally: Tally::new(goal.slo.len()),
            tally_latency: Distribution::default(),
            tally_length_ns: 0,
            from_ns: 0,
            void_blocks: 0,
            void_trials: 0,
            ceiling: None,
            doubt: None,
            design_effects: Vec::new(),
            overloaded: false,
            applied_per_s: None,
            elapsed_ns: 0,
            blocks: 0,
            found: None,
            goal,
        };
        search.warm_up();
        Ok(search)
    }

    /// What to do next. It stays the same until a block is taken.
    pub fn next(&self) -> Step {
        let rate_per_s = self.rate_per_s();
        if self.found.is_some() {
            Step::Done
        } else if self.applied_per_s == Some(rate_per_s) {
            Step::Hold
        } else {
            Step::Change { rate_per_s }
        }
    }

    /// The rate that is asked for, per second.
    pub fn rate_per_s(&self) -> f64 {
        let step = match self.stage {
            Stage::Rest { part, .. } => self.grid.times(self.plan.step, part),
            Stage::WarmUp { .. } | Stage::Trial => self.plan.step,
        };
        self.grid.rate_per_s(step)
    }

    /// Why the trial that is under way is held.
    pub fn purpose(&self) -> Purpose {
        self.plan.purpose
    }

    /// What was found; `None`: the search goes on.
    pub fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    /// The trials so far.
    pub fn trials(&self) -> &[Trial] {
        self.found.as_ref().map_or(&self.trials, |found| &found.trials)
    }

    /// How long the search has taken.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed_ns)
    }

    /// Takes what a block measured at the rate that [`next`](Self::next) asked for.
    pub fn take(&mut self, block: &Block) {
        if self.found.is_some() {
            return;
        }
        self.applied_per_s = Some(self.rate_per_s());
        let began_ns = self.elapsed_ns;
        self.elapsed_ns = self.elapsed_ns.saturating_add(block.length_ns);
        self.blocks += 1;
        let broken = self.ledger.take(&self.goal.slo, block);
        match block.void {
            Some(spoilt) => self.take_void(spoilt),
            None => self.take_sound(block, &broken, began_ns),
        }
        if self.found.is_none() && self.blocks_left() == 0 {
            self.spend();
        }
    }

    /// Takes what a block measured before the rate that [`next`](Self::next) asked for took effect: it takes time, and leaves requests
    /// in flight, but says nothing of that rate.
    pub fn pass(&mut self, block: &Block) {
        if self.found.is_some() {
            return;
        }
        self.elapsed_ns = self.elapsed_ns.saturating_add(block.length_ns);
        self.blocks += 1;
        self.ledger.take(&self.goal.slo, block);
        if self.blocks_left() == 0 {
            self.spend();
        }
    }

    /// What would be found if the search ended now, but for the trial that is under way.
    pub fn so_far(&self) -> Found {
        match &self.found {
            Some(found) => found.clone(),
            None => Found::new(&self.goal, self.trials.clone(), &self.latency, Ended::Budget, false),
        }
    }

    /// Ends the search now, as if its budget were spent: what is known is found.
    pub fn stop(&mut self) {
        if self.found.is_none() {
            self.spend();
        }
    }

    fn take_sound(&mut self, block: &Block, broken: &[i64], began_ns: u64) {
        let share = |broken: i64| broken.max(0) as f64 / block.due.max(1) as f64;
        let keeps = self.goal.slo.iter().zip(broken).all(|(criterion, broken)| share(*broken) < criterion.share());
        let has_recovered = keeps && block.due > 0 && !self.ledger.is_behind();
        self.overloaded = !keeps || self.ledger.is_behind();
        match self.stage {
            Stage::Rest { .. } if has_recovered => self.warm_up(),
            Stage::Rest { left, part } if left <= 1 => self.after_rest(part),
            Stage::Rest { left, part } => self.stage = Stage::Rest { left: left - 1, part },
            Stage::WarmUp { left } if left <= 1 => self.stage = Stage::Trial,
            Stage::WarmUp { left } => self.stage = Stage::WarmUp { left: left - 1 },
            Stage::Trial => {
                if self.tally.blocks() == 0 {
                    self.from_ns = began_ns;
                }
                self.tally.add(block.due, broken);
                self.tally_latency.merge(&block.latency);
                self.tally_length_ns = self.tally_length_ns.saturating_add(block.length_ns);
                if self.is_trial_over() {
                    self.conclude();
                }
            }
        }
    }

    fn take_void(&mut self, spoilt: Spoilt) {
        self.void_blocks += 1;
        if self.void_blocks < MAX_VOID_BLOCKS || self.void_blocks < self.tally.blocks() {
            // What the generator did then may have left its mark on the target.
            if let Stage::Trial = self.stage {
                self.warm_up();
            }
            return;
        }
        let trial = self.trial(Verdict::Void(spoilt), false);
        self.trials.push(trial);
        self.void_trials += 1;
        if self.void_trials < MAX_VOID_TRIALS {
            self.begin(self.plan);
            return;
        }
        self.void_trials = 0;
        if self.ceiling.is_none_or(|(step, _)| self.plan.step < step) {
            self.ceiling = Some((self.plan.step, spoilt));
        }
        self.resolve_doubt(None);
        self.plan_next();
    }

    fn is_trial_over(&self) -> bool {
        let blocks = self.tally.blocks();
        if self.tally.total_due() < MIN_DUE || blocks < self.limit_blocks() {
            return false;
        }
        if blocks >= self.plan.max_blocks {
            return true;
        }
        if self.plan.until_clear {
            // Looking after every block of a long trial would cost time and be wrong more often.
            let looks = blocks >= MIN_BLOCKS && (blocks < 16 || blocks.is_multiple_of(blocks / 8));
            return looks && self.tally.clear_verdict(&self.goal.slo, &self.design_effects).is_some();
        }
        // A trial that ended as soon as a burst came, or because none had come yet, would count bursts too often, or too seldom. Only a load
        // that is far beyond the capacity is given up.
        let is_overload = |(index, criterion): (usize, &Criterion)| {
            let broken = self.tally.total_broken(index) as f64;
            let due = self.tally.total_due() as f64;
            broken > due * OVERLOAD.max((OVERLOAD_TIMES * criterion.share()).min(1.0)) - 0.5
        };
        blocks >= OVERLOAD_BLOCKS && self.goal.slo.iter().enumerate().any(is_overload)
    }

    /// What was tallied, as a trial.
    fn trial(&self, verdict: Verdict, is_clear: bool) -> Trial {
        Trial {
            rate_per_s: self.grid.rate_per_s(self.plan.step),
            purpose: self.plan.purpose,
            verdict,
            is_clear,
            is_set_aside: false,
            from: Duration::from_nanos(self.from_ns),
            length: Duration::from_nanos(self.tally_length_ns),
            due: self.tally.total_due(),
            broken: self.tally.shares(&self.goal.slo, self.goal.confidence),
            step: self.plan.step,
            tally: self.tally.clone(),
        }
    }

    /// A trial is over: what it says, and what comes next.
    fn conclude(&mut self) {
        self.void_trials = 0;
        let clear = self.tally.clear_verdict(&self.goal.slo, &self.design_effects);
        let verdict = clear.unwrap_or_else(|| self.tally.plain_verdict(&self.goal.slo));
        let trial = self.trial(verdict, clear.is_some());
        let latency = std::mem::take(&mut self.tally_latency);
        self.trials.push(trial);
        let index = self.trials.len() - 1;
        if self.doubt.is_some() {
            self.resolve_doubt(Some(index));
        } else if self.is_doubtful(index) {
            self.doubt = Some((index, latency));
            self.begin(Plan { max_blocks: self.tally.blocks().max(self.plan.max_blocks), ..self.plan });
            return;
        }
        self.latency.entry(self.plan.step).or_default().merge(&latency);
        self.plan_next();
    }

    /// Whether one bad trial must be repeated before anything is built on it.
    fn is_doubtful(&self, index: usize) -> bool {
        let trial = &self.trials[index];
        if trial.verdict != Verdict::Bad {
            return false;
        }
        let is_first = !self.trials[..index].iter().any(|trial| trial.verdict == Verdict::Bad && !trial.is_set_aside);
        is_first || surprise(&self.goal, &self.trials, index).is_some_and(|deviations| deviations > DOUBTFUL)
    }

    /// A trial that was in doubt is set aside if its repetition, the trial `repeated`, broke less than half as much.
    fn resolve_doubt(&mut self, repeated: Option<usize>) {
        let Some((doubted, latency)) = self.doubt.take() else { return };
        let halved = repeated.is_some_and(|repeated| {
            let (now, before) = (&self.trials[repeated], &self.trials[doubted]);
            let worst = |trial: &Trial| {
                let times_limit =
                    trial.broken.iter().zip(&self.goal.slo).map(|(b, criterion)| b.share / criterion.share());
                times_limit.fold(0.0, f64::max)
            };
            worst(now) < 0.5 * worst(before)
        });
        if halved {
            self.trials[doubted].is_set_aside = true;
        } else {
            self.latency.entry(self.trials[doubted].step).or_default().merge(&latency);
        }
    }

    fn plan_next(&mut self) {
        let estimate = estimate(&self.goal, self.trials.iter());
        let past = Past {
            estimate: estimate.as_ref(),
            goal: &self.goal,
            grid: &self.grid,
            trials: &self.trials,
            ceiling: self.ceiling,
            blocks: self.blocks + self.blocks_left(),
            blocks_left: self.blocks_left(),
            current: self.plan,
        };
        match next_plan(&past) {
            Next::Trial(plan) => {
                let near = plan.purpose != Purpose::Expand;
                self.design_effects = estimate.filter(|_| near).map(|found| found.design_effects).unwrap_or_default();
                self.begin(plan);
            }
            Next::End { ended, is_confirmed } => self.finish(ended, is_confirmed),
        }
    }

    fn begin(&mut self, plan: Plan) {
        self.plan = plan;
        self.tally = Tally::new(self.goal.slo.len());
        self.tally_latency = Distribution::default();
        self.tally_length_ns = 0;
        self.from_ns = self.elapsed_ns;
        self.void_blocks = 0;
        if std::mem::take(&mut self.overloaded) {
            self.rest(REST_PART);
        } else {
            self.warm_up();
        }
    }

    fn rest(&mut self, part: f64) {
        let blocks = self.blocks + self.blocks_left();
        self.stage = Stage::Rest { left: REST_BLOCKS.max(blocks / REST_PART_OF_BUDGET), part };
    }

    /// The target did not recover at a part of the rate. If it kept the SLO there before, it is not the load that breaks it now; but a
    /// short trial at its capacity may have kept it by luck, and there a queue never becomes shorter: so a small part decides.
    fn after_rest(&mut self, part: f64) {
        let rate_per_s = self.rate_per_s();
        let was_good = |trial: &&Trial| {
            let is_good = trial.counts() && trial.verdict == Verdict::Good && trial.due >= MIN_DUE_OF_GOOD;
            is_good && trial.rate_per_s >= rate_per_s
        };
        let Some(last_good) = self.trials.iter().rposition(|trial| was_good(&trial)) else { return self.warm_up() };
        if part > LAST_REST_PART {
            return self.rest(LAST_REST_PART);
        }
        // Nothing that came after is known to be the target that was searched.
        for trial in &mut self.trials[last_good + 1..] {
            trial.is_set_aside |= trial.verdict == Verdict::Bad;
        }
        self.doubt = None;
        self.finish(Ended::TargetGone { at_per_s: rate_per_s }, false);
    }

    fn warm_up(&mut self) {
        // Before the limit has passed nothing can have broken it.
        let left = self.plan.warm_up_blocks(&self.goal).max(self.limit_blocks());
        self.stage = if left == 0 { Stage::Trial } else { Stage::WarmUp { left } };
    }

    /// How many blocks the longest latency limit takes.
    fn limit_blocks(&self) -> usize {
        let limit_ns = |criterion: &Criterion| match criterion {
            Criterion::Latency { limit_ns, .. } => *limit_ns,
            Criterion::Failed { .. } => 0,
        };
        let longest_ns = self.goal.slo.iter().map(limit_ns).max().unwrap_or(0);
        usize::try_from(longest_ns / self.mean_block_ns().max(MIN_BLOCK_NS)).unwrap_or(usize::MAX).min(MAX_BLOCKS)
    }

    /// Before there is one a block is taken for a second.
    fn mean_block_ns(&self) -> u64 {
        if self.blocks == 0 { 1_000_000_000 } else { (self.elapsed_ns / self.blocks as u64).max(1) }
    }

    /// How many blocks the budget still has, by the mean length of those so far.
    fn blocks_left(&self) -> usize {
        let budget_ns = u64::try_from(self.goal.budget.as_nanos()).unwrap_or(u64::MAX);
        let left_ns = budget_ns.saturating_sub(self.elapsed_ns);
        usize::try_from(left_ns / self.mean_block_ns())
            .unwrap_or(usize::MAX)
            .min(MAX_BLOCKS.saturating_sub(self.blocks))
    }

    /// The budget is spent: the trial that is under way counts as far as it came.
    fn spend(&mut self) {
        if self.tally.blocks() >= MIN_BLOCKS && matches!(self.stage, Stage::Trial) {
            let clear = self.tally.clear_verdict(&self.goal.slo, &self.design_effects);
            let verdict = clear.unwrap_or_else(|| self.tally.plain_verdict(&self.goal.slo));
            let trial = self.trial(verdict, clear.is_some());
            self.latency.entry(trial.step).or_default().merge(&self.tally_latency);
            self.trials.push(trial);
        }
        self.resolve_doubt(None);
        let ended = match (self.ceiling, self.plan.purpose) {
            (Some((step, spoilt)), Purpose::Expand) => {
                Ended::Generator { ends_at_per_s: self.grid.rate_per_s(step), spoilt }
            }
            _ => Ended::Budget,
        };
        self.finish(ended, false);
    }

    fn finish(&mut self, ended: Ended, is_confirmed: bool) {
        let trials = std::mem::take(&mut self.trials);
        let latency = std::mem::take(&mut self.latency);
        self.found = Some(Found::new(&self.goal, trials, &latency, ended, is_confirmed));
    }
}
