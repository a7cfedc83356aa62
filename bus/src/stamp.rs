//! The time-stamps that messages get, by a clock that nobody sets.
//!
//! Kafka refuses a message whose time-stamp is more than an hour ahead of its own clock. A wall clock that is set while
//! a node lives must not silence it, so time goes on by the monotonic clock here, from what the wall clock said once.
//! Where even that is refused messages go without one, which Kafka always takes.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A wall clock that differs so much from time-stamps that were refused has been set since.
const SET: Duration = Duration::from_secs(10);
/// What Kafka takes for no time-stamp.
const NONE: i64 = -1;

/// A clock for time-stamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// One moment on both clocks; `None`: there are no time-stamps.
    clocks: Option<(SystemTime, Instant)>,
}

/// What came of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The wall clock has been set since; what it says now may be right.
    Corrected,
    /// The wall clock itself is refused.
    Wrong,
}

impl Stamp {
    /// By the wall clock.
    pub fn now() -> Self {
        Self { clocks: Some((SystemTime::now(), Instant::now())) }
    }

    /// The time, in milliseconds since 1970.
    pub fn unix_ms(&self) -> i64 {
        let Some((wall, at)) = self.clocks else { return NONE };
        let since_1970 = (wall + at.elapsed()).duration_since(UNIX_EPOCH).unwrap_or_default();
        // 0 would mean: librdkafka's own.
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX).max(1)
    }

    /// The broker refused a time-stamp, and the wall clock says `wall`.
    pub fn refused(&mut self, wall: SystemTime) -> Refused {
        let Some((then, at)) = self.clocks else { return Refused::Wrong };
        let ours = then + at.elapsed();
        let differs = wall.duration_since(ours).or_else(|_| ours.duration_since(wall)).unwrap_or_default();
        if differs > SET {
            self.clocks = Some((wall, Instant::now()));
            Refused::Corrected
        } else {
            self.clocks = None;
            Refused::Wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_by_itself_until_it_is_refused() {
        let wall = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut stamp = Stamp { clocks: Some((wall, Instant::now() - Duration::from_secs(3))) };
        assert!((1_000_003_000..1_000_060_000).contains(&stamp.unix_ms()));
        // The wall clock was set in the meantime: back, then forward.
        for wall in [UNIX_EPOCH + Duration::from_secs(5_000), UNIX_EPOCH + Duration::from_secs(9_000_000)] {
            assert_eq!(stamp.refused(wall), Refused::Corrected);
            assert!(stamp.unix_ms().abs_diff(wall.duration_since(UNIX_EPOCH).unwrap().as_millis() as i64) < 60_000);
        }
        // What it says is refused as well.
        assert_eq!(stamp.refused(UNIX_EPOCH + Duration::from_secs(9_000_001)), Refused::Wrong);
        assert_eq!((stamp.unix_ms(), stamp.refused(SystemTime::now())), (-1, Refused::Wrong));
        assert_eq!(Stamp { clocks: Some((UNIX_EPOCH, Instant::now())) }.unix_ms().max(1_000), 1_000, "never 0");
    }
}
