//! A capacity search over the drivers of one test. Pure.
//!
//! Every sealed second goes to the search, and what the search wants next is a change of the test's load. Which second belongs to
//! which load is known by what the drivers say of their changes: a second counts when all of them had made the newest one. So a
//! search is a function of the test's sealed seconds and changes, both of which are stored: after a restart it is made anew of them.

mod second;

use std::collections::VecDeque;
use std::time::Duration;

use onrush_protocol::{Amendment, NodeId, Shape, TestId, limits};
use onrush_search::{Criterion, Found, Goal, GoalError, Search};

pub use second::SearchedSecond;

use crate::record::TestRecord;
use crate::state::SearchState;

/// Its test lasts so much longer than the search may take, so that the search ends it.
pub const SPARE: Duration = Duration::from_secs(10);
/// Seconds wait, a histogram each, until every driver has said when it made the newest change; one that does not say within so many
/// never will.
const MAX_WAITING: usize = 120;

/// Why a search ended.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchEnd {
    /// As searches do: what was found says why.
    Found,
    /// The load of its test cannot be changed more often.
    Changes,
    /// The rate that it would try next is below the lowest that can be asked for.
    Slowest,
    /// Somebody stopped it.
    Stopped,
    /// It could not go on, and why.
    Failed(String),
}

impl SearchEnd {
    /// The state that it leads to.
    pub fn state(&self) -> SearchState {
        match self {
            Self::Found | Self::Changes | Self::Slowest => SearchState::Completed,
            Self::Stopped => SearchState::Stopped,
            Self::Failed(_) => SearchState::Failed,
        }
    }
}

/// What a search is by now, for the store.
#[derive(Clone, Debug)]
pub struct SearchRecord {
    /// The test that it runs, which gives it its name.
    pub test_id: TestId,
    /// What it looks for.
    pub goal: Goal,
    /// Why it ended; `None`: it goes on.
    pub end: Option<SearchEnd>,
    /// When it ended.
    pub ended_unix_ms: Option<f64>,
    /// How long it has taken.
    pub elapsed: Duration,
    /// The rate that it asks for now, of all drivers.
    pub trying_per_s: f64,
    /// What it found, or knows so far; `None`: no more than when it was last told.
    pub found: Option<Found>,
}

/// A search whose test is open.
#[derive(Clone, Debug)]
pub struct CapacitySearch {
    goal: Goal,
    search: Search,
    /// The rate that it asked for last.
    asked_per_s: f64,
    /// How many changes of its test it has asked for, and were made.
    changes: usize,
    /// Sealed seconds that it has not looked at.
    waiting: VecDeque<SearchedSecond>,
    /// The second after the newest that came.
    next_second: u64,
    end: Option<SearchEnd>,
    ended_unix_ms: Option<f64>,
    /// How many trials were told.
    told_trials: Option<usize>,
}

/// Which load a second belongs to.
enum Load {
    /// That of the newest change, or of the start.
    Newest,
    /// An earlier one, or the drivers sent different ones.
    Earlier,
    /// This driver has not said when it made the newest change.
    Unknown(NodeId),
    /// This driver cannot make the newest change.
    Never(NodeId),
}

impl CapacitySearch {
    /// What must hold.
    pub fn slo(&self) -> &[Criterion] {
        &self.goal.slo
    }

    /// A search that begins with its test.
    pub fn new(goal: Goal) -> Result<Self, GoalError> {
        let search = Search::new(goal.clone())?;
        Ok(Self {
            goal,
            asked_per_s: search.rate_per_s(),
            search,
            changes: 0,
            waiting: VecDeque::new(),
            next_second: 0,
            end: None,
            ended_unix_ms: None,
            told_trials: None,
        })
    }

    /// Why it ended; `None`: it goes on.
    pub fn end(&self) -> Option<&SearchEnd> {
        self.end.as_ref()
    }

    /// A second was sealed.
    pub fn enter(&mut self, second: SearchedSecond) {
        if self.end.is_some() || second.index < self.next_second {
            return;
        }
        if second.index > self.next_second {
            self.waiting.push_back(SearchedSecond::missing(self.next_second, second.index));
        }
        self.next_second = second.index + 1;
        self.waiting.push_back(second);
    }

    /// Looks at the seconds that can be looked at. The rate that its test must be changed to, if it must: to be called again when
    /// that was done.
    pub fn advance(&mut self, record: &TestRecord) -> Option<f64> {
        while self.end.is_none() {
            if self.search.found().is_some() {
                self.finish(SearchEnd::Found);
                break;
            }
            let rate_per_s = self.search.rate_per_s();
            if rate_per_s != self.asked_per_s {
                match record.config.amendments.get(self.changes) {
                    Some(made) if is_rate(made, rate_per_s) => {
                        self.changes += 1;
                        self.asked_per_s = rate_per_s;
                    }
                    Some(made) => self.finish(SearchEnd::Failed(format!(
                        "change {} of its test is {}, and its seconds lead to {rate_per_s}/s",
                        self.changes + 1,
                        made.profile
                    ))),
                    None if self.changes >= limits::MAX_AMENDMENTS => self.finish(SearchEnd::Changes),
                    None if rate_per_s < limits::MIN_THROUGHPUT_PER_S => self.finish(SearchEnd::Slowest),
                    None => return Some(rate_per_s),
                }
                continue;
            }
            let Some(second) = self.waiting.front() else { break };
            let number = self.changes;
            match self.load_of(second, record) {
                Load::Unknown(_) if self.waiting.len() <= MAX_WAITING => break,
                Load::Unknown(node_id) => {
                    self.finish(SearchEnd::Failed(format!("{node_id} does not say when it made change {number}")));
                }
                Load::Never(node_id) => {
                    self.finish(SearchEnd::Failed(format!("{node_id} could not make change {number} of the load")));
                }
                Load::Newest => self.search.take(&second.block),
                Load::Earlier => self.search.pass(&second.block),
            }
            self.waiting.pop_front();
        }
        None
    }

    fn load_of(&self, second: &SearchedSecond, record: &TestRecord) -> Load {
        let Some(newest) = self.changes.checked_sub(1) else { return Load::Newest };
        if record.config.amendments.get(newest).is_none_or(|made| second.index < made.at_second) {
            return Load::Earlier;
        }
        if !second.is_whole {
            // It counts for nothing in any case.
            return Load::Newest;
        }
        let mut load = Load::Newest;
        for participant in &record.participants {
            match participant.amended_at.get(newest) {
                None => return Load::Unknown(participant.node_id.clone()),
                Some(None) => return Load::Never(participant.node_id.clone()),
                Some(Some(made_at)) if *made_at > second.index => load = Load::Earlier,
                Some(Some(_)) => {}
            }
        }
        load
    }

    /// Ends it, unless it has ended: what is known by now is what it found.
    pub fn finish(&mut self, end: SearchEnd) {
        if self.end.is_none() {
            self.search.stop();
            self.waiting.clear();
            self.end = Some(end);
        }
    }

    /// What it is by now, and what it knows if that is news.
    pub fn record(&mut self, test_id: &TestId, now_unix_ms: f64) -> SearchRecord {
        if self.end.is_some() {
            self.ended_unix_ms.get_or_insert(now_unix_ms);
        }
        let trials = Some(self.search.trials().len());
        let is_news = self.end.is_some() || trials != self.told_trials;
        self.told_trials = trials;
        SearchRecord {
            test_id: test_id.clone(),
            goal: self.goal.clone(),
            end: self.end.clone(),
            ended_unix_ms: self.ended_unix_ms,
            elapsed: self.search.elapsed(),
            trying_per_s: self.search.rate_per_s(),
            found: is_news.then(|| self.search.so_far()),
        }
    }
}

/// Whether a change is one to that rate.
fn is_rate(made: &Amendment, wanted_per_s: f64) -> bool {
    // It may have been written as text since.
    const ROUNDING: f64 = 1e-9;
    match made.profile.phases.as_slice() {
        [phase] => match phase.shape {
            Shape::Constant { rate_per_s } => (rate_per_s - wanted_per_s).abs() <= ROUNDING * wanted_per_s,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests;
