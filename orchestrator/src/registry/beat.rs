//! How long a driver may be silent: judged by the rhythm in which it is used to say that it lives. Pure.

use std::time::Duration;

/// Silence after which a driver of our own rhythm, one heartbeat a second, is lost; no driver is lost sooner.
const MIN_LOST: Duration = Duration::from_secs(5);
/// No driver is waited for longer than this.
const MAX_LOST: Duration = Duration::from_secs(60);
/// Heartbeats that may be missed.
const BEATS_MISSED: u32 = 3;
/// The rhythm of our own drivers.
const OWN_BEAT: Duration = Duration::from_secs(1);
/// What is taken for the rhythm of other people's drivers until they show it.
const UNKNOWN_BEAT: Duration = Duration::from_secs(5);
/// How fast a rhythm is learned.
const LEARNED_WITHIN: Duration = Duration::from_secs(30);

/// How long silence may last before something follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Before another process may take over the driver's name: it was restarted.
    pub replaced: Duration,
    /// Before it is suspect.
    pub suspect: Duration,
    /// Before it is lost.
    pub lost: Duration,
}

/// The rhythm of one driver.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    /// The interval between two heartbeats, averaged over time: a few quick ones in between, such as for a change of
    /// state, weigh little.
    smoothed: Duration,
    /// Whether nobody knows its rhythm beforehand: it sends only the specification's fields.
    is_plain: bool,
}

impl Beat {
    /// A driver that was not heard yet.
    pub fn new(is_plain: bool) -> Self {
        Self { smoothed: if is_plain { UNKNOWN_BEAT } else { OWN_BEAT }, is_plain }
    }

    /// So much time passed between two heartbeats; `was_lost`: it was given up in it.
    pub fn heard(&mut self, interval: Duration, was_lost: bool) {
        // One of ours was cut off, and keeps its rhythm all the same; where it does not, it is learned step by step.
        let interval = if was_lost && !self.is_plain { interval.min(2 * self.smoothed) } else { interval };
        let (smoothed_s, interval_s) = (self.smoothed.as_secs_f64(), interval.as_secs_f64());
        let weight = 1.0 - (-interval_s / LEARNED_WITHIN.as_secs_f64()).exp();
        let averaged_s = smoothed_s + weight * (interval_s - smoothed_s);
        // A slow node of other make shows by its return that it was given up too soon.
        let learned_s = if was_lost && self.is_plain { averaged_s.max(interval_s) } else { averaged_s };
        self.smoothed = Duration::from_secs_f64(learned_s.min((MAX_LOST / BEATS_MISSED).as_secs_f64()));
    }

    /// What this driver's silence means when.
    pub fn patience(&self) -> Patience {
        let lost = (self.smoothed * BEATS_MISSED).clamp(MIN_LOST, MAX_LOST);
        Patience { replaced: lost * 2 / 5, suspect: lost * 3 / 5, lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(is_plain: bool, intervals_ms: &[u64]) -> Beat {
        let mut beat = Beat::new(is_plain);
        for ms in intervals_ms {
            let (interval, lost) = (Duration::from_millis(*ms), beat.patience().lost);
            beat.heard(interval, interval >= lost);
        }
        beat
    }

    fn lost_s(beat: Beat) -> f64 {
        beat.patience().lost.as_secs_f64()
    }

    #[test]
    fn a_driver_of_ours_is_suspect_after_3_seconds_and_lost_after_5() {
        let ours = Patience {
            replaced: Duration::from_secs(2),
            suspect: Duration::from_secs(3),
            lost: Duration::from_secs(5),
        };
        for intervals in [&[][..], &[1000; 60], &[1000, 20, 980, 1000, 3, 1, 1000]] {
            assert_eq!(heard(false, intervals).patience(), ours);
        }
        // Cut off now and then, it is not waited for longer the next time.
        assert_eq!(heard(false, &[1000, 1000, 8000, 1000, 30_000, 1000, 1000, 12_000]).patience(), ours);
        // One that sends our fields and beats seldom shows it in the end.
        assert!(lost_s(heard(false, &[4000; 100])) > 10.0 && lost_s(heard(false, &[6000; 100])) > 15.0);
    }

    #[test]
    fn a_slow_rhythm_is_three_intervals_and_bounded() {
        for (interval_ms, lost) in [(1000, 5.0), (5000, 15.0), (10_000, 30.0), (20_000, 60.0), (300_000, 60.0)] {
            let beat = heard(true, &[interval_ms; 100]);
            assert!((lost_s(beat) - lost).abs() < 0.01, "{interval_ms}: {beat:?}");
        }
        // Up to three times the rhythm that is assumed, nobody is ever lost on the way to that.
        for interval_ms in (500..15_000).step_by(500) {
            let mut beat = Beat::new(true);
            for _ in 0..100 {
                let interval = Duration::from_millis(interval_ms);
                assert!(interval < beat.patience().lost, "{interval_ms}: {beat:?}");
                beat.heard(interval, false);
            }
        }
        // One beyond that is lost once.
        assert!(lost_s(heard(true, &[18_000])) > 50.0);
    }

    #[test]
    fn quick_heartbeats_in_between_do_not_hide_a_slow_rhythm() {
        let mut intervals = vec![5000; 10];
        for _ in 0..30 {
            intervals.extend([100, 10, 4890, 5000]);
        }
        assert!(lost_s(heard(true, &intervals)) > 12.0);
        // A node that speaks twice a second for half a minute, and every 5 seconds then.
        assert!(lost_s(heard(true, &[[5000; 10].as_slice(), &[500; 60]].concat())) > 5.5);
    }
}
