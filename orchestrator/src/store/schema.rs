//! The tables, and how an older file becomes one of this version.

use rusqlite::Connection;

use super::StoreError;

/// Each step brings a file one version further; the version is SQLite's `user_version`.
const STEPS: &[&str] = &[V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11];

const V1: &str = "
CREATE TABLE offsets (
    source TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (source, topic, partition)) WITHOUT ROWID;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, key TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE drivers (
    node_id TEXT PRIMARY KEY, session_id TEXT, node_ip TEXT, hostname TEXT, version TEXT, cpus TEXT,
    registered_unix_ms REAL NOT NULL, admitted INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tests (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT, test_id TEXT NOT NULL UNIQUE, name TEXT, config BLOB NOT NULL,
    state TEXT NOT NULL, reason TEXT, created_unix_ms REAL NOT NULL, triggered_unix_ms REAL, start_at_unix_ms REAL,
    ended_unix_ms REAL, stop_requested INTEGER NOT NULL, trigger_when_armed INTEGER NOT NULL,
    published_order INTEGER NOT NULL, complete INTEGER, valid INTEGER, conservation TEXT, target_before TEXT);
CREATE INDEX tests_by_state ON tests (state);
CREATE TABLE participants (
    test_id TEXT NOT NULL REFERENCES tests (test_id), node_id TEXT NOT NULL, session_id TEXT, state TEXT NOT NULL,
    reason TEXT, started_at_unix_ms REAL, reports INTEGER NOT NULL, late_reports INTEGER NOT NULL, engine TEXT,
    reports_latency INTEGER NOT NULL, mean_ms REAL, median_ms REAL, min_ms REAL, max_ms REAL,
    PRIMARY KEY (test_id, node_id)) WITHOUT ROWID;
CREATE TABLE events (
    test_id TEXT NOT NULL REFERENCES tests (test_id), position INTEGER NOT NULL, at_unix_ms REAL NOT NULL,
    kind TEXT NOT NULL, node_id TEXT, detail TEXT NOT NULL, PRIMARY KEY (test_id, position)) WITHOUT ROWID;
-- One row per report. Histograms are HdrHistogram V2 compressed, in nanoseconds.
CREATE TABLE driver_seconds (
    test_id TEXT NOT NULL REFERENCES tests (test_id), node_id TEXT NOT NULL, session_id TEXT NOT NULL,
    sequence INTEGER NOT NULL, second_index INTEGER NOT NULL, length_s REAL NOT NULL, late INTEGER NOT NULL,
    started_at_unix_ms REAL NOT NULL, end_reason TEXT, totals TEXT NOT NULL, measures TEXT NOT NULL,
    latency BLOB NOT NULL, service_time BLOB NOT NULL, schedule_error BLOB NOT NULL,
    PRIMARY KEY (test_id, node_id, session_id, sequence));
CREATE INDEX driver_seconds_by_second ON driver_seconds (test_id, second_index);
-- One row per sealed second: as it was shown, and all drivers' histograms merged.
CREATE TABLE seconds (
    test_id TEXT NOT NULL REFERENCES tests (test_id), second_index INTEGER NOT NULL, view TEXT NOT NULL,
    latency BLOB NOT NULL, service_time BLOB NOT NULL, schedule_error BLOB NOT NULL,
    PRIMARY KEY (test_id, second_index));
-- One row per driver of a test that is over.
CREATE TABLE totals (
    test_id TEXT NOT NULL REFERENCES tests (test_id), node_id TEXT NOT NULL, elapsed_ns INTEGER NOT NULL,
    measures TEXT NOT NULL, latency BLOB NOT NULL, service_time BLOB NOT NULL, schedule_error BLOB NOT NULL,
    PRIMARY KEY (test_id, node_id));
";

/// For how much of the test so far requests were sent; NULL: the driver did not say.
const V2: &str = "
ALTER TABLE driver_seconds ADD COLUMN sending_s REAL;
ALTER TABLE totals ADD COLUMN sending_ns INTEGER;
";

/// What the list of tests shows of a test, as JSON; NULL: not written yet, or no longer true.
const V3: &str = "ALTER TABLE tests ADD COLUMN listed TEXT";

/// What was measured in a test, as a whole, up to the report in row `covered`; `snapshot.rs` says how.
const V4: &str = "
CREATE TABLE snapshots (
    test_id TEXT PRIMARY KEY REFERENCES tests (test_id), version INTEGER NOT NULL, covered INTEGER NOT NULL,
    state TEXT NOT NULL, histograms BLOB NOT NULL);
";

/// How far a result can be trusted, in one word; NULL: the test is not over. It replaces what said the same in three columns.
const V5: &str = "
ALTER TABLE tests ADD COLUMN outcome TEXT;
UPDATE tests SET listed = NULL, outcome = CASE
    WHEN complete IS NULL AND valid IS NULL THEN NULL
    WHEN valid = 0 THEN 'invalid'
    WHEN complete = 0 THEN 'incomplete'
    WHEN coalesce(json_valid(conservation), 0) = 0 THEN 'unproved'
    WHEN json_extract(conservation, '$.verdict') = 'EXACT' THEN 'exact'
    ELSE 'unproved' END;
ALTER TABLE tests DROP COLUMN complete;
ALTER TABLE tests DROP COLUMN valid;
";

/// How the thresholds of a test stand, as JSON; NULL: it has none, or none was judged.
const V6: &str = "ALTER TABLE tests ADD COLUMN thresholds TEXT";

/// How the load of a test was changed while it ran, and when that took effect on each driver, as JSON.
const V7: &str = "
ALTER TABLE tests ADD COLUMN amendments TEXT;
ALTER TABLE participants ADD COLUMN amended_at TEXT;
";

/// Who was the limit, as JSON; NULL: nothing was measured, or the test ended before that was told.
const V8: &str = "ALTER TABLE tests ADD COLUMN found_limit TEXT";

/// Capacity searches, each named by the test that it runs; `found` is what it found or knows so far, as JSON.
const V9: &str = "
CREATE TABLE searches (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT, test_id TEXT NOT NULL UNIQUE REFERENCES tests (test_id), goal TEXT NOT NULL,
    state TEXT NOT NULL, reason TEXT, ended_unix_ms REAL, elapsed_s REAL NOT NULL, trying_per_s REAL, found TEXT);
CREATE INDEX searches_by_state ON searches (state);
";

/// Tests that were deleted; `is_swept`: nothing is left of them.
const V10: &str = "
CREATE TABLE deleted_tests (
    test_id TEXT PRIMARY KEY, triggered_unix_ms REAL, published_order INTEGER NOT NULL, is_swept INTEGER NOT NULL) WITHOUT ROWID;
";

/// What was measured by the name of the request stands within `measures` and `view`, and no column is new. An earlier version
/// could not read that, and refuses a file of this one.
const V11: &str = "";

/// Brings the file to this version; refuses one of a later version.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let version: usize =
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?.try_into().unwrap_or(0);
    if version > STEPS.len() {
        return Err(StoreError::Newer { version, known: STEPS.len() });
    }
    if version == 0 {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables > 0 {
            return Err(StoreError::Foreign);
        }
    }
    for (i, step) in STEPS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", (i + 1) as i64)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use onrush_stats::{Outcome, Verdict};
    use rusqlite::params;
    use serde_json::json;

    use super::super::{Store, test};
    use super::*;
    use crate::testing::running;

    /// A file as the version of that schema left it.
    fn of_version(path: &std::path::Path, version: usize) -> Connection {
        let connection = Connection::open(path).unwrap();
        STEPS[..version].iter().for_each(|step| connection.execute_batch(step).unwrap());
        connection.pragma_update(None, "user_version", version as i64).unwrap();
        connection
    }

    #[test]
    fn the_outcome_of_an_older_result_is_what_its_three_columns_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("onrush.db");
        let proof = |verdict: Verdict| {
            let word = format!("{verdict:?}").to_uppercase();
            let check =
                json!({"name": "a = b", "node_id": "a", "verdict": word, "expected": 1, "actual": null, "detail": ""});
            json!({"verdict": word, "line": "conservation: …", "checks": [check]}).to_string()
        };
        let cases = [
            ("open", None, None, None, None),
            ("exact", Some(true), Some(true), Some(Verdict::Exact), Some(Outcome::Exact)),
            ("unproved", Some(true), Some(true), Some(Verdict::Unknown), Some(Outcome::Unproved)),
            ("incomplete", Some(false), Some(true), Some(Verdict::Unknown), Some(Outcome::Incomplete)),
            ("never-ran", Some(false), Some(true), None, Some(Outcome::Incomplete)),
            ("invalid", Some(false), Some(false), Some(Verdict::Breach), Some(Outcome::Invalid)),
            // Of what cannot be read, nothing is proved.
            ("broken", Some(true), Some(true), None, Some(Outcome::Invalid)),
        ];
        let old = of_version(&path, 4);
        for (test_id, complete, valid, verdict, _) in cases {
            let config = running(test_id, 1, &["a"]).config.write_stored();
            let conservation = if test_id == "broken" { Some("no JSON".to_owned()) } else { verdict.map(proof) };
            let sql = "INSERT INTO tests (test_id, config, state, created_unix_ms, stop_requested, trigger_when_armed,
                published_order, complete, valid, conservation, listed)
                VALUES (?1, ?2, 'COMPLETED', 1, 0, 0, 0, ?3, ?4, ?5, '{}')";
            old.execute(sql, params![test_id, config, complete, valid, conservation]).unwrap();
        }
        drop(old);
        let store = Store::open(&path).unwrap();
        for (test_id, _, _, verdict, outcome) in cases {
            let record = test(store.connection(), test_id).unwrap().unwrap().record();
            assert_eq!(record.outcome, outcome, "{test_id}");
            assert_eq!(record.conservation.map(|proof| proof.checks[0].verdict), verdict, "{test_id}");
        }
    }

    #[test]
    fn a_file_without_searches_gets_room_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("onrush.db");
        let old = of_version(&path, 8);
        let sql = "INSERT INTO tests (test_id, config, state, created_unix_ms, stop_requested, trigger_when_armed,
            published_order) VALUES ('t', ?1, 'COMPLETED', 1, 0, 0, 0)";
        old.execute(sql, [running("t", 1, &["a"]).config.write_stored()]).unwrap();
        drop(old);
        let store = Store::open(&path).unwrap();
        assert!(test(store.connection(), "t").unwrap().is_some());
        assert!(super::super::search(store.connection(), "t").unwrap().is_none());
        assert!(super::super::open_searches(store.connection()).unwrap().is_empty());
        let version: i64 = store.connection().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version as usize, STEPS.len());
    }
}
