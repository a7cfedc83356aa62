//! The list of tests: enough to choose one, bounded whatever the test holds, and read without reading that.

use onrush_stats::Outcome;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::unreadable::{Stored, lossy};
use super::{StoreError, coding, tests_table};
use crate::record::TestRecord;
use crate::state::TestState;

/// How much of a reason the list shows.
const MAX_REASON_CHARS: usize = 300;

/// A test as the list has it; as JSON, the column `listed` since schema 5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named as in the record")]
pub struct ListedTest {
    pub test_id: String,
    pub name: Option<String>,
    state: String,
    pub reason: Option<String>,
    /// Empty: what is stored of the test cannot be read.
    pub test_type: String,
    pub target_url: Option<String>,
    pub count_per_driver: Option<u64>,
    pub duration_s: Option<f64>,
    pub drivers: u64,
    pub created_unix_ms: f64,
    pub triggered_unix_ms: Option<f64>,
    pub ended_unix_ms: Option<f64>,
    outcome: Option<String>,
}

impl ListedTest {
    /// What the list has of a test.
    pub fn of(record: &TestRecord) -> Self {
        let config = &record.config;
        Self {
            test_id: record.test_id.to_string(),
            name: record.name.clone(),
            state: record.state.name().into(),
            reason: record.reason.as_deref().map(cut),
            test_type: config.test_type.name().into(),
            target_url: config.target_url.clone(),
            count_per_driver: config.count_per_driver,
            duration_s: config.length().map(|length| length.as_secs_f64()),
            drivers: record.participants.len() as u64,
            created_unix_ms: record.created_unix_ms,
            triggered_unix_ms: record.triggered_unix_ms,
            ended_unix_ms: record.ended_unix_ms,
            outcome: record.outcome.map(|outcome| outcome.name().into()),
        }
    }

    fn of_stored(stored: &Stored) -> Self {
        match stored {
            Stored::Whole(record) => Self::of(record),
            // The config of the stand-in means nothing.
            Stored::Unreadable(record) => {
                let (test_type, target_url, count_per_driver, duration_s) = Default::default();
                Self { test_type, target_url, count_per_driver, duration_s, ..Self::of(record) }
            }
        }
    }

    /// Where it is in its life; one whose state nobody knows cannot go on.
    pub fn state(&self) -> TestState {
        TestState::from_name(&self.state).unwrap_or(TestState::Failed)
    }

    /// How far its result can be trusted.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.as_deref().and_then(Outcome::from_name)
    }
}

/// Which tests of the list are asked for; by itself: all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListFilter {
    /// Those whose name has this in it, in whatever case.
    pub name_part: Option<String>,
    /// Those in this state.
    pub state: Option<TestState>,
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPage {
    /// The tests.
    pub tests: Vec<ListedTest>,
    /// Whether there are older ones.
    pub more: bool,
}

/// The newest tests of that kind first, created before the test `before`: at most `limit`, and no more than fit into `max_bytes` (at least
/// one). `None`: there is no such test.
pub fn newest_tests(
    connection: &Connection,
    filter: &ListFilter,
    limit: usize,
    before: Option<&str>,
    max_bytes: usize,
) -> Result<Option<ListPage>, StoreError> {
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
    let sql = "SELECT ordinal, test_id, listed FROM tests WHERE ordinal < ?1 AND (?3 IS NULL OR state = ?3)
        AND (?4 IS NULL OR instr(lower(coalesce(name, '')), lower(?4)) > 0) ORDER BY ordinal DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    // One more than asked for says whether there are older ones.
    let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let ListFilter { name_part, state } = filter;
    let mut rows = statement.query(params![before, one_more, state.map(TestState::name), name_part])?;
    let (mut tests, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let test = listed(connection, row)?;
        bytes += coding::json(&test).len();
        if tests.len() == limit || (bytes > max_bytes && !tests.is_empty()) {
            return Ok(Some(ListPage { tests, more: true }));
        }
        tests.push(test);
    }
    Ok(Some(ListPage { tests, more: false }))
}

fn listed(connection: &Connection, row: &Row) -> Result<ListedTest, StoreError> {
    let listed = row.get::<_, Option<String>>(2).ok().flatten();
    if let Some(listed) = listed.and_then(|text| coding::of_json(&text).ok()) {
        return Ok(listed);
    }
    let stored = tests_table::test_at(connection, row.get(0)?)?;
    let stored = stored.ok_or_else(|| StoreError::BadValue("a test that went away while it was read".into()))?;
    Ok(ListedTest { test_id: lossy(row, "test_id")?, ..ListedTest::of_stored(&stored) })
}

fn cut(reason: &str) -> String {
    match reason.char_indices().nth(MAX_REASON_CHARS) {
        None => reason.to_owned(),
        Some((end, _)) => format!("{}…", &reason[..end]),
    }
}
