//! What the list of tests shows of one: enough to choose it, and bounded whatever the test holds.

use onrush_api::{ConfigSummary, TestSummary};

use crate::clock::rfc3339;
use crate::record::TestRecord;
use crate::store::Stored;

/// How much of a reason the list shows.
const MAX_REASON_CHARS: usize = 300;

/// The summary of a test.
pub fn of(record: &TestRecord) -> TestSummary {
    let config = &record.config;
    TestSummary {
        test_id: record.test_id.to_string(),
        name: record.name.clone(),
        state: record.state.into(),
        reason: record.reason.as_deref().map(cut),
        config: ConfigSummary {
            test_type: config.test_type.name().into(),
            target_url: config.target_url.clone(),
            message_count_per_driver: config.count_per_driver,
            duration_s: config.duration.map(|duration| duration.as_secs_f64()),
        },
        drivers: record.participants.len() as u64,
        created_at: rfc3339(record.created_unix_ms),
        triggered_at: record.triggered_unix_ms.map(rfc3339),
        ended_at: record.ended_unix_ms.map(rfc3339),
        outcome: record.outcome.map(Into::into),
    }
}

/// The summary of a test that may not be readable.
pub fn stored(stored: &Stored) -> TestSummary {
    match stored {
        Stored::Whole(record) => of(record),
        Stored::Unreadable(record) => TestSummary { config: ConfigSummary::default(), ..of(record) },
    }
}

fn cut(reason: &str) -> String {
    match reason.char_indices().nth(MAX_REASON_CHARS) {
        None => reason.to_owned(),
        Some((end, _)) => format!("{}…", &reason[..end]),
    }
}
