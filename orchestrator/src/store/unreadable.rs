//! Rows that this version cannot read: each is shown as that and takes nothing else down.

use onrush_protocol::{TestConfig, TestId, TestType, Topic, Trigger};
use onrush_stats::Outcome;
use rusqlite::types::ValueRef;
use rusqlite::{Error, Row, Transaction, params};

use super::{StoreError, post};
use crate::clock::Now;
use crate::event::EventLog;
use crate::record::TestRecord;
use crate::state::TestState;

/// A test as the store has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// All of it can be read.
    Whole(Box<TestRecord>),
    /// Something of it cannot be read: what is left, with the reason; its config means nothing.
    Unreadable(Box<TestRecord>),
}

impl Stored {
    /// What is known of it.
    pub fn record(self) -> TestRecord {
        match self {
            Self::Whole(record) | Self::Unreadable(record) => *record,
        }
    }
}

impl StoreError {
    /// Whether it speaks of a value that makes no sense, and not of a file that cannot be read.
    pub fn is_unreadable(&self) -> bool {
        match self {
            Self::BadValue(_) => true,
            Self::Sqlite(error) => matches!(
                error,
                Error::FromSqlConversionFailure(..)
                    | Error::IntegralValueOutOfRange(..)
                    | Error::InvalidColumnType(..)
                    | Error::Utf8Error(..)
            ),
            _ => false,
        }
    }
}

/// What can be read of the columns of a test in `row`, in place of the record that cannot.
pub(super) fn stand_in(row: &Row, error: &StoreError) -> Result<Stored, StoreError> {
    let name = lossy(row, "test_id")?;
    // A name that no test can have is one that nobody can ask for.
    let test_id = TestId::new(name).unwrap_or_else(|| TestId::new("unreadable").expect("a name"));
    let state = TestState::from_name(&lossy(row, "state")?).filter(|state| state.is_end());
    let number = |column: &str| row.get::<_, Option<f64>>(column).unwrap_or_default();
    Ok(Stored::Unreadable(Box::new(TestRecord {
        config: TestConfig::new(test_id.clone(), TestType::Avalanche),
        test_id,
        name: row.get("name").unwrap_or_default(),
        state: state.unwrap_or(TestState::Failed),
        reason: Some(reason(error)),
        created_unix_ms: number("created_unix_ms").unwrap_or_default(),
        triggered_unix_ms: number("triggered_unix_ms"),
        start_at_unix_ms: number("start_at_unix_ms"),
        ended_unix_ms: number("ended_unix_ms"),
        stop_requested: false,
        trigger_when_armed: false,
        published_order: 0,
        outcome: Some(Outcome::Invalid),
        conservation: None,
        limit: None,
        target_before: None,
        participants: Vec::new(),
        standings: Vec::new(),
        events: EventLog::default(),
    })))
}

/// Why a test cannot be shown or go on.
pub fn reason(error: &StoreError) -> String {
    format!("what is stored of this test cannot be read: {error}")
}

/// A column as text, whatever it holds.
pub(super) fn lossy(row: &Row, column: &str) -> Result<String, StoreError> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Null => String::new(),
    })
}

/// Ends an open test of which something cannot be read: it can neither run nor go on. Drivers that have it are told to stop.
pub fn give_up(transaction: &Transaction, test_id: &TestId, why: &str, now: Now) -> Result<(), StoreError> {
    tracing::error!(test = %test_id, why, "a test cannot be read from the store and is given up");
    let sql = "UPDATE tests SET state = 'FAILED', reason = ?2, ended_unix_ms = ?3, outcome = ?4, listed = NULL WHERE test_id = ?1";
    transaction.execute(sql, params![test_id.as_str(), why, now.unix_ms, Outcome::Invalid.name()])?;
    post(transaction, Topic::Trigger, test_id.as_str(), &Trigger::stop(test_id.clone()).write())
}
