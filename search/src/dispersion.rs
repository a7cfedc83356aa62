//! How many requests one independent request stands for: the design effect, from the variance of batch means.
//!
//! Latencies are correlated in time: one queue that grows breaks the limit for many requests. So the variance of a
//! count over a trial is a multiple of the binomial one. That multiple is estimated from batches of adjacent blocks
//! (batch means: Law and Kelton, "Simulation Modeling and Analysis", 9.5.3). Batches that are shorter than the correlation show too little of
//! it, so the batch size is doubled as long as enough batches are left, and the largest multiple counts. How sure it is depends on how many
//! bursts were seen, and not on how many batches.

/// The fewest degrees of freedom that a batch size above one block must leave.
const MIN_DEGREES: usize = 12;

/// How much more a count varies than that of independent requests would.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dispersion {
    /// The variance as a multiple of the binomial one, at least 1.
    pub design_effect: f64,
    /// The degrees of freedom behind that estimate, at least 1.
    pub degrees: f64,
}

/// Before much is known, requests are taken to break in bursts of so many…
const PRIOR_EFFECT: f64 = 10.0;
/// …with the weight of so many degrees of freedom. Counting too few bursts makes an estimate sure of what it does not know.
const PRIOR_DEGREES: f64 = 5.0;

impl Dispersion {
    /// Every request stands for itself, and that is known.
    pub const INDEPENDENT: Self = Self { design_effect: 1.0, degrees: f64::INFINITY };

    /// Together with what is taken to be before anything is measured.
    pub fn with_prior(self) -> Self {
        let Self { design_effect, degrees } = self;
        // A burst that was seen is never made smaller.
        let prior = PRIOR_EFFECT.max(design_effect);
        let weighted = design_effect * degrees + prior * PRIOR_DEGREES;
        Self { design_effect: weighted / (degrees + PRIOR_DEGREES), degrees: degrees + PRIOR_DEGREES }
    }
}

/// The blocks of one trial: due, and broken of them. Broken may be above due in a block, or below 0: responses are counted
/// in the block in which they ended.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Requests due, block by block.
    pub due: &'a [u64],
    /// Requests that broke the limit, block by block.
    pub broken: &'a [i64],
    /// The share that a curve over all trials says for this load; `None`: the trial's own is taken.
    pub expected: Option<f64>,
}

impl Series<'_> {
    /// The share of broken requests over all blocks, from 0 to 1.
    fn share(&self) -> f64 {
        let due: u64 = self.due.iter().sum();
        let broken: i64 = self.broken.iter().sum();
        if due == 0 { 0.0 } else { (broken.max(0) as f64 / due as f64).min(1.0) }
    }
}

/// The dispersion of trials at similar loads, taken together.
pub fn dispersion<'a>(trials: impl Iterator<Item = Series<'a>> + Clone) -> Dispersion {
    let mut widest = Dispersion { design_effect: 1.0, degrees: 1.0 };
    let mut batch_blocks = 1;
    loop {
        let Some((found, free)) = of_batches(trials.clone(), batch_blocks) else { return widest };
        if batch_blocks > 1 && free < MIN_DEGREES {
            return widest;
        }
        if batch_blocks == 1 || found.design_effect > widest.design_effect {
            widest = Dispersion { design_effect: found.design_effect.max(1.0), ..found };
        }
        batch_blocks *= 2;
    }
}

/// The dispersion by batches of that size, and how many of them are free to vary. `None`: none is.
fn of_batches<'a>(trials: impl Iterator<Item = Series<'a>>, batch_blocks: usize) -> Option<(Dispersion, usize)> {
    let (mut squares, mut fourths, mut binomial, mut batches) = (0.0, 0.0, 0.0, 0_usize);
    // The shares that were taken from the batches themselves: one for each trial, or the two parameters of a curve.
    let (mut own_shares, mut curve_parameters) = (0, 0);
    for trial in trials {
        let count = trial.due.len().min(trial.broken.len()) / batch_blocks;
        match trial.expected {
            Some(_) => curve_parameters = 2,
            None if count < 2 => continue,
            None => own_shares += 1,
        }
        let share = trial.expected.unwrap_or_else(|| trial.share());
        let pairs = trial.due.chunks_exact(batch_blocks).zip(trial.broken.chunks_exact(batch_blocks));
        for (due, broken) in pairs {
            let due = due.iter().sum::<u64>() as f64;
            let residual = broken.iter().sum::<i64>() as f64 - share * due;
            squares += residual * residual;
            fourths += residual.powi(4);
            binomial += due * share * (1.0 - share);
        }
        batches += count;
    }
    let free = batches.checked_sub(own_shares + curve_parameters).filter(|free| *free > 0)?;
    // Where nothing is broken, or everything, nothing is seen of how it varies.
    let design_effect = if binomial > 0.0 { squares / binomial * batches as f64 / free as f64 } else { 1.0 };
    // A few bursts make up the whole sum however many quiet batches are beside them: as many degrees as a sum of Gaussian squares
    // that varies as much (Satterthwaite 1946; O'Neill 2014, "Some useful moment results in sampling problems", for its kurtosis).
    let spread = fourths - squares * squares / batches as f64;
    let degrees = if spread > 0.0 { (2.0 * squares * squares / spread).clamp(1.0, free as f64) } else { free as f64 };
    let degrees = if squares > 0.0 { degrees } else { 1.0 };
    Some((Dispersion { design_effect, degrees }, free))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(due: &[u64], broken: &[i64]) -> Dispersion {
        dispersion(std::iter::once(Series { due, broken, expected: None }))
    }

    #[test]
    fn independent_requests_stand_for_themselves() {
        let mut random = fastrand::Rng::with_seed(1);
        let due = [100; 4_000];
        let broken: Vec<i64> = due.iter().map(|due| (0..*due).filter(|_| random.f64() < 0.05).count() as i64).collect();
        let found = of(&due, &broken);
        assert!((1.0..1.35).contains(&found.design_effect), "{found:?}");
    }

    #[test]
    fn requests_that_break_together_count_as_one() {
        // Runs of ten blocks in which all are broken: the variance is a hundred times the binomial one. The largest of several
        // estimates is rather too high.
        let mut random = fastrand::Rng::with_seed(2);
        let due = [10; 40_000];
        let runs = (0..4_000).map(|_| if random.f64() < 0.05 { 10 } else { 0 });
        let broken: Vec<i64> = runs.flat_map(|broken| [broken; 10]).collect();
        let found = of(&due, &broken);
        assert!((70.0..250.0).contains(&found.design_effect), "{found:?}");
    }

    #[test]
    fn a_trial_of_one_block_says_little_and_breaks_nothing() {
        assert_eq!(of(&[10], &[1]), Dispersion { design_effect: 1.0, degrees: 1.0 });
        assert_eq!(of(&[], &[]), Dispersion { design_effect: 1.0, degrees: 1.0 });
        assert_eq!(of(&[0, 0, 0], &[0, 0, 0]).design_effect, 1.0);
        assert!(of(&[0, 5, 5], &[-2, 9, -1]).design_effect.is_finite());
    }
}
