//! The time-stamps that messages get, by a clock that nobody sets.
//!
//! Kafka refuses a message whose time-stamp is more than an hour ahead of its own clock. A wall clock that is set while
//! a node lives must not silence it, so time goes on by the monotonic clock here, from what the wall clock said once.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A time-stamp is moved so far into what the broker accepts, so that it still is when it gets there.
const MARGIN_MS: i64 = 10_000;

/// A clock for time-stamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    unix_ms: i64,
    at: Instant,
}

/// What came of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The wall clock has been set since; by what it says now the time-stamps are fine.
    Corrected,
    /// The wall clock is ahead of everything that the broker accepts, or behind it, by so much.
    Wrong { ahead_ms: i64 },
    /// The broker does not say what it accepts.
    Unknown,
}

impl Stamp {
    /// By the wall clock.
    pub fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { unix_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX), at: Instant::now() }
    }

    /// The time, in milliseconds since 1970.
    pub fn unix_ms(&self) -> i64 {
        self.unix_ms.saturating_add(ms(self.at.elapsed()))
    }

    /// The broker refused a time-stamp, in these words. `wall` is the wall clock's time.
    pub fn refused(&mut self, words: &str, wall: Stamp) -> Refused {
        *self = wall;
        let Some((oldest, newest)) = accepted(words) else { return Refused::Unknown };
        let now = wall.unix_ms;
        let ahead_ms = if now > newest { now - newest } else { (now - oldest).min(0) };
        if ahead_ms == 0 {
            return Refused::Corrected;
        }
        let inside = if ahead_ms > 0 { newest - MARGIN_MS } else { oldest + MARGIN_MS };
        self.unix_ms = inside.clamp(oldest.min(newest), newest);
        Refused::Wrong { ahead_ms }
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What the broker accepts: "… The timestamp should be within [1, 2]".
fn accepted(words: &str) -> Option<(i64, i64)> {
    let (_, range) = words.split_once("within [")?;
    let (oldest, rest) = range.split_once(',')?;
    let (newest, _) = rest.split_once(']')?;
    Some((oldest.trim().parse().ok()?, newest.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "Timestamp 1 of message with offset 0 is out of range. The timestamp should be within [";

    fn after(wall_ms: i64, range: &str) -> (Refused, i64) {
        let mut stamp = Stamp { unix_ms: 1, at: Instant::now() };
        let wall = Stamp { unix_ms: wall_ms, at: Instant::now() };
        (stamp.refused(&format!("{WORDS}{range}]"), wall), stamp.unix_ms)
    }

    #[test]
    fn a_refused_clock_is_corrected_and_its_error_known() {
        assert_eq!(
            after(5_000_000, "-9223372036854775808, 3600000"),
            (Refused::Wrong { ahead_ms: 1_400_000 }, 3_590_000)
        );
        assert_eq!(after(1_000, "100000, 3600000"), (Refused::Wrong { ahead_ms: -99_000 }, 110_000));
        assert_eq!(after(500_000, "100000, 3600000"), (Refused::Corrected, 500_000));
        // Narrower than the margin.
        assert_eq!(after(900, "1000, 1001"), (Refused::Wrong { ahead_ms: -100 }, 1_001));
        assert_eq!(after(900, "one, two").0, Refused::Unknown);
        let mut stamp = Stamp { unix_ms: 1, at: Instant::now() };
        assert_eq!(stamp.refused("", Stamp::now()), Refused::Unknown);
    }

    #[test]
    fn time_goes_on_by_itself() {
        let stamp = Stamp { unix_ms: 7_000, at: Instant::now() - Duration::from_secs(3) };
        assert!((10_000..20_000).contains(&stamp.unix_ms()));
    }
}
