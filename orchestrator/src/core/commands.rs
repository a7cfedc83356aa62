//! What people ask for: make a test, start it, stop it.

use std::time::{Duration, Instant};

use onrush_protocol::TestId;

use super::{Core, Effect, MAX_OPEN_TESTS, Pending};
use crate::aggregate::Aggregate;
use crate::clock::Now;
use crate::handle::{NewTest, Problem};
use crate::lifecycle::OpenTest;
use crate::record::TestRecord;
use crate::target_check::{self, Probe};
use crate::view::{ParticipantState, TestState};

/// A trigger waits at most this long for the drivers to be armed.
pub const ARMING_PATIENCE: Duration = Duration::from_secs(10);
/// The start moment lies this far ahead of the trigger, so that it reaches every driver before.
const START_AHEAD_MS: f64 = 500.0;
/// Further ahead for each driver.
const START_AHEAD_PER_DRIVER_MS: f64 = 5.0;

impl Pending {
    pub(super) fn new(test_id: TestId, now: Now) -> Self {
        Self { test_id, deadline: now.mono + ARMING_PATIENCE, asked_target: None }
    }
}

impl Core {
    /// Makes a test and publishes it. Where it is to be triggered and cannot be, nothing is made.
    pub fn create(&mut self, test: NewTest, now: Now) -> Result<(), Problem> {
        let NewTest { config, name, trigger } = test;
        let test_id = config.test_id.clone();
        if self.tests.contains_key(&test_id) {
            return Err(Problem::conflict(format!("there is a test {test_id} already")));
        }
        if self.tests.len() >= MAX_OPEN_TESTS {
            return Err(Problem::conflict(format!("{MAX_OPEN_TESTS} tests are open; stop one that is not needed")));
        }
        if trigger {
            self.may_trigger()?;
        }
        let mut record = TestRecord {
            test_id: test_id.clone(),
            name,
            config,
            state: TestState::Configured,
            reason: None,
            created_unix_ms: now.unix_ms,
            triggered_unix_ms: None,
            start_at_unix_ms: None,
            ended_unix_ms: None,
            stop_requested: false,
            trigger_when_armed: trigger,
            published_order: 0,
            complete: None,
            valid: None,
            conservation: None,
            target_before: None,
            participants: Vec::new(),
            events: Vec::new(),
        };
        record.config.participants = None;
        record.event(now, "created", None, "the test is stored");
        if trigger {
            record.reason = Some("it starts when its drivers are armed".into());
            self.pending = Some(Pending::new(test_id.clone(), now));
        }
        let mut test = OpenTest::new(record, Aggregate::default(), now);
        test.sync_participants(&self.registry, now);
        self.unsettled = true;
        self.tests.insert(test_id.clone(), test);
        self.order.push(test_id.clone());
        self.changed(&test_id);
        Ok(())
    }

    /// Begins to trigger a test; [`Effect::TriggerAnswer`] says what became of it.
    pub fn trigger(&mut self, test_id: &TestId, now: Now) -> Result<(), Problem> {
        self.unsettled = true;
        let Some(test) = self.tests.get_mut(test_id) else { return Err(Problem::no_such_test(test_id.as_str())) };
        if test.record.state == TestState::Running {
            return Err(Problem::conflict("the test runs already"));
        }
        self.may_trigger()?;
        self.pending = Some(Pending::new(test_id.clone(), now));
        self.sync(test_id, now);
        self.set_reason(test_id, Some("it starts when its drivers are armed".into()));
        let test = &self.tests[test_id];
        let prepared = test.record.published_order == self.published && test.is_published_to_all();
        if !(prepared && test.all_armed()) {
            self.publish_config(test_id, now);
        }
        Ok(())
    }

    /// Ends a test before its time; while it runs, its drivers' final reports are waited for.
    pub fn stop(&mut self, test_id: &TestId, now: Now) -> Result<(), Problem> {
        self.unsettled = true;
        let Some(test) = self.tests.get_mut(test_id) else { return Err(Problem::no_such_test(test_id.as_str())) };
        if test.record.state == TestState::Running {
            if test.request_stop(now) {
                self.publish_stop(test_id);
                self.changed(test_id);
            }
            return Ok(());
        }
        test.end_unrun(TestState::Stopped, "stopped before it was started", now);
        if self.is_pending(test_id) {
            let answer = Err(Problem::conflict("the test was stopped before its drivers were armed"));
            self.effects.push(Effect::TriggerAnswer(test_id.clone(), answer));
        }
        self.publish_stop(test_id);
        self.close(test_id, now);
        Ok(())
    }

    fn is_pending(&self, test_id: &TestId) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.test_id == *test_id)
    }

    /// Whether any test could be triggered now.
    fn may_trigger(&self) -> Result<(), Problem> {
        if let Some(running) = self.running() {
            let id = &running.record.test_id;
            return Err(Problem::conflict(format!("test {id} is running; wait for its end, or stop it")));
        }
        if let Some(pending) = &self.pending {
            return Err(Problem::conflict(format!("test {} is about to start", pending.test_id)));
        }
        self.enough_drivers().map_err(Problem::conflict)
    }

    /// Whether a test that cannot be triggered now, because too few drivers are there, could be in a moment.
    pub fn expects_enough_drivers(&self, now: Now) -> bool {
        let (live, min) = (self.registry.live().count(), self.seats.min);
        live < min
            && live + self.registry.expected_back(now) >= min
            && self.running().is_none()
            && self.pending.is_none()
    }

    fn enough_drivers(&self) -> Result<(), String> {
        let (live, min) = (self.registry.live().count(), self.seats.min);
        let missing = min.saturating_sub(live);
        if missing == 0 {
            return Ok(());
        }
        let are = if missing == 1 { "is" } else { "are" };
        Err(format!("{live} of at least {min} drivers are registered; {missing} {are} missing"))
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
        if let Err(too_few) = self.enough_drivers() {
            self.fail_pending(too_few, now);
        } else if !refused.is_empty() {
            self.fail_pending(refused.join("; "), now);
        } else if test.all_armed() {
            self.advance_armed(pending, now);
        } else if now.mono > pending.deadline {
            let late = test.record.names(|p| p.state != ParticipantState::Armed);
            let patience = ARMING_PATIENCE.as_secs();
            self.fail_pending(format!("not armed within {patience} seconds: {}", late.join(", ")), now);
        }
    }

    /// Every driver is armed: the target is looked at, then the test begins.
    fn advance_armed(&mut self, pending: Pending, now: Now) {
        let Pending { test_id, asked_target, .. } = pending;
        let Some(test) = self.tests.get_mut(&test_id) else { return };
        if test.record.target_before.is_some() {
            self.begin(&test_id, now);
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
                self.begin(&test_id, now);
            }
            (Some(asked), _) if overdue(asked, now) => {
                test.record.target_before = Some(Probe::Unknown("the target's counters did not come".into()));
                self.begin(&test_id, now);
            }
            (Some(_), _) => {}
        }
    }

    fn begin(&mut self, test_id: &TestId, now: Now) {
        let Some(test) = self.tests.get_mut(test_id) else { return };
        let ahead_ms = START_AHEAD_MS + START_AHEAD_PER_DRIVER_MS * test.record.participants.len() as f64;
        let start_at_unix_ms = (now.unix_ms + ahead_ms).round();
        test.begin(start_at_unix_ms, &self.registry, now);
        self.follow_all();
        self.pending = None;
        self.publish_start(test_id, start_at_unix_ms);
        self.changed(test_id);
        self.effects.push(Effect::TriggerAnswer(test_id.clone(), Ok(())));
    }

    fn fail_pending(&mut self, why: String, now: Now) {
        let Some(Pending { test_id, .. }) = self.pending.take() else { return };
        let answer = Err(Problem::conflict(why.clone()));
        self.effects.push(Effect::TriggerAnswer(test_id.clone(), answer));
        let Some(test) = self.tests.get_mut(&test_id) else { return };
        test.record.target_before = None;
        if test.record.trigger_when_armed {
            test.end_unrun(TestState::Failed, why, now);
            self.publish_stop(&test_id);
            self.close(&test_id, now);
        } else {
            test.record.event(now, "not_triggered", None, why);
            self.set_reason(&test_id, None);
        }
    }

    fn set_reason(&mut self, test_id: &TestId, reason: Option<String>) {
        if let Some(test) = self.tests.get_mut(test_id) {
            test.record.reason = reason;
            self.changed(test_id);
        }
    }

    /// The target's counters have come.
    pub fn target_read(&mut self, test_id: &TestId, probe: Probe, now: Now) {
        self.unsettled = true;
        let Some(test) = self.tests.get_mut(test_id) else { return self.target_read_late(test_id, &probe, now) };
        if test.record.state == TestState::Running {
            self.finish(test_id, &probe, now);
        } else if self.pending.as_ref().is_some_and(|p| p.test_id == *test_id && p.asked_target.is_some()) {
            test.record.target_before = Some(probe);
            self.save(test_id);
        }
    }
}

/// Whether the target's counters, asked for then, will not come any more.
pub(super) fn overdue(asked: Instant, now: Now) -> bool {
    now.since(asked) > 3 * target_check::TIMEOUT
}
