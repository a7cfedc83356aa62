//! Tests that are deleted, because somebody asks for it or because they are old.

use std::time::{Duration, Instant};

use onrush_protocol::TestId;

use super::{Brain, BrainError, Life};
use crate::actor::Actor;
use crate::clock::Now;
use crate::problem::Problem;
use crate::store::{self, Retention, StoreError};

/// How often old tests are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Old tests that are deleted at once: each takes a commit.
const AT_ONCE: usize = 10;

/// What there is to be done.
#[derive(Debug, Default)]
pub(super) struct Cleaning {
    /// When to look for old tests again.
    next: Option<Instant>,
    /// Nothing is left of deleted tests.
    is_swept: bool,
}

impl Brain {
    /// Forgets a test that is over.
    pub(super) fn delete(
        &mut self,
        life: &mut Life,
        test_id: &TestId,
        by: &Actor,
        now: Now,
    ) -> Result<Result<(), Problem>, BrainError> {
        if let Some(test) = life.core.test(test_id) {
            let state = test.record.state.name();
            let why = format!("test {test_id} is not over ({state}) and cannot be deleted; stop it first");
            return Ok(Err(Problem::conflict(why)));
        }
        if !life.store.delete_test(test_id.as_str()).map_err(|error| self.of_file(error))? {
            return Ok(Err(Problem::no_such_test(test_id)));
        }
        life.core.forget(test_id, now);
        self.cleaning.is_swept = false;
        self.snapshots.remove(test_id);
        tracing::info!(test = %test_id, "the test and its results are gone{}", by.note("deleted"));
        Ok(Ok(()))
    }

    /// Deletes what need not be kept any more, and a part of what deleted tests left behind.
    pub(super) fn clean_up(&mut self, life: &mut Life, now: Now) -> Result<(), BrainError> {
        if !self.cleaning.is_swept {
            self.cleaning.is_swept = !life.store.sweep().map_err(|error| self.of_file(error))?;
        }
        if self.config.retention == Retention::default() || self.cleaning.next.is_some_and(|next| now.mono < next) {
            return Ok(());
        }
        let connection = life.store.connection();
        let old = store::expired(connection, self.config.retention, now.unix_ms, AT_ONCE)?;
        // More of them are deleted with the next tick.
        self.cleaning.next = (old.len() < AT_ONCE).then(|| now.mono + LOOK_EVERY);
        for test_id in old {
            let Some(id) = TestId::new(&test_id) else {
                life.store.delete_test(&test_id).map_err(|error| self.of_file(error))?;
                self.cleaning.is_swept = false;
                continue;
            };
            if self.delete(life, &id, &Actor::NOBODY, now)?.is_ok() {
                tracing::info!(test = %id, "by --keep or --keep-tests it need not be kept any more");
            }
        }
        Ok(())
    }

    fn of_file(&self, error: StoreError) -> BrainError {
        error.of_file(&self.config.store).into()
    }
}
