//! What was measured: totals, seconds, distributions.

use std::collections::BTreeMap;

use onrush_stats::{Counts, Distribution, DueSummary, Examples, NameSummary, SecondStats, Summary, TargetCpu};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::TestState;

/// The totals of a test: per driver, and over all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct MetricsView {
    pub test_id: String,
    pub state: TestState,
    /// Seconds that the totals cover, of the driver that ran longest.
    pub elapsed_s: f64,
    pub all: ScopeView,
    pub drivers: Vec<ScopeView>,
}

/// What one driver, or all together, measured: over the test or in one second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScopeView {
    /// The driver; `null`: all.
    pub node_id: Option<String>,
    /// Seconds covered.
    pub elapsed_s: Option<f64>,
    /// Seconds of them in which requests were sent; what is waited for afterwards is not in it.
    pub sending_s: Option<f64>,
    /// Slots of the schedule whose moment came; once a test is over sent, skipped and dropped together.
    pub due: Option<u64>,
    /// Requests sent.
    pub sent: Option<u64>,
    /// Complete responses, those that failed a check included.
    pub responses: Option<u64>,
    /// Complete responses that failed no check.
    pub answered: Option<u64>,
    /// Requests without a response, or with one that failed a check.
    pub failed: Option<u64>,
    /// Requests that were due and never sent, for want of a free connection.
    pub skipped: Option<u64>,
    /// Slots that were given up: an Avalanche does not work off a backlog.
    pub dropped: Option<u64>,
    /// Requests that were sent once more, since a connection that was open before ended without one byte of response.
    pub resent: Option<u64>,
    /// Connections ended for something that came unasked.
    pub unsolicited: Option<u64>,
    /// Connections opened while requests were sent.
    pub connects: Option<u64>,
    /// Requests on their way.
    pub in_flight: Option<u64>,
    /// Throughput: responses per second of sending.
    pub responses_per_s: Option<f64>,
    /// Requests sent per second of sending.
    pub attempts_per_s: Option<f64>,
    /// Bytes written.
    pub bytes_sent: Option<u64>,
    /// Bytes read.
    pub bytes_received: Option<u64>,
    /// Responses by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures by cause.
    pub failures: BTreeMap<String, u64>,
    /// An example of each cause of failure.
    pub examples: BTreeMap<String, String>,
    /// Requests sent to each address of the target, where it has several.
    pub addresses: BTreeMap<String, u64>,
    /// From due moment to last byte, over the responses; `due - latency.count` requests have none.
    pub latency: SummaryView,
    /// The same over everything that was due, where what has no response is slower than all: what a threshold looks at.
    /// `null` where the number falls among what has no response.
    pub latency_of_due: SummaryView,
    /// From send to last byte.
    pub service_time: SummaryView,
    /// Send minus due moment.
    pub schedule_error: SummaryView,
    /// The same by the name of the request, where a test has requests of several names: up to 64, and `other` for what is
    /// beyond them. In a second of a test only over all drivers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_name: BTreeMap<String, NameView>,
    /// What is not known and why (a driver that speaks only the specification), in words.
    pub note: Option<String>,
}

/// What was measured of the requests of one name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NameView {
    /// Requests sent.
    pub sent: u64,
    /// Complete responses, those that failed a check included.
    pub responses: u64,
    /// Complete responses that failed no check.
    pub answered: u64,
    /// Requests without a response, or with one that failed a check.
    pub failed: u64,
    /// Throughput: responses per second of sending.
    pub responses_per_s: Option<f64>,
    /// Responses by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures by cause.
    pub failures: BTreeMap<String, u64>,
    /// From due moment to last byte, over the responses.
    pub latency: SummaryView,
}

impl NameView {
    /// The views of what was measured of each name, in a time of which requests were sent for so many seconds.
    pub fn of_all(names: &BTreeMap<String, NameSummary>, sending_s: f64) -> BTreeMap<String, Self> {
        names.iter().map(|(name, summary)| (name.clone(), Self::of(summary, sending_s))).collect()
    }

    fn of(summary: &NameSummary, sending_s: f64) -> Self {
        let NameSummary { sent, statuses, failures, latency } = summary;
        let responses = summary.responses();
        Self {
            sent: *sent,
            responses,
            answered: summary.answered(),
            failed: summary.failed(),
            responses_per_s: (sending_s > 0.0).then(|| responses as f64 / sending_s),
            statuses: statuses.clone(),
            failures: failures.iter().map(|(cause, n)| (cause.name().to_owned(), *n)).collect(),
            latency: SummaryView::of_summary(*latency),
        }
    }
}

/// A distribution's numbers in milliseconds; `null` where nothing was measured or reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct SummaryView {
    pub count: Option<u64>,
    pub mean_ms: Option<f64>,
    pub median_ms: Option<f64>,
    pub min_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub p999_ms: Option<f64>,
}

/// Summaries of what was measured; `None`: nothing was.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named as in `ScopeView`")]
pub struct Summaries {
    pub latency: Option<Summary>,
    pub latency_of_due: DueSummary,
    pub service_time: Option<Summary>,
    pub schedule_error: Option<Summary>,
}

impl ScopeView {
    /// What was measured in so many seconds, of which requests were sent for so many, over all.
    pub fn of(stats: &SecondStats, elapsed_s: f64, sending_s: f64) -> Self {
        let SecondStats { counts, latency, service_time, schedule_error, examples, by_name } = stats;
        let summaries = Summaries {
            latency: latency.summary(),
            latency_of_due: latency.summary_of_due(counts.due),
            service_time: service_time.summary(),
            schedule_error: schedule_error.summary(),
        };
        let by_name = NameView::of_all(&by_name.summaries(), sending_s);
        Self { by_name, ..Self::of_numbers(counts, examples, &summaries, elapsed_s, sending_s) }
    }

    /// The same of what was counted and summarised, without names.
    pub fn of_numbers(
        counts: &Counts,
        examples: &Examples,
        summaries: &Summaries,
        elapsed_s: f64,
        sending_s: f64,
    ) -> Self {
        let per_s = |n: u64| (sending_s > 0.0).then(|| n as f64 / sending_s);
        Self {
            node_id: None,
            elapsed_s: Some(elapsed_s),
            sending_s: Some(sending_s),
            due: Some(counts.due),
            sent: Some(counts.sent),
            responses: Some(counts.responses()),
            answered: Some(counts.answered()),
            failed: Some(counts.failed()),
            skipped: Some(counts.skipped),
            dropped: Some(counts.dropped),
            resent: Some(counts.resent),
            unsolicited: Some(counts.unsolicited),
            connects: Some(counts.connects),
            in_flight: Some(counts.in_flight),
            responses_per_s: per_s(counts.responses()),
            attempts_per_s: per_s(counts.sent),
            bytes_sent: Some(counts.bytes_sent),
            bytes_received: Some(counts.bytes_received),
            statuses: counts.statuses.clone(),
            failures: counts.failures.iter().map(|(cause, n)| (cause.name().to_owned(), *n)).collect(),
            examples: examples.iter().map(|(cause, text)| (cause.name().to_owned(), text.to_owned())).collect(),
            addresses: counts.addresses.clone(),
            latency: SummaryView::of_summary(summaries.latency),
            latency_of_due: SummaryView::of_due(summaries.latency_of_due, counts.due),
            service_time: SummaryView::of_summary(summaries.service_time),
            schedule_error: SummaryView::of_summary(summaries.schedule_error),
            by_name: BTreeMap::new(),
            note: None,
        }
    }
}

impl SummaryView {
    /// The numbers over everything that was due; those of a distribution, where nothing is missing.
    fn of_due(summary: DueSummary, due: u64) -> Self {
        let DueSummary { mean_ms, min_ms, max_ms, median_ms, p90_ms, p95_ms, p99_ms, p999_ms } = summary;
        Self { count: Some(due), mean_ms, median_ms, min_ms, max_ms, p90_ms, p95_ms, p99_ms, p999_ms }
    }

    /// The numbers of a distribution.
    pub fn of(distribution: &Distribution) -> Self {
        Self::of_summary(distribution.summary())
    }

    fn of_summary(summary: Option<Summary>) -> Self {
        let Some(summary) = summary else {
            return Self { count: Some(0), ..Self::default() };
        };
        Self {
            count: Some(summary.count),
            mean_ms: Some(summary.mean_ms),
            median_ms: Some(summary.median_ms),
            min_ms: Some(summary.min_ms),
            max_ms: Some(summary.max_ms),
            p90_ms: Some(summary.p90_ms),
            p95_ms: Some(summary.p95_ms),
            p99_ms: Some(summary.p99_ms),
            p999_ms: Some(summary.p999_ms),
        }
    }
}

/// The seconds of a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct SeriesView {
    pub test_id: String,
    pub state: TestState,
    pub seconds: Vec<SecondView>,
    /// Where the next page begins; `null`: there is no more.
    pub next_from: Option<u64>,
}

/// One sealed second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SecondView {
    /// Which second, from the start of the test.
    pub second_index: u64,
    /// When it was sealed.
    pub sealed_at: String,
    /// Drivers that were expected and had not reported it when it was sealed.
    pub missing: Vec<String>,
    /// Reports that came after it was sealed.
    pub late_reports: u64,
    /// All drivers merged.
    pub all: ScopeView,
    /// Each driver.
    pub drivers: Vec<ScopeView>,
    /// What the target used of its CPUs in this second; `null`: it does not tell.
    pub target_cpu: Option<TargetCpuView>,
}

/// What the target used of its CPUs from one look to the next, as it or its machine tells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TargetCpuView {
    /// How many CPUs it has.
    pub cores: u64,
    /// The share of them that it used, 0 to 1.
    pub used_share: f64,
    /// The share of them that it wanted and others had, 0 to 1.
    pub waited_share: f64,
}

impl From<&TargetCpu> for TargetCpuView {
    fn from(cpu: &TargetCpu) -> Self {
        Self { cores: cpu.cores, used_share: cpu.used_share(), waited_share: cpu.waited_share() }
    }
}

/// Distributions that can be merged further: HdrHistogram V2 compressed, base64, nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct HistogramView {
    pub test_id: String,
    /// The driver; `null`: all.
    pub node_id: Option<String>,
    pub latency: DistributionView,
    pub service_time: DistributionView,
    pub schedule_error: DistributionView,
}

/// One distribution, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct DistributionView {
    pub count: u64,
    pub sum_ns: u64,
    pub min_ns: Option<u64>,
    pub max_ns: Option<u64>,
    /// Empty where nothing was measured.
    pub hdr_v2_base64: String,
    /// For drawing: each bucket's upper end and its count, empty buckets left out.
    pub buckets: Vec<BucketView>,
}

/// One bar of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct BucketView {
    pub up_to_ms: f64,
    pub count: u64,
}
