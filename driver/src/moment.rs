//! When a test starts, or why it does not: pure values.

use std::time::{Duration, Instant};

use onrush_protocol::{NodeId, Trigger};

use crate::report::Clocks;

/// Whoever reads a trigger later than this after its moment starts nothing: the others are about to end, or have ended.
pub(crate) const MAX_LATE: Duration = Duration::from_secs(10);
/// How long a trigger without a moment is good for: its config may still come, and connections take their time.
pub(crate) const HOLD: Duration = Duration::from_secs(60);
/// A start further ahead than this is not waited for.
const MAX_AHEAD: Duration = Duration::from_secs(60);

/// The moment of a start, on the monotonic clock: what is done to the wall clock later does not move it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    pub at: Instant,
    /// How long after it a start still makes sense.
    good_for: Duration,
}

impl Moment {
    /// Why it is too late to start; `None`: it is not.
    pub fn too_late(&self, now: Instant) -> Option<String> {
        let late = now.saturating_duration_since(self.at);
        (late > self.good_for).then(|| {
            format!(
                "too late to start: this driver got ready {} s after the start moment, and no later than {} s makes sense",
                whole_seconds(late),
                self.good_for.as_secs()
            )
        })
    }
}

/// When a trigger that is read now starts its test; the error is why it does not, for people. `age`: how long ago a
/// trigger that names no moment may have been sent.
pub(crate) fn moment_of(trigger: &Trigger, node_id: &NodeId, clocks: Clocks, age: Duration) -> Result<Moment, String> {
    let Some(start_at_unix_ms) = trigger.start_at_unix_ms else {
        if age > MAX_LATE {
            return Err(format!(
                "the trigger was sent {} s before this driver read it; one that is read more than {} s late starts nothing",
                whole_seconds(age),
                MAX_LATE.as_secs()
            ));
        }
        return Ok(Moment { at: clocks.monotonic, good_for: HOLD });
    };
    let offset_ms = trigger.clock_offsets_ms.get(node_id).copied().unwrap_or_default();
    let ahead_ms = start_at_unix_ms + offset_ms - clocks.unix_ms;
    let distance = Duration::try_from_secs_f64(ahead_ms.abs() / 1e3).unwrap_or(Duration::MAX);
    // How the start moment looks from here, for people.
    let seconds = whole_seconds(distance);
    let at = if ahead_ms > 0.0 {
        if distance > MAX_AHEAD {
            return Err(format!(
                "the start moment is {seconds} s ahead by this driver's clock, and more than {} s are not waited for; if \
                 the clock of the driver or of the orchestrator is wrong, set it right (NTP)",
                MAX_AHEAD.as_secs()
            ));
        }
        Some(clocks.monotonic + distance)
    } else {
        if distance > MAX_LATE {
            return Err(format!(
                "the start moment was {seconds} s ago by this driver's clock; a trigger that is read more than {} s late \
                 starts nothing. If this driver did not stand still, its clock or the orchestrator's is wrong: set it \
                 right (NTP)",
                MAX_LATE.as_secs()
            ));
        }
        clocks.monotonic.checked_sub(distance)
    };
    Ok(Moment { at: at.unwrap_or(clocks.monotonic), good_for: MAX_LATE })
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs_f64().round() as u64
}

#[cfg(test)]
mod tests {
    use onrush_protocol::TestId;

    use super::*;

    const NOW_MS: f64 = 1.8e12;

    fn us() -> NodeId {
        NodeId::new("us").unwrap()
    }

    fn read(start_at_unix_ms: Option<f64>, offset_ms: Option<f64>, age_s: u64) -> Result<f64, String> {
        let mut trigger = Trigger::start(TestId::new("t").unwrap(), start_at_unix_ms);
        trigger.clock_offsets_ms.insert(NodeId::new("others").unwrap(), 1e9);
        trigger.clock_offsets_ms.extend(offset_ms.map(|ms| (us(), ms)));
        let clocks = Clocks { monotonic: Instant::now() + Duration::from_secs(1_000), unix_ms: NOW_MS };
        let moment = moment_of(&trigger, &us(), clocks, Duration::from_secs(age_s))?;
        let ahead = moment.at.saturating_duration_since(clocks.monotonic).as_secs_f64();
        Ok(ahead - clocks.monotonic.saturating_duration_since(moment.at).as_secs_f64())
    }

    #[test]
    fn a_start_is_ahead_now_or_too_late() {
        assert_eq!(read(Some(NOW_MS + 250.0), None, 0), Ok(0.25));
        assert_eq!(read(Some(NOW_MS + 60_000.0), None, 0), Ok(60.0));
        assert_eq!(read(Some(NOW_MS - 10_000.0), None, 0), Ok(-10.0));
        for (late, said) in
            [(NOW_MS - 10_001.0, "10 s ago"), (NOW_MS - 47_000.0, "47 s ago"), (0.0, "1800000000 s ago")]
        {
            let reason = read(Some(late), None, 0).unwrap_err();
            assert!(reason.contains(said) && reason.contains("clock"), "{reason}");
        }
        for (early, said) in [(NOW_MS + 61_000.0, "61 s ahead"), (NOW_MS + 3.6e6, "3600 s ahead"), (1e300, "ahead")] {
            let reason = read(Some(early), None, 0).unwrap_err();
            assert!(reason.contains(said) && reason.contains("NTP"), "{reason}");
        }
    }

    #[test]
    fn a_clock_that_is_known_to_be_wrong_is_made_up_for() {
        let hour_ms = 3.6e6;
        assert_eq!(read(Some(NOW_MS - hour_ms + 250.0), Some(hour_ms), 0), Ok(0.25));
        assert_eq!(read(Some(NOW_MS + hour_ms), Some(-hour_ms), 0), Ok(0.0));
        assert!(read(Some(NOW_MS + 250.0), Some(hour_ms), 0).is_err(), "the clock was set meanwhile");
        assert!(read(Some(NOW_MS), Some(f64::INFINITY), 0).is_err());
        assert!(read(Some(NOW_MS), Some(f64::NEG_INFINITY), 0).is_err());
    }

    #[test]
    fn a_trigger_without_a_moment_is_judged_by_its_age() {
        assert_eq!(read(None, Some(3.6e6), 10), Ok(0.0));
        let reason = read(None, None, 11).unwrap_err();
        assert!(reason.contains("11 s before"), "{reason}");
    }

    #[test]
    fn a_moment_is_good_for_a_while() {
        let now = Instant::now();
        let moment = Moment { at: now, good_for: MAX_LATE };
        assert_eq!(moment.too_late(now + MAX_LATE), None);
        assert!(moment.too_late(now + Duration::from_secs(31)).unwrap().contains("31 s after"));
    }
}
