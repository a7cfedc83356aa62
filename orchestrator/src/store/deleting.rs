//! Tests that are forgotten. What is small goes at once, in one transaction; reports and seconds, of which a long test has a million,
//! go bit by bit, so that nobody waits for them. The file does not shrink: what is free in it is used again.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Durability, Store, StoreError};

/// Tests that are over, in SQL.
const IS_OVER: &str = "state NOT IN ('CONFIGURED', 'ARMED', 'RUNNING')";
/// Rows of a test that go at once: some megabytes, some milliseconds.
const ROWS_AT_ONCE: i64 = 500;

/// Which tests are kept; the others are deleted when they are over. By itself: all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retention {
    /// Those that ended no longer ago than this, in milliseconds.
    pub max_age_ms: Option<f64>,
    /// So many of those that are over, the newest.
    pub max_tests: Option<u64>,
}

impl Store {
    /// Forgets a test that is over, and the search that it was for. `false`: there is no such test.
    ///
    /// Its name cannot be used again, and it is still known when it was triggered: that tells whose requests a target counts.
    pub fn delete_test(&mut self, test_id: &str) -> Result<bool, StoreError> {
        // Its reports stay behind for a while.
        self.connection.pragma_update(None, "foreign_keys", false)?;
        let deleted = self.delete_row(test_id);
        self.connection.pragma_update(None, "foreign_keys", true)?;
        deleted
    }

    fn delete_row(&mut self, test_id: &str) -> Result<bool, StoreError> {
        let transaction = self.begin(Durability::Power)?;
        let sql = format!(
            "INSERT INTO deleted_tests (test_id, triggered_unix_ms, published_order, is_swept)
             SELECT test_id, triggered_unix_ms, published_order, 0 FROM tests WHERE test_id = ?1 AND {IS_OVER}"
        );
        if transaction.execute(&sql, [test_id])? == 0 {
            return Ok(false);
        }
        for table in ["participants", "events", "totals", "snapshots", "searches", "tests"] {
            transaction.execute(&format!("DELETE FROM {table} WHERE test_id = ?1"), [test_id])?;
        }
        transaction.commit()?;
        Ok(true)
    }

    /// Removes some of what deleted tests left behind. `false`: there was nothing.
    pub fn sweep(&mut self) -> Result<bool, StoreError> {
        let sql = "SELECT test_id FROM deleted_tests WHERE NOT is_swept LIMIT 1";
        let Some(test_id) = self.connection.query_row(sql, [], |row| row.get::<_, String>(0)).optional()? else {
            return Ok(false);
        };
        let transaction = self.begin(Durability::Process)?;
        let mut removed = 0;
        for table in ["driver_seconds", "seconds"] {
            let sql = format!(
                "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE test_id = ?1 LIMIT {ROWS_AT_ONCE})"
            );
            removed += transaction.execute(&sql, [&test_id])?;
        }
        if removed == 0 {
            transaction.execute("UPDATE deleted_tests SET is_swept = 1 WHERE test_id = ?1", [&test_id])?;
        }
        transaction.commit()?;
        Ok(true)
    }
}

/// Tests that need not be kept any more, the oldest first, at most `limit`.
pub fn expired(
    connection: &Connection,
    retention: Retention,
    now_unix_ms: f64,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let Retention { max_age_ms, max_tests } = retention;
    let ended_before = max_age_ms.map(|age_ms| now_unix_ms - age_ms);
    let sql = format!("SELECT ordinal FROM tests WHERE {IS_OVER} ORDER BY ordinal DESC LIMIT 1 OFFSET ?1");
    let newest_too_many: Option<i64> = match max_tests {
        None => None,
        Some(kept) => {
            connection.query_row(&sql, [i64::try_from(kept).unwrap_or(i64::MAX)], |row| row.get(0)).optional()?
        }
    };
    let sql = format!(
        "SELECT test_id FROM tests WHERE {IS_OVER}
         AND (coalesce(ended_unix_ms, created_unix_ms) < ?1 OR ordinal <= ?2) ORDER BY ordinal LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![ended_before, newest_too_many, limit], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether there was a test of that name, which was deleted.
pub fn was_deleted(connection: &Connection, test_id: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM deleted_tests WHERE test_id = ?1")?.exists([test_id])?)
}
