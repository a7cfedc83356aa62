//! Values as columns and back.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use onrush_protocol::{CodingError, EndReason, decode_own_bytes, encode_bytes};
use onrush_stats::{ByName, Counts, Distribution, Examples, FailureCause, SecondStats, Totals};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::names::NameRow;

/// A name.
pub fn id<T>(text: String, new: impl Fn(String) -> Option<T>) -> Result<T, StoreError> {
    new(text).ok_or_else(|| StoreError::BadValue("a name that no node or test can have".into()))
}

/// A name or none.
pub fn optional_id<T>(text: Option<String>, new: impl Fn(String) -> Option<T>) -> Result<Option<T>, StoreError> {
    text.map(|text| id(text, new)).transpose()
}

/// The value of an enum of that name.
pub fn of_name<T>(name: String, from_name: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
    from_name(&name).ok_or_else(|| StoreError::BadValue(format!("the name {name}")))
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
pub struct Measures {
    /// By name; a text of an earlier version may lack some.
    #[serde(flatten)]
    numbers: BTreeMap<String, u64>,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<String, u64>,
    #[serde(default)]
    addresses: BTreeMap<String, u64>,
    #[serde(default)]
    examples: BTreeMap<String, String>,
    latency: Beside,
    service_time: Beside,
    schedule_error: Beside,
    /// What was measured by name; since schema 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    by_name: Vec<NameRow>,
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

    fn with(self, histogram: Histogram<u64>) -> Distribution {
        let (min_ns, max_ns) = (self.min_ns.unwrap_or_default(), self.max_ns.unwrap_or_default());
        Distribution::from_parts(histogram, self.sum_ns, min_ns, max_ns)
    }
}

/// The cause of that name.
pub fn cause(name: &str) -> Result<FailureCause, StoreError> {
    FailureCause::from_name(name).ok_or_else(|| StoreError::BadValue(format!("the cause {name}")))
}

/// Failures by the names of their causes.
pub fn failures(named: BTreeMap<String, u64>) -> Result<BTreeMap<FailureCause, u64>, StoreError> {
    named.into_iter().map(|(name, n)| Ok((cause(&name)?, n))).collect()
}

/// The numbers of counts, by name.
pub fn numbers_of<T: From<u64>>(counts: &Counts) -> BTreeMap<String, T> {
    Counts::NUMBERS.iter().map(|number| (number.name.to_owned(), number.of(counts).into())).collect()
}

/// Fills the numbers of counts with what is stored of them; a text of an earlier version may lack some.
pub fn read_numbers(counts: &mut Counts, stored: impl Fn(&str) -> Option<u64>) -> Result<(), StoreError> {
    for number in Counts::NUMBERS {
        let missing = || StoreError::BadValue(format!("no {} in its counts", number.name));
        let value = stored(number.name).or_else(|| number.implied(counts)).ok_or_else(missing)?;
        *number.of_mut(counts) = value;
    }
    Ok(())
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

impl Measures {
    /// What is kept of statistics beside their histograms.
    pub fn of(stats: &SecondStats) -> Self {
        let SecondStats { counts, latency, service_time, schedule_error, examples, by_name } = stats;
        Self {
            numbers: numbers_of(counts),
            statuses: counts.statuses.clone(),
            failures: counts.failures.iter().map(|(cause, n)| (cause.name().to_owned(), *n)).collect(),
            addresses: counts.addresses.clone(),
            examples: examples.iter().map(|(cause, text)| (cause.name().to_owned(), text.to_owned())).collect(),
            latency: Beside::of(latency),
            service_time: Beside::of(service_time),
            schedule_error: Beside::of(schedule_error),
            by_name: by_name.iter().map(NameRow::of).collect(),
        }
    }

    /// The statistics, with their histograms in the order of [`distributions_of`].
    pub fn with(self, histograms: [Histogram<u64>; 3]) -> Result<SecondStats, StoreError> {
        let mut examples = Examples::default();
        for (name, text) in &self.examples {
            examples.note(cause(name)?, text);
        }
        let mut by_name = ByName::default();
        for row in self.by_name {
            let (name, stats) = row.stats()?;
            by_name.add(&name, &stats);
        }
        let mut counts = Counts {
            statuses: self.statuses,
            failures: failures(self.failures)?,
            addresses: self.addresses,
            ..Counts::default()
        };
        read_numbers(&mut counts, |name| self.numbers.get(name).copied())?;
        let [latency, service_time, schedule_error] = histograms;
        Ok(SecondStats {
            counts,
            examples,
            latency: self.latency.with(latency),
            service_time: self.service_time.with(service_time),
            schedule_error: self.schedule_error.with(schedule_error),
            by_name,
        })
    }
}

/// The distributions of statistics.
pub fn distributions_of(stats: &SecondStats) -> [&Distribution; 3] {
    let SecondStats { counts: _, examples: _, by_name: _, latency, service_time, schedule_error } = stats;
    [latency, service_time, schedule_error]
}

/// A histogram that could not be read.
pub fn bad_histogram(error: CodingError) -> StoreError {
    StoreError::BadValue(format!("a histogram {error}"))
}

impl StatsColumns {
    /// The columns of what was measured.
    pub fn of(stats: &SecondStats) -> Self {
        let [latency, service_time, schedule_error] = distributions_of(stats).map(encode_bytes);
        Self { measures: json(&Measures::of(stats)), latency, service_time, schedule_error }
    }

    /// What was measured, to the digit.
    pub fn stats(&self) -> Result<SecondStats, StoreError> {
        let Self { measures, latency, service_time, schedule_error } = self;
        let measures: Measures = of_json(measures)?;
        let histogram = |bytes: &[u8]| decode_own_bytes(bytes).map_err(bad_histogram);
        measures.with([histogram(latency)?, histogram(service_time)?, histogram(schedule_error)?])
    }
}

/// Totals as JSON: a list in the order of their fields.
pub fn totals_json(totals: &Totals) -> String {
    json(&Totals::NUMBERS.iter().map(|number| number.of(totals)).collect::<Vec<_>>())
}

/// The totals of [`totals_json`]; an older list lacks the last ones.
pub fn totals_of(text: &str) -> Result<Totals, StoreError> {
    let list: Vec<u64> = of_json(text)?;
    let mut totals = Totals::default();
    for (index, number) in Totals::NUMBERS.iter().enumerate() {
        let stored = list.get(index).copied();
        *number.of_mut(&mut totals) = stored.or_else(|| number.implied(&totals)).unwrap_or(0);
    }
    Ok(totals)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What an earlier version stored lacks the numbers that it did not know.
    #[test]
    fn texts_of_an_earlier_version_are_read() {
        let beside = r#"{"sum_ns":0,"min_ns":null,"max_ns":null}"#;
        let text = format!(
            r#"{{"sent":4,"skipped":1,"in_flight":2,"bytes_sent":7,"bytes_received":8,"statuses":{{"200":3}},
            "failures":{{"timeout":1}},"latency":{beside},"service_time":{beside},"schedule_error":{beside}}}"#
        );
        let empty = || [(); 3].map(|()| onrush_stats::empty_histogram());
        let counts = of_json::<Measures>(&text).unwrap().with(empty()).unwrap().counts;
        let expected = Counts {
            sent: 4,
            skipped: 1,
            due: 5,
            in_flight: 2,
            bytes_sent: 7,
            bytes_received: 8,
            statuses: [(200, 3)].into(),
            failures: [(FailureCause::Timeout, 1)].into(),
            ..Counts::default()
        };
        assert_eq!(counts, expected);
        let without_sent = text.replace("\"sent\"", "\"unknown\"");
        assert!(of_json::<Measures>(&without_sent).unwrap().with(empty()).is_err());
        assert_eq!(totals_of("[4,3,1,1]").unwrap(), expected.totals());
        assert_eq!(totals_of(&totals_json(&expected.totals())).unwrap(), expected.totals());
    }
}
