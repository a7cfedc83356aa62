//! How thresholds stand as a column, and a watch of the seconds that were sealed.

use std::collections::BTreeMap;

use onrush_protocol::threshold::{Breach, Standing, Watch, WatchedSecond};
use onrush_protocol::{NodeId, decode_own_bytes};
use onrush_stats::{ByName, Counts, Distribution, SecondStats, Summary};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::{StoreError, coding, second};
use crate::aggregate::Aggregate;
use crate::record::TestRecord;
use crate::second::{PartNumbers, SecondNumbers};
use crate::state::TestState;

#[derive(Serialize, Deserialize)]
struct StandingRow {
    value: Option<String>,
    kept: Option<bool>,
    breach: Option<BreachRow>,
}

#[derive(Serialize, Deserialize)]
struct BreachRow {
    second_index: u64,
    value: Option<String>,
    ended_test: bool,
}

/// How thresholds stand, as JSON; `None`: there are none, or none was judged.
pub fn text(standings: &[Standing]) -> Option<String> {
    let row = |Standing { value, kept, breach }: &Standing| StandingRow {
        value: value.clone(),
        kept: *kept,
        breach: breach.clone().map(|Breach { second_index, value, ended_test }| BreachRow {
            second_index,
            value,
            ended_test,
        }),
    };
    (!standings.is_empty()).then(|| coding::json(&standings.iter().map(row).collect::<Vec<_>>()))
}

/// The standings of [`text`].
pub fn of_text(text: &str) -> Result<Vec<Standing>, StoreError> {
    let rows: Vec<StandingRow> = coding::of_json(text)?;
    let breach = |BreachRow { second_index, value, ended_test }| Breach { second_index, value, ended_test };
    let standing = |StandingRow { value, kept, breach: row }| Standing { value, kept, breach: row.map(breach) };
    Ok(rows.into_iter().map(standing).collect())
}

/// The watch of a test that runs, as it was when its newest second was sealed; `None`: there is nothing to watch.
pub fn watch(connection: &Connection, record: &TestRecord, aggregate: &Aggregate) -> Result<Option<Watch>, StoreError> {
    let mut watch = Watch::new(&record.config);
    if watch.is_idle() || record.state != TestState::Running {
        return Ok(None);
    }
    let seconds = newest_seconds(connection, record.test_id.as_str(), watch.memory_s())?;
    let mut before: BTreeMap<&NodeId, Counts> = aggregate.sealed().map(|(id, stats)| (id, stats.counts)).collect();
    for (node_id, part) in seconds.iter().flat_map(|(second, _)| &second.drivers) {
        if let Some(counts) = before.get_mut(node_id) {
            counts.subtract(&part.counts);
        }
    }
    before.iter().for_each(|(node_id, counts)| watch.begin_at(node_id, counts));
    for (numbers, stats) in &seconds {
        let second = WatchedSecond { second_index: numbers.second_index, sending_ns: numbers.all.sending_ns, stats };
        watch.enter(second, numbers.drivers.iter().map(|(node_id, part)| (node_id, &part.counts)));
    }
    Ok(Some(watch))
}

/// The newest sealed seconds, in order, each with what was measured in it over all drivers.
fn newest_seconds(
    connection: &Connection,
    test_id: &str,
    count: u64,
) -> Result<Vec<(SecondNumbers, SecondStats)>, StoreError> {
    let sql = "SELECT view, latency, service_time, schedule_error FROM seconds WHERE test_id = ?1
        ORDER BY second_index DESC LIMIT ?2";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params![test_id, i64::try_from(count).unwrap_or(i64::MAX)])?;
    let mut seconds = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(second) => seconds.push(second),
            Err(error) if error.is_unreadable() => {
                tracing::error!(test = test_id, %error, "a stored second cannot be read; thresholds are judged without it");
            }
            Err(error) => return Err(error),
        }
    }
    seconds.reverse();
    Ok(seconds)
}

fn read(row: &Row) -> Result<(SecondNumbers, SecondStats), StoreError> {
    let text: String = row.get(0)?;
    let numbers = second::of_text(&text)?;
    let PartNumbers { counts, examples, latency, service_time, schedule_error, .. } = &numbers.all;
    let distribution = |column: usize, summary: &Option<Summary>| {
        let bytes: Vec<u8> = row.get(column)?;
        let Some(Summary { count, mean_ms, min_ms, max_ms, .. }) = *summary else { return Ok(Distribution::default()) };
        let histogram = decode_own_bytes(&bytes).map_err(coding::bad_histogram)?;
        let ns = |ms: f64| (ms * 1e6).round() as u64;
        Ok::<_, StoreError>(Distribution::from_parts(histogram, ns(mean_ms * count as f64), ns(min_ms), ns(max_ms)))
    };
    let stats = SecondStats {
        latency: distribution(1, latency)?,
        service_time: distribution(2, service_time)?,
        schedule_error: distribution(3, schedule_error)?,
        counts: counts.clone(),
        examples: examples.clone(),
        // A threshold of one name looks at the whole test, and no window holds any.
        by_name: ByName::default(),
    };
    Ok((numbers, stats))
}
