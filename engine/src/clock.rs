//! The one clock of the engine: CLOCK_MONOTONIC in nanoseconds, which is also what a timerfd counts in.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// A moment on CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// A moment that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        // The monotonic clock counts from boot: neither part is negative.
        Self(now.tv_sec as u64 * SECOND_NS + now.tv_nsec as u64)
    }

    /// The same moment as `instant`, to within the time between two readings of the clock.
    pub fn from_instant(instant: Instant) -> Self {
        let (now, here) = (Self::now(), Instant::now());
        match instant.checked_duration_since(here) {
            Some(ahead) => now.plus(ahead),
            None => now.minus_ns(as_ns(here.duration_since(instant))),
        }
    }

    /// The reverse of [`Moment::from_instant`].
    pub fn to_instant(self) -> Instant {
        let (now, here) = (Self::now(), Instant::now());
        if self >= now {
            here.checked_add(Duration::from_nanos(self.since_ns(now))).unwrap_or(here)
        } else {
            here.checked_sub(Duration::from_nanos(now.since_ns(self))).unwrap_or(here)
        }
    }

    pub fn plus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    pub fn plus(self, duration: Duration) -> Self {
        self.plus_ns(as_ns(duration))
    }

    pub fn minus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_sub(ns))
    }

    /// Nanoseconds from `earlier` until this moment; 0 when it is not earlier.
    pub fn since_ns(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    pub fn to_timespec(self) -> Timespec {
        let tv_sec = i64::try_from(self.0 / SECOND_NS).unwrap_or(i64::MAX);
        Timespec { tv_sec, tv_nsec: (self.0 % SECOND_NS) as _ }
    }
}

/// A duration in nanoseconds; what does not fit (584 years) is the longest that does.
pub(crate) fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_convert_both_ways() {
        let instant = Instant::now() + Duration::from_secs(3);
        let back = Moment::from_instant(instant).to_instant();
        let difference = if back > instant { back - instant } else { instant - back };
        assert!(difference < Duration::from_secs(1), "off by {difference:?}");
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Moment(5).since_ns(Moment(7)), 0);
        assert_eq!(Moment::NEVER.plus_ns(1), Moment::NEVER);
        assert_eq!(Moment(3).minus_ns(4), Moment(0));
    }
}
