//! What follows from what happened and from the passing of time.
//!
//! An ordinary report can close a second of its test, and nothing else follows from it; an ordinary heartbeat has no
//! consequence but that its driver is not silent. Both come once a second from every driver, so neither may cost a
//! look at every driver. Everything else is concluded at once after what is out of the ordinary, and several times a
//! second for the passing of time.

use std::time::{Duration, Instant};

use onrush_protocol::{TestId, Topic};

use super::{Core, Effect, pending};
use crate::actor::Actor;
use crate::clock::Now;
use crate::lifecycle::{Finding, OpenTest};
use crate::registry::{self, Change, Crowding, Driver};
use crate::state::TestState;
use crate::target_check::{self, Probe};

/// How often every conclusion is drawn at most, while nothing out of the ordinary happens.
const EVERY: Duration = Duration::from_millis(50);

impl Core {
    /// Draws the conclusions. `reachable_since`: since when the broker answers; `caught_up`: no reports wait to be
    /// read. To be called after each batch and at least several times a second.
    pub fn settle(&mut self, reachable_since: Option<Instant>, caught_up: bool, now: Now) {
        let reported = std::mem::take(&mut self.reported);
        if self.unsettled || self.settled_at.is_none_or(|at| now.since(at) >= EVERY) {
            self.unsettled = false;
            self.settled_at = Some(now.mono);
            self.settle_everything(reachable_since, caught_up, now);
            return;
        }
        for test_id in reported {
            self.seal(&test_id, false, now);
        }
    }

    /// Closes the seconds of a test that can be closed, all that are open where it is `over`, and stops it where they break a
    /// threshold that ends it. What they say of its limit is shown.
    fn seal(&mut self, test_id: &TestId, over: bool, now: Now) {
        let Some(test) = self.tests.get_mut(test_id) else { return };
        let limit = |test: &OpenTest| test.record.limit.as_ref().map(|found| (found.limited_by, found.resource));
        let before = limit(test);
        let sealed = test.seal(over, now);
        let finding = test.judge(&sealed, over, now);
        let is_another = limit(test) != before;
        self.search_seconds(test_id, &sealed, over, now);
        self.effects.extend(sealed.into_iter().map(|second| Effect::Sealed(test_id.clone(), second)));
        match finding {
            Finding::Nothing => {}
            Finding::Values => _ = self.unshown.insert(test_id.clone()),
            Finding::Broken => self.changed(test_id),
            Finding::Ends(why) => {
                if self.tests.get_mut(test_id).is_some_and(|test| test.request_stop(Some(&why), &Actor::NOBODY, now)) {
                    self.publish_stop(test_id);
                    self.unsettled = true;
                }
                self.changed(test_id);
            }
        }
        // Whoever asks for the test is shown what is stored.
        if is_another {
            self.changed(test_id);
        }
    }

    fn settle_everything(&mut self, reachable_since: Option<Instant>, caught_up: bool, now: Now) {
        let tests = &self.tests;
        let in_use = |node_id: &_| tests.values().any(|test| test.record.participant(node_id).is_some());
        self.registry.tick(now, reachable_since, in_use);
        for change in self.registry.take_changes() {
            self.driver_changed(change);
        }
        let Crowding { refused, forgotten } = self.registry.take_crowding();
        let known = format!("{} drivers and their rivals are known, and no more can be", registry::MAX_ENTRIES);
        self.skips.add_many(Topic::Register, "no room for a driver", &known, refused);
        self.skips.add_many(Topic::Register, "another driver forgotten for it", &known, forgotten);
        for test_id in self.order.clone() {
            match self.tests.get(&test_id).map(|test| test.record.state) {
                Some(TestState::Running) => self.settle_running(&test_id, caught_up, now),
                Some(_) => self.settle_waiting(&test_id, now),
                None => {}
            }
        }
        self.advance_searches(now);
        self.prepare_newest(now);
        self.advance_pending(now);
        self.settle_past(now);
        self.effects.extend(std::mem::take(&mut self.unshown).into_iter().map(Effect::Changed));
    }

    fn driver_changed(&mut self, change: Change) {
        let (Change::Identity(name) | Change::Lost(name) | Change::Forgotten(name) | Change::Clock(name, _)) = &change;
        let driver = self.registry.get(name);
        match &change {
            Change::Identity(_) if driver.is_some_and(Driver::is_live) => tracing::info!(driver = %name, "takes part"),
            Change::Lost(_) if driver.is_some_and(Driver::said_goodbye) => tracing::info!(driver = %name, "has left"),
            // Old announcements, or anybody's: nothing follows from one.
            Change::Identity(_) | Change::Lost(_) if !driver.is_some_and(Driver::is_established) => {
                tracing::debug!(driver = %name, "is known by one message")
            }
            Change::Identity(_) => match driver.and_then(Driver::rejection) {
                Some(reason) => tracing::warn!(driver = %name, "is rejected: {reason}"),
                None => tracing::info!(driver = %name, "is known and takes no part yet"),
            },
            Change::Lost(_) => tracing::warn!(driver = %name, "is lost: it went silent"),
            Change::Forgotten(_) => tracing::debug!(driver = %name, "is forgotten"),
            Change::Clock(_, Some(ms)) => tracing::warn!(driver = %name, "{}", registry::clock_warning(*ms)),
            Change::Clock(_, None) => {
                tracing::info!(driver = %name, "its wall clock agrees with the orchestrator's again")
            }
        }
        self.effects.extend(match (change, driver) {
            (Change::Clock(..), _) => None,
            (_, Some(driver)) => Some(Effect::SaveDriver(driver.identity.clone())),
            (Change::Identity(name) | Change::Lost(name) | Change::Forgotten(name), None) => {
                Some(Effect::RemoveDriver(name))
            }
        });
    }

    /// A test before its trigger: its participants are the drivers that are there.
    fn settle_waiting(&mut self, test_id: &TestId, now: Now) {
        self.sync(test_id, now);
        let Some(test) = self.tests.get_mut(test_id) else { return };
        if test.observe(&self.registry, now) {
            self.changed(test_id);
        }
    }

    pub(super) fn sync(&mut self, test_id: &TestId, now: Now) {
        let Some(test) = self.tests.get_mut(test_id) else { return };
        if test.sync_participants(&self.registry, now) {
            self.changed(test_id);
        }
    }

    /// The drivers prepare for one test: the one that is about to start, or else the newest. Nothing is published while
    /// a test runs: preparing would disturb it.
    fn prepare_newest(&mut self, now: Now) {
        if self.running().is_some() {
            return;
        }
        let pending = self.pending.as_ref().map(|pending| pending.test_id.clone());
        let Some(test_id) = pending.or_else(|| self.order.last().cloned()) else { return };
        let Some(test) = self.tests.get(&test_id) else { return };
        if test.record.published_order != self.published
            || test.record.published_order == 0
            || !test.is_published_to_all()
        {
            self.publish_config(&test_id, now);
        }
    }

    fn settle_running(&mut self, test_id: &TestId, caught_up: bool, now: Now) {
        let Some(test) = self.tests.get_mut(test_id) else { return };
        let (changed, done) = (test.watch(&self.registry, caught_up, now), test.is_done(now));
        let look = test.look_due(now).filter(|_| !done);
        if changed {
            self.changed(test_id);
        }
        self.effects.extend(look.map(|source| Effect::LookAtTarget(test_id.clone(), source)));
        self.seal(test_id, done, now);
        let Some(test) = self.tests.get_mut(test_id) else { return };
        if !done {
            test.asked_target = None;
            return;
        }
        let before = test.record.target_before.as_ref();
        match (test.asked_target, before, target_check::address(&test.record.config)) {
            (None, Some(Probe::Counters(_)), Ok(url)) => {
                test.asked_target = Some(now.mono);
                self.effects.push(Effect::AskTarget(test_id.clone(), url));
            }
            (Some(asked), ..) if !pending::overdue(asked, now) => {}
            (Some(_), ..) => self.finish(test_id, &Probe::Unknown("the target's counters did not come".into()), now),
            (None, _, _) => {
                self.finish(test_id, &Probe::Unknown("the target has no counters of this kind".into()), now)
            }
        }
    }

    /// Ends a test that ran, if it is still done: a lost driver may have come back meanwhile.
    pub(super) fn finish(&mut self, test_id: &TestId, target_after: &Probe, now: Now) {
        let Some(test) = self.tests.get_mut(test_id) else { return };
        if !test.is_done(now) {
            return;
        }
        self.seal(test_id, true, now);
        let Some(test) = self.tests.get_mut(test_id) else { return };
        test.end(target_after, now);
        self.close(test_id, now);
    }
}
