//! Reading beside the brain: REST's questions about what is stored.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use onrush_compare::Timeline;
use rusqlite::{Connection, OpenFlags};

use super::list::{self, ListFilter, ListPage};
use super::searches::{self, SearchList, StoredSearch};
use super::unreadable::Stored;
use super::{StoreError, measures, tests_table, timeline};
use crate::aggregate::Parts;
use crate::second::SecondNumbers;

/// The connections for reading: opened once, because SQLite keeps the descriptor of one that is closed while others have
/// locks, and so few that any number of questions leaves descriptors for everything else.
pub const READERS: usize = 4;

/// Reads the file. Cheap to clone; at most [`READERS`] questions are read at once, more of them wait.
#[derive(Clone)]
pub struct StoreReader(Arc<[Mutex<Connection>]>);

/// Sealed seconds of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondPage {
    /// The seconds.
    pub seconds: Vec<SecondNumbers>,
    /// The first second that is left out; `None`: there is none.
    pub next_from: Option<u64>,
}

impl StoreReader {
    /// Opens the file, which is there already.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connect = || -> Result<_, StoreError> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            // Only now is all of it open.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(Mutex::new(connection))
        };
        Ok(Self((0..READERS).map(|_| connect()).collect::<Result<_, _>>()?))
    }

    /// Reads as of one moment.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.0.iter().find_map(|connection| match connection.try_lock() {
            Ok(idle) => Some(idle),
            // Whoever panicked left nothing behind: his transaction ended with him.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let mut connection = match idle {
            Some(idle) => idle,
            None => self.0[0].lock().unwrap_or_else(PoisonError::into_inner),
        };
        let transaction = connection.transaction()?;
        read(&transaction)
    }

    /// One test.
    pub fn test(&self, test_id: &str) -> Result<Option<Stored>, StoreError> {
        self.read(|connection| tests_table::test(connection, test_id))
    }

    /// The newest tests of that kind first, as many as fit into `max_bytes`; `None`: there is no test `before`.
    pub fn tests(
        &self,
        filter: &ListFilter,
        limit: usize,
        before: Option<&str>,
        max_bytes: usize,
    ) -> Result<Option<ListPage>, StoreError> {
        self.read(|connection| list::newest_tests(connection, filter, limit, before, max_bytes))
    }

    /// One capacity search, with its test.
    pub fn search(&self, test_id: &str) -> Result<Option<(Stored, StoredSearch)>, StoreError> {
        self.read(|connection| searches::search(connection, test_id))
    }

    /// The newest searches first, as many as fit into `max_bytes`; `None`: there is no search `before`.
    pub fn searches(
        &self,
        limit: usize,
        before: Option<&str>,
        max_bytes: usize,
    ) -> Result<Option<SearchList>, StoreError> {
        self.read(|connection| searches::newest_searches(connection, limit, before, max_bytes))
    }

    /// The totals of a test that is over.
    pub fn totals(&self, test_id: &str) -> Result<Option<(Stored, Parts)>, StoreError> {
        self.read(|connection| {
            let Some(record) = tests_table::test(connection, test_id)? else { return Ok(None) };
            Ok(Some((record, measures::totals(connection, test_id)?)))
        })
    }

    /// The sealed seconds of a test as stretches of time, from `from` on.
    pub fn timeline(&self, test_id: &str, from: u64) -> Result<Option<(Stored, Timeline)>, StoreError> {
        self.read(|connection| {
            let Some(record) = tests_table::test(connection, test_id)? else { return Ok(None) };
            Ok(Some((record, timeline::timeline(connection, test_id, from)?)))
        })
    }

    /// Sealed seconds of a test, from `from` on, as many as fit into `max_bytes`.
    pub fn seconds(
        &self,
        test_id: &str,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Option<(Stored, SecondPage)>, StoreError> {
        self.read(|connection| {
            let Some(record) = tests_table::test(connection, test_id)? else { return Ok(None) };
            let (seconds, next_from) = measures::seconds(connection, test_id, from, limit, max_bytes)?;
            Ok(Some((record, SecondPage { seconds, next_from })))
        })
    }
}
