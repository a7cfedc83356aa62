//! The two clocks, as one value: logic is given the time and never asks for it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment on both clocks: one that never jumps, for waiting, and the wall clock, for people.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For measuring how long something takes.
    pub mono: Instant,
    /// Milliseconds since 1970.
    pub unix_ms: f64,
}

impl Now {
    /// Reads the clocks.
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { mono: Instant::now(), unix_ms: (unix.as_secs_f64() * 1e6).round() / 1e3 }
    }

    /// How long ago `earlier` was; zero where it is still to come.
    pub fn since(self, earlier: Instant) -> Duration {
        self.mono.saturating_duration_since(earlier)
    }

    /// This moment, later: simulated time.
    #[cfg(test)]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self { mono: self.mono + Duration::from_millis(ms), unix_ms: self.unix_ms + ms as f64 }
    }
}

/// RFC 3339 in UTC, to the millisecond. A moment that no calendar has (a peer's wild clock) is the nearest one
/// that it has.
pub fn rfc3339(unix_ms: f64) -> String {
    let (first, last) = (jiff::Timestamp::MIN.as_millisecond(), jiff::Timestamp::MAX.as_millisecond());
    // A cast from a float saturates, so that every float is some integer.
    let ms = (unix_ms.round() as i64).clamp(first, last);
    let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_rfc3339_whatever_the_number() {
        assert_eq!(rfc3339(0.0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_700_000_000_123.4), "2023-11-14T22:13:20.123Z");
        for wild in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
            assert!(rfc3339(wild).ends_with('Z'));
        }
    }
}
