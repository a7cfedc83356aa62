//! A bench's result as one value: what is written as JSON, and what the table and the CSV are drawn from. Pure.

use onrush_api::{
    ConservationView, LimitView, Outcome, ScopeView, StretchView, TargetCpuView, TestState, ThresholdView,
};
use onrush_protocol::{TargetUrl, TestConfig};
use serde::Serialize;
use serde_json::{Map, Value};

/// The document of `--output-format json`. Latencies are milliseconds, other durations seconds; the fields of
/// `totals` and of each second are those of the REST interface.
#[derive(Clone, Debug, Serialize)]
pub struct BenchView {
    /// How it ended: `COMPLETED`, `STOPPED` or `FAILED`.
    pub state: TestState,
    /// Why it failed, or which threshold ended it.
    pub reason: Option<String>,
    /// When it started, in UTC.
    pub started_at: String,
    /// What was asked for.
    pub asked: AskedView,
    /// What it ran on.
    pub engine: EngineView,
    /// The whole run.
    pub totals: ScopeView,
    /// Requests that were due at the asked rate in the asked time and were not sent: skipped or dropped. `null` where it was
    /// not asked for a rate over a time, or did not run to its end.
    pub short_of_rate: Option<u64>,
    /// Who was the limit.
    pub limit: LimitView,
    /// Why a look at `--target-metrics` told nothing, if one did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_metrics_problem: Option<String>,
    /// How far the result can be trusted.
    pub outcome: Outcome,
    /// The proof that nothing was lost.
    pub conservation: ConservationView,
    /// What became of each threshold.
    pub thresholds: Vec<ThresholdView>,
    /// Each second, in order and without a gap.
    pub seconds: Vec<SecondRow>,
    /// Seconds that are not listed because there are too many.
    pub seconds_left_out: u64,
    /// The run in 128 stretches of time at most, with their distributions: what `onrush compare` reads.
    pub stretches: Vec<StretchView>,
}

/// What was asked for, as it was understood; `null`: no limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "named as the flags")]
pub struct AskedView {
    pub test_type: String,
    /// As it is sent.
    pub url: String,
    pub requests: Option<u64>,
    pub duration_s: Option<f64>,
    /// The lower of what `--rate` and `--delay` allow.
    pub rate_per_s: Option<f64>,
    pub delay_s: f64,
    pub connections: u32,
    pub timeout_s: f64,
    pub keepalive: bool,
    /// The others, named as in REST.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// What [`AskedView`] says in fields of its own, some of them named as the flag.
const ASKED_APART: [&str; 9] = [
    "test_type",
    "target_url",
    "message_count_per_driver",
    "duration_s",
    "target_throughput_per_s",
    "test_message_delay_s",
    "connections",
    "timeout_s",
    "keepalive",
];

impl AskedView {
    /// What a test asks for.
    pub fn new(config: &TestConfig) -> Self {
        let mut others = config.shown();
        others.retain(|name, _| !ASKED_APART.contains(&name.as_str()));
        Self {
            test_type: config.test_type.name().into(),
            url: url(config),
            requests: config.count_per_driver,
            duration_s: config.length().map(|length| length.as_secs_f64()),
            rate_per_s: config.asked_rate_per_s(1),
            delay_s: config.delay.as_secs_f64(),
            connections: config.connections.unwrap_or_default(),
            timeout_s: config.timeout.as_secs_f64(),
            keepalive: config.keepalive,
            others,
        }
    }

    /// Whether a rate over a time says how many requests are due.
    pub fn is_rate_over_time(&self) -> bool {
        self.rate_per_s.is_some() && self.duration_s.is_some() && self.requests.is_none()
    }

    /// How much of the run is done after `elapsed_s` with so many requests sent, 0 to 1.
    pub fn share_done(&self, sent: u64, elapsed_s: f64) -> Option<f64> {
        let by_count = self.requests.map(|requests| sent as f64 / requests as f64);
        let by_time = self.duration_s.map(|duration_s| elapsed_s / duration_s);
        let shares = [by_count, by_time].into_iter().flatten().filter(|share| share.is_finite());
        shares.reduce(f64::max).map(|share| share.clamp(0.0, 1.0))
    }
}

/// Where the requests go, as they are sent, for people where there are several.
fn url(config: &TestConfig) -> String {
    let base = config.target_url.as_deref();
    let first = match config.requests.first() {
        Some(request) => request.url.as_deref().or(base),
        None => base,
    };
    let parsed_base = base.and_then(|base| TargetUrl::parse(base).ok());
    let as_sent = |text: &str| match TargetUrl::parse_beside(parsed_base.as_ref(), text) {
        Ok(url) => url.to_string(),
        Err(_) => text.to_owned(),
    };
    let first = first.map(as_sent).unwrap_or_default();
    match config.requests.len() {
        0 | 1 => first,
        2 => format!("{first} and 1 request more"),
        n => format!("{first} and {} requests more", n - 1),
    }
}

/// What the engine ran on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineView {
    /// How it reads and writes: `io_uring`.
    pub driver: String,
    /// How its threads waited for due moments: `poll` or `timer`.
    pub wait: String,
    /// Why they waited so.
    pub why: String,
    /// Its CPUs.
    pub cpus: String,
    /// Connections that were open at the start.
    pub connections_open: u32,
}

/// One second.
#[derive(Clone, Debug, Serialize)]
pub struct SecondRow {
    /// Which second, from 0.
    pub second_index: u64,
    /// What it measured; `elapsed_s` is its length, shorter than 1 in the last.
    #[serde(flatten)]
    pub measured: ScopeView,
    /// What the target used of its CPUs, where it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_cpu: Option<TargetCpuView>,
}

#[cfg(test)]
pub mod tests;
