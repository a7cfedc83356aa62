//! Capacity searches: each decides the load of a test of its own.

use onrush_protocol::TestId;
use onrush_search::Goal;

use super::{Core, Effect, NewTest};
use crate::actor::Actor;
use crate::aggregate::SealedSecond;
use crate::amend::{LoadChange, MIN_EFFECTIVE_IN};
use crate::capacity::{CapacitySearch, SearchEnd, SearchedSecond};
use crate::clock::Now;
use crate::lifecycle::OpenTest;
use crate::problem::Problem;
use crate::state::TestState;

/// A search as it is asked for, and the test that it is to run.
#[derive(Clone, Debug)]
pub struct NewSearch {
    /// The test: it begins with the first rate, is triggered, and lasts longer than the search may take.
    pub test: NewTest,
    /// What is looked for.
    pub goal: Goal,
}

impl Core {
    /// Makes a search and its test. Where that cannot be triggered, nothing is made.
    pub fn create_search(&mut self, new: NewSearch, by: &Actor, now: Now) -> Result<(), Problem> {
        let NewSearch { test, goal } = new;
        let search = CapacitySearch::new(goal).map_err(|error| Problem::conflict(error.to_string()))?;
        let test_id = test.config.test_id.clone();
        if let Some(plain) = self.registry.live().find(|driver| driver.session_id().is_none()) {
            let name = &plain.identity.register.node_id;
            let why = format!("{name} speaks only the specification and would not hear of the changes of a search");
            return Err(Problem::conflict(why));
        }
        self.create(test, by, now)?;
        self.searches.insert(test_id.clone(), search);
        self.unsaved_searches.insert(test_id);
        Ok(())
    }

    /// Stops a search and its test.
    pub fn stop_search(&mut self, test_id: &TestId, by: &Actor, now: Now) -> Result<(), Problem> {
        if !self.searches.contains_key(test_id) {
            return Err(Problem::no_such_search(test_id));
        }
        self.stop(test_id, by, now)?;
        self.advance_search(test_id, now);
        Ok(())
    }

    /// Goes on with a search that was made anew of what the store has of it.
    pub fn search_from(&mut self, test_id: TestId, search: CapacitySearch) {
        self.unsaved_searches.insert(test_id.clone());
        self.searches.insert(test_id, search);
        self.unsettled = true;
    }

    /// Whether a search decides the load of a test.
    pub(super) fn is_searched(&self, test_id: &TestId) -> bool {
        self.searches.get(test_id).is_some_and(|search| search.end().is_none())
    }

    /// Seconds of a test were sealed; `over`: its last ones.
    pub(super) fn search_seconds(&mut self, test_id: &TestId, sealed: &[SealedSecond], over: bool, now: Now) {
        for second in sealed {
            let (Some(search), Some(test)) = (self.searches.get_mut(test_id), self.tests.get(test_id)) else { return };
            search.enter(SearchedSecond::of_sealed(&test.record, search.slo(), second));
            self.unsaved_searches.insert(test_id.clone());
            if over {
                // Nobody sends any more: what it wants next does not matter.
                search.advance(&test.record);
            } else {
                self.advance_search(test_id, now);
            }
        }
    }

    /// What follows for the searches from what their drivers said and from what became of their tests.
    pub(super) fn advance_searches(&mut self, now: Now) {
        for test_id in self.searches.keys().cloned().collect::<Vec<_>>() {
            self.advance_search(&test_id, now);
        }
    }

    fn advance_search(&mut self, test_id: &TestId, now: Now) {
        let was_over = !self.is_searched(test_id);
        loop {
            let (Some(search), Some(test)) = (self.searches.get_mut(test_id), self.tests.get_mut(test_id)) else {
                return;
            };
            if search.end().is_some() {
                break;
            }
            if test.record.stop_requested {
                search.finish(SearchEnd::Stopped);
                break;
            }
            if test.record.state != TestState::Running {
                return;
            }
            let Some(rate_per_s) = search.advance(&test.record) else { break };
            if let Err(problem) =
                self.change_load(test_id, &LoadChange::Rate(rate_per_s), MIN_EFFECTIVE_IN, &Actor::NOBODY, now)
            {
                let why = format!("its load could not be changed to {rate_per_s}/s: {problem}");
                self.searches.entry(test_id.clone()).and_modify(|search| search.finish(SearchEnd::Failed(why)));
            }
            self.unsaved_searches.insert(test_id.clone());
        }
        if !was_over && !self.is_searched(test_id) {
            self.unsaved_searches.insert(test_id.clone());
        }
        self.end_searched(test_id, now);
    }

    /// A search that has ended ends its test.
    fn end_searched(&mut self, test_id: &TestId, now: Now) {
        let Some(end) = self.searches.get(test_id).and_then(CapacitySearch::end) else { return };
        let why = match end {
            SearchEnd::Failed(why) => format!("its capacity search could not go on: {why}"),
            _ => "its capacity search is over".to_owned(),
        };
        let Some(test) = self.tests.get_mut(test_id) else { return };
        if test.record.state == TestState::Running && test.request_stop(Some(&why), &Actor::NOBODY, now) {
            self.publish_stop(test_id);
            self.changed(test_id);
            self.unsettled = true;
        }
    }

    /// A test is over, and its search with it.
    pub(super) fn close_search(&mut self, test: &OpenTest, now: Now) {
        let test_id = &test.record.test_id;
        let Some(mut search) = self.searches.remove(test_id) else { return };
        self.unsaved_searches.remove(test_id);
        let reason = test.record.reason.as_deref();
        search.finish(match test.record.state {
            TestState::Stopped => SearchEnd::Stopped,
            TestState::Failed => SearchEnd::Failed(reason.unwrap_or("its test could not start").to_owned()),
            _ => SearchEnd::Failed(format!("its test ended before it: {}", reason.unwrap_or("its drivers have ended"))),
        });
        self.effects.push(Effect::Search(Box::new(search.record(test_id, now.unix_ms))));
    }

    /// The searches that are not as they are stored.
    pub(super) fn take_searches(&mut self, now_unix_ms: f64) {
        for test_id in std::mem::take(&mut self.unsaved_searches) {
            if let Some(search) = self.searches.get_mut(&test_id) {
                self.effects.push(Effect::Search(Box::new(search.record(&test_id, now_unix_ms))));
            }
        }
    }
}
