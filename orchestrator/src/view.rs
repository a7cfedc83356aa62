//! What REST shows: plain values, written and read by the same types on both sides.
//!
//! A number that a driver does not report is `null`, never zero. Times are RFC 3339 in UTC, latencies
//! milliseconds, other durations seconds.

use std::collections::BTreeMap;

use onrush_stats::{Distribution, DueSummary, SecondStats};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DriverView {
    /// Its name.
    pub node_id: String,
    /// This life of it; `null`: it speaks only the specification.
    pub session_id: Option<String>,
    /// What it is doing, or what is wrong with it.
    pub state: DriverState,
    /// Why it takes no part.
    pub reason: Option<String>,
    /// What is wrong with it, though it takes part: a wall clock that differs from the orchestrator's.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The test that it is armed for or runs.
    pub test_id: Option<String>,
    /// The address that it registered with.
    pub node_ip: Option<String>,
    /// The name of its machine.
    pub hostname: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The CPUs of its engine.
    pub cpus: Option<String>,
    /// When it registered.
    pub registered_at: String,
    /// Seconds since its last heartbeat.
    pub heartbeat_age_s: f64,
    /// Its wall clock minus the orchestrator's, less the shortest delivery of its newest heartbeats.
    pub clock_offset_ms: Option<f64>,
    /// Reports that it has not delivered yet.
    pub reports_waiting: Option<u64>,
    /// Messages that it could not read.
    pub messages_skipped: Option<u64>,
    /// CPU time of its process since its start, user and system.
    pub cpu_s: Option<f64>,
    /// Resident memory of its process.
    pub memory_bytes: Option<u64>,
}

/// What a driver is doing, or what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DriverState {
    /// Waiting for a test.
    Idle,
    /// Connections open, waiting for the trigger.
    Armed,
    /// Sending, or waiting for the last answers.
    Running,
    /// It lives; it does not say what it is doing (it speaks only the specification).
    Alive,
    /// No heartbeat for 3 seconds; longer for a node that beats less than once a second.
    Suspect,
    /// No heartbeat for 5 seconds, or for three of its own intervals (60 seconds at most), or it said goodbye.
    Lost,
    /// It takes no part, for the reason beside.
    Rejected,
}

/// A test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestView {
    /// Its name in every message.
    pub test_id: String,
    /// Its label.
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: TestState,
    /// Why it ended as it did, or what it waits for.
    pub reason: Option<String>,
    /// What was asked for.
    pub config: ConfigView,
    /// The drivers that take part.
    pub participants: Vec<ParticipantView>,
    /// When it was made.
    pub created_at: String,
    /// When it was triggered.
    pub triggered_at: Option<String>,
    /// The start moment that the drivers were given.
    pub start_at: Option<String>,
    /// When it reached its end state.
    pub ended_at: Option<String>,
    /// Between the first and the last driver's measured start, by their wall clocks.
    pub start_skew_ms: Option<f64>,
    /// Whether every participant delivered everything; `null` before the end.
    pub complete: Option<bool>,
    /// Whether nothing contradicts the result; `null` before the end.
    pub valid: Option<bool>,
    /// The proof that nothing was lost; checked at the end.
    pub conservation: Option<ConservationView>,
    /// What happened, in order.
    pub events: Vec<EventView>,
}

/// What was told to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoppedView {
    /// The tests that were open, and those that drivers said they are armed for or run.
    pub stopped: Vec<String>,
}

/// Where a test is in its life. The last four never change again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestState {
    /// Stored and published.
    Configured,
    /// Every participant is ready.
    Armed,
    /// Triggered.
    Running,
    /// All final reports are in, or their driver is lost.
    Completed,
    /// Stopped.
    Stopped,
    /// It could not start.
    Failed,
}

impl TestState {
    /// Whether the test is over.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Stopped | Self::Failed)
    }
}

/// A test's settings, as they were understood.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "named as in the request")]
pub struct ConfigView {
    pub test_type: String,
    pub target_url: Option<String>,
    pub method: String,
    pub headers: Vec<(String, String)>,
    /// The body as text; `null`: none, or not text.
    pub body: Option<String>,
    pub body_bytes: u64,
    /// What every answer must be like.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Several requests, in place of the one above; empty: there is but one.
    #[serde(default)]
    pub targets: Vec<RequestView>,
    /// The order of several requests.
    #[serde(default)]
    pub order: Option<String>,
    #[serde(default)]
    pub seed: Option<u64>,
    #[serde(default)]
    pub tls_insecure: bool,
    /// Whether the test brings authorities of its own.
    #[serde(default)]
    pub tls_ca: bool,
    /// Whether the drivers show a certificate.
    #[serde(default)]
    pub tls_client_certificate: bool,
    pub message_count_per_driver: Option<u64>,
    pub duration_s: Option<f64>,
    pub test_message_delay_s: f64,
    pub target_throughput_per_s: Option<f64>,
    pub connections: u32,
    pub timeout_s: f64,
    pub connect_timeout_s: f64,
    pub keepalive: bool,
    /// Whether a request may be sent once more where its connection ended without a response.
    #[serde(default)]
    pub resend: bool,
    /// Where connections go instead of where names lead.
    #[serde(default)]
    pub connect_to: Vec<String>,
    #[serde(default)]
    pub unix_socket: Option<String>,
}

/// One of several requests of a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "named as in the request")]
pub struct RequestView {
    pub url: Option<String>,
    pub method: String,
    pub headers: Vec<(String, String)>,
    pub body_bytes: u64,
    pub weight: u32,
    pub expect: Vec<String>,
}

/// A driver's part in a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ParticipantView {
    /// The driver.
    pub node_id: String,
    /// The life of it that takes part.
    pub session_id: Option<String>,
    /// Where its part is.
    pub state: ParticipantState,
    /// Why it refused, failed or is lost.
    pub reason: Option<String>,
    /// Its measured start.
    pub started_at: Option<String>,
    /// Reports that entered the totals.
    pub reports: u64,
    /// Those of them that came after their second was sealed.
    pub late_reports: u64,
    /// The engine's input and output and its way of waiting.
    pub engine: Option<String>,
}

/// Where a driver's part in a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ParticipantState {
    /// It has the config, or will have.
    Pending,
    /// Ready.
    Armed,
    /// It will not run this test.
    Refused,
    /// Sending, or waiting for the last answers.
    Running,
    /// Its final report is in.
    Completed,
    /// Its final report is in; it was stopped.
    Stopped,
    /// Its engine could not go on.
    Failed,
    /// It was lost.
    Lost,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct EventView {
    pub at: String,
    pub kind: String,
    pub node_id: Option<String>,
    pub detail: String,
}

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
    /// Slots of the schedule whose moment came: sent, skipped and dropped together.
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
    /// What is not known and why (a driver that speaks only the specification), in words.
    pub note: Option<String>,
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

impl ScopeView {
    /// What was measured in so many seconds, of which requests were sent for so many, over all.
    pub fn of(stats: &SecondStats, elapsed_s: f64, sending_s: f64) -> Self {
        let SecondStats { counts, latency, service_time, schedule_error, examples } = stats;
        let per_s = |n: u64| (sending_s > 0.0).then(|| n as f64 / sending_s);
        let due = counts.totals().due();
        Self {
            node_id: None,
            elapsed_s: Some(elapsed_s),
            sending_s: Some(sending_s),
            due: Some(due),
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
            latency: SummaryView::of(latency),
            latency_of_due: SummaryView::of_due(latency, due),
            service_time: SummaryView::of(service_time),
            schedule_error: SummaryView::of(schedule_error),
            note: None,
        }
    }
}

impl SummaryView {
    /// The numbers over everything that was due; those of a distribution, where nothing is missing.
    fn of_due(distribution: &Distribution, due: u64) -> Self {
        let DueSummary { mean_ms, min_ms, max_ms, median_ms, p90_ms, p95_ms, p99_ms, p999_ms } =
            distribution.summary_of_due(due);
        Self { count: Some(due), mean_ms, median_ms, min_ms, max_ms, p90_ms, p95_ms, p99_ms, p999_ms }
    }

    /// The numbers of a distribution.
    pub fn of(distribution: &Distribution) -> Self {
        let Some(summary) = distribution.summary() else {
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

/// The proof that nothing was lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConservationView {
    /// The verdict over all checks.
    pub verdict: Verdict,
    /// The verdict in one line, as the terminal shows it: `conservation: exact (…)`.
    pub line: String,
    /// Each check.
    pub checks: Vec<CheckView>,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It holds to the digit.
    Exact,
    /// What is needed for the check is not there: a lost driver, a target without counters.
    Unknown,
    /// It does not hold: the result is invalid.
    Breach,
}

/// One check of conservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "each name says all there is")]
pub struct CheckView {
    /// For instance `sent = answered + failed`.
    pub name: String,
    /// The driver; `null`: over all.
    pub node_id: Option<String>,
    pub verdict: Verdict,
    pub expected: Option<u64>,
    pub actual: Option<u64>,
    pub detail: String,
}
