//! What was measured of the requests of one name, as a value within the column `measures`, and in numbers within `view`.

use std::collections::BTreeMap;

use onrush_stats::{NameStats, NameSummary, SparseDistribution};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::coding::failures;
use super::second::SummaryRow;

/// One name of [`Measures`](super::coding::Measures).
#[derive(Serialize, Deserialize)]
pub struct NameRow {
    name: String,
    sent: u64,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<String, u64>,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
    /// Of each bucket its distance from the one before it, and its count.
    buckets: Vec<(u16, u64)>,
}

impl NameRow {
    /// A name and what was measured of it.
    pub fn of((name, stats): (&str, &NameStats)) -> Self {
        let NameStats { sent, statuses, failures, latency } = stats;
        let mut before = 0;
        let distance = |&(bucket, n): &(u16, u64)| (bucket - std::mem::replace(&mut before, bucket), n);
        Self {
            name: name.to_owned(),
            sent: *sent,
            statuses: statuses.clone(),
            failures: failures.iter().map(|(cause, n)| (cause.name().to_owned(), *n)).collect(),
            sum_ns: latency.sum_ns(),
            min_ns: latency.min_ns().unwrap_or(0),
            max_ns: latency.max_ns().unwrap_or(0),
            buckets: latency.buckets().iter().map(distance).collect(),
        }
    }

    /// The same, to the digit.
    pub fn stats(self) -> Result<(String, NameStats), StoreError> {
        let Self { name, sent, statuses, failures: causes, sum_ns, min_ns, max_ns, buckets } = self;
        let bad = || StoreError::BadValue("a distribution of a name".into());
        let mut bucket = 0_u16;
        let place = |(distance, n): (u16, u64)| {
            bucket = bucket.checked_add(distance)?;
            Some((bucket, n))
        };
        let buckets = buckets.into_iter().map(place).collect::<Option<Vec<_>>>().ok_or_else(bad)?;
        let latency = SparseDistribution::from_parts(buckets, sum_ns, min_ns, max_ns).ok_or_else(bad)?;
        Ok((name, NameStats { sent, statuses, failures: failures(causes)?, latency }))
    }
}

/// The numbers of one name in a sealed second.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
pub struct NameNumbersRow {
    sent: u64,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<String, u64>,
    latency: SummaryRow,
}

impl NameNumbersRow {
    /// The rows of all names.
    pub fn of_all(names: &BTreeMap<String, NameSummary>) -> BTreeMap<String, Self> {
        let row = |NameSummary { sent, statuses, failures, latency }: &NameSummary| Self {
            sent: *sent,
            statuses: statuses.clone(),
            failures: failures.iter().map(|(cause, n)| (cause.name().to_owned(), *n)).collect(),
            latency: SummaryRow::of(*latency),
        };
        names.iter().map(|(name, summary)| (name.clone(), row(summary))).collect()
    }

    /// The numbers.
    pub fn numbers(self) -> Result<NameSummary, StoreError> {
        let Self { sent, statuses, failures: causes, latency } = self;
        Ok(NameSummary { sent, statuses, failures: failures(causes)?, latency: latency.summary() })
    }
}

#[cfg(test)]
mod tests {
    use onrush_stats::{FailureCause, SecondStats};

    use super::super::coding::{self, StatsColumns};
    use super::*;
    use crate::testing::stats;

    fn named() -> SecondStats {
        let mut second = stats(&[1_000, 5_000_000, 5_000_001, 3_000_000_000]);
        let mut slow = NameStats { sent: 3, statuses: [(200, 3)].into(), ..NameStats::default() };
        [1_000, 5_000_000, 3_000_000_000].into_iter().for_each(|ns| slow.latency.record(ns));
        second.by_name.add("GET /slow", &slow);
        let failures = [(FailureCause::Timeout, u64::MAX)].into();
        second.by_name.add("\"quoted\"", &NameStats { sent: 1, failures, ..NameStats::default() });
        second
    }

    #[test]
    fn names_come_back_to_the_digit() {
        let second = named();
        assert_eq!(StatsColumns::of(&second).stats().unwrap(), second);
        let plain = StatsColumns::of(&stats(&[1])).measures;
        assert!(!plain.contains("by_name"), "where there are none, nothing is stored of them: {plain}");
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let row = |buckets: &str| {
            let text = format!(
                r#"{{"name":"a","sent":1,"statuses":{{}},"failures":{{}},"sum_ns":1,"min_ns":1,"max_ns":1,"buckets":{buckets}}}"#
            );
            coding::of_json::<NameRow>(&text).and_then(NameRow::stats)
        };
        assert!(row("[[1,1],[5,2]]").is_ok());
        for wrong in ["[[1,1],[0,1]]", "[[1,0]]", "[[65535,1]]", "[[40000,1],[40000,1]]", "[[1]]"] {
            assert!(row(wrong).is_err(), "{wrong}");
        }
    }
}
