//! What the list of tests shows of one: enough to choose it, and bounded whatever the test holds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::record::TestRecord;
use crate::store::Stored;
use crate::view::{TestState, Verdict};

/// How much of a reason the list shows.
const MAX_REASON_CHARS: usize = 300;

/// A test in the list; `GET /v1/tests/{id}` shows all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestSummary {
    /// Its name in every message.
    pub test_id: String,
    /// Its label.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: TestState,
    /// Why it ended as it did, or what it waits for; a long one is cut.
    pub reason: Option<String>,
    /// What was asked for.
    pub config: ConfigSummary,
    /// How many drivers take part.
    pub drivers: u64,
    /// When it was made.
    pub created_at: String,
    /// When it was triggered.
    pub triggered_at: Option<String>,
    /// When it reached its end state.
    pub ended_at: Option<String>,
    /// Whether every participant delivered everything; `null` before the end.
    pub complete: Option<bool>,
    /// Whether nothing contradicts the result; `null` before the end.
    pub valid: Option<bool>,
    /// What the proof says; `null` before the end.
    pub verdict: Option<Verdict>,
}

/// The settings of a test that the list shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "named as in the request")]
pub struct ConfigSummary {
    /// Empty: what is stored of the test cannot be read.
    pub test_type: String,
    pub target_url: Option<String>,
    pub message_count_per_driver: Option<u64>,
    pub duration_s: Option<f64>,
}

/// The summary of a test.
pub fn of(record: &TestRecord) -> TestSummary {
    let config = &record.config;
    TestSummary {
        test_id: record.test_id.to_string(),
        name: record.name.clone(),
        state: record.state,
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
        complete: record.complete,
        valid: record.valid,
        verdict: record.conservation.as_ref().map(|conservation| conservation.verdict),
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
