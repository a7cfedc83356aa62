//! What people ask for: make a test, start it, change it, stop it.

use std::time::Duration;

use onrush_protocol::{TestConfig, TestId};
use onrush_stats::TargetTime;

use super::pending::Pending;
use super::{Core, Effect, MAX_OPEN_TESTS};
use crate::actor::Actor;
use crate::aggregate::Aggregate;
use crate::amend::{self, LoadChange};
use crate::clock::Now;
use crate::event::TestEvent;
use crate::lifecycle::OpenTest;
use crate::problem::Problem;
use crate::record::TestRecord;
use crate::state::TestState;
use crate::target_check::Probe;

/// Tests that are stopped at once.
const MAX_STOPPED: usize = 2 * MAX_OPEN_TESTS;

/// A test as it is asked for; its `test_id` is already made and its config has no problems.
#[derive(Clone, Debug)]
pub struct NewTest {
    /// What the drivers get (without participants).
    pub config: TestConfig,
    /// A label for people.
    pub name: Option<String>,
    /// Trigger it as soon as its drivers are armed.
    pub trigger: bool,
}

impl Core {
    /// Makes a test and publishes it. Where it is to be triggered and cannot be, nothing is made.
    pub fn create(&mut self, test: NewTest, by: &Actor, now: Now) -> Result<(), Problem> {
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
        let record = TestRecord::created(config, name, trigger, by, now);
        if trigger {
            self.pending = Some(Pending::new(test_id.clone(), by, now));
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
    pub fn trigger(&mut self, test_id: &TestId, by: &Actor, now: Now) -> Result<(), Problem> {
        self.unsettled = true;
        let Some(test) = self.tests.get_mut(test_id) else { return Err(Problem::no_such_test(test_id)) };
        if test.record.state == TestState::Running {
            return Err(Problem::conflict("the test runs already"));
        }
        self.may_trigger()?;
        self.pending = Some(Pending::new(test_id.clone(), by, now));
        self.sync(test_id, now);
        self.set_reason(test_id, Some("it starts when its drivers are armed".into()));
        let test = &self.tests[test_id];
        let prepared = test.record.published_order == self.published && test.is_published_to_all();
        if !(prepared && test.all_armed()) {
            self.publish_config(test_id, now);
        }
        Ok(())
    }

    /// Changes the load of a test, unless a capacity search decides it.
    pub fn amend(
        &mut self,
        test_id: &TestId,
        change: &LoadChange,
        effective_in: Duration,
        by: &Actor,
        now: Now,
    ) -> Result<(), Problem> {
        if self.is_searched(test_id) {
            let why = "a capacity search decides the load of this test; stop the search, or let it end";
            return Err(Problem::conflict(why));
        }
        self.change_load(test_id, change, effective_in, by, now)
    }

    /// Changes the load of the test from a whole second of its run on: the first one that begins no sooner than `effective_in`
    /// from now.
    pub(super) fn change_load(
        &mut self,
        test_id: &TestId,
        change: &LoadChange,
        effective_in: Duration,
        by: &Actor,
        now: Now,
    ) -> Result<(), Problem> {
        self.unsettled = true;
        let Some(test) = self.tests.get_mut(test_id) else { return Err(Problem::no_such_test(test_id)) };
        let record = &mut test.record;
        let started = record.start_at_unix_ms.filter(|_| record.state == TestState::Running && !record.stop_requested);
        let Some(start_at_unix_ms) = started else {
            let why = "the load of a test can be changed while it runs, and this one does not";
            return Err(Problem::conflict(why));
        };
        if let Some(plain) = record.participants.iter().find(|participant| participant.is_plain()) {
            let why = format!("{} speaks only the specification and would not hear of the change", plain.node_id);
            return Err(Problem::conflict(why));
        }
        let at_second = ((now.unix_ms - start_at_unix_ms).max(0.0) / 1e3 + effective_in.as_secs_f64()).ceil() as u64;
        let amendment = amend::amendment(&record.config, change, at_second).map_err(Problem::conflict)?;
        let detail = format!("from second {at_second} on: {}{}", amendment.profile, by.note("changed"));
        record.config.amendments.push(amendment);
        if let Some(problem) = record.config.message_problem(record.participants.len()) {
            record.config.amendments.pop();
            return Err(Problem::conflict(format!("the message of the test would be too long: {}", problem.problem)));
        }
        record.event(now, TestEvent::Amended, None, detail);
        self.publish_config(test_id, now);
        Ok(())
    }

    /// Ends a test before its time; while it runs, its drivers' final reports are waited for. The drivers are told in
    /// any case, whatever is known of that test here: one may run it all the same.
    pub fn stop(&mut self, test_id: &TestId, by: &Actor, now: Now) -> Result<(), Problem> {
        self.unsettled = true;
        self.publish_stop(test_id);
        let Some(test) = self.tests.get_mut(test_id) else { return Err(Problem::no_such_test(test_id)) };
        if test.record.state == TestState::Running {
            if test.request_stop(None, by, now) {
                self.changed(test_id);
            }
            return Ok(());
        }
        test.end_unrun(TestState::Stopped, format!("stopped before it was started{}", by.note("as asked")), now);
        if self.is_pending(test_id) {
            let answer = Err(Problem::conflict("the test was stopped before its drivers were armed"));
            self.effects.push(Effect::TriggerAnswer(test_id.clone(), answer));
        }
        self.close(test_id, now);
        Ok(())
    }

    /// Stops every test that is open, and whatever else a driver says that it is armed for or runs; their names.
    pub fn stop_all(&mut self, by: &Actor, now: Now) -> Vec<TestId> {
        let mut stopped = self.order.clone();
        for test_id in &stopped {
            // It is open, so that nothing is refused.
            let _ = self.stop(test_id, by, now);
        }
        for test_id in self.registry.tests_of_drivers() {
            if stopped.len() < MAX_STOPPED && !stopped.contains(&test_id) {
                self.publish_stop(&test_id);
                stopped.push(test_id);
            }
        }
        stopped
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

    pub(super) fn enough_drivers(&self) -> Result<(), String> {
        let (live, min) = (self.registry.live().count(), self.seats.min);
        let missing = min.saturating_sub(live);
        if missing == 0 {
            return Ok(());
        }
        let are = if missing == 1 { "is" } else { "are" };
        Err(format!("{live} of at least {min} drivers are registered; {missing} {are} missing"))
    }

    /// The target told its CPU time while the test runs, or why it does not.
    pub fn target_seen(&mut self, test_id: &TestId, seen: Result<TargetTime, String>, now: Now) {
        if self.tests.get_mut(test_id).is_some_and(|test| test.target_seen(seen, now)) {
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
