//! What was measured in a running test, as a whole: a start reads it and the few reports behind it, however long the test
//! runs. It is worth nothing beside the reports: one that cannot be read, or that does not agree with them, is thrown away.

use std::collections::BTreeMap;
use std::time::Instant;

use onrush_protocol::{NodeId, TestId, decode_plain, encode_plain};
use onrush_stats::SecondStats;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::coding::{self, Measures, bad_histogram, distributions_of};
use crate::aggregate::{Aggregate, DriverPart, DriverTotal, Sequences, Snapshot};

/// To be raised when what is written here means something else than before.
const VERSION: i64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    drivers: Vec<Driver>,
    all: Measures,
    open: Vec<(u64, Vec<OpenPart>)>,
    next: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Driver {
    node_id: String,
    part: PartState,
    claimed: String,
    end: Option<(String, u64)>,
    newest_second: Option<u64>,
    final_sequence: Option<u64>,
    sending_ns: Option<u64>,
    /// Ranges of sequence numbers, each with the number behind its last.
    sequences: Vec<(u64, u64)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenPart {
    node_id: String,
    part: PartState,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartState {
    length_ns: u64,
    sending_ns: u64,
    measures: Measures,
}

/// Writes what was measured so far in a test, as of this transaction, in place of what was written before.
pub fn save_snapshot(transaction: &Transaction, test_id: &TestId, aggregate: &Aggregate) -> Result<(), StoreError> {
    let covered: i64 =
        transaction.query_row("SELECT coalesce(max(rowid), 0) FROM driver_seconds", [], |row| row.get(0))?;
    let mut writer = Writer::default();
    let Some(state) = writer.state(aggregate) else { return Ok(()) };
    let sql =
        "INSERT OR REPLACE INTO snapshots (test_id, version, covered, state, histograms) VALUES (?1, ?2, ?3, ?4, ?5)";
    let columns = params![test_id.as_str(), VERSION, covered, coding::json(&state), writer.histograms];
    transaction.prepare_cached(sql)?.execute(columns)?;
    Ok(())
}

/// The snapshot of a test, and the last report that is in it; `None`: there is none that can be used.
pub fn snapshot(connection: &Connection, test_id: &str, now: Instant) -> Result<Option<(Aggregate, i64)>, StoreError> {
    let sql = "SELECT covered, state, histograms FROM snapshots WHERE test_id = ?1 AND version = ?2";
    let row = connection.query_row(sql, params![test_id, VERSION], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
    });
    let thrown_away = |error: &dyn std::fmt::Display| {
        tracing::warn!(test = test_id, %error, "the stored snapshot cannot be used; every report is read");
        Ok(None)
    };
    let (covered, state, histograms) = match row.optional().map_err(StoreError::from) {
        Ok(None) => return Ok(None),
        Ok(Some(row)) => row,
        Err(error) if error.is_unreadable() => return thrown_away(&error),
        Err(error) => return Err(error),
    };
    let read =
        coding::of_json(&state).and_then(|state| SnapshotReader { histograms: &histograms }.aggregate(state, now));
    let aggregate = match read {
        Ok(aggregate) => aggregate,
        Err(error) => return thrown_away(&error),
    };
    let sql = "SELECT coalesce(max(second_index) + 1, 0) FROM seconds WHERE test_id = ?1";
    let sealed: i64 = connection.query_row(sql, [test_id], |row| row.get(0))?;
    if aggregate.snapshot().next > sealed.unsigned_abs() {
        return thrown_away(&"seconds that it knows as sealed are not stored");
    }
    // Rows may have been numbered anew since.
    let sql =
        "SELECT count(*) FROM driver_seconds INDEXED BY driver_seconds_by_second WHERE test_id = ?1 AND rowid <= ?2";
    let stored: i64 = connection.query_row(sql, params![test_id, covered], |row| row.get(0))?;
    let entered: u64 = aggregate.drivers().values().map(DriverTotal::reports).sum();
    if stored.unsigned_abs() != entered {
        return thrown_away(&format!("it has {entered} reports, and {stored} are stored"));
    }
    Ok(Some((aggregate, covered)))
}

/// Collects histograms, each behind its length, in the order in which [`SnapshotReader`] takes them.
#[derive(Default)]
struct Writer {
    histograms: Vec<u8>,
}

impl Writer {
    /// `None`: it holds a count that cannot be written.
    fn state(&mut self, aggregate: &Aggregate) -> Option<State> {
        let Snapshot { drivers, all, open, next } = aggregate.snapshot();
        let drivers = drivers.iter().map(|(node_id, driver)| self.driver(node_id, driver)).collect::<Option<_>>()?;
        let all = self.measures(all)?;
        let mut seconds = Vec::with_capacity(open.len());
        for (second, parts) in open {
            let part =
                |(node_id, part): (&NodeId, _)| Some(OpenPart { node_id: node_id.to_string(), part: self.part(part)? });
            seconds.push((second, parts.iter().map(part).collect::<Option<_>>()?));
        }
        Some(State { drivers, all, open: seconds, next })
    }

    fn driver(&mut self, node_id: &NodeId, driver: &DriverTotal) -> Option<Driver> {
        let DriverTotal { part, claimed, end, newest_second, final_sequence, sending_ns, sequences } = driver;
        Some(Driver {
            node_id: node_id.to_string(),
            part: self.part(part)?,
            claimed: coding::totals_json(claimed),
            end: end.as_ref().map(|(end, second)| (coding::end_text(end), *second)),
            newest_second: *newest_second,
            final_sequence: *final_sequence,
            sending_ns: *sending_ns,
            sequences: sequences.ranges().collect(),
        })
    }

    fn part(&mut self, part: &DriverPart) -> Option<PartState> {
        let DriverPart { length_ns, sending_ns, stats } = part;
        Some(PartState { length_ns: *length_ns, sending_ns: *sending_ns, measures: self.measures(stats)? })
    }

    fn measures(&mut self, stats: &SecondStats) -> Option<Measures> {
        for distribution in distributions_of(stats) {
            let bytes = encode_plain(distribution)?;
            self.histograms.extend(u32::try_from(bytes.len()).ok()?.to_le_bytes());
            self.histograms.extend(bytes);
        }
        Some(Measures::of(stats))
    }
}

/// Takes histograms in the order in which [`Writer`] collected them.
struct SnapshotReader<'a> {
    histograms: &'a [u8],
}

impl SnapshotReader<'_> {
    fn aggregate(mut self, state: State, now: Instant) -> Result<Aggregate, StoreError> {
        let State { drivers, all, open, next } = state;
        let drivers = drivers.into_iter().map(|driver| self.driver(driver)).collect::<Result<_, _>>()?;
        let all = self.stats(all)?;
        let mut seconds = Vec::with_capacity(open.len());
        for (second, parts) in open {
            let part = |OpenPart { node_id, part }| Ok((coding::id(node_id, NodeId::new)?, self.part(part)?));
            seconds.push((second, parts.into_iter().map(part).collect::<Result<BTreeMap<_, _>, StoreError>>()?));
        }
        if !self.histograms.is_empty() {
            return Err(StoreError::BadValue("more histograms than there should be".into()));
        }
        Ok(Aggregate::restored(Snapshot { drivers, all, open: seconds, next }, now))
    }

    fn driver(&mut self, driver: Driver) -> Result<(NodeId, DriverTotal), StoreError> {
        let Driver { node_id, part, claimed, end, newest_second, final_sequence, sending_ns, sequences } = driver;
        let bad_sequences = || StoreError::BadValue("its sequence numbers".into());
        let total = DriverTotal {
            part: self.part(part)?,
            claimed: coding::totals_of(&claimed)?,
            end: end.map(|(end, second)| Ok::<_, StoreError>((coding::end_of(&end)?, second))).transpose()?,
            newest_second,
            final_sequence,
            sending_ns,
            sequences: Sequences::from_ranges(&sequences).ok_or_else(bad_sequences)?,
        };
        Ok((coding::id(node_id, NodeId::new)?, total))
    }

    fn part(&mut self, part: PartState) -> Result<DriverPart, StoreError> {
        let PartState { length_ns, sending_ns, measures } = part;
        Ok(DriverPart { length_ns, sending_ns, stats: self.stats(measures)? })
    }

    fn stats(&mut self, measures: Measures) -> Result<SecondStats, StoreError> {
        let mut histogram = || {
            let short = || StoreError::BadValue("fewer histograms than there should be".into());
            let (length, rest) = self.histograms.split_first_chunk().ok_or_else(short)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| short())?;
            let (bytes, rest) = rest.split_at_checked(length).ok_or_else(short)?;
            self.histograms = rest;
            decode_plain(bytes).map_err(bad_histogram)
        };
        measures.with([histogram()?, histogram()?, histogram()?])
    }
}
