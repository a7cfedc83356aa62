//! The sealed seconds of a test as stretches of time, to be compared with another's.

use onrush_compare::{Stretch, Timeline};
use onrush_protocol::decode_own_bytes;
use onrush_stats::Distribution;
use rusqlite::{Connection, params};

use super::{StoreError, coding, second};

/// All drivers merged, from second `from` on. One second after the other is read; what is kept is bounded by the timeline.
pub fn timeline(connection: &Connection, test_id: &str, from: u64) -> Result<Timeline, StoreError> {
    let sql = "SELECT view, latency FROM seconds WHERE test_id = ?1 AND second_index >= ?2 ORDER BY second_index";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![test_id, i64::try_from(from).unwrap_or(i64::MAX)])?;
    let mut timeline = Timeline::default();
    while let Some(row) = rows.next()? {
        let (text, latency): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let numbers = second::of_text(&text)?;
        let histogram = decode_own_bytes(&latency).map_err(coding::bad_histogram)?;
        // Sum, minimum and maximum are not compared.
        let latency = Distribution::from_parts(histogram, 0, 0, u64::MAX);
        let all = &numbers.all;
        timeline.push(Stretch::of_second(numbers.second_index, all.sending_ns, &all.counts, &latency));
    }
    Ok(timeline)
}
