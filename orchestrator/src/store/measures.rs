//! What was measured: reports, sealed seconds, totals.

use hdrhistogram::Histogram;
use onrush_protocol::{Measured, NodeId, SessionId, TestId, decode_own_bytes};
use onrush_stats::SecondStats;
use rusqlite::{Connection, Row, Transaction, params};

use super::coding::{self, StatsColumns};
use super::{StoreError, second, snapshot};
use crate::aggregate::{Aggregate, DriverPart, Entered, Parts, SealedSecond};
use crate::clock::Now;
use crate::core::EnteredReport;
use crate::record::TestRecord;
use crate::second::SecondNumbers;

/// Writes a report.
pub fn save_report(transaction: &Transaction, entered: &EnteredReport) -> Result<(), StoreError> {
    let EnteredReport { test_id, node_id, late, report } = entered;
    let columns = StatsColumns::of(&report.stats);
    // The pair of driver and sequence is known to be new; were it not, the first report would be the right one.
    let sql =
        "INSERT OR IGNORE INTO driver_seconds (test_id, node_id, session_id, sequence, second_index, length_s, late,
            started_at_unix_ms, end_reason, totals, measures, latency, service_time, schedule_error, sending_s)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    transaction.prepare_cached(sql)?.execute(params![
        test_id.as_str(),
        node_id.as_str(),
        report.session_id.as_str(),
        column(report.sequence),
        column(report.second_index),
        report.length_s,
        late,
        report.started_at_unix_ms,
        report.end.as_ref().map(coding::end_text),
        coding::totals_json(&report.totals),
        columns.measures,
        columns.latency,
        columns.service_time,
        columns.schedule_error,
        report.sending_s,
    ])?;
    Ok(())
}

/// Sequence numbers and seconds are bounded far below what SQLite can hold.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const REPORT_COLUMNS: &str =
    "node_id, session_id, sequence, second_index, length_s, late, started_at_unix_ms, end_reason,
    totals, measures, latency, service_time, schedule_error, sending_s";

fn report(row: &Row) -> Result<(NodeId, bool, Measured), StoreError> {
    let end: Option<String> = row.get(7)?;
    let totals: String = row.get(8)?;
    let report = Measured {
        session_id: coding::id(row.get(1)?, SessionId::new)?,
        sequence: row.get::<_, i64>(2)?.unsigned_abs(),
        second_index: row.get::<_, i64>(3)?.unsigned_abs(),
        length_s: row.get(4)?,
        sending_s: row.get(13)?,
        started_at_unix_ms: row.get(6)?,
        stats: stats(row, 9)?,
        totals: coding::totals_of(&totals)?,
        end: end.as_deref().map(coding::end_of).transpose()?,
        engine: None,
    };
    Ok((coding::id(row.get(0)?, NodeId::new)?, row.get(5)?, report))
}

/// The four columns from `first` on.
fn stats(row: &Row, first: usize) -> Result<SecondStats, StoreError> {
    let columns = StatsColumns {
        measures: row.get(first)?,
        latency: row.get(first + 1)?,
        service_time: row.get(first + 2)?,
        schedule_error: row.get(first + 3)?,
    };
    columns.stats()
}

/// What was measured so far in a test, from its snapshot and the reports behind that, or from all of its reports; `sealed`
/// hears of what is in sealed seconds, in whatever portions.
pub fn open_aggregate(
    connection: &Connection,
    record: &TestRecord,
    now: Now,
    mut sealed: impl FnMut(&NodeId, &SecondStats),
) -> Result<Aggregate, StoreError> {
    let test_id = record.test_id.as_str();
    let sql = "SELECT coalesce(max(second_index) + 1, 0) FROM seconds WHERE test_id = ?1";
    let next: i64 = connection.query_row(sql, [test_id], |row| row.get(0))?;
    let next = next.unsigned_abs();
    let (mut aggregate, covered) = match snapshot::snapshot(connection, test_id, now.mono)? {
        Some((mut aggregate, covered)) => {
            aggregate.sealed().for_each(|(node_id, stats)| sealed(node_id, &stats));
            // What was open then has been sealed since.
            for (node_id, part) in aggregate.seal_below(next).values().flatten() {
                sealed(node_id, &part.stats);
            }
            (aggregate, covered)
        }
        None => (Aggregate::resumed_at(next), 0),
    };
    // In the order of the primary key, which costs no sorting; rows that are covered are passed over without being read.
    let sql = format!(
        "SELECT {REPORT_COLUMNS} FROM driver_seconds WHERE test_id = ?1 AND +rowid > ?2
        ORDER BY node_id, session_id, sequence"
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![test_id, covered])?;
    while let Some(row) = rows.next()? {
        let (node_id, _, report) = report(row)?;
        let entered = aggregate.enter(&node_id, &report, now.mono);
        if entered.map_err(|e| StoreError::BadValue(format!("a report: {e}")))? == Entered::Late {
            sealed(&node_id, &report.stats);
        }
    }
    Ok(aggregate)
}

/// A second merged anew from its reports; nothing is told of its sealing.
pub fn merged_second(connection: &Connection, test_id: &TestId, second_index: u64) -> Result<SealedSecond, StoreError> {
    let sql =
        format!("SELECT {REPORT_COLUMNS} FROM driver_seconds WHERE test_id = ?1 AND second_index = ?2 ORDER BY rowid");
    let mut second = SealedSecond {
        second_index,
        missing: Vec::new(),
        late_reports: 0,
        sealable_since: None,
        parts: Default::default(),
        target: None,
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![test_id.as_str(), column(second_index)])?;
    while let Some(row) = rows.next()? {
        let (node_id, late, report) = report(row)?;
        second.late_reports += u64::from(late);
        second.parts.entry(node_id).or_default().extend(&report);
    }
    Ok(second)
}

/// A sealed second, merged anew from its reports, and when it was sealed. What is known of its sealing and of its target stays.
pub fn second_of(
    connection: &Connection,
    test_id: &TestId,
    second_index: u64,
) -> Result<(SealedSecond, Option<f64>), StoreError> {
    let mut second = merged_second(connection, test_id, second_index)?;
    let (seconds, _) = seconds(connection, test_id.as_str(), second_index, 1, 0)?;
    let known = seconds.into_iter().find(|known| known.second_index == second_index);
    let sealed_unix_ms = known.map(|known| {
        (second.missing, second.target) = (known.missing, known.target);
        known.sealed_unix_ms
    });
    Ok((second, sealed_unix_ms))
}

/// A sealed second as it was written: its numbers, and the distributions of all drivers merged, in the order of
/// [`coding::distributions_of`].
pub type WrittenSecond = (SecondNumbers, [Histogram<u64>; 3]);

/// That second.
pub fn sealed(
    connection: &Connection,
    test_id: &TestId,
    second_index: u64,
) -> Result<Option<WrittenSecond>, StoreError> {
    let sql = "SELECT view, latency, service_time, schedule_error FROM seconds
        WHERE test_id = ?1 AND second_index = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![test_id.as_str(), column(second_index)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let histogram = |index| {
        let bytes: Vec<u8> = row.get(index)?;
        decode_own_bytes(&bytes).map_err(coding::bad_histogram)
    };
    let numbers = second::of_text(&row.get::<_, String>(0)?)?;
    Ok(Some((numbers, [histogram(1)?, histogram(2)?, histogram(3)?])))
}

/// Writes a sealed second: its numbers, and all drivers merged.
pub fn save_sealed(
    transaction: &Transaction,
    test_id: &TestId,
    numbers: &SecondNumbers,
    all: &DriverPart,
) -> Result<(), StoreError> {
    let columns = StatsColumns::of(&all.stats);
    let sql = "INSERT OR REPLACE INTO seconds (test_id, second_index, view, latency, service_time, schedule_error)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    transaction.prepare_cached(sql)?.execute(params![
        test_id.as_str(),
        column(numbers.second_index),
        second::text(numbers),
        columns.latency,
        columns.service_time,
        columns.schedule_error,
    ])?;
    Ok(())
}

/// The sealed seconds from `from` on: at most `limit`, and no more than fit into `max_bytes` (at least one). With the first
/// second that is left out, if any.
pub fn seconds(
    connection: &Connection,
    test_id: &str,
    from: u64,
    limit: usize,
    max_bytes: usize,
) -> Result<(Vec<SecondNumbers>, Option<u64>), StoreError> {
    let sql = "SELECT second_index, view FROM seconds WHERE test_id = ?1 AND second_index >= ?2 ORDER BY second_index
        LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    // One more than asked for says whether there are more.
    let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = statement.query(params![test_id, column(from), most])?;
    let (mut seconds, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let text: String = row.get(1)?;
        // What is shown of it has more words than what is stored.
        bytes += text.len() + text.len() / 4;
        if seconds.len() == limit || (bytes > max_bytes && !seconds.is_empty()) {
            return Ok((seconds, Some(row.get::<_, i64>(0)?.unsigned_abs())));
        }
        match second::of_text(&text) {
            Ok(second) => seconds.push(second),
            Err(error) => tracing::error!(test = test_id, %error, "a stored second cannot be read and is left out"),
        }
    }
    Ok((seconds, None))
}

/// Writes the totals of a test that is over.
pub fn save_totals(transaction: &Transaction, test_id: &TestId, totals: &Parts) -> Result<(), StoreError> {
    let sql =
        "INSERT OR REPLACE INTO totals (test_id, node_id, elapsed_ns, measures, latency, service_time, schedule_error,
            sending_ns)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    for (node_id, total) in totals {
        let columns = StatsColumns::of(&total.stats);
        transaction.prepare_cached(sql)?.execute(params![
            test_id.as_str(),
            node_id.as_str(),
            column(total.length_ns),
            columns.measures,
            columns.latency,
            columns.service_time,
            columns.schedule_error,
            column(total.sending_ns),
        ])?;
    }
    Ok(())
}

/// The totals of a test that is over.
pub fn totals(connection: &Connection, test_id: &str) -> Result<Parts, StoreError> {
    let sql = "SELECT node_id, elapsed_ns, measures, latency, service_time, schedule_error, sending_ns FROM totals
        WHERE test_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([test_id])?;
    let mut totals = Parts::new();
    while let Some(row) = rows.next()? {
        let length_ns = row.get::<_, i64>(1)?.unsigned_abs();
        let sending_ns = row.get::<_, Option<i64>>(6)?.map_or(length_ns, i64::unsigned_abs);
        let total = DriverPart { length_ns, sending_ns, stats: stats(row, 2)? };
        totals.insert(coding::id(row.get(0)?, NodeId::new)?, total);
    }
    Ok(totals)
}
