//! Values as columns and back.

use std::collections::BTreeMap;

use onrush_protocol::{EndReason, decode_own_bytes, encode_bytes};
use onrush_stats::{Counts, Distribution, FailureCause, SecondStats, Totals};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// A name.
pub fn id<T>(text: String, new: impl Fn(String) -> Option<T>) -> Result<T, StoreError> {
    new(text).ok_or_else(|| StoreError::BadValue("a name that no node or test can have".into()))
}

/// A name or none.
pub fn optional_id<T>(text: Option<String>, new: impl Fn(String) -> Option<T>) -> Result<Option<T>, StoreError> {
    text.map(|text| id(text, new)).transpose()
}

/// A value of an enum, by the name that REST shows.
pub fn name_of<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => unreachable!("states are written as their names, not as {other:?}"),
    }
}

/// The value of [`name_of`].
pub fn of_name<T: DeserializeOwned>(name: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(name)).map_err(|e| StoreError::BadValue(e.to_string()))
}

/// A value as JSON.
pub fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our values have text keys")
}

/// The value of [`json`].
pub fn of_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::BadValue(e.to_string()))
}

/// Counts, and what a distribution keeps beside its histogram. JSON, because SQLite's integers end at 2^63.
#[derive(Serialize, Deserialize)]
struct Measures {
    sent: u64,
    skipped: u64,
    in_flight: u64,
    bytes_sent: u64,
    bytes_received: u64,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<String, u64>,
    latency: Beside,
    service_time: Beside,
    schedule_error: Beside,
}

#[derive(Serialize, Deserialize)]
struct Beside {
    sum_ns: u64,
    min_ns: Option<u64>,
    max_ns: Option<u64>,
}

impl Beside {
    fn of(distribution: &Distribution) -> Self {
        Self { sum_ns: distribution.sum_ns(), min_ns: distribution.min_ns(), max_ns: distribution.max_ns() }
    }

    fn with(self, histogram: &[u8]) -> Result<Distribution, StoreError> {
        let histogram = decode_own_bytes(histogram).map_err(|e| StoreError::BadValue(format!("a histogram {e}")))?;
        let (min_ns, max_ns) = (self.min_ns.unwrap_or_default(), self.max_ns.unwrap_or_default());
        Ok(Distribution::from_parts(histogram, self.sum_ns, min_ns, max_ns))
    }
}

/// What was measured, as columns.
pub struct StatsColumns {
    /// Counts and exact values, as JSON.
    pub measures: String,
    /// The histogram of latency.
    pub latency: Vec<u8>,
    /// The histogram of service time.
    pub service_time: Vec<u8>,
    /// The histogram of schedule error.
    pub schedule_error: Vec<u8>,
}

impl StatsColumns {
    /// The columns of what was measured.
    pub fn of(stats: &SecondStats) -> Self {
        let SecondStats { counts, latency, service_time, schedule_error } = stats;
        let Counts { sent, skipped, in_flight, bytes_sent, bytes_received, statuses, failures } = counts;
        let measures = Measures {
            sent: *sent,
            skipped: *skipped,
            in_flight: *in_flight,
            bytes_sent: *bytes_sent,
            bytes_received: *bytes_received,
            statuses: statuses.clone(),
            failures: failures.iter().map(|(cause, n)| (cause.name().to_owned(), *n)).collect(),
            latency: Beside::of(latency),
            service_time: Beside::of(service_time),
            schedule_error: Beside::of(schedule_error),
        };
        Self {
            measures: json(&measures),
            latency: encode_bytes(latency),
            service_time: encode_bytes(service_time),
            schedule_error: encode_bytes(schedule_error),
        }
    }

    /// What was measured, to the digit.
    pub fn stats(&self) -> Result<SecondStats, StoreError> {
        let measures: Measures = of_json(&self.measures)?;
        let cause = |(name, n): (String, u64)| {
            let cause = FailureCause::from_name(&name).ok_or_else(|| StoreError::BadValue(format!("the cause {name}")));
            cause.map(|cause| (cause, n))
        };
        Ok(SecondStats {
            counts: Counts {
                sent: measures.sent,
                skipped: measures.skipped,
                in_flight: measures.in_flight,
                bytes_sent: measures.bytes_sent,
                bytes_received: measures.bytes_received,
                statuses: measures.statuses,
                failures: measures.failures.into_iter().map(cause).collect::<Result<_, _>>()?,
            },
            latency: measures.latency.with(&self.latency)?,
            service_time: measures.service_time.with(&self.service_time)?,
            schedule_error: measures.schedule_error.with(&self.schedule_error)?,
        })
    }
}

/// Totals as JSON: sent, answered, failed, skipped.
pub fn totals_json(totals: &Totals) -> String {
    let Totals { sent, answered, failed, skipped } = totals;
    json(&[sent, answered, failed, skipped])
}

/// The totals of [`totals_json`].
pub fn totals_of(text: &str) -> Result<Totals, StoreError> {
    let [sent, answered, failed, skipped] = of_json(text)?;
    Ok(Totals { sent, answered, failed, skipped })
}

const FAILED: &str = "FAILED: ";

/// How a driver's part ended.
pub fn end_text(end: &EndReason) -> String {
    match end {
        EndReason::Completed => "COMPLETED".into(),
        EndReason::Stopped => "STOPPED".into(),
        EndReason::Failed(reason) => format!("{FAILED}{reason}"),
    }
}

/// The end of [`end_text`].
pub fn end_of(text: &str) -> Result<EndReason, StoreError> {
    match text {
        "COMPLETED" => Ok(EndReason::Completed),
        "STOPPED" => Ok(EndReason::Stopped),
        _ => match text.strip_prefix(FAILED) {
            Some(reason) => Ok(EndReason::Failed(reason.to_owned())),
            None => Err(StoreError::BadValue(format!("the end {text}"))),
        },
    }
}
