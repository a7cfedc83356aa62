//! Reading beside the brain: REST's questions about what is stored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{StoreError, measures, tests_table};
use crate::record::TestRecord;
use crate::view::SecondView;
use crate::views::Totals;

/// Opens the file for reading, anew for every question: that costs little and holds nothing.
#[derive(Clone, Debug)]
pub struct Reader {
    path: PathBuf,
}

impl Reader {
    /// A reader of that file.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(connection)
    }

    /// One test.
    pub fn test(&self, test_id: &str) -> Result<Option<TestRecord>, StoreError> {
        tests_table::test(&self.open()?, test_id)
    }

    /// The newest tests first; `None`: there is no test `before`.
    pub fn tests(&self, limit: usize, before: Option<&str>) -> Result<Option<Vec<TestRecord>>, StoreError> {
        let mut connection = self.open()?;
        // One transaction: all of them as of one moment.
        let transaction = connection.transaction()?;
        tests_table::newest_tests(&transaction, limit, before)
    }

    /// The totals of a test that is over.
    pub fn totals(&self, test_id: &str) -> Result<Option<(TestRecord, Totals)>, StoreError> {
        let mut connection = self.open()?;
        let transaction = connection.transaction()?;
        let Some(record) = tests_table::test(&transaction, test_id)? else { return Ok(None) };
        let totals = measures::totals(&transaction, test_id)?;
        Ok(Some((record, totals)))
    }

    /// Sealed seconds of a test, from `from` on.
    pub fn seconds(
        &self,
        test_id: &str,
        from: u64,
        limit: usize,
    ) -> Result<Option<(TestRecord, Vec<SecondView>)>, StoreError> {
        let mut connection = self.open()?;
        let transaction = connection.transaction()?;
        let Some(record) = tests_table::test(&transaction, test_id)? else { return Ok(None) };
        let seconds = measures::seconds(&transaction, test_id, from, limit)?;
        Ok(Some((record, seconds)))
    }
}
