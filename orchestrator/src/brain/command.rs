//! What the brain is asked.

use onrush_protocol::TestId;
use std::collections::BTreeMap;
use tokio::sync::{broadcast, oneshot};

use super::{Brain, BrainError, Life};
use crate::clock::Now;
use crate::handle::{NewTest, Problem, Update};
use crate::record::TestRecord;
use crate::store::{self, Stored};
use crate::target_check::Probe;
use crate::view::{DriverView, TestView};
use crate::views::{self, Totals};

/// What one subscriber of a test may be behind.
const UPDATES_KEPT: usize = 32;

/// A test with its totals.
pub type Totalled = (TestRecord, Totals);

/// A question or an order, and where the answer goes. `None` for an answer: the test is not open.
pub enum Command {
    /// Make a test.
    Create(Box<NewTest>, oneshot::Sender<Result<TestView, Problem>>),
    /// Start a test.
    Trigger(TestId, oneshot::Sender<Result<TestView, Problem>>),
    /// Stop a test.
    Stop(TestId, oneshot::Sender<Result<TestView, Problem>>),
    /// Who is there?
    Drivers(oneshot::Sender<Vec<DriverView>>),
    /// What was measured so far?
    Totals(TestId, oneshot::Sender<Option<Totalled>>),
    /// What happens from now on?
    Subscribe(TestId, oneshot::Sender<Option<(TestView, broadcast::Receiver<Update>)>>),
    /// Which messages were skipped?
    Skipped(oneshot::Sender<BTreeMap<String, u64>>),
    /// The target's counters have come.
    TargetRead(TestId, Probe),
    /// End.
    Shutdown,
}

impl Brain {
    /// Does what it is asked. An answer that nobody waits for any more is dropped.
    pub(super) fn command(&mut self, life: &mut Life, command: Command) -> Result<(), BrainError> {
        let now = Now::read();
        match command {
            Command::Create(test, reply) => {
                let test_id = test.config.test_id.clone();
                let made = if life.core.test(&test_id).is_none()
                    && store::exists(life.store.connection(), test_id.as_str())?
                {
                    Err(Problem::conflict(format!("there was a test {test_id} already")))
                } else {
                    life.core.create(*test, now)
                };
                self.answer(life, &test_id, made, reply)?;
            }
            Command::Stop(test_id, reply) => {
                let stopped = life.core.stop(&test_id, now);
                self.answer(life, &test_id, stopped, reply)?;
            }
            Command::Trigger(test_id, reply) => match life.core.trigger(&test_id, now) {
                Err(problem) => drop(reply.send(Err(problem))),
                Ok(()) => drop(self.waiters.insert(test_id, reply)),
            },
            Command::Drivers(reply) => drop(reply.send(life.core.registry.views(now))),
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
        drop(reply.send(view.ok_or_else(|| Problem::no_such_test(test_id.as_str()))));
        Ok(())
    }
}
