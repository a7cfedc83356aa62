//! The two clocks, as one value: logic is given the time and never asks for it.
//!
//! [`Clock`] leaves out the time in which this process did not run: what nobody listened to was not silence.

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

/// A longer step between two looks at the clock is a pause of our own (SIGSTOP, a machine that is suspended or starved).
/// The brain looks ten times a second.
const MAX_STEP: Duration = Duration::from_secs(1);

/// The clock of a thread that must not take its own absence for the silence of others: its monotonic time stands still
/// while the thread does not run, so that every patience that is measured by it outlasts the pause.
#[derive(Debug)]
pub struct Clock {
    /// When it was read last.
    last: Instant,
    /// The time that it left out.
    left_out: Duration,
    /// When its last pause ended.
    woke: Option<Instant>,
    /// A pause that nobody heard of yet.
    gap: Option<Duration>,
}

impl Clock {
    /// A clock that runs from now on.
    pub fn start() -> Self {
        Self::starting(Instant::now())
    }

    pub(crate) fn starting(last: Instant) -> Self {
        Self { last, left_out: Duration::ZERO, woke: None, gap: None }
    }

    /// Reads it.
    pub fn now(&mut self) -> Now {
        let Now { mono, unix_ms } = Now::read();
        self.at(mono, unix_ms)
    }

    /// The same for a moment that is given.
    pub(crate) fn at(&mut self, real: Instant, unix_ms: f64) -> Now {
        let step = real.saturating_duration_since(self.last);
        if step > MAX_STEP {
            self.left_out += step;
            self.woke = Some(real);
            self.gap = Some(self.gap.unwrap_or_default() + step);
        }
        self.last = self.last.max(real);
        Now { mono: self.own(real), unix_ms }
    }

    /// How long this thread was away, if it was since the last call.
    pub fn take_gap(&mut self) -> Option<Duration> {
        self.gap.take()
    }

    /// A moment that another thread noted, on this clock. One before the last pause counts as the end of that pause.
    pub fn own(&self, real: Instant) -> Instant {
        let real = self.woke.map_or(real, |woke| real.max(woke));
        real.checked_sub(self.left_out).unwrap_or(real)
    }

    /// A moment of this clock, as other threads know it.
    pub fn real(&self, own: Instant) -> Instant {
        own + self.left_out
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
    use super::*;

    #[test]
    fn a_pause_of_our_own_is_left_out() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut clock = Clock::starting(start);
        assert_eq!(clock.at(after(900), 0.0).mono, after(900), "a slow step is time all the same");
        assert_eq!(clock.take_gap(), None);
        let now = clock.at(after(9_000), 5.0);
        assert_eq!((now.mono, now.unix_ms), (after(900), 5.0), "the wall clock is as it is");
        assert_eq!((clock.take_gap(), clock.take_gap()), (Some(Duration::from_millis(8_100)), None));
        // What was noted before or in the pause did not become older by it.
        assert_eq!([100, 850, 4_000, 9_000].map(|ms| clock.own(after(ms))), [after(900); 4]);
        assert_eq!(clock.at(after(9_500), 0.0).mono, after(1_400));
        assert_eq!(clock.real(after(1_400)), after(9_500));
        // A second pause, and a clock that is read out of turn.
        assert_eq!(clock.at(after(19_500), 0.0).mono, after(1_400));
        assert_eq!(clock.at(after(19_000), 0.0).mono, after(1_400));
        assert_eq!(clock.at(after(19_600), 0.0).mono, after(1_500));
    }

    #[test]
    fn times_are_rfc3339_whatever_the_number() {
        assert_eq!(rfc3339(0.0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_700_000_000_123.4), "2023-11-14T22:13:20.123Z");
        for wild in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
            assert!(rfc3339(wild).ends_with('Z'));
        }
    }
}
