//! By how much a driver's wall clock differs from ours, estimated from its heartbeats. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Heartbeats that the estimate is made from: the delivery of one may take long, that of all hardly does, and a clock
/// that is set anew is followed within as many seconds.
const SAMPLES: usize = 5;
/// A clock that seems behind may be a heartbeat that lay somewhere: it needs so many, or two that agree.
const MIN_SAMPLES: usize = 3;
/// As much as this two agree.
const AGREES_MS: f64 = 300.0;
/// No heartbeat lies anywhere for so long.
const MAX_DELIVERY_MS: f64 = 60_000.0;
/// Heartbeats closer together are one sample: they come in a bunch when they were held up.
const APART: Duration = Duration::from_millis(250);
/// Clocks that differ by more than this are said, and corrected for.
pub const MAX_OFFSET_MS: f64 = 500.0;

/// The newest differences.
#[derive(Clone, Debug, Default)]
pub struct ClockOffset {
    /// The driver's clock minus ours at the arrival: what is true, less the time of delivery.
    samples: VecDeque<f64>,
    sampled_at: Option<Instant>,
}

impl ClockOffset {
    /// A heartbeat came that says so.
    pub fn sample(&mut self, theirs_minus_ours_ms: f64, at: Instant) {
        let bunched = self.sampled_at.is_some_and(|before| at.saturating_duration_since(before) < APART);
        match self.samples.back_mut().filter(|_| bunched) {
            Some(newest) => *newest = newest.max(theirs_minus_ours_ms),
            None => {
                self.samples.push_back(theirs_minus_ours_ms);
                if self.samples.len() > SAMPLES {
                    self.samples.pop_front();
                }
                self.sampled_at = Some(at);
            }
        }
    }

    /// Their clock minus ours, with the shortest delivery that was seen in it.
    pub fn estimate_ms(&self) -> Option<f64> {
        self.samples.iter().copied().reduce(f64::max)
    }

    /// The same where the clock is wrong by more than delivery explains.
    pub fn wrong_by_ms(&self) -> Option<f64> {
        let samples = &self.samples;
        let agree = || samples.len() == 2 && (samples[0] - samples[1]).abs() < AGREES_MS;
        // No delivery makes a clock seem ahead.
        let may_be_delivery = |ms: f64| (-MAX_DELIVERY_MS..=0.0).contains(&ms);
        let is_sure = |ms: f64| !may_be_delivery(ms) || samples.len() >= MIN_SAMPLES || agree();
        self.estimate_ms().filter(|ms| ms.abs() > MAX_OFFSET_MS && is_sure(*ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heartbeats of a clock that is `ahead_ms` ahead, each with its interval since the one before and its delivery.
    fn heard(offset: &mut ClockOffset, ahead_ms: f64, beats: &[(u64, f64)]) {
        for (interval_ms, delivery_ms) in beats {
            let before = offset.sampled_at.unwrap_or_else(Instant::now);
            offset.sample(ahead_ms - delivery_ms, before + Duration::from_millis(*interval_ms));
        }
    }

    #[test]
    fn the_shortest_delivery_counts() {
        let mut offset = ClockOffset::default();
        assert_eq!((offset.estimate_ms(), offset.wrong_by_ms()), (None, None));
        heard(&mut offset, 20_000.0, &[(1000, 30.0), (1000, 4.0), (1000, 900.0), (1000, 2.0), (1000, 7.0)]);
        assert_eq!(offset.wrong_by_ms(), Some(19_998.0));
        let mut right = ClockOffset::default();
        heard(&mut right, 0.0, &[(1000, 30.0), (1000, 3_000.0), (1000, 4_000.0)]);
        assert_eq!((right.estimate_ms(), right.wrong_by_ms()), (Some(-30.0), None));
    }

    #[test]
    fn a_clock_that_is_far_off_is_known_by_the_first_heartbeat() {
        let first = |ahead_ms: f64| {
            let mut offset = ClockOffset::default();
            heard(&mut offset, ahead_ms, &[(1000, 3.0)]);
            offset
        };
        assert_eq!(first(20_000.0).wrong_by_ms(), Some(19_997.0));
        assert_eq!(first(-3_600_000.0).wrong_by_ms(), Some(-3_600_003.0));
        let mut behind = first(-20_000.0);
        assert_eq!(behind.wrong_by_ms(), None, "it may have lain somewhere");
        heard(&mut behind, -20_000.0, &[(1000, 9.0)]);
        assert_eq!(behind.wrong_by_ms(), Some(-20_003.0));
    }

    #[test]
    fn a_clock_that_is_set_is_followed() {
        let mut offset = ClockOffset::default();
        heard(&mut offset, 0.0, &[(1000, 3.0); 10]);
        heard(&mut offset, 3_600_000.0, &[(1000, 3.0)]);
        assert_eq!(offset.wrong_by_ms(), Some(3_599_997.0));
        heard(&mut offset, -2_000.0, &[(1000, 3.0); 5]);
        assert_eq!(offset.wrong_by_ms(), Some(-2_003.0));
    }

    #[test]
    fn heartbeats_that_were_held_up_raise_no_warning() {
        let mut offset = ClockOffset::default();
        // Eight seconds' heartbeats, delivered together.
        let bunch: Vec<(u64, f64)> = (0..8).map(|i| (0, f64::from(8 - i) * 1000.0)).collect();
        heard(&mut offset, 0.0, &bunch);
        assert_eq!(offset.wrong_by_ms(), None);
        heard(&mut offset, 0.0, &[(1000, 2.0)]);
        assert_eq!((offset.estimate_ms(), offset.wrong_by_ms()), (Some(-2.0), None));
    }
}
