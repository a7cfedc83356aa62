//! Values as columns and back.

use std::collections::BTreeMap;

use onrush_protocol::{EndReason, decode_bytes, encode_bytes};
use onrush_stats::{Counts, Distribution, Examples, FailureCause, SecondStats, Totals};
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
    #[serde(default)]
    dropped: u64,
    #[serde(default)]
    resent: u64,
    #[serde(default)]
    unsolicited: u64,
    #[serde(default)]
    connects: u64,
    in_flight: u64,
    bytes_sent: u64,
    bytes_received: u64,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<String, u64>,
    #[serde(default)]
    addresses: BTreeMap<String, u64>,
    #[serde(default)]
    examples: BTreeMap<String, String>,
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
        let histogram = decode_bytes(histogram).map_err(|e| StoreError::BadValue(format!("a histogram {e}")))?;
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
        let SecondStats { counts, latency, service_time, schedule_error, examples } = stats;
        let Counts {
            sent,
            skipped,
            dropped,
            resent,
            unsolicited,
            connects,
            in_flight,
            bytes_sent,
            bytes_received,
            statuses,
            failures,
            addresses,
        } = counts;
        let measures = Measures {
            sent: *sent,
            skipped: *skipped,
            dropped: *dropped,
            resent: *resent,
            unsolicited: *unsolicited,
            connects: *connects,
            in_flight: *in_flight,
            bytes_sent: *bytes_sent,
            bytes_received: *bytes_received,
            statuses: statuses.clone(),
            failures: failures.iter().map(|(cause, n)| (cause.name().to_owned(), *n)).collect(),
            addresses: addresses.clone(),
            examples: examples.iter().map(|(cause, text)| (cause.name().to_owned(), text.to_owned())).collect(),
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
        let named =
            |name: &str| FailureCause::from_name(name).ok_or_else(|| StoreError::BadValue(format!("the cause {name}")));
        let cause = |(name, n): (String, u64)| named(&name).map(|cause| (cause, n));
        let mut examples = Examples::default();
        for (name, text) in &measures.examples {
            examples.note(named(name)?, text);
        }
        Ok(SecondStats {
            counts: Counts {
                sent: measures.sent,
                skipped: measures.skipped,
                dropped: measures.dropped,
                resent: measures.resent,
                unsolicited: measures.unsolicited,
                connects: measures.connects,
                in_flight: measures.in_flight,
                bytes_sent: measures.bytes_sent,
                bytes_received: measures.bytes_received,
                statuses: measures.statuses,
                failures: measures.failures.into_iter().map(cause).collect::<Result<_, _>>()?,
                addresses: measures.addresses,
            },
            examples,
            latency: measures.latency.with(&self.latency)?,
            service_time: measures.service_time.with(&self.service_time)?,
            schedule_error: measures.schedule_error.with(&self.schedule_error)?,
        })
    }
}

/// Totals as JSON: a list in the order of their fields.
pub fn totals_json(totals: &Totals) -> String {
    let Totals { sent, answered, failed, skipped, dropped, resent, unsolicited } = totals;
    json(&[sent, answered, failed, skipped, dropped, resent, unsolicited])
}

/// The totals of [`totals_json`]; what an older list lacks did not happen.
pub fn totals_of(text: &str) -> Result<Totals, StoreError> {
    let list: Vec<u64> = of_json(text)?;
    let [sent, answered, failed, skipped, dropped, resent, unsolicited] =
        std::array::from_fn(|i| list.get(i).copied().unwrap_or(0));
    Ok(Totals { sent, answered, failed, skipped, dropped, resent, unsolicited })
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
