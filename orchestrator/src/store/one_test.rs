//! A store file that holds one test and nothing else: what travels of a run.

use std::path::Path;
use std::time::Duration;

use onrush_protocol::{NodeId, TestConfig};
use rusqlite::{Connection, params};

use super::measures::WrittenSecond;
use super::{StoreError, measures, schema, tests_table};
use crate::aggregate::{Aggregate, Parts, SealedSecond};
use crate::clock::Now;
use crate::record::TestRecord;
use crate::store::Stored;

/// What belongs to a test, in the order in which rows may refer to one another, and how the rows of each are ordered.
pub(super) const TABLES: [(&str, &str); 6] = [
    ("tests", "rowid"),
    ("participants", "node_id"),
    ("events", "position"),
    ("driver_seconds", "rowid"),
    ("seconds", "rowid"),
    ("totals", "rowid"),
];

/// More events than this no test has: those that may be repeated without end are bounded, and each driver has a few.
const MAX_EVENTS: i64 = 100_000;
/// More drivers no test has.
const MAX_PARTICIPANTS: i64 = 1_000;
/// What a test says of itself beside its measures: settings of 1 MiB, and words.
const MAX_WORDS_BYTES: i64 = 32 * 1024 * 1024;

/// Copies a test out of the store at `from`, as of one moment, into a new file at `to`, without its private key. False: there
/// is no such test.
pub fn copy_test(from: &Path, test_id: &str, to: &Path) -> Result<bool, StoreError> {
    let mut copy = Connection::open(to)?;
    copy.busy_timeout(Duration::from_secs(5))?;
    // Nobody needs what a crash leaves of it.
    copy.pragma_update(None, "journal_mode", "OFF")?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    schema::migrate(&mut copy)?;
    copy.execute("ATTACH ?1 AS store", [from.to_string_lossy()])?;
    let transaction = copy.transaction()?;
    let mut is_there = false;
    for (table, order) in TABLES {
        // The columns are in the same order: both files came here by the same steps.
        let sql = format!("INSERT INTO main.{table} SELECT * FROM store.{table} WHERE test_id = ?1 ORDER BY {order}");
        let rows = transaction.execute(&sql, [test_id])?;
        is_there |= table == "tests" && rows == 1;
    }
    if is_there {
        let config: Vec<u8> = transaction.query_row("SELECT config FROM tests", [], |row| row.get(0))?;
        // What cannot be read is not touched, and is shown as that.
        if let Ok(mut config) = TestConfig::read_stored(&config)
            && config.tls_key_pem.take().is_some()
        {
            config.tls_cert_pem = None;
            transaction.execute("UPDATE tests SET config = ?1", params![config.write_stored()])?;
        }
    }
    transaction.commit()?;
    Ok(is_there)
}

/// A file of one test that came from somewhere: nothing of it is believed.
pub struct OneTest(Connection);

impl OneTest {
    /// Opens it, and brings one of an earlier version to this version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        // Neither functions nor virtual tables that its own schema may name.
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        schema::migrate(&mut connection)?;
        let mut ours = Connection::open_in_memory()?;
        schema::migrate(&mut ours)?;
        let (ours, theirs) = (objects(&ours)?, objects(&connection)?);
        if let Some((name, _)) = theirs.iter().find(|object| !ours.contains(object)) {
            return Err(StoreError::BadValue(format!("{name}, which no version of onrush makes")));
        }
        let damage: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if damage != "ok" {
            return Err(StoreError::BadValue(damage));
        }
        Ok(Self(connection))
    }

    /// Refuses a file that would take more memory than a test does, before anything of it is read into memory.
    pub fn check_size(&self) -> Result<(), StoreError> {
        let number = |sql: &str| self.0.query_row(sql, [], |row| row.get::<_, i64>(0));
        for (what, most, sql) in [
            ("events", MAX_EVENTS, "SELECT count(*) FROM events"),
            ("participants", MAX_PARTICIPANTS, "SELECT count(*) FROM participants"),
            (
                "bytes of settings and proof",
                MAX_WORDS_BYTES,
                "SELECT coalesce(sum(length(config) + length(coalesce(conservation, '')) + length(coalesce(name, ''))
                    + length(coalesce(reason, '')) + length(coalesce(thresholds, ''))), 0) FROM tests",
            ),
            ("bytes of events", MAX_WORDS_BYTES, "SELECT coalesce(sum(length(detail)), 0) FROM events"),
        ] {
            let found = number(sql)?;
            if found > most {
                return Err(StoreError::BadValue(format!("{found} {what}, where a test has at most {most}")));
            }
        }
        Ok(())
    }

    /// The test in it.
    pub fn test(&self) -> Result<TestRecord, StoreError> {
        let ids: Vec<String> = {
            let mut statement = self.0.prepare("SELECT test_id FROM tests LIMIT 2")?;
            statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
        };
        let [test_id] = ids.as_slice() else {
            return Err(StoreError::BadValue(format!("{} tests where there is one", ids.len())));
        };
        match tests_table::test(&self.0, test_id)? {
            Some(Stored::Whole(record)) => Ok(*record),
            Some(Stored::Unreadable(record)) => {
                Err(StoreError::BadValue(record.reason.unwrap_or_else(|| "the test".to_owned())))
            }
            None => Err(StoreError::BadValue("a test that is not there".to_owned())),
        }
    }

    /// How many reports are in it.
    pub fn reports(&self) -> Result<u64, StoreError> {
        let reports: i64 = self.0.query_row("SELECT count(*) FROM driver_seconds", [], |row| row.get(0))?;
        Ok(reports.unsigned_abs())
    }

    /// Everything that its reports add up to.
    pub fn aggregate(&self, record: &TestRecord) -> Result<Aggregate, StoreError> {
        measures::open_aggregate(&self.0, record, Now::read(), |_, _| ())
    }

    /// The totals that it says.
    pub fn totals(&self, record: &TestRecord) -> Result<Parts, StoreError> {
        measures::totals(&self.0, record.test_id.as_str())
    }

    /// The seconds of which there are reports.
    pub fn reported_seconds(&self) -> Result<Vec<u64>, StoreError> {
        let mut statement = self.0.prepare("SELECT DISTINCT second_index FROM driver_seconds ORDER BY second_index")?;
        let seconds = statement.query_map([], |row| row.get::<_, i64>(0))?;
        seconds.map(|second| Ok(second?.unsigned_abs())).collect()
    }

    /// A second as its reports add up, and as it says.
    pub fn second(
        &self,
        record: &TestRecord,
        second_index: u64,
    ) -> Result<(SealedSecond, Option<WrittenSecond>), StoreError> {
        let merged = measures::merged_second(&self.0, &record.test_id, second_index)?;
        Ok((merged, measures::sealed(&self.0, &record.test_id, second_index)?))
    }

    /// How many seconds it says there were.
    pub fn seconds(&self) -> Result<u64, StoreError> {
        let seconds: i64 = self.0.query_row("SELECT count(*) FROM seconds", [], |row| row.get(0))?;
        Ok(seconds.unsigned_abs())
    }

    /// The driver that reported a second, if any driver that takes no part did.
    pub fn stranger(&self, record: &TestRecord) -> Result<Option<NodeId>, StoreError> {
        let mut statement = self.0.prepare("SELECT DISTINCT node_id FROM driver_seconds")?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?;
        for name in names {
            let node_id = NodeId::new(name?);
            match node_id {
                Some(node_id) if record.participant(&node_id).is_some() => {}
                Some(node_id) => return Ok(Some(node_id)),
                None => return Err(StoreError::BadValue("a name that no node can have".to_owned())),
            }
        }
        Ok(None)
    }
}

/// What a file consists of: names and definitions.
fn objects(connection: &Connection) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")?;
    let objects = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(objects.collect::<Result<_, _>>()?)
}
