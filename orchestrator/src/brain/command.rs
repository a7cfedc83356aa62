//! What the brain is asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onrush_api::{SearchView, TestView};
use onrush_protocol::TestId;
use onrush_stats::TargetTime;
use tokio::sync::{broadcast, oneshot};

use super::{Brain, BrainError, Life};
use crate::actor::Actor;
use crate::aggregate::Parts;
use crate::amend::LoadChange;
use crate::core::{NewSearch, NewTest};
use crate::problem::Problem;
use crate::record::TestRecord;
use crate::registry::DriverStatus;
use crate::run_file::RunFile;
use crate::store::{self, Stored};
use crate::target_check::Probe;
use crate::updates::Update;
use crate::views;

/// What one subscriber of a test may be behind.
const UPDATES_KEPT: usize = 32;

/// Triggers that wait for drivers at once.
const MAX_HELD: usize = 16;
/// A trigger waits at most this long for drivers that are expected back. With the time that they have for arming, that
/// is less than whoever asked waits for an answer.
const HOLD_PATIENCE: Duration = Duration::from_secs(15);

/// A test with its totals.
pub type Totalled = (TestRecord, Parts);

/// A question or an order (with who gives it), and where the answer goes. `None` for an answer: the test is not open.
pub enum Command {
    /// Make a test.
    Create(Box<NewTest>, Actor, oneshot::Sender<Result<TestView, Problem>>),
    /// Take in a run that was exported elsewhere and checked here.
    Import(Box<(TestId, RunFile)>, oneshot::Sender<Result<TestView, Problem>>),
    /// Make a capacity search and its test, and start that.
    CreateSearch(Box<NewSearch>, Actor, oneshot::Sender<Result<SearchView, Problem>>),
    /// Stop a capacity search and its test.
    StopSearch(TestId, Actor, oneshot::Sender<Result<SearchView, Problem>>),
    /// Start a test.
    Trigger(TestId, Actor, oneshot::Sender<Result<TestView, Problem>>),
    /// Change the load of a test that runs, no sooner than so long from now.
    Amend(TestId, LoadChange, Duration, Actor, oneshot::Sender<Result<TestView, Problem>>),
    /// Stop a test.
    Stop(TestId, Actor, oneshot::Sender<Result<TestView, Problem>>),
    /// Forget a test that is over.
    Delete(TestId, Actor, oneshot::Sender<Result<(), Problem>>),
    /// Stop every test; which were told to stop.
    StopAll(Actor, oneshot::Sender<Result<Vec<TestId>, Problem>>),
    /// Who is there?
    Drivers(oneshot::Sender<Result<Vec<DriverStatus>, Problem>>),
    /// What was measured so far?
    Totals(TestId, oneshot::Sender<Option<Totalled>>),
    /// What happens from now on?
    Subscribe(TestId, oneshot::Sender<Option<(TestView, broadcast::Receiver<Update>)>>),
    /// Which messages were skipped?
    Skipped(oneshot::Sender<BTreeMap<String, u64>>),
    /// The target's counters have come.
    TargetRead(TestId, Probe),
    /// The target told its CPU time, or why it does not.
    TargetSeen(TestId, Result<TargetTime, String>),
    /// End.
    Shutdown,
}

/// A command that waits for drivers that are expected back.
pub(super) struct Held {
    command: Command,
    since: Instant,
}

impl Command {
    /// Whether nobody waits for the answer of a trigger any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Command::Create(_, _, reply) | Command::Trigger(_, _, reply) => reply.is_closed(),
            Command::CreateSearch(_, _, reply) => reply.is_closed(),
            _ => false,
        }
    }
}

impl Brain {
    /// Does what it is asked, or later: a trigger that finds too few drivers while known ones are expected back.
    pub(super) fn command_or_hold(&mut self, life: &mut Life, command: Command) -> Result<(), BrainError> {
        let since = self.now(life).mono;
        if self.held.len() < MAX_HELD && self.waits(life, &command) {
            tracing::info!("a trigger waits: too few drivers are heard, and known ones are expected back");
            self.held.push(Held { command, since });
            return Ok(());
        }
        self.command(life, command)
    }

    fn waits(&mut self, life: &mut Life, command: &Command) -> bool {
        let now = self.now(life);
        match command {
            Command::Create(test, ..) => test.trigger && life.core.expects_enough_drivers(now),
            Command::CreateSearch(..) => life.core.expects_enough_drivers(now),
            Command::Trigger(test_id, ..) => life.core.test(test_id).is_some() && life.core.expects_enough_drivers(now),
            _ => false,
        }
    }

    /// Does what waited for drivers, once they are there or will not come.
    pub(super) fn release_held(&mut self, life: &mut Life) -> Result<(), BrainError> {
        for held in std::mem::take(&mut self.held) {
            if held.command.is_abandoned() {
                continue;
            }
            let now = self.now(life);
            if now.since(held.since) < HOLD_PATIENCE && self.waits(life, &held.command) {
                self.held.push(held);
            } else {
                self.command(life, held.command)?;
            }
        }
        Ok(())
    }

    /// Does what it is asked. An answer that nobody waits for any more is dropped.
    pub(super) fn command(&mut self, life: &mut Life, command: Command) -> Result<(), BrainError> {
        let now = self.now(life);
        match command {
            Command::Create(test, by, reply) => {
                let test_id = test.config.test_id.clone();
                let made = match is_free(life, &test_id)? {
                    Ok(()) => life.core.create(*test, &by, now),
                    taken => taken,
                };
                self.answer(life, &test_id, made, reply)?;
            }
            Command::Import(run, reply) => {
                let (test_id, run) = *run;
                let may_enter = match life.core.open_test() {
                    Some(open) => Err(Problem::conflict(format!(
                        "test {open} is open, and taking in a run would hold it up; import it when that test is over"
                    ))),
                    // One that was deleted may come back.
                    None if !store::exists(life.store.connection(), test_id.as_str())? => Ok(()),
                    None => Err(there_was(&test_id)),
                };
                let done = match may_enter {
                    Ok(()) => Ok(life.store.import(run.path(), &test_id, now.unix_ms)?),
                    refused => refused,
                };
                self.answer(life, &test_id, done, reply)?;
            }
            Command::CreateSearch(search, by, reply) => {
                let test_id = search.test.config.test_id.clone();
                let made = match is_free(life, &test_id)? {
                    Ok(()) => life.core.create_search(*search, &by, now),
                    taken => taken,
                };
                self.answer_search(life, &test_id, made, reply)?;
            }
            Command::StopSearch(test_id, by, reply) => {
                let stopped = life.core.stop_search(&test_id, &by, now);
                self.answer_search(life, &test_id, stopped, reply)?;
            }
            Command::Stop(test_id, by, reply) => {
                let stopped = life.core.stop(&test_id, &by, now);
                self.answer(life, &test_id, stopped, reply)?;
            }
            Command::Amend(test_id, change, effective_in, by, reply) => {
                let amended = life.core.amend(&test_id, &change, effective_in, &by, now);
                self.answer(life, &test_id, amended, reply)?;
            }
            Command::Delete(test_id, by, reply) => {
                // Whatever was measured is stored before it goes.
                self.step(life, Vec::new())?;
                drop(reply.send(self.delete(life, &test_id, &by, now)?));
            }
            Command::StopAll(by, reply) => {
                let stopped = life.core.stop_all(&by, now);
                self.step(life, Vec::new())?;
                drop(reply.send(Ok(stopped)));
            }
            Command::Trigger(test_id, by, reply) => match life.core.trigger(&test_id, &by, now) {
                Err(problem) => drop(reply.send(Err(problem))),
                Ok(()) => drop(self.waiters.insert(test_id, reply)),
            },
            Command::Drivers(reply) => drop(reply.send(Ok(life.core.registry.statuses(now)))),
            Command::Totals(test_id, reply) => {
                let totalled = life.core.test(&test_id).map(|test| (test.record.clone(), test.aggregate.totals()));
                drop(reply.send(totalled));
            }
            Command::Subscribe(test_id, reply) => {
                let view = life.core.test(&test_id).map(|test| views::test(&test.record));
                let subscribed = view.map(|view| {
                    let sender = self.updates.entry(test_id).or_insert_with(|| broadcast::channel(UPDATES_KEPT).0);
                    (view, sender.subscribe())
                });
                drop(reply.send(subscribed));
            }
            Command::Skipped(reply) => drop(reply.send(life.core.skips.counts())),
            Command::TargetRead(test_id, probe) => life.core.target_read(&test_id, probe, now),
            Command::TargetSeen(test_id, seen) => life.core.target_seen(&test_id, seen, now),
            Command::Shutdown => self.stop.store(true, std::sync::atomic::Ordering::Relaxed),
        }
        Ok(())
    }

    /// Answers with the test as it is stored after this.
    fn answer(
        &mut self,
        life: &mut Life,
        test_id: &TestId,
        done: Result<(), Problem>,
        reply: oneshot::Sender<Result<TestView, Problem>>,
    ) -> Result<(), BrainError> {
        if let Err(problem) = done {
            drop(reply.send(Err(problem)));
            return Ok(());
        }
        self.step(life, Vec::new())?;
        let record = match life.core.test(test_id) {
            Some(test) => Some(test.record.clone()),
            None => store::test(life.store.connection(), test_id.as_str())?.map(Stored::record),
        };
        let view = record.map(|record| views::test(&record));
        drop(reply.send(view.ok_or_else(|| Problem::no_such_test(test_id))));
        Ok(())
    }

    /// Answers with the search as it is stored after this.
    fn answer_search(
        &mut self,
        life: &mut Life,
        test_id: &TestId,
        done: Result<(), Problem>,
        reply: oneshot::Sender<Result<SearchView, Problem>>,
    ) -> Result<(), BrainError> {
        if let Err(problem) = done {
            drop(reply.send(Err(problem)));
            return Ok(());
        }
        self.step(life, Vec::new())?;
        let stored = store::search(life.store.connection(), test_id.as_str())?;
        let view = stored.map(|(test, search)| views::search(&test.record(), &search));
        drop(reply.send(view.ok_or_else(|| Problem::no_such_search(test_id))));
        Ok(())
    }
}

/// Whether no test had that name; else, why none can be made of it.
fn is_free(life: &Life, test_id: &TestId) -> Result<Result<(), Problem>, BrainError> {
    let (connection, id) = (life.store.connection(), test_id.as_str());
    let is_stored = store::exists(connection, id)? || store::was_deleted(connection, id)?;
    let taken = life.core.test(test_id).is_none() && is_stored;
    Ok(if taken { Err(there_was(test_id)) } else { Ok(()) })
}

fn there_was(test_id: &TestId) -> Problem {
    Problem::conflict(format!("there was a test {test_id} already"))
}
