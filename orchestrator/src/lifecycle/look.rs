//! When the target of a test that runs is asked for its CPU time, and what becomes of what it tells. Pure.

use std::time::{Duration, Instant};

use onrush_stats::{TargetCpu, TargetLooks, TargetTime};

use super::OpenTest;
use crate::clock::Now;
use crate::event::TestEvent;
use crate::state::TestState;
use crate::target_check::{Probe, TimeSource, time_source};

const EVERY: Duration = Duration::from_secs(1);
/// A second's look is made so much before its end: what it tells is there when the second is sealed.
const BEFORE_END: Duration = Duration::from_millis(200);
/// An answer that has not come by then never comes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The looks at the target of one test.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    next: Option<Instant>,
    asked: Option<Instant>,
    told: TargetLooks,
}

impl Looks {
    /// Whether a look is to be made now: once in each second of a test that starts, or started, at that moment.
    fn is_due(&mut self, start_at_unix_ms: f64, now: Now) -> bool {
        let next = *self.next.get_or_insert_with(|| first(start_at_unix_ms, now));
        if now.mono < next {
            return false;
        }
        // Those that were missed are not made up for.
        let missed = now.since(next).as_secs();
        self.next = Some(next + EVERY + Duration::from_secs(missed));
        if self.asked.is_some_and(|asked| now.since(asked) < PATIENCE) {
            return false;
        }
        self.asked = Some(now.mono);
        true
    }

    /// The answer came; `None`: it tells nothing.
    fn heard(&mut self, time: Option<TargetTime>) {
        self.asked = None;
        time.into_iter().for_each(|time| self.told.look(time));
    }

    /// What the target used since the last call.
    pub fn take(&mut self) -> Option<TargetCpu> {
        self.told.take()
    }
}

/// The first moment for a look that is still to come.
fn first(start_at_unix_ms: f64, now: Now) -> Instant {
    let every_ms = EVERY.as_secs_f64() * 1e3;
    let ahead_ms = start_at_unix_ms - BEFORE_END.as_secs_f64() * 1e3 - now.unix_ms;
    // A test that runs already, as after a restart, is looked at when its seconds end, too.
    let ahead_ms = if ahead_ms >= 0.0 { ahead_ms } else { ahead_ms.rem_euclid(every_ms) };
    let ahead = Duration::try_from_secs_f64(ahead_ms / 1e3).unwrap_or_default();
    now.mono.checked_add(ahead).unwrap_or(now.mono)
}

impl OpenTest {
    /// Where its target is to be asked for its CPU time now; `None`: not now, or nobody knows where.
    pub fn look_due(&mut self, now: Now) -> Option<TimeSource> {
        let start_at_unix_ms = self.record.start_at_unix_ms.filter(|_| self.record.state == TestState::Running)?;
        let is_bundled = matches!(self.record.target_before, Some(Probe::Counters(_)));
        if !self.looks.is_due(start_at_unix_ms, now) {
            return None;
        }
        time_source(&self.record.config, is_bundled)
    }

    /// The target told its CPU time, or why it does not. Whether that is worth a remark, which a test has once.
    pub fn target_seen(&mut self, seen: Result<TargetTime, String>, now: Now) -> bool {
        let problem = seen.as_ref().err().cloned();
        self.looks.heard(seen.ok());
        // Nobody asked for the bundled target's.
        let is_asked_for = self.record.config.target_metrics.is_some();
        let is_new = !self.record.events.has_any(TestEvent::TargetMetrics);
        let Some(problem) = problem.filter(|_| is_asked_for && is_new) else { return false };
        let detail = format!("{problem}; the verdict goes on without the target's CPU");
        self.record.event(now, TestEvent::TargetMetrics, None, detail);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moments of 100 ms each, counted from now, at which a look is due; each is answered, or none is.
    fn due(looks: &mut Looks, start_in_ms: f64, moments: std::ops::Range<u64>, answers: bool) -> Vec<u64> {
        let now = Now::read();
        let start_at_unix_ms = now.unix_ms + start_in_ms;
        let is_due = |tick: &u64| {
            let is_due = looks.is_due(start_at_unix_ms, now.plus_ms(tick * 100));
            if answers {
                looks.heard(None);
            }
            is_due
        };
        moments.filter(is_due).collect()
    }

    #[test]
    fn each_second_has_one_look_shortly_before_its_end() {
        assert_eq!(due(&mut Looks::default(), 550.0, 0..40, true), [4, 14, 24, 34]);
        // One that was found running goes on in the same places.
        assert_eq!(due(&mut Looks::default(), -2_450.0, 0..40, true), [4, 14, 24, 34]);
    }

    #[test]
    fn no_look_is_made_while_one_is_under_way_for_as_long_as_it_may_take() {
        assert_eq!(due(&mut Looks::default(), 550.0, 0..60, false), [4, 24, 44]);
    }
}
