//! A sealed second as the column `view`. Files of every schema are read: a second that was stored as REST showed it then has
//! the same names, and more.

use std::collections::BTreeMap;

use onrush_protocol::NodeId;
use onrush_stats::{Counts, DueSummary, Examples, Summary, TargetCpu};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::NameNumbersRow;
use super::{StoreError, coding};
use crate::second::{PartNumbers, SecondNumbers};

#[derive(Serialize, Deserialize)]
struct SecondRow {
    second_index: u64,
    /// Before schema 5 it was a text.
    sealed_unix_ms: Option<f64>,
    #[serde(default, skip_serializing)]
    sealed_at: Option<String>,
    missing: Vec<String>,
    late_reports: u64,
    all: PartRow,
    drivers: Vec<PartRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<TargetRow>,
}

#[derive(Serialize, Deserialize)]
struct TargetRow {
    available_s: f64,
    cpu_s: f64,
    cpu_wait_s: f64,
    cores: u64,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct PartRow {
    node_id: Option<String>,
    elapsed_s: f64,
    sending_s: Option<f64>,
    /// What is counted, by name; in a row of an earlier version with whatever else stood there.
    #[serde(flatten)]
    numbers: BTreeMap<String, Value>,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<String, u64>,
    examples: BTreeMap<String, String>,
    addresses: BTreeMap<String, u64>,
    latency: SummaryRow,
    latency_of_due: SummaryRow,
    service_time: SummaryRow,
    schedule_error: SummaryRow,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by_name: BTreeMap<String, NameNumbersRow>,
}

/// A distribution in numbers.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
pub(super) struct SummaryRow {
    count: u64,
    mean_ms: Option<f64>,
    min_ms: Option<f64>,
    max_ms: Option<f64>,
    median_ms: Option<f64>,
    p90_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
}

/// A second as JSON.
pub fn text(second: &SecondNumbers) -> String {
    let SecondNumbers { second_index, sealed_unix_ms, missing, late_reports, all, drivers, target } = second;
    coding::json(&SecondRow {
        second_index: *second_index,
        sealed_unix_ms: Some(*sealed_unix_ms),
        sealed_at: None,
        missing: missing.iter().map(ToString::to_string).collect(),
        late_reports: *late_reports,
        all: PartRow::of(None, all),
        drivers: drivers.iter().map(|(node_id, part)| PartRow::of(Some(node_id), part)).collect(),
        target: target.map(TargetRow::of),
    })
}

/// The second of [`text`].
pub fn of_text(text: &str) -> Result<SecondNumbers, StoreError> {
    let SecondRow { second_index, sealed_unix_ms, sealed_at, missing, late_reports, all, drivers, target } =
        coding::of_json(text)?;
    let sealed_at = || sealed_at.and_then(|text| Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond() as f64));
    let no_time = || StoreError::BadValue("a second without the time of its sealing".into());
    let driver = |mut row: PartRow| {
        let name = row.node_id.take().unwrap_or_default();
        Ok::<_, StoreError>((coding::id(name, NodeId::new)?, row.numbers()?))
    };
    Ok(SecondNumbers {
        second_index,
        sealed_unix_ms: sealed_unix_ms.or_else(sealed_at).ok_or_else(no_time)?,
        missing: missing.into_iter().map(|name| coding::id(name, NodeId::new)).collect::<Result<_, _>>()?,
        late_reports,
        all: all.numbers()?,
        drivers: drivers.into_iter().map(driver).collect::<Result<_, _>>()?,
        target: target.map(TargetRow::cpu),
    })
}

impl TargetRow {
    fn of(TargetCpu { available_s, cpu_s, cpu_wait_s, cores }: TargetCpu) -> Self {
        Self { available_s, cpu_s, cpu_wait_s, cores }
    }

    fn cpu(self) -> TargetCpu {
        let Self { available_s, cpu_s, cpu_wait_s, cores } = self;
        TargetCpu { available_s, cpu_s, cpu_wait_s, cores }
    }
}

impl PartRow {
    fn of(node_id: Option<&NodeId>, part: &PartNumbers) -> Self {
        let PartNumbers {
            length_ns,
            sending_ns,
            counts,
            examples,
            latency,
            latency_of_due,
            service_time,
            schedule_error,
            by_name,
        } = part;
        Self {
            node_id: node_id.map(ToString::to_string),
            elapsed_s: seconds(*length_ns),
            sending_s: Some(seconds(*sending_ns)),
            numbers: coding::numbers_of(counts),
            statuses: counts.statuses.clone(),
            failures: counts.failures.iter().map(|(cause, n)| (cause.name().to_owned(), *n)).collect(),
            examples: examples.iter().map(|(cause, text)| (cause.name().to_owned(), text.to_owned())).collect(),
            addresses: counts.addresses.clone(),
            latency: SummaryRow::of(*latency),
            latency_of_due: SummaryRow::of_due(*latency_of_due),
            service_time: SummaryRow::of(*service_time),
            schedule_error: SummaryRow::of(*schedule_error),
            by_name: NameNumbersRow::of_all(by_name),
        }
    }

    fn numbers(self) -> Result<PartNumbers, StoreError> {
        let mut examples = Examples::default();
        for (name, text) in &self.examples {
            examples.note(coding::cause(name)?, text);
        }
        let named = |(name, row): (String, NameNumbersRow)| Ok::<_, StoreError>((name, row.numbers()?));
        let length_ns = nanoseconds(self.elapsed_s);
        let mut counts = Counts {
            statuses: self.statuses,
            failures: coding::failures(self.failures)?,
            addresses: self.addresses,
            ..Counts::default()
        };
        coding::read_numbers(&mut counts, |name| self.numbers.get(name).and_then(Value::as_u64))?;
        Ok(PartNumbers {
            length_ns,
            sending_ns: self.sending_s.map_or(length_ns, nanoseconds),
            counts,
            examples,
            latency: self.latency.summary(),
            latency_of_due: self.latency_of_due.due(),
            service_time: self.service_time.summary(),
            schedule_error: self.schedule_error.summary(),
            by_name: self.by_name.into_iter().map(named).collect::<Result<_, StoreError>>()?,
        })
    }
}

impl SummaryRow {
    pub(super) fn of(summary: Option<Summary>) -> Self {
        let count = summary.map_or(0, |summary| summary.count);
        Self { count, ..Self::of_due(DueSummary::complete(summary)) }
    }

    /// How many were due is known by the counts.
    fn of_due(due: DueSummary) -> Self {
        let DueSummary { mean_ms, min_ms, max_ms, median_ms, p90_ms, p95_ms, p99_ms, p999_ms } = due;
        Self { count: 0, mean_ms, min_ms, max_ms, median_ms, p90_ms, p95_ms, p99_ms, p999_ms }
    }

    fn due(self) -> DueSummary {
        let Self { count: _, mean_ms, min_ms, max_ms, median_ms, p90_ms, p95_ms, p99_ms, p999_ms } = self;
        DueSummary { mean_ms, min_ms, max_ms, median_ms, p90_ms, p95_ms, p99_ms, p999_ms }
    }

    /// `None`: nothing was measured.
    pub(super) fn summary(self) -> Option<Summary> {
        Some(Summary {
            count: self.count,
            mean_ms: self.mean_ms?,
            min_ms: self.min_ms?,
            max_ms: self.max_ms?,
            median_ms: self.median_ms?,
            p90_ms: self.p90_ms?,
            p95_ms: self.p95_ms?,
            p99_ms: self.p99_ms?,
            p999_ms: self.p999_ms?,
        })
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

#[cfg(test)]
mod tests {
    use onrush_stats::{ByName, FailureCause, NameStats};

    use super::*;
    use crate::aggregate::{DriverPart, SealedSecond};
    use crate::testing::{node, stats};
    use crate::views;

    fn names() -> ByName {
        let mut names = ByName::default();
        let mut slow = NameStats { sent: 3, statuses: [(200, 2)].into(), ..NameStats::default() };
        [1_000_000, 30_000_000].into_iter().for_each(|ns| slow.latency.record(ns));
        names.add("GET /slow", &slow);
        let failures = [(FailureCause::Timeout, 2)].into();
        names.add("failing", &NameStats { sent: 2, failures, ..NameStats::default() });
        names
    }

    fn second() -> SecondNumbers {
        let mut of_a = stats(&[1_000_000, 7_654_321, 30_000_000]);
        of_a.counts.sent += 2;
        of_a.counts.failures.insert(FailureCause::Timeout, 2);
        of_a.examples.note(FailureCause::Timeout, "no response within 1s");
        (of_a.counts.dropped, of_a.counts.in_flight, of_a.counts.bytes_sent) = (4, 1, u64::MAX);
        of_a.counts.addresses.insert("127.0.0.1:80".into(), 5);
        of_a.by_name = names();
        let part = |stats| DriverPart { length_ns: 123_456_789, sending_ns: 100_000_001, stats };
        let sealed = SealedSecond {
            second_index: 7,
            missing: vec![node("late")],
            late_reports: 2,
            sealable_since: None,
            parts: [(node("a"), part(of_a)), (node("b"), part(stats(&[])))].into(),
            target: None,
        };
        SecondNumbers::of(&sealed, &sealed.all(), 1_700_000_000_123.0)
    }

    #[test]
    fn a_second_comes_back_as_it_was_stored() {
        assert_eq!(of_text(&text(&second())).unwrap(), second());
        let target = TargetCpu { available_s: 2.002, cpu_s: 1.25, cpu_wait_s: 0.125, cores: 2 };
        let of_a_known_target = SecondNumbers { target: Some(target), ..second() };
        assert_eq!(of_text(&text(&of_a_known_target)).unwrap(), of_a_known_target);
    }

    #[test]
    fn a_second_that_was_stored_as_rest_showed_it_is_read() {
        let stored = coding::json(&views::second(&second()));
        assert!(stored.contains("\"sealed_at\":\"2023-11-14T22:13:20.123Z\""), "{stored}");
        let read = of_text(&stored).unwrap();
        assert_eq!(views::second(&read), views::second(&second()));
        assert_eq!(read, second());
    }
}
