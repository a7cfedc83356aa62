//! What a plan asks of all threads together.

use std::sync::Arc;

use super::curve::Curve;
use super::paced::Cap;
use super::slots::Slots;
use crate::clock::as_ns;
use crate::plan::{Arrivals, Mode, Plan};

/// What is asked of all threads together.
#[derive(Debug)]
pub(super) struct Course {
    pub curve: Arc<Curve>,
    /// Whether requests have slots, or a whole run without a rate.
    pub is_paced: bool,
    limit: Limit,
    arrivals: Arrivals,
}

/// How much a second may send.
#[derive(Debug)]
enum Limit {
    /// As much as it has slots.
    Own,
    /// As much as this curve has in it: the rate that goes with a longer delay.
    Rate(Arc<Curve>),
    /// A delay alone limits nothing.
    None,
}

impl Course {
    pub fn of(plan: &Plan) -> Self {
        let end_ns = plan.duration.map(as_ns);
        let rate = plan.target_throughput_per_s.map(|rate_per_s| Curve::per_second(rate_per_s, end_ns));
        let delay = match plan.mode {
            Mode::Tsunami { delay } if !delay.is_zero() => Some(Curve::every(delay, end_ns)),
            Mode::Tsunami { .. } | Mode::Avalanche => None,
        };
        let is_paced = plan.profile.is_some() || rate.is_some() || delay.is_some();
        let (curve, limit) = match (&plan.profile, delay, rate) {
            (Some(phases), ..) => (Curve::of_phases(phases), Limit::Own),
            (None, Some(delay), Some(rate)) => (delay.slower(rate.clone()), Limit::Rate(Arc::new(rate))),
            (None, Some(delay), None) => (delay, Limit::None),
            (None, None, Some(rate)) => (rate, Limit::Own),
            (None, None, None) => (Curve::free(end_ns), Limit::None),
        };
        Self { curve: Arc::new(curve), is_paced, limit, arrivals: plan.arrivals }
    }

    pub fn slots(&self) -> Slots {
        Slots::new(self.curve.clone(), self.arrivals)
    }

    pub fn cap(&self) -> Cap {
        match &self.limit {
            Limit::Own => Cap::Own,
            Limit::Rate(curve) => Cap::Other(Slots::new(curve.clone(), Arrivals::Even)),
            Limit::None => Cap::None,
        }
    }
}
