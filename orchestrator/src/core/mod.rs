//! Everything that the brain knows and decides. Pure: messages, commands and the time go in, effects come out.
//!
//! The brain makes the effects of a batch one transaction. Where that fails, this value is thrown away and made anew
//! from the store, so that memory and store never disagree.

mod commands;
mod late;
mod messages;
mod pending;
mod searches;
mod settle;
mod skips;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use onrush_protocol::threshold::Watch;
use onrush_protocol::{MAX_MESSAGE_BYTES, Measured, NodeId, Participant, TestConfig, TestId, Topic, Trigger};
use onrush_stats::LimitWatch;
use url::Url;

pub use commands::NewTest;
pub use late::StoredTest;
pub use messages::DriverMessage;
pub use searches::NewSearch;
pub use skips::Skips;

use crate::aggregate::{Aggregate, Parts, SealedSecond};
use crate::capacity::{CapacitySearch, SearchRecord};
use crate::clock::Now;
use crate::event::EventCounts;
use crate::lifecycle::OpenTest;
use crate::problem::Problem;
use crate::record::TestRecord;
use crate::registry::{Identity, Registry};
use crate::state::TestState;
use crate::target_check::TimeSource;

/// Tests that may be open at once.
pub const MAX_OPEN_TESTS: usize = 100;

/// How many drivers a test needs, and how many are admitted.
#[derive(Clone, Copy, Debug)]
pub struct Seats {
    /// At least.
    pub min: usize,
    /// At most.
    pub max: usize,
}

/// A report that entered a test.
#[derive(Clone, Debug, PartialEq)]
pub struct EnteredReport {
    /// The test.
    pub test_id: TestId,
    /// The driver.
    pub node_id: NodeId,
    /// Its second was sealed before it came.
    pub late: bool,
    /// The report.
    pub report: Box<Measured>,
}

/// What must be done outside, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Put a message into the outbox.
    Publish {
        /// Where it goes.
        topic: Topic,
        /// Its key.
        key: String,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// Store a report. Where it is late, merge its second anew from the store and show it.
    Report(EnteredReport),
    /// A second is sealed: store it, show it.
    Sealed(TestId, SealedSecond),
    /// Ask the target for its counters, and bring them to [`Core::target_read`].
    AskTarget(TestId, Url),
    /// Ask the target for its CPU time, and bring it to [`Core::target_seen`].
    LookAtTarget(TestId, TimeSource),
    /// Whoever waits for the trigger of this test has his answer.
    TriggerAnswer(TestId, Result<(), Problem>),
    /// Something of the test changed that people see.
    Changed(TestId),
    /// The test is over: store its totals. Its record has its last state.
    Ended(Box<OpenTest>),
    /// A test that is over is not as it was stored: reports came late. Its record, and its totals.
    Amended(Box<(TestRecord, Parts)>),
    /// Store a capacity search.
    Search(Box<SearchRecord>),
    /// Store a driver as the registry has it.
    SaveDriver(Identity),
    /// Forget a driver.
    RemoveDriver(NodeId),
}

/// What became of the reports that came.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct ReportCounts {
    pub accepted: u64,
    pub late: u64,
    pub duplicate: u64,
    pub skipped: u64,
}

/// What of a test differs from what is stored of it, beside what effects say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsaved {
    /// These participants, and new events.
    Participants(BTreeSet<NodeId>),
    /// Anything.
    Everything,
}

/// The state of the orchestrator.
pub struct Core {
    seats: Seats,
    /// Who is there.
    pub registry: Registry,
    tests: BTreeMap<TestId, OpenTest>,
    /// Open tests in the order of their creation.
    order: Vec<TestId>,
    pending: Option<pending::Pending>,
    /// The capacity searches of open tests.
    searches: BTreeMap<TestId, CapacitySearch>,
    /// Those that differ from what is stored of them.
    unsaved_searches: BTreeSet<TestId>,
    /// Tests that are over.
    past: late::Past,
    /// How many configs were published; the drivers prepare for the last.
    published: i64,
    effects: Vec<Effect>,
    unsaved: BTreeMap<TestId, Unsaved>,
    /// Tests of which people see something new, told with the next conclusions: many drivers change at once.
    unshown: BTreeSet<TestId>,
    /// Tests in whose seconds something was reported since the last call of [`Core::settle`].
    reported: BTreeSet<TestId>,
    /// Something happened that more follows from than from a report of one more second.
    unsettled: bool,
    /// When every conclusion was drawn.
    settled_at: Option<Instant>,
    /// Messages that were skipped.
    pub skips: Skips,
    /// Reports that came.
    pub reports: ReportCounts,
    /// What happened in tests.
    pub events: EventCounts,
}

impl Core {
    /// Begins with what the store has: drivers, open tests with what was measured in them (oldest first), and the
    /// number of configs that were published.
    pub fn new(
        seats: Seats,
        drivers: Vec<Identity>,
        tests: Vec<(TestRecord, Aggregate)>,
        published: i64,
        now: Now,
    ) -> Self {
        let order = tests.iter().map(|(record, _)| record.test_id.clone()).collect();
        let mut open = BTreeMap::new();
        let mut unsaved = BTreeMap::new();
        for (mut record, aggregate) in tests {
            let test_id = record.test_id.clone();
            if record.state != TestState::Running {
                // Whoever asked for a trigger that did not happen has heard of the end of his connection.
                record.target_before = None;
                record.reason = record.reason.filter(|_| record.trigger_when_armed);
                unsaved.insert(test_id.clone(), Unsaved::Everything);
            }
            open.insert(test_id, OpenTest::new(record, aggregate, now));
        }
        let mut core = Self {
            seats,
            registry: Registry::new(seats.max, drivers, now),
            tests: open,
            order,
            pending: None,
            searches: BTreeMap::new(),
            unsaved_searches: BTreeSet::new(),
            past: late::Past::default(),
            published,
            effects: Vec::new(),
            unsaved,
            unshown: BTreeSet::new(),
            reported: BTreeSet::new(),
            unsettled: true,
            settled_at: None,
            skips: Skips::default(),
            reports: ReportCounts::default(),
            events: EventCounts::new(),
        };
        core.resume_pending(now);
        core
    }

    /// Goes on judging a test from what the store has of it.
    pub fn watch_from(&mut self, test_id: &TestId, thresholds: Watch) {
        if let Some(test) = self.tests.get_mut(test_id) {
            test.watch_from(thresholds);
        }
    }

    /// Goes on looking for a test's limit from what the store has of it.
    pub fn limits_from(&mut self, test_id: &TestId, limits: LimitWatch) {
        if let Some(test) = self.tests.get_mut(test_id) {
            test.limits_from(limits);
        }
    }

    /// What must be done, and what of the tests must be stored beside that, since the last call.
    pub fn take_effects(&mut self, now: Now) -> (Vec<Effect>, BTreeMap<TestId, Unsaved>) {
        self.take_searches(now.unix_ms);
        let records = self.tests.values_mut().map(|test| &mut test.record).chain(self.past.records_mut());
        records.for_each(|record| record.events.count_news(&mut self.events));
        (std::mem::take(&mut self.effects), std::mem::take(&mut self.unsaved))
    }

    /// This process did not run for a while: nobody's silence counts for that.
    pub fn woke(&mut self, gap: Duration, now: Now) {
        tracing::warn!(
            "this process did not run for {:.1} s; nobody is taken for lost because of that",
            gap.as_secs_f64()
        );
        self.registry.woke(now);
    }

    /// A test that is open.
    pub fn test(&self, test_id: &TestId) -> Option<&OpenTest> {
        self.tests.get(test_id)
    }

    /// The name of a test that is open, where there is one.
    pub fn open_test(&self) -> Option<&TestId> {
        self.tests.keys().next()
    }

    /// The test that runs.
    fn running(&self) -> Option<&OpenTest> {
        self.tests.values().find(|test| test.record.state == TestState::Running)
    }

    /// Notes that people and the store have to hear of a test.
    fn changed(&mut self, test_id: &TestId) {
        self.save(test_id);
        self.effects.push(Effect::Changed(test_id.clone()));
    }

    /// Notes that a test must be stored.
    fn save(&mut self, test_id: &TestId) {
        self.unsaved.insert(test_id.clone(), Unsaved::Everything);
    }

    /// Notes that a participant of a test must be stored.
    fn save_participant(&mut self, test_id: &TestId, node_id: NodeId) {
        let none = || Unsaved::Participants(BTreeSet::new());
        if let Unsaved::Participants(names) = self.unsaved.entry(test_id.clone()).or_insert_with(none) {
            names.insert(node_id);
        }
    }

    fn publish_config(&mut self, test_id: &TestId, now: Now) {
        let Some(test) = self.tests.get_mut(test_id) else { return };
        self.published += 1;
        test.note_published(&self.registry, self.published, now);
        let participants = test
            .record
            .participants
            .iter()
            .map(|p| Participant { node_id: p.node_id.clone(), session_id: p.session_id.clone() });
        let config = TestConfig { participants: Some(participants.collect()), ..test.record.config.clone() };
        let payload = config.write();
        if payload.len() > MAX_MESSAGE_BYTES {
            return self.too_long(test_id, payload.len(), now);
        }
        self.effects.push(Effect::Publish { topic: Topic::TestConfig, key: test_id.to_string(), payload });
        self.changed(test_id);
    }

    /// Ends a test whose message no driver would read: it was made under other rules, or for fewer drivers.
    fn too_long(&mut self, test_id: &TestId, bytes: usize, now: Now) {
        let Some(test) = self.tests.get_mut(test_id) else { return };
        let drivers = test.record.participants.len();
        let why = format!(
            "its message has {bytes} bytes with the names of {drivers} drivers; drivers read at most {MAX_MESSAGE_BYTES}"
        );
        test.end_unrun(TestState::Failed, why.clone(), now);
        if self.pending.as_ref().is_some_and(|pending| pending.test_id == *test_id) {
            self.effects.push(Effect::TriggerAnswer(test_id.clone(), Err(Problem::conflict(why))));
        }
        self.close(test_id, now);
    }

    /// Tells the drivers to start a test at that moment, each with what is wrong with its clock.
    fn publish_start(&mut self, test_id: &TestId, start_at_unix_ms: f64) {
        let mut trigger = Trigger::start(test_id.clone(), Some(start_at_unix_ms));
        if let Some(test) = self.tests.get(test_id) {
            trigger.clock_offsets_ms.clone_from(&test.clock_offsets_ms);
        }
        self.publish_trigger(&trigger);
    }

    /// Tells every driver to stop a test, whatever this value knows of it.
    fn publish_stop(&mut self, test_id: &TestId) {
        self.publish_trigger(&Trigger::stop(test_id.clone()));
    }

    fn publish_trigger(&mut self, trigger: &Trigger) {
        let (topic, key, payload) = (Topic::Trigger, trigger.test_id.to_string(), trigger.write());
        self.effects.push(Effect::Publish { topic, key, payload });
    }

    /// A test has its end state. It is kept where reports of it are missing.
    fn close(&mut self, test_id: &TestId, now: Now) {
        let Some(mut test) = self.tests.remove(test_id) else { return };
        test.record.events.count_news(&mut self.events);
        self.order.retain(|open| open != test_id);
        if self.pending.as_ref().is_some_and(|pending| pending.test_id == *test_id) {
            self.pending = None;
        }
        self.unsaved.remove(test_id);
        self.unshown.remove(test_id);
        self.reported.remove(test_id);
        if test.may_become_whole() {
            self.reopen(test.clone(), false, now);
        } else {
            self.note_closed(test_id, Some(&test.record), now);
        }
        self.effects.push(Effect::Ended(Box::new(test.clone())));
        self.close_search(&test, now);
    }
}

#[cfg(test)]
mod tests;
