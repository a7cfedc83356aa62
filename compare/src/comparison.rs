//! Both runs together: each quantity's difference, its interval, and whether it is proven.

use crate::dependence::{Dependence, MIN_BLOCKS};
use crate::gate::{Gate, Judged};
use crate::quantity::Quantity;
use crate::resample::{draw, student_of_normal};
use crate::timeline::{Stretch, Timeline};
use crate::weighed::Weighed;

/// A run, or the pairs of two that were interleaved, has at least so many stretches; of fewer nothing can be said.
pub const MIN_STRETCHES: usize = 8;
/// At least so many requests lie beyond a quantile that is compared, on either side; with fewer it is a matter of single requests.
pub const MIN_BEYOND: u64 = 20;
/// What lies beyond a quantile that is compared comes from so many separate moments, on either side, or from a third of all there are:
/// what one or two hiccups made says nothing of the next run.
const MIN_MOMENTS: f64 = 10.0;
/// The length of a block is at least this times the cube root of the number of stretches.
const LEAST_BLOCK: f64 = 1.25;
/// The confidence of every interval, and of all rows together.
const CONFIDENCE: f64 = 0.95;
/// What a normal variable exceeds in either direction with the rest of [`CONFIDENCE`].
const NORMAL_Z: f64 = 1.959_964;
/// A bucket of the distributions is at most a thousandth wide; the value lies anywhere in it.
const BUCKET_SD: f64 = 0.001 / 3.464_101_615;

/// How two runs are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What the difference may be.
    pub gates: Vec<Gate>,
    /// How many runs as they might have been are drawn.
    pub draws: usize,
    /// Which.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { gates: Vec::new(), draws: 2_000, seed: 1 }
    }
}

/// Why two runs cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Too short.
    #[error(
        "{run} has {seconds} seconds to compare in {stretches} parts; at least {MIN_STRETCHES} parts are needed: let it run longer, \
         or skip less"
    )]
    TooShort {
        /// `A` or `B`.
        run: &'static str,
        /// Seconds that are left of it.
        seconds: u64,
        /// The stretches that these make.
        stretches: usize,
    },
    /// Nothing was measured.
    #[error("{run} has no response, so there is nothing to compare")]
    NoResponse {
        /// `A` or `B`.
        run: &'static str,
    },
    /// Pairs that do not fit.
    #[error("the runs were interleaved in {a} and {b} parts; as many are needed")]
    Unpaired {
        /// Parts of A.
        a: usize,
        /// Parts of B.
        b: usize,
    },
}

/// From where to where a difference lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

/// One quantity of both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Which.
    pub quantity: Quantity,
    /// In run A: nanoseconds, responses per second, or a share. `None`: there is none, or it lies among what got no response.
    pub a: Option<f64>,
    /// In run B.
    pub b: Option<f64>,
    /// How much higher it is in B, as a share of A (0.08: 8 % higher); for what failed the difference of the shares. `None`: nothing
    /// can be said, as with the intervals.
    pub difference: Option<f64>,
    /// Where the difference lies with 95 % confidence.
    pub interval: Option<Interval>,
    /// Where it lies with 95 % confidence for all rows together.
    pub together: Option<Interval>,
    /// Whether there is a difference. That no row is called proven that is not holds with 95 % for all rows together.
    pub is_proven: bool,
}

/// Two runs compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The rows, in the order in which they are shown.
    pub rows: Vec<Compared>,
    /// What became of the gates.
    pub gates: Vec<Judged>,
    /// Seconds of A and of B that were compared.
    pub seconds: [u64; 2],
    /// The length of a block that was drawn, in seconds, of A and of B.
    pub block_s: [f64; 2],
    /// Whether the runs were interleaved.
    pub is_paired: bool,
}

/// A row on its way: the difference as a logarithm (of what failed as it is), and how sure it is.
pub(crate) struct Estimate {
    pub difference: f64,
    pub error: f64,
    pub degrees: f64,
    /// The deviations of the draws, in standard errors.
    deviations: Vec<f64>,
}

impl Estimate {
    /// How far the difference may be off where a normal variable exceeds `z` as rarely.
    pub fn margin(&self, z: f64) -> f64 {
        student_of_normal(z, self.degrees) * self.error
    }
}

impl Comparison {
    /// Compares two runs that had nothing to do with one another.
    pub fn of_runs(a: Timeline, b: Timeline, settings: &Settings) -> Result<Self, CompareError> {
        Self::new(a.closed(), b.closed(), false, settings)
    }

    /// Compares two runs that were interleaved: the *k*-th stretches of both were measured at about the same time, and what
    /// disturbed one disturbed the other.
    pub fn of_pairs(a: Vec<Stretch>, b: Vec<Stretch>, settings: &Settings) -> Result<Self, CompareError> {
        if a.len() != b.len() {
            return Err(CompareError::Unpaired { a: a.len(), b: b.len() });
        }
        Self::new(a, b, true, settings)
    }

    fn new(a: Vec<Stretch>, b: Vec<Stretch>, is_paired: bool, settings: &Settings) -> Result<Self, CompareError> {
        let mut seconds = [0; 2];
        for (index, (run, stretches)) in [("A", &a), ("B", &b)].into_iter().enumerate() {
            seconds[index] = stretches.iter().map(|stretch| stretch.seconds).sum();
            if stretches.len() < MIN_STRETCHES {
                return Err(CompareError::TooShort { run, seconds: seconds[index], stretches: stretches.len() });
            }
            if stretches.iter().all(|stretch| stretch.responses == 0) {
                return Err(CompareError::NoResponse { run });
            }
        }
        let mut quantities = Quantity::usual();
        for gate in &settings.gates {
            if !quantities.contains(&gate.quantity) {
                quantities.push(gate.quantity);
            }
        }
        quantities.sort_by(|x, y| order(*x).total_cmp(&order(*y)));
        let runs = [Weighed::new(&a), Weighed::new(&b)];
        let dependences = dependences(&runs, &quantities, is_paired);
        let lengths = block_lengths(&runs, &dependences, is_paired);
        let estimates = estimates(&runs, &quantities, &dependences, lengths, is_paired, settings);
        let points = runs.each_ref().map(|run| {
            let ones = vec![1; run.len()];
            quantities.iter().map(|quantity| run.quantity(*quantity, &ones)).collect::<Vec<_>>()
        });
        let is_enough = |index: usize| {
            let moments = |(of, run): (&Option<Dependence>, &Weighed)| {
                of.as_ref().is_none_or(|of| of.degrees() >= MIN_MOMENTS.min(run.len() as f64 / 3.0))
            };
            let is_quantile = matches!(quantities[index], Quantity::Quantile(_));
            let in_time = !is_quantile || dependences[index].iter().zip(&runs).all(moments);
            in_time && runs.iter().all(|run| has_enough(run, quantities[index]))
        };
        let is_known = |index: usize| is_enough(index) && points.iter().all(|points| points[index].is_some());
        let known: Vec<usize> = (0..quantities.len()).filter(|index| is_known(*index)).collect();
        let z = largest_deviation(known.iter().map(|index| &estimates[*index]));
        let proven = proven(&estimates, &known);
        let row = |index: usize| {
            let (quantity, estimate) = (quantities[index], &estimates[index]);
            let shown = |log: f64| if quantity.is_ratio() { log.exp_m1() } else { log };
            let interval = |z: f64| {
                let margin = estimate.margin(z);
                Interval { lower: shown(estimate.difference - margin), upper: shown(estimate.difference + margin) }
            };
            let is_known = known.contains(&index);
            Compared {
                quantity,
                a: points[0][index],
                b: points[1][index],
                difference: is_known.then(|| shown(estimate.difference)),
                interval: is_known.then(|| interval(NORMAL_Z)),
                together: is_known.then(|| interval(z)),
                is_proven: proven.contains(&index),
            }
        };
        let rows: Vec<Compared> = (0..quantities.len()).map(row).collect();
        // Of these a quantile that lies among what got no response is at least the largest value that was measured.
        let judged = |gate: &Gate| quantities.iter().position(|quantity| *quantity == gate.quantity);
        let asked: Vec<usize> = settings.gates.iter().filter_map(judged).collect();
        let z_gates =
            largest_deviation(asked.iter().filter(|index| is_enough(**index)).map(|index| &estimates[*index]));
        let gates = settings.gates.iter().zip(&asked).map(|(gate, index)| {
            let estimate = is_enough(*index).then(|| &estimates[*index]);
            Judged::of(gate, estimate, z_gates, rows[*index].difference.is_some())
        });
        let gates = gates.collect();
        let block_s = [0, 1].map(|side| lengths[side] as f64 * seconds[side] as f64 / runs[side].len() as f64);
        Ok(Self { rows, gates, seconds, block_s, is_paired })
    }
}

/// Quantiles from the lowest up, then the rate, then what failed.
fn order(quantity: Quantity) -> f64 {
    match quantity {
        Quantity::Quantile(quantile) => quantile,
        Quantity::Rate => 2.0,
        Quantity::Failed => 3.0,
    }
}

fn has_enough(run: &Weighed, quantity: Quantity) -> bool {
    match quantity {
        Quantity::Quantile(quantile) => run.due() as f64 * quantile.min(1.0 - quantile) >= MIN_BEYOND as f64 - 1e-6,
        Quantity::Rate | Quantity::Failed => true,
    }
}

/// How each quantity hangs together in time in A and in B; `None`: it does not vary, or is not compared.
type Dependences = Vec<[Option<Dependence>; 2]>;

fn dependences(runs: &[Weighed; 2], quantities: &[Quantity], is_paired: bool) -> Dependences {
    let of = |quantity: &Quantity| {
        if !runs.iter().all(|run| has_enough(run, *quantity)) {
            return [None, None];
        }
        let [a, b] = runs.each_ref().map(|run| run.pulls(*quantity));
        if is_paired {
            let between: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
            [Dependence::of(&between), Dependence::of(&between)]
        } else {
            [Dependence::of(&a), Dependence::of(&b)]
        }
    };
    quantities.iter().map(of).collect()
}

/// In stretches, for A and for B. All quantities are drawn together, so the longest that any of them needs counts; at least
/// [`LEAST_BLOCK`] times the cube root of how many there are, since a correlation that is too weak to be seen in so few adds up all
/// the same. Pairs have others between them.
fn block_lengths(runs: &[Weighed; 2], dependences: &Dependences, is_paired: bool) -> [usize; 2] {
    [0, 1].map(|side| {
        let lengths = dependences.iter().filter_map(|of| of[side].as_ref()).map(Dependence::block_length);
        let n = runs[side].len();
        let least = if is_paired { 1.0 } else { LEAST_BLOCK * (n as f64).cbrt() };
        (lengths.fold(least, f64::max).round() as usize).min((n / MIN_BLOCKS).max(1))
    })
}

/// The difference of each quantity and its standard error.
fn estimates(
    runs: &[Weighed; 2],
    quantities: &[Quantity],
    dependences: &Dependences,
    lengths: [usize; 2],
    is_paired: bool,
    settings: &Settings,
) -> Vec<Estimate> {
    let slowest = runs[0].largest().max(runs[1].largest()).max(1) as f64;
    let of = |run: &Weighed, quantity: Quantity, weights: &[u64]| {
        let found = run.quantity(quantity, weights);
        match quantity {
            Quantity::Quantile(_) => found.unwrap_or(slowest).max(1.0).ln(),
            // A draw without any response: the logarithm of less than one in a lifetime.
            Quantity::Rate => found.unwrap_or(0.0).max(1e-9).ln(),
            Quantity::Failed => found.unwrap_or(0.0),
        }
    };
    let mut random = fastrand::Rng::with_seed(settings.seed);
    let draws = settings.draws.max(2);
    let mut drawn = [0, 1].map(|_| vec![vec![0.0; draws]; quantities.len()]);
    let mut weights = runs.each_ref().map(|run| vec![0; run.len()]);
    for index in 0..draws {
        for side in 0..2 {
            match (side, is_paired) {
                (1, true) => weights[1] = weights[0].clone(),
                _ => draw(&mut random, runs[side].len(), lengths[side], &mut weights[side]),
            }
            for (values, quantity) in drawn[side].iter_mut().zip(quantities) {
                values[index] = of(&runs[side], *quantity, &weights[side]);
            }
        }
    }
    let blocks = [0, 1].map(|side| runs[side].len() as f64 / lengths[side] as f64);
    let one = |(index, quantity): (usize, &Quantity)| {
        // Blocks that are drawn from `n` vary by `n - 1` of `n` parts of what they should.
        let variance = |values: &[f64], side: usize| {
            let hidden = dependences[index][side].as_ref().map_or(1.0, |of| of.correction(lengths[side]));
            spread(values).1 * hidden * blocks[side] / (blocks[side] - 1.0)
        };
        let [a, b] = [0, 1].map(|side| &drawn[side][index]);
        let between: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
        // As many as there are blocks, or moments that make most of it.
        let degrees = [0, 1].map(|side| {
            let moments = dependences[index][side].as_ref().map_or(f64::INFINITY, Dependence::degrees);
            (blocks[side] - 1.0).min(moments).max(1.0)
        });
        let (square, degrees) = if is_paired {
            (variance(&between, 0), degrees[0])
        } else {
            let [a, b] = [variance(a, 0), variance(b, 1)];
            // Satterthwaite's approximation.
            let below = a * a / degrees[0] + b * b / degrees[1];
            (a + b, if below > 0.0 { (a + b) * (a + b) / below } else { degrees[0].min(degrees[1]) })
        };
        let floor = match quantity {
            // One request more that fails, or fewer, proves nothing.
            Quantity::Failed => runs.iter().map(|run| (1.0 / run.ended().max(1) as f64).powi(2)).sum(),
            _ => 2.0 * BUCKET_SD * BUCKET_SD,
        };
        let ones = runs.each_ref().map(|run| vec![1; run.len()]);
        let error = f64::sqrt(square + floor);
        let (middle, variance) = spread(&between);
        // In their own standard errors; where they do not vary there is nothing to see.
        let scale = variance.sqrt().max(f64::MIN_POSITIVE);
        Estimate {
            difference: of(&runs[1], *quantity, &ones[1]) - of(&runs[0], *quantity, &ones[0]),
            error,
            degrees,
            deviations: between.iter().map(|value| (value - middle).abs() / scale).collect(),
        }
    };
    quantities.iter().enumerate().map(one).collect()
}

/// Mean and variance.
fn spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0))
}

/// The rows whose difference is proven, step by step: what is proven needs no room among the rows that the others are held against.
fn proven(estimates: &[Estimate], known: &[usize]) -> Vec<usize> {
    let mut left = known.to_vec();
    let mut proven = Vec::new();
    loop {
        let z = largest_deviation(left.iter().map(|index| &estimates[*index]));
        let is_beyond = |index: &usize| estimates[*index].difference.abs() > estimates[*index].margin(z);
        let (beyond, rest): (Vec<usize>, Vec<usize>) = left.into_iter().partition(is_beyond);
        if beyond.is_empty() {
            return proven;
        }
        proven.extend(beyond);
        left = rest;
    }
}

/// What the largest deviation of all these rows exceeds in one draw of twenty; at least what one row exceeds.
fn largest_deviation<'a>(rows: impl Iterator<Item = &'a Estimate>) -> f64 {
    let mut largest: Vec<f64> = Vec::new();
    for row in rows {
        largest.resize(row.deviations.len(), 0.0);
        largest.iter_mut().zip(&row.deviations).for_each(|(most, deviation)| *most = most.max(*deviation));
    }
    largest.sort_unstable_by(f64::total_cmp);
    let place = (largest.len() as f64 * CONFIDENCE) as usize;
    largest.get(place).copied().unwrap_or(NORMAL_Z).max(NORMAL_Z)
}
