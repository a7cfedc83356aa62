//! Who was the limit, as a column and back; and who it was so far in a test that runs, from its sealed seconds.

use onrush_stats::{FoundLimit, LimitWatch, LimitedBy, Resource};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{StoreError, coding, second};
use crate::lifecycle::figures;
use crate::record::TestRecord;
use crate::second::PartNumbers;
use crate::state::TestState;

#[derive(Serialize, Deserialize)]
struct LimitColumn {
    limited_by: String,
    resource: Option<String>,
    reasons: String,
    since_second: Option<u64>,
}

/// A limit as JSON.
pub fn text(FoundLimit { limited_by, resource, reasons, since_second }: &FoundLimit) -> String {
    coding::json(&LimitColumn {
        limited_by: limited_by.name().into(),
        resource: resource.map(|resource| resource.name().into()),
        reasons: reasons.clone(),
        since_second: *since_second,
    })
}

/// The limit of [`text`].
pub fn of_text(text: &str) -> Result<FoundLimit, StoreError> {
    let LimitColumn { limited_by, resource, reasons, since_second } = coding::of_json(text)?;
    Ok(FoundLimit {
        limited_by: coding::of_name(limited_by, LimitedBy::from_name)?,
        resource: resource.map(|name| coding::of_name(name, Resource::from_name)).transpose()?,
        reasons,
        since_second,
    })
}

/// What the sealed seconds of a test that runs say of its limit; `None`: it does not run. One second is in memory at a time.
pub fn limits(connection: &Connection, record: &TestRecord) -> Result<Option<LimitWatch>, StoreError> {
    if record.state != TestState::Running {
        return Ok(None);
    }
    let mut limits = LimitWatch::default();
    let mut statement = connection.prepare("SELECT view FROM seconds WHERE test_id = ?1 ORDER BY second_index")?;
    let mut rows = statement.query([record.test_id.as_str()])?;
    while let Some(row) = rows.next()? {
        // One that cannot be read is left out of what is shown, too.
        let Ok(second) = second::of_text(&row.get::<_, String>(0)?) else { continue };
        let drivers = second.drivers.iter().map(|(name, part)| {
            let PartNumbers { length_ns, sending_ns, counts, service_time, schedule_error, .. } = part;
            figures(&record.config, name, [*length_ns, *sending_ns], counts, [*service_time, *schedule_error])
        });
        limits.second(second.second_index, drivers.collect(), second.target);
    }
    Ok(Some(limits))
}
