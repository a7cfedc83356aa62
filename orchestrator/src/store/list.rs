//! The list of tests: summaries, which cost no reading of what the tests hold.

use onrush_api::TestSummary;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::unreadable::lossy;
use super::{StoreError, coding, tests_table};
use crate::summary;

/// A part of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct TestPage {
    /// The tests.
    pub tests: Vec<TestSummary>,
    /// Whether there are older ones.
    pub more: bool,
}

/// The newest tests first, created before the test `before`: at most `limit`, and no more than fit into `max_bytes` (at least
/// one). `None`: there is no such test.
pub fn newest_tests(
    connection: &Connection,
    limit: usize,
    before: Option<&str>,
    max_bytes: usize,
) -> Result<Option<TestPage>, StoreError> {
    let before: i64 = match before {
        None => i64::MAX,
        Some(test_id) => {
            let sql = "SELECT ordinal FROM tests WHERE test_id = ?1";
            let Some(ordinal) = connection.query_row(sql, [test_id], |row| row.get(0)).optional()? else {
                return Ok(None);
            };
            ordinal
        }
    };
    let sql = "SELECT ordinal, test_id, listed FROM tests WHERE ordinal < ?1 ORDER BY ordinal DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    // One more than asked for says whether there are older ones.
    let mut rows = statement.query(params![before, i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)])?;
    let (mut tests, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let test = summary(connection, row)?;
        bytes += coding::json(&test).len();
        if tests.len() == limit || (bytes > max_bytes && !tests.is_empty()) {
            return Ok(Some(TestPage { tests, more: true }));
        }
        tests.push(test);
    }
    Ok(Some(TestPage { tests, more: false }))
}

fn summary(connection: &Connection, row: &Row) -> Result<TestSummary, StoreError> {
    let listed = row.get::<_, Option<String>>(2).ok().flatten();
    if let Some(summary) = listed.and_then(|text| coding::of_json(&text).ok()) {
        return Ok(summary);
    }
    let stored = tests_table::test_at(connection, row.get(0)?)?;
    let stored = stored.ok_or_else(|| StoreError::BadValue("a test that went away while it was read".into()))?;
    Ok(TestSummary { test_id: lossy(row, "test_id")?, ..summary::stored(&stored) })
}
