//! Tests, their participants and their events.

use onrush_protocol::{Amendment, LatencyMs, NodeId, SessionId, TestConfig, TestId};
use onrush_stats::Outcome;
use rusqlite::{Connection, Row, Transaction, params};

use super::list::ListedTest;
use super::unreadable::{self, Stored};
use super::{StoreError, coding, limit, proof, thresholds};
use crate::event::{EventLog, EventRecord, TestEvent};
use crate::record::{ParticipantRecord, TestRecord};
use crate::state::{ParticipantState, TestState};

const COLUMNS: &str = "test_id, name, config, state, reason, created_unix_ms, triggered_unix_ms, start_at_unix_ms,
    ended_unix_ms, stop_requested, trigger_when_armed, published_order, outcome, conservation, target_before,
    thresholds, amendments, found_limit";

/// Writes a test as it is now; what never changes (what was asked for, events that are stored already) is left alone.
pub fn save_test(transaction: &Transaction, record: &TestRecord) -> Result<(), StoreError> {
    let test_id = record.test_id.as_str();
    let insert = "INSERT INTO tests (test_id, name, config, created_unix_ms, state, stop_requested, trigger_when_armed,
            published_order) VALUES (?1, ?2, ?3, ?4, '', 0, 0, 0)";
    if !exists(transaction, test_id)? {
        let config = record.config.write_stored();
        transaction.prepare_cached(insert)?.execute(params![test_id, record.name, config, record.created_unix_ms])?;
    }
    let update = "UPDATE tests SET state = ?2, reason = ?3, triggered_unix_ms = ?4, start_at_unix_ms = ?5,
            ended_unix_ms = ?6, stop_requested = ?7, trigger_when_armed = ?8, published_order = ?9, outcome = ?10,
            conservation = ?11, target_before = ?12, listed = ?13, thresholds = ?14, amendments = ?15,
            found_limit = ?16 WHERE test_id = ?1";
    transaction.prepare_cached(update)?.execute(params![
        test_id,
        record.state.name(),
        record.reason,
        record.triggered_unix_ms,
        record.start_at_unix_ms,
        record.ended_unix_ms,
        record.stop_requested,
        record.trigger_when_armed,
        record.published_order,
        record.outcome.map(Outcome::name),
        record.conservation.as_ref().map(proof::text),
        record.target_before.as_ref().map(proof::probe_text),
        coding::json(&ListedTest::of(record)),
        thresholds::text(&record.standings),
        amendments_text(&record.config.amendments),
        record.limit.as_ref().map(limit::text),
    ])?;
    transaction.prepare_cached("DELETE FROM participants WHERE test_id = ?1")?.execute([test_id])?;
    for participant in &record.participants {
        save_participant(transaction, test_id, participant)?;
    }
    save_events(transaction, record)
}

/// Writes these participants of a test as they are now, and what happened; the test itself did not change.
pub fn save_participants<'a>(
    transaction: &Transaction,
    record: &TestRecord,
    names: impl IntoIterator<Item = &'a NodeId>,
) -> Result<(), StoreError> {
    for participant in names.into_iter().filter_map(|name| record.participant(name)) {
        save_participant(transaction, record.test_id.as_str(), participant)?;
    }
    save_events(transaction, record)
}

/// Writes the events that are not stored yet.
fn save_events(transaction: &Transaction, record: &TestRecord) -> Result<(), StoreError> {
    let test_id = record.test_id.as_str();
    let stored: i64 = transaction
        .prepare_cached("SELECT coalesce(max(position) + 1, 0) FROM events WHERE test_id = ?1")?
        .query_row([test_id], |row| row.get(0))?;
    let sql =
        "INSERT INTO events (test_id, position, at_unix_ms, kind, node_id, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = transaction.prepare_cached(sql)?;
    for (position, event) in record.events.kept().iter().enumerate().skip(usize::try_from(stored).unwrap_or(0)) {
        let EventRecord { at_unix_ms, kind, node_id, detail } = event;
        let node_id = node_id.as_ref().map(NodeId::as_str);
        statement.execute(params![test_id, position as i64, at_unix_ms, kind.name(), node_id, detail])?;
    }
    Ok(())
}

fn save_participant(transaction: &Transaction, test_id: &str, p: &ParticipantRecord) -> Result<(), StoreError> {
    let sql =
        "INSERT OR REPLACE INTO participants (test_id, node_id, session_id, state, reason, started_at_unix_ms, reports,
            late_reports, engine, reports_latency, mean_ms, median_ms, min_ms, max_ms, amended_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let latency = p.plain.unwrap_or_default();
    transaction.prepare_cached(sql)?.execute(params![
        test_id,
        p.node_id.as_str(),
        p.session_id.as_ref().map(SessionId::as_str),
        p.state.name(),
        p.reason,
        p.started_at_unix_ms,
        i64::try_from(p.reports).unwrap_or(i64::MAX),
        i64::try_from(p.late_reports).unwrap_or(i64::MAX),
        p.engine,
        p.plain.is_some(),
        latency.mean,
        latency.median,
        latency.min,
        latency.max,
        (!p.amended_at.is_empty()).then(|| coding::json(&p.amended_at)),
    ])?;
    Ok(())
}

/// The tests that are not over, oldest first.
pub fn open_tests(connection: &Connection) -> Result<Vec<Stored>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tests WHERE state IN ('CONFIGURED', 'ARMED', 'RUNNING') ORDER BY ordinal");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut tests = Vec::new();
    while let Some(row) = rows.next()? {
        tests.push(stored(connection, row)?);
    }
    Ok(tests)
}

/// How many configs were published.
pub fn last_published_order(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT max(coalesce((SELECT max(published_order) FROM tests), 0),
        coalesce((SELECT max(published_order) FROM deleted_tests), 0))";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Whether any test was triggered after that moment.
pub fn triggered_since(connection: &Connection, unix_ms: Option<f64>) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM tests WHERE triggered_unix_ms > ?1
        UNION ALL SELECT 1 FROM deleted_tests WHERE triggered_unix_ms > ?1";
    Ok(connection.prepare_cached(sql)?.exists([unix_ms])?)
}

/// One test.
pub fn test(connection: &Connection, test_id: &str) -> Result<Option<Stored>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tests WHERE test_id = ?1");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([test_id])?;
    rows.next()?.map(|row| stored(connection, row)).transpose()
}

/// Changes of the load, as JSON; `None`: there were none.
fn amendments_text(amendments: &[Amendment]) -> Option<String> {
    let rows: Vec<_> = amendments.iter().map(|made| (made.at_second, made.profile.to_string())).collect();
    (!rows.is_empty()).then(|| coding::json(&rows))
}

fn amendments_of_text(text: &str) -> Result<Vec<Amendment>, StoreError> {
    let rows: Vec<(u64, String)> = coding::of_json(text)?;
    let amendment = |(at_second, profile): (u64, String)| {
        Ok(Amendment { at_second, profile: profile.parse().map_err(StoreError::BadValue)? })
    };
    rows.into_iter().map(amendment).collect()
}

/// Whether there is a test of that name.
pub fn exists(connection: &Connection, test_id: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM tests WHERE test_id = ?1")?.exists([test_id])?)
}

/// The test in that place of the order of their creation.
pub(super) fn test_at(connection: &Connection, ordinal: i64) -> Result<Option<Stored>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tests WHERE ordinal = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([ordinal])?;
    rows.next()?.map(|row| stored(connection, row)).transpose()
}

fn stored(connection: &Connection, row: &Row) -> Result<Stored, StoreError> {
    match record(connection, row) {
        Ok(record) => Ok(Stored::Whole(Box::new(record))),
        Err(error) if error.is_unreadable() => unreadable::stand_in(row, &error),
        Err(error) => Err(error),
    }
}

fn record(connection: &Connection, row: &Row) -> Result<TestRecord, StoreError> {
    let test_id: String = row.get(0)?;
    let config: Vec<u8> = row.get(2)?;
    let mut config = TestConfig::read_stored(&config).map_err(|e| StoreError::BadValue(e.to_string()))?;
    let amendments: Option<String> = row.get(16)?;
    config.amendments = amendments.as_deref().map(amendments_of_text).transpose()?.unwrap_or_default();
    let outcome: Option<String> = row.get(12)?;
    let conservation: Option<String> = row.get(13)?;
    let target_before: Option<String> = row.get(14)?;
    let standings: Option<String> = row.get(15)?;
    let limit: Option<String> = row.get(17)?;
    Ok(TestRecord {
        participants: participants(connection, &test_id)?,
        events: events(connection, &test_id)?,
        test_id: coding::id(test_id, TestId::new)?,
        name: row.get(1)?,
        config,
        state: coding::of_name(row.get(3)?, TestState::from_name)?,
        reason: row.get(4)?,
        created_unix_ms: row.get(5)?,
        triggered_unix_ms: row.get(6)?,
        start_at_unix_ms: row.get(7)?,
        ended_unix_ms: row.get(8)?,
        stop_requested: row.get(9)?,
        trigger_when_armed: row.get(10)?,
        published_order: row.get(11)?,
        outcome: outcome.map(|word| coding::of_name(word, Outcome::from_name)).transpose()?,
        conservation: conservation.as_deref().map(proof::of_text).transpose()?,
        standings: standings.as_deref().map(thresholds::of_text).transpose()?.unwrap_or_default(),
        target_before: target_before.as_deref().map(proof::probe_of_text).transpose()?,
        limit: limit.as_deref().map(limit::of_text).transpose()?,
    })
}

fn participants(connection: &Connection, test_id: &str) -> Result<Vec<ParticipantRecord>, StoreError> {
    let sql = "SELECT node_id, session_id, state, reason, started_at_unix_ms, reports, late_reports, engine,
        reports_latency, mean_ms, median_ms, min_ms, max_ms, amended_at FROM participants WHERE test_id = ?1 ORDER BY node_id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([test_id])?;
    let mut participants = Vec::new();
    while let Some(row) = rows.next()? {
        let latency = LatencyMs { mean: row.get(9)?, median: row.get(10)?, min: row.get(11)?, max: row.get(12)? };
        let amended_at: Option<String> = row.get(13)?;
        participants.push(ParticipantRecord {
            node_id: coding::id(row.get(0)?, NodeId::new)?,
            session_id: coding::optional_id(row.get(1)?, SessionId::new)?,
            state: coding::of_name(row.get(2)?, ParticipantState::from_name)?,
            reason: row.get(3)?,
            started_at_unix_ms: row.get(4)?,
            reports: row.get::<_, i64>(5)?.unsigned_abs(),
            late_reports: row.get::<_, i64>(6)?.unsigned_abs(),
            engine: row.get(7)?,
            plain: row.get::<_, bool>(8)?.then_some(latency),
            amended_at: amended_at.as_deref().map(coding::of_json).transpose()?.unwrap_or_default(),
        });
    }
    Ok(participants)
}

fn events(connection: &Connection, test_id: &str) -> Result<EventLog, StoreError> {
    let sql = "SELECT at_unix_ms, kind, node_id, detail FROM events WHERE test_id = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([test_id])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, detail): (String, String) = (row.get(1)?, row.get(3)?);
        let (kind, detail) = match TestEvent::from_name(&name) {
            Some(kind) => (kind, detail),
            None => (TestEvent::Other, format!("{name}: {detail}")),
        };
        let node_id = coding::optional_id(row.get(2)?, NodeId::new)?;
        events.push(EventRecord { at_unix_ms: row.get(0)?, kind, node_id, detail });
    }
    Ok(events.into_iter().collect())
}
