//! What a search found.

use std::collections::BTreeMap;
use std::fmt;

use onrush_stats::Distribution;

use crate::block::Spoilt;
use crate::dispersion::dispersion;
use crate::estimate::{Estimate, estimate};
use crate::goal::Goal;
use crate::math::student_t;
use crate::trial::{Trial, Verdict};

/// The quantiles of the curve of latency over load.
pub const CURVE_QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// The interval is as narrow as was asked for, and the load was confirmed.
    Width,
    /// The budget was spent; the interval is as narrow as that allowed.
    Budget,
    /// The generator can do no more: the target takes at least the lower bound.
    Generator {
        /// The lowest rate that the generator could not keep, per second.
        ends_at_per_s: f64,
        /// What it lacked.
        spoilt: Spoilt,
    },
    /// The highest rate that may be asked for is still good.
    MaxRate,
    /// The lowest rate is already bad.
    MinRate,
    /// The load that was found broke the SLO when it was held, twice: the target changes while it is searched.
    Unconfirmed,
    /// The target broke the SLO at a load that it had kept, and did not recover: it died, or it is no longer the same. The bounds are
    /// from before.
    TargetGone {
        /// The load at which it did not recover, per second.
        at_per_s: f64,
    },
}

/// What a search found: the capacity as an interval, and everything that led there.
#[derive(Clone, Debug)]
pub struct Found {
    /// The target keeps the SLO at least up to this rate, per second; `None`: at no rate that was tried for long enough to tell.
    pub lower_per_s: Option<f64>,
    /// It does not from this rate on; `None`: no rate was shown to break it.
    pub upper_per_s: Option<f64>,
    /// The most likely capacity; `None` where one of the bounds is missing.
    pub best_per_s: Option<f64>,
    /// How sure the interval is meant to be. Of the 95 % intervals for queues whose capacity is known 35 of 40 or more held it
    /// (`tests/oracle.rs`).
    pub confidence: f64,
    /// Whether the load that was found was held once more and kept the SLO.
    pub is_confirmed: bool,
    /// Why the search ended.
    pub ended: Ended,
    /// Every trial in its order.
    pub trials: Vec<Trial>,
    /// Latency over load, by rising load.
    pub curve: Vec<CurvePoint>,
}

impl Found {
    /// What these trials say.
    pub(crate) fn new(
        goal: &Goal,
        trials: Vec<Trial>,
        latency: &BTreeMap<i32, Distribution>,
        ended: Ended,
        is_confirmed: bool,
    ) -> Self {
        // Nothing is claimed beyond the loads that were tried, but for rounding.
        const ROUNDING: f64 = 1.000_001;
        let valid = || trials.iter().filter(|trial| trial.counts());
        let highest_per_s = valid().map(|trial| trial.rate_per_s).fold(0.0, f64::max);
        let any = |verdict| valid().any(|trial| trial.verdict == verdict);
        let estimate = estimate(goal, trials.iter());
        let bound = |pick: fn(&Estimate) -> Option<f64>| estimate.as_ref().and_then(pick).map(f64::exp);
        let lower_per_s = bound(|e| e.lower).filter(|_| any(Verdict::Good)).map(|lower| lower.min(highest_per_s));
        let is_tried = |upper: &f64| any(Verdict::Bad) && *upper <= highest_per_s * ROUNDING;
        let upper_per_s = bound(|e| e.upper).filter(is_tried);
        let is_bounded = any(Verdict::Good) && upper_per_s.is_some();
        let best_per_s = bound(|e| Some(e.best)).filter(|_| is_bounded);
        let point = |(step, latency): (&i32, &Distribution)| {
            let here = || valid().filter(|trial| trial.step == *step);
            let rate_per_s = here().map(|trial| trial.rate_per_s).next()?;
            let effect = |criterion| dispersion(here().map(|trial| trial.tally.series(criterion))).design_effect;
            let design_effect = (0..goal.slo.len()).map(effect).fold(1.0, f64::max);
            let due = here().map(|trial| trial.due).sum();
            Some(CurvePoint::new(rate_per_s, due, latency, design_effect, goal.confidence))
        };
        let curve = latency.iter().filter_map(point).collect();
        let confidence = goal.confidence;
        Self { lower_per_s, upper_per_s, best_per_s, confidence, is_confirmed, ended, trials, curve }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.confidence * 100.0;
        match (self.lower_per_s, self.upper_per_s) {
            (Some(lower), Some(upper)) => write!(f, "{lower:.1}/s to {upper:.1}/s ({percent} %)")?,
            (Some(lower), None) => write!(f, "at least {lower:.1}/s ({percent} %)")?,
            (None, Some(upper)) => write!(f, "less than {upper:.1}/s ({percent} %)")?,
            (None, None) => f.write_str("not known")?,
        }
        match self.ended {
            Ended::Width => Ok(()),
            Ended::Budget => f.write_str("; the budget is spent"),
            Ended::Generator { ends_at_per_s, spoilt } => {
                write!(f, "; the generator ends at {ends_at_per_s:.1}/s: {spoilt}")
            }
            Ended::MaxRate => f.write_str("; the highest rate allowed is still good"),
            Ended::MinRate => f.write_str("; the lowest rate is already bad"),
            Ended::TargetGone { at_per_s } => {
                write!(f, "; the target is gone: it kept {at_per_s:.1}/s before and does not any more")
            }
            Ended::Unconfirmed => f.write_str("; not confirmed: the target changes while it is searched"),
        }
    }
}

/// The latency at one load.
#[derive(Clone, Debug, PartialEq)]
pub struct CurvePoint {
    /// The load, per second.
    pub rate_per_s: f64,
    /// Requests due at it, over all trials that count.
    pub due: u64,
    /// The quantiles of [`CURVE_QUANTILES`], over everything that was due.
    pub quantiles: [CurveQuantile; CURVE_QUANTILES.len()],
}

/// A quantile with its interval, in nanoseconds; `None`: among the requests that got no response.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CurveQuantile {
    /// The quantile.
    pub value_ns: Option<u64>,
    /// The lower end of its interval.
    pub lower_ns: Option<u64>,
    /// The upper end.
    pub upper_ns: Option<u64>,
}

impl CurvePoint {
    /// The quantiles of a load. A quantile's interval lies between the order statistics whose ranks are a binomial standard
    /// deviation times the normal quantile away (David and Nagaraja, "Order Statistics", 7.1), for the effective number of requests.
    pub(crate) fn new(rate_per_s: f64, due: u64, latency: &Distribution, design_effect: f64, confidence: f64) -> Self {
        let due = due.max(latency.count());
        let normal = student_t(confidence, f64::INFINITY);
        let effective = (due as f64 / design_effect).max(1.0);
        let at = |quantile: f64| {
            let rank = (quantile.clamp(0.0, 1.0) * due as f64 - 1e-6).ceil().max(1.0);
            latency.at_rank_ns(rank as u64)
        };
        let quantiles = CURVE_QUANTILES.map(|quantile| {
            let reach = normal * (quantile * (1.0 - quantile) / effective).sqrt();
            let upper = quantile + reach;
            CurveQuantile {
                value_ns: at(quantile),
                lower_ns: at(quantile - reach),
                // Beyond the slowest there is nothing that was measured.
                upper_ns: if upper >= 1.0 { None } else { at(upper) },
            }
        });
        Self { rate_per_s, due, quantiles }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_its_interval_and_counts_what_got_no_response() {
        let mut latency = Distribution::default();
        (1..=1_000).for_each(|ms| latency.record(ms * 1_000_000));
        let point = CurvePoint::new(100.0, 1_000, &latency, 1.0, 0.95);
        let [median, _, p99, p999] = point.quantiles;
        let ms = |ns: Option<u64>| ns.expect("it is known") as f64 / 1e6;
        assert!((ms(median.value_ns) - 500.0).abs() < 1.0, "{median:?}");
        // 1.96 · √(0.25 · 1000) = 31 ranks.
        assert!((ms(median.lower_ns) - 469.0).abs() < 2.0 && (ms(median.upper_ns) - 531.0).abs() < 2.0, "{median:?}");
        assert!(p99.upper_ns.is_some() && p999.upper_ns.is_none());
        let wider = CurvePoint::new(100.0, 1_000, &latency, 4.0, 0.95).quantiles[0];
        assert!((ms(wider.lower_ns) - 438.0).abs() < 2.0, "{wider:?}");
        let missing = CurvePoint::new(100.0, 1_100, &latency, 1.0, 0.95).quantiles;
        assert!(missing[0].value_ns.is_some() && missing[2].value_ns.is_none());
    }
}
