//! A trigger that waits until every driver is armed.

use std::time::{Duration, Instant};

use onrush_protocol::TestId;

use super::{Core, Effect};
use crate::actor::Actor;
use crate::clock::Now;
use crate::event::TestEvent;
use crate::problem::Problem;
use crate::record::TestRecord;
use crate::state::{ParticipantState, TestState};
use crate::target_check::{self, Probe};

/// A trigger waits this long for the drivers to be armed.
pub const ARMING_PATIENCE: Duration = Duration::from_secs(10);
/// At most so long where the broker was away: its clients have to notice that it is back.
const MAX_ARMING_PATIENCE: Duration = Duration::from_secs(16);
/// And this long from when the drivers can be expected to hear.
const HEARING_PATIENCE: Duration = Duration::from_secs(5);
/// The start moment lies this far ahead of the trigger, so that it reaches every driver before.
const START_AHEAD_MS: f64 = 500.0;
/// Further ahead for each driver.
const START_AHEAD_PER_DRIVER_MS: f64 = 5.0;
/// Drivers that are named in a sentence.
const MAX_NAMED: usize = 8;

/// A trigger that waits.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub test_id: TestId,
    /// Who wants it to start.
    by: Actor,
    since: Instant,
    /// When the target was asked for its counters.
    pub asked_target: Option<Instant>,
}

impl Pending {
    pub fn new(test_id: TestId, by: &Actor, now: Now) -> Self {
        Self { test_id, by: by.clone(), since: now.mono, asked_target: None }
    }

    /// How long it may wait; `listening_since`: as the registry says.
    fn patience(&self, listening_since: Option<Instant>) -> Duration {
        let hearing = listening_since.map(|since| since.saturating_duration_since(self.since) + HEARING_PATIENCE);
        hearing.unwrap_or(MAX_ARMING_PATIENCE).clamp(ARMING_PATIENCE, MAX_ARMING_PATIENCE)
    }
}

impl Core {
    /// What becomes of a test that was to start by itself when this process ended: it goes on, unless it is an old
    /// one. Nobody expects the load of one any more.
    pub(super) fn resume_pending(&mut self, now: Now) {
        for test_id in self.order.clone() {
            let Some(test) = self.tests.get(&test_id) else { continue };
            let TestRecord { state, trigger_when_armed, created_unix_ms, .. } = test.record;
            if state == TestState::Running || !trigger_when_armed {
                continue;
            }
            if let Some(before) = self.pending.replace(Pending::new(test_id, &Actor::NOBODY, now)) {
                self.fail(before.test_id, "another test was to start by itself".into(), now);
            }
            if (now.unix_ms - created_unix_ms).abs() > ARMING_PATIENCE.as_secs_f64() * 1e3 {
                let patience = ARMING_PATIENCE.as_secs();
                let why = format!(
                    "not armed within {patience} seconds: the orchestrator ended before, and was started again"
                );
                self.fail_pending(why, now);
            }
        }
    }

    /// Takes a pending trigger a step further.
    pub(super) fn advance_pending(&mut self, now: Now) {
        let Some(pending) = self.pending.clone() else { return };
        let Some(test) = self.tests.get(&pending.test_id) else {
            self.pending = None;
            return;
        };
        let refused: Vec<String> = test
            .record
            .participants
            .iter()
            .filter(|p| p.state == ParticipantState::Refused)
            .map(|p| format!("{} refuses the test: {}", p.node_id, p.reason.as_deref().unwrap_or("no reason given")))
            .collect();
        let too_few = self.enough_drivers().err();
        let patience = pending.patience(self.registry.listening_since());
        let is_over = now.since(pending.since) > patience;
        if !refused.is_empty() {
            self.fail_pending(refused.join("; "), now);
        } else if let Some(too_few) = too_few {
            let expected = self.registry.live().count() + self.registry.expected_back(now) >= self.seats.min;
            if is_over || !expected {
                self.fail_pending(too_few, now);
            } else {
                self.set_reason(&pending.test_id, Some(format!("{too_few}; known drivers are expected back")));
            }
        } else if test.all_armed() {
            self.advance_armed(pending, now);
        } else {
            let waits_for = listed(&test.record.names(|p| p.state != ParticipantState::Armed));
            if is_over {
                let broker =
                    if self.registry.listening_since().is_none() { " (the broker does not answer)" } else { "" };
                self.fail_pending(format!("not armed within {} seconds: {waits_for}{broker}", patience.as_secs()), now);
            } else {
                self.set_reason(
                    &pending.test_id,
                    Some(format!("it starts when its drivers are armed; waiting for {waits_for}")),
                );
            }
        }
    }

    /// Every driver is armed: the target is looked at, then the test begins.
    fn advance_armed(&mut self, pending: Pending, now: Now) {
        let Pending { test_id, by, asked_target, .. } = pending;
        let Some(test) = self.tests.get_mut(&test_id) else { return };
        if test.record.target_before.is_some() {
            self.begin(&test_id, &by, now);
            return;
        }
        match (asked_target, target_check::address(&test.record.config)) {
            (None, Ok(url)) => {
                if let Some(pending) = &mut self.pending {
                    pending.asked_target = Some(now.mono);
                }
                self.effects.push(Effect::AskTarget(test_id, url));
            }
            (None, Err(why)) => {
                test.record.target_before = Some(Probe::Unknown(why));
                self.begin(&test_id, &by, now);
            }
            (Some(asked), _) if overdue(asked, now) => {
                test.record.target_before = Some(Probe::Unknown("the target's counters did not come".into()));
                self.begin(&test_id, &by, now);
            }
            (Some(_), _) => {}
        }
    }

    fn begin(&mut self, test_id: &TestId, by: &Actor, now: Now) {
        let Some(test) = self.tests.get_mut(test_id) else { return };
        let ahead_ms = START_AHEAD_MS + START_AHEAD_PER_DRIVER_MS * test.record.participants.len() as f64;
        let start_at_unix_ms = (now.unix_ms + ahead_ms).round();
        test.begin(start_at_unix_ms, &self.registry, by, now);
        self.follow_all();
        self.pending = None;
        self.publish_start(test_id, start_at_unix_ms);
        self.changed(test_id);
        self.effects.push(Effect::TriggerAnswer(test_id.clone(), Ok(())));
    }

    fn fail_pending(&mut self, why: String, now: Now) {
        if let Some(Pending { test_id, .. }) = self.pending.take() {
            self.fail(test_id, why, now);
        }
    }

    /// A test was to be triggered, and cannot be.
    fn fail(&mut self, test_id: TestId, why: String, now: Now) {
        let answer = Err(Problem::conflict(why.clone()));
        self.effects.push(Effect::TriggerAnswer(test_id.clone(), answer));
        let Some(test) = self.tests.get_mut(&test_id) else { return };
        test.record.target_before = None;
        if test.record.trigger_when_armed {
            test.end_unrun(TestState::Failed, why, now);
            self.publish_stop(&test_id);
            self.close(&test_id, now);
        } else {
            test.record.event(now, TestEvent::NotTriggered, None, why);
            self.set_reason(&test_id, None);
        }
    }

    pub(super) fn set_reason(&mut self, test_id: &TestId, reason: Option<String>) {
        if let Some(test) = self.tests.get_mut(test_id).filter(|test| test.record.reason != reason) {
            test.record.reason = reason;
            self.changed(test_id);
        }
    }
}

/// Names for a sentence.
fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > MAX_NAMED { format!("{shown} and {} more", names.len() - MAX_NAMED) } else { shown }
}

/// Whether the target's counters, asked for then, will not come any more.
pub(super) fn overdue(asked: Instant, now: Now) -> bool {
    now.since(asked) > 3 * target_check::TIMEOUT
}
