//! Where the capacity lies, by every trial so far.

use std::collections::BTreeMap;

use crate::binomial::Sample;
use crate::dispersion::{Dispersion, Series, dispersion};
use crate::fit::{Point, Root, logit, root};
use crate::goal::{Criterion, Goal};
use crate::math::student_t;
use crate::trial::Trial;

/// Loads whose fitted logit is further than this from that of the limit do not take part: a ninth or nine times the odds. The curve is
/// taken to be logistic only there.
const WINDOW: f64 = 2.2;
/// A trial that broke more than so many times the limit tells nothing of how counts near the limit vary: a queue that only grows does not.
const SATURATED: f64 = 10.0;
/// Nor do loads that are further away than this, in ln(rate): a third.
const WINDOW_LN_RATE: f64 = 0.3;

/// The least degrees of freedom behind a design effect on which a trial may be called a surprise.
const MIN_DEGREES: f64 = 8.0;

/// Where the capacity lies, in natural logarithms of rates.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The most likely place.
    pub best: f64,
    /// The lower end of its interval; `None`: open.
    pub lower: Option<f64>,
    /// The upper end; `None`: open.
    pub upper: Option<f64>,
    /// How much more the counts near it vary than those of independent requests, by criterion.
    pub design_effects: Vec<f64>,
}

impl Estimate {
    /// How far the upper end is above the lower one, as a share of it; `None`: an end is open.
    pub fn width(&self) -> Option<f64> {
        self.lower.zip(self.upper).map(|(lower, upper)| (upper - lower).exp_m1())
    }
}

/// One criterion's part.
#[derive(Clone, Copy, Debug)]
pub struct CriterionFit {
    /// Where its limit is met.
    pub root: Root,
    /// The dispersion of the trials near it.
    pub dispersion: Dispersion,
}

/// A load: ln(rate), the requests due at it, and those that broke the criterion.
type Load = (f64, u64, u64);

/// The capacity by these trials: each criterion's, and the lowest of them is that of the SLO. `None`: nothing was measured.
pub fn estimate<'a>(goal: &Goal, trials: impl Iterator<Item = &'a Trial> + Clone) -> Option<Estimate> {
    let fits = (0..goal.slo.len()).map(|criterion| fit(goal, trials.clone(), criterion)).collect::<Option<Vec<_>>>()?;
    let roots = || fits.iter().map(|fit| fit.root);
    Some(Estimate {
        best: roots().map(|root| root.best).min_by(f64::total_cmp)?,
        lower: roots().map(|root| root.lower).reduce(|one, other| one.zip(other).map(|(one, other)| one.min(other)))?,
        upper: roots().filter_map(|root| root.upper).min_by(f64::total_cmp),
        design_effects: fits.iter().map(|fit| fit.dispersion.design_effect).collect(),
    })
}

/// Where one criterion's limit is met.
pub fn fit<'a>(goal: &Goal, trials: impl Iterator<Item = &'a Trial> + Clone, criterion: usize) -> Option<CriterionFit> {
    let limit = goal.slo[criterion].share();
    let trials = trials.filter(|trial| trial.counts() && trial.due > 0);
    let mut loads: BTreeMap<i32, Load> = BTreeMap::new();
    for trial in trials.clone() {
        let load = loads.entry(trial.step).or_insert((trial.rate_per_s.ln(), 0, 0));
        load.1 += trial.due;
        load.2 += trial.tally.total_broken(criterion);
    }
    let mut window = (f64::NEG_INFINITY, f64::INFINITY);
    let mut found = None;
    // The window depends on the curve and the curve on the window: three times are enough, since the window is wide.
    let mut curve: Option<Root> = None;
    for _ in 0..3 {
        let inside = |ln_rate: f64| (window.0..=window.1).contains(&ln_rate);
        let is_saturated =
            |trial: &&Trial| trial.tally.total_broken(criterion) as f64 > SATURATED * limit * trial.due as f64;
        let near = trials.clone().filter(|trial| inside(trial.rate_per_s.ln()) && !is_saturated(trial));
        let series = near.map(|trial| {
            let expected = curve.map(|root| root.share_at(limit, trial.rate_per_s.ln()));
            Series { expected, ..trial.tally.series(criterion) }
        });
        let dispersion = dispersion(series).with_prior();
        let points: Vec<Point> = loads
            .values()
            .filter(|(ln_rate, _, _)| inside(*ln_rate))
            .map(|(ln_rate, due, broken)| Point {
                ln_rate: *ln_rate,
                size: *due as f64 / dispersion.design_effect,
                broken: *broken as f64 / dispersion.design_effect,
            })
            .collect();
        let root = root(&points, limit, student_t(goal.confidence, dispersion.degrees))?;
        found = Some(CriterionFit { root, dispersion });
        curve = Some(root);
        let reach = (WINDOW / root.steepness).min(WINDOW_LN_RATE);
        // A good load below and a bad one above always take part, or nothing would hold the curve.
        let of = |wanted: bool| {
            let is_broken = move |due: u64, broken: u64| broken as f64 >= limit * due as f64;
            let wanted = loads.values().filter(move |(_, due, broken)| is_broken(*due, *broken) == wanted);
            wanted.map(|(ln_rate, _, _)| *ln_rate)
        };
        let below = of(false).filter(|rate| *rate <= root.best).fold(f64::NEG_INFINITY, f64::max);
        let above = of(true).filter(|rate| *rate >= root.best).fold(f64::INFINITY, f64::min);
        const ROUNDING: f64 = 1e-9;
        window = (below.min(root.best - reach) - ROUNDING, above.max(root.best + reach) + ROUNDING);
    }
    let mut found = found?;
    let Root { best, lower, upper, steepness: _ } = &mut found.root;
    // Where the curve leaves an end open, a load bounds it whose interval lies on one side, alone or together with loads towards the
    // most likely place: since the share rises with the load, those break more than it does below that place, and less above it.
    let clear_loads = |side: fn(Sample, f64, f64) -> bool| {
        let is_clear = |ln_rate: f64, other: f64| {
            let between = ln_rate.min(other)..=ln_rate.max(other);
            let here = || trials.clone().filter(|trial| between.contains(&trial.rate_per_s.ln()));
            let due = here().map(|trial| trial.due).sum();
            let broken = here().map(|trial| trial.tally.total_broken(criterion)).sum();
            let dispersion = dispersion(here().map(|trial| trial.tally.series(criterion))).with_prior();
            side(Sample::effective(due, broken, dispersion, goal.confidence), limit, goal.confidence)
        };
        let all = || loads.values().map(|load| load.0);
        let towards = |ln_rate: f64, other: f64| (ln_rate - other) * (other - *best) >= 0.0;
        let clear = |ln_rate: &f64| all().any(|other| towards(*ln_rate, other) && is_clear(*ln_rate, other));
        all().filter(clear).collect::<Vec<f64>>()
    };
    // What lies between two loads was not measured: a target that breaks at a step may do so anywhere between them.
    let below = loads.values().map(|load| load.0).filter(|ln_rate| ln_rate <= best).max_by(f64::total_cmp);
    let above = loads.values().map(|load| load.0).filter(|ln_rate| ln_rate >= best).min_by(f64::total_cmp);
    *lower = lower.map(|lower| below.map_or(lower, |below| lower.min(below)));
    *upper = upper.map(|upper| above.map_or(upper, |above| upper.max(above)));
    if lower.is_none() {
        *lower = clear_loads(Sample::is_below).into_iter().filter(|ln_rate| ln_rate <= best).max_by(f64::total_cmp);
    }
    if matches!(goal.slo[criterion], Criterion::Failed { .. }) {
        *lower = (*lower).into_iter().chain(unfailed_up_to(&loads, limit, goal.confidence)).max_by(f64::total_cmp);
    }
    if upper.is_none() {
        *upper = clear_loads(Sample::is_above).into_iter().filter(|ln_rate| ln_rate >= best).min_by(f64::total_cmp);
    }
    Some(found)
}

/// The highest load at which nothing failed though enough was due, there and at higher loads where nothing failed either, to have
/// seen it: the share that fails does not fall with the load. Failures that never came show no bursts, so each request counts.
fn unfailed_up_to(loads: &BTreeMap<i32, Load>, limit: f64, confidence: f64) -> Option<f64> {
    let unfailed: Vec<&Load> = loads.values().take_while(|(_, _, broken)| *broken == 0).collect();
    let mut size = 0.0;
    let enough = unfailed.iter().rev().find(|(_, due, _)| {
        size += *due as f64;
        Sample { size, broken: 0.0 }.is_below(limit, confidence)
    });
    enough.map(|(ln_rate, _, _)| *ln_rate)
}

/// By how many standard deviations a trial broke more than all others say of its load: the criterion that surprises most. `None`: the
/// others do not say enough.
pub fn surprise(goal: &Goal, trials: &[Trial], index: usize) -> Option<f64> {
    let trial = &trials[index];
    let others = || trials.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, trial)| trial);
    let of = |criterion: usize| {
        let CriterionFit { root, dispersion } = fit(goal, others(), criterion)?;
        // Without both ends the others do not say enough. Within them the least favourable curve is taken.
        let (place, _) = root.lower.zip(root.upper).filter(|_| dispersion.degrees >= MIN_DEGREES)?;
        let limit = goal.slo[criterion].share();
        let eta = logit(limit) + (root.steepness * (trial.rate_per_s.ln() - place)).max(-WINDOW);
        let share = 1.0 / (1.0 + (-eta).exp());
        let due = trial.due as f64;
        let variance = due * share * (1.0 - share) * dispersion.design_effect;
        let student = student_t(0.95, dispersion.degrees) / student_t(0.95, f64::INFINITY);
        (variance > 0.0).then(|| (trial.tally.total_broken(criterion) as f64 - due * share) / variance.sqrt() / student)
    };
    (0..goal.slo.len()).filter_map(of).max_by(f64::total_cmp)
}
