//! Tests that are over: reports that come late enter them, and drivers that still run them are told to stop.
//!
//! A driver that was cut off keeps its reports, for minutes or hours. Of a test that lacks some, what was measured is
//! kept in memory for a while, or comes from the store when it is asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onrush_protocol::{Heartbeat, Metrics, NodeState, TestId, Topic};
use onrush_stats::Outcome;
use url::Url;

use super::messages::clock_wrong_by_ms;
use super::pending::overdue;
use super::{Core, Effect, EnteredReport};
use crate::aggregate::Aggregate;
use crate::clock::Now;
use crate::lifecycle::{OpenTest, Taken};
use crate::record::TestRecord;
use crate::state::{ParticipantState, TestState};
use crate::target_check::{self, Probe};

/// Tests that have ended and lack reports, in memory at once; the others are in the store.
const MAX_REOPENED: usize = 4;
/// One of them that nothing comes for is left to the store after this.
const REOPENED_FOR: Duration = Duration::from_secs(120);
/// Other tests of which it is remembered that nothing is missing, or that there are none such.
const MAX_CLOSED: usize = 256;
/// A driver that ran when its test ended without it may go on for so long: its result is still worth having.
const LATE_RUN: Duration = Duration::from_secs(60);
/// How often a driver is told to stop what has ended.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What the store has of a test that is over.
pub struct StoredTest {
    /// The test.
    pub record: TestRecord,
    /// What was measured in it, where some of that may be missing.
    pub aggregate: Option<Aggregate>,
    /// Another test was triggered after it.
    pub followed: bool,
}

/// A test that has ended without some of its reports.
struct Reopened {
    test: OpenTest,
    /// When it was last of use.
    used: Instant,
    /// Something came that its result does not know yet.
    is_news: bool,
    /// Another test was triggered after it: the target's counters say nothing about it any more.
    followed: bool,
    /// When the target was asked for its counters because everything is in.
    asked_target: Option<Instant>,
}

/// A test that is not open, and nothing more can enter it.
#[derive(Clone, Copy, Debug)]
struct Closed {
    used: Instant,
    /// Whether it is one of ours.
    is_ours: bool,
}

/// Tests that are over, as far as anything may still happen with them.
#[derive(Default)]
pub(super) struct Past {
    reopened: BTreeMap<TestId, Reopened>,
    closed: BTreeMap<TestId, Closed>,
    /// Tests that drivers were told to stop, and when.
    told: BTreeMap<TestId, Instant>,
}

impl Past {
    /// The tests that are in memory.
    pub(super) fn records_mut(&mut self) -> impl Iterator<Item = &mut TestRecord> {
        self.reopened.values_mut().map(|reopened| &mut reopened.test.record)
    }
}

impl Reopened {
    /// Whether it need not be kept in memory.
    fn is_done(&self, now: Now) -> bool {
        let waits = self.asked_target.is_some_and(|asked| !overdue(asked, now));
        !self.is_news && !waits && (now.since(self.used) >= REOPENED_FOR || !self.test.may_become_whole())
    }

    /// Why the target's counters are not compared, and where to ask for them if they may be after all.
    fn look_at_target(&self) -> (String, Option<Url>) {
        let record = &self.test.record;
        let had_counters = matches!(record.target_before, Some(Probe::Counters(_)));
        let (why, ask) = match target_check::address(&record.config) {
            Err(why) => return (why, None),
            Ok(_) if !had_counters => ("the target has no counters of this kind", None),
            Ok(_) if self.test.may_become_whole() => ("not every report is in", None),
            Ok(_) if self.followed => ("another test had begun before the last report came", None),
            Ok(url) => ("the target's counters are read once more", Some(url)),
        };
        (why.to_owned(), ask)
    }

    fn amend(&mut self, target_after: &Probe, now: Now) -> Effect {
        self.test.amend(target_after, now);
        Effect::Amended(Box::new((self.test.record.clone(), self.test.aggregate.totals())))
    }
}

impl Core {
    /// Whether this test is neither open nor remembered: the store may know it.
    pub fn lacks(&self, test_id: &TestId) -> bool {
        !(self.tests.contains_key(test_id)
            || self.past.reopened.contains_key(test_id)
            || self.past.closed.contains_key(test_id))
    }

    /// Whether a test that is over is worth being read whole from the store.
    pub fn may_lack_reports(record: &TestRecord) -> bool {
        use ParticipantState as S;
        let ended_well = |state| matches!(state, S::Completed | S::Stopped);
        let ran = record.triggered_unix_ms.is_some() && record.state.is_end();
        let is_sound = record.outcome.is_some_and(Outcome::is_sound);
        ran && !(is_sound && record.participants.iter().all(|p| ended_well(p.state)))
    }

    /// The store has this of a test that this value lacks; `None`: nothing.
    pub fn recall(&mut self, test_id: &TestId, stored: Option<StoredTest>, now: Now) {
        match stored {
            Some(StoredTest { record, aggregate: Some(aggregate), followed }) => {
                self.reopen(OpenTest::new(record, aggregate, now), followed, now);
            }
            Some(StoredTest { record, aggregate: None, .. }) => self.note_closed(test_id, Some(&record), now),
            None => self.note_closed(test_id, None, now),
        }
    }

    /// Keeps a test that has just ended, or was read from the store, for reports that are still missing.
    pub(super) fn reopen(&mut self, test: OpenTest, followed: bool, now: Now) {
        let test_id = test.record.test_id.clone();
        if !(test.record.state.is_end() && test.may_become_whole()) {
            return self.note_closed(&test_id, Some(&test.record), now);
        }
        if self.past.reopened.len() >= MAX_REOPENED {
            // Whatever came for them is in their results when one of them goes.
            self.settle_past(now);
            let least = self.past.reopened.iter().min_by_key(|(_, other)| other.used).map(|(id, _)| id.clone());
            least.map(|id| self.past.reopened.remove(&id));
        }
        let (used, is_news, asked_target) = (now.mono, false, None);
        self.past.reopened.insert(test_id, Reopened { test, used, is_news, followed, asked_target });
    }

    pub(super) fn note_closed(&mut self, test_id: &TestId, record: Option<&TestRecord>, now: Now) {
        let closed = &mut self.past.closed;
        if closed.len() >= MAX_CLOSED
            && let Some(least) = closed.iter().min_by_key(|(_, other)| other.used).map(|(id, _)| id.clone())
        {
            closed.remove(&least);
        }
        closed.insert(test_id.clone(), Closed { used: now.mono, is_ours: record.is_some() });
    }

    /// A test that is over was deleted: nothing enters it any more.
    pub fn forget(&mut self, test_id: &TestId, now: Now) {
        if let Some(Reopened { test, .. }) = self.past.reopened.remove(test_id) {
            self.note_closed(test_id, Some(&test.record), now);
        }
    }

    /// A test begins: what the target counts from now on is not for those before.
    pub(super) fn follow_all(&mut self) {
        self.past.reopened.values_mut().for_each(|reopened| reopened.followed = true);
    }

    /// A report for a test that is not open.
    pub(super) fn take_late(&mut self, metrics: Metrics, now: Now) {
        let Metrics { node_id, test_id, .. } = &metrics;
        let Some(reopened) = self.past.reopened.get_mut(test_id) else {
            let detail = format!("{node_id} reports on test {test_id}, which is over or unknown");
            self.reports.skipped += 1;
            self.skips.add(Topic::Metrics, "of no open test", &detail);
            return;
        };
        reopened.used = now.mono;
        let wrong_by_ms = clock_wrong_by_ms(&self.registry, &metrics);
        match reopened.test.take_late(&metrics, wrong_by_ms, now) {
            Ok(Taken::Entered { late, .. }) => {
                reopened.is_news = true;
                self.unsettled = true;
                let Metrics { node_id, test_id, measured, .. } = metrics;
                let Some(report) = measured else { return };
                self.effects.push(Effect::Report(EnteredReport { test_id, node_id, late, report }));
                self.reports.late += 1;
            }
            Ok(Taken::Duplicate | Taken::Plain) => self.reports.duplicate += 1,
            Err(why) => {
                self.reports.skipped += 1;
                self.skips.add(
                    Topic::Metrics,
                    why,
                    &format!("a report of {node_id} on test {test_id} was skipped: {why}"),
                );
            }
        }
    }

    /// What late reports change, and which tests need not be kept any more.
    pub(super) fn settle_past(&mut self, now: Now) {
        let Self { past, effects, .. } = self;
        for (test_id, reopened) in &mut past.reopened {
            if !std::mem::take(&mut reopened.is_news) {
                continue;
            }
            let sealed = reopened.test.seal(true, now);
            effects.extend(sealed.into_iter().map(|second| Effect::Sealed(test_id.clone(), second)));
            let (why, ask) = reopened.look_at_target();
            if let Some(url) = ask {
                reopened.asked_target = Some(now.mono);
                effects.push(Effect::AskTarget(test_id.clone(), url));
            }
            effects.push(reopened.amend(&Probe::Unknown(why), now));
        }
        let done = past.reopened.iter().filter(|(_, reopened)| reopened.is_done(now)).map(|(id, _)| id.clone());
        for test_id in done.collect::<Vec<_>>() {
            if let Some(Reopened { test, .. }) = self.past.reopened.remove(&test_id)
                && !test.may_become_whole()
            {
                self.note_closed(&test_id, Some(&test.record), now);
            }
        }
    }

    /// The target's counters have come for a test that is over.
    pub(super) fn target_read_late(&mut self, test_id: &TestId, probe: &Probe, now: Now) {
        let Some(reopened) = self.past.reopened.get_mut(test_id) else { return };
        if reopened.asked_target.take().is_some() && !reopened.followed {
            reopened.used = now.mono;
            let amended = reopened.amend(probe, now);
            self.effects.push(amended);
        }
    }

    /// A driver says that it runs a test that is not open: it is told to stop, unless the rest of its part is wanted.
    pub(super) fn hear_late_runner(&mut self, heartbeat: &Heartbeat, now: Now) {
        let (Some(NodeState::Running), Some(test_id)) = (heartbeat.state, &heartbeat.test_id) else { return };
        if let Some(test) = self.tests.get_mut(test_id) {
            if test.record.state != TestState::Running && test.note_foreign_start(&heartbeat.node_id, now) {
                let test_id = test_id.clone();
                self.publish_stop(&test_id);
                self.changed(&test_id);
            }
            return;
        }
        let is_busy = self.pending.is_some() || self.running().is_some();
        let ends = match self.past.reopened.get(test_id) {
            Some(Reopened { test, .. }) => {
                let record = &test.record;
                let since_end_ms = now.unix_ms - record.ended_unix_ms.unwrap_or(now.unix_ms);
                let part = record.participant(&heartbeat.node_id).filter(|p| p.session_id == heartbeat.session_id);
                let is_wanted = record.state == TestState::Completed
                    && part.is_some_and(|p| p.reports > 0 && !test.is_whole(&p.node_id))
                    && since_end_ms < LATE_RUN.as_secs_f64() * 1e3;
                !is_wanted || is_busy
            }
            None => self.past.closed.get(test_id).is_some_and(|closed| closed.is_ours),
        };
        let told = self.past.told.get(test_id).is_some_and(|at| now.since(*at) < TELL_EVERY);
        if !ends || told {
            return;
        }
        self.past.told.retain(|_, at| now.since(*at) < TELL_EVERY);
        self.past.told.insert(test_id.clone(), now.mono);
        tracing::warn!(driver = %heartbeat.node_id, test = %test_id, "runs a test that is over; it is told to stop");
        let test_id = test_id.clone();
        self.publish_stop(&test_id);
        if let Some(reopened) = self.past.reopened.get_mut(&test_id) {
            reopened.used = now.mono;
            if reopened.test.note_stopped_late(&heartbeat.node_id, now) {
                reopened.is_news = true;
            }
        }
    }
}
