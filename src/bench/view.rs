//! A bench's result as one value: what is written as JSON, and what the table and the CSV are drawn from. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use onrush_engine::{End, SecondReport};
use onrush_orchestrator::view::{CheckView, ConservationView, ScopeView, SummaryView, TestState, Verdict};
use onrush_protocol::TestConfig;
use onrush_stats::{Counts, SecondStats, Totals};
use serde::Serialize;

use crate::report::grouped;
use crate::threshold::Outcome;

/// A day; the seconds of a longer run stand in the totals and the HDR log alone.
const MAX_SECONDS: usize = 86_400;

/// The document of `--output-format json`. Latencies are milliseconds, other durations seconds; the fields of
/// `totals` and of each second are those of the REST interface.
#[derive(Clone, Debug, Serialize)]
pub struct BenchView {
    /// How it ended: `COMPLETED`, `STOPPED` or `FAILED`.
    pub state: TestState,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it started, in UTC.
    pub started_at: String,
    /// What was asked for.
    pub asked: AskedView,
    /// What it ran on.
    pub engine: EngineView,
    /// The whole run.
    pub totals: ScopeView,
    /// Requests that the asked rate has room for in the asked time and that were not sent; those that a Tsunami skipped
    /// are among them. `null` where it was not asked for a rate over a time, or did not run to its end.
    pub short_of_rate: Option<u64>,
    /// The proof that nothing was lost.
    pub conservation: ConservationView,
    /// What became of each threshold.
    pub thresholds: Vec<Outcome>,
    /// Each second, in order and without a gap.
    pub seconds: Vec<SecondRow>,
    /// Seconds that are not listed because there are too many.
    pub seconds_left_out: u64,
}

/// What was asked for, as it was understood; `null`: no limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "named as the flags")]
pub struct AskedView {
    pub test_type: String,
    pub url: String,
    pub method: String,
    pub headers: Vec<(String, String)>,
    pub body_bytes: u64,
    pub requests: Option<u64>,
    pub duration_s: Option<f64>,
    /// The lower of what `--rate` and `--delay` allow.
    pub rate_per_s: Option<f64>,
    pub delay_s: f64,
    pub connections: u32,
    pub timeout_s: f64,
    pub connect_timeout_s: f64,
    pub keepalive: bool,
}

impl AskedView {
    /// What a test asks for.
    pub fn new(config: &TestConfig) -> Self {
        Self {
            test_type: config.test_type.name().into(),
            url: url(config),
            method: config.method.clone(),
            headers: config.headers.clone(),
            body_bytes: config.body.as_ref().map_or(0, |body| body.len() as u64),
            requests: config.count_per_driver,
            duration_s: config.duration.map(|duration| duration.as_secs_f64()),
            rate_per_s: config.asked_rate_per_s(),
            delay_s: config.delay.as_secs_f64(),
            connections: config.connections.unwrap_or_default(),
            timeout_s: config.timeout.as_secs_f64(),
            connect_timeout_s: config.connect_timeout.as_secs_f64(),
            keepalive: config.keepalive,
        }
    }

    /// How many requests the rate has room for in the time, where nothing else ends the run.
    fn room(&self) -> Option<u64> {
        let (rate_per_s, duration_s) = self.rate_per_s.zip(self.duration_s)?;
        // What is due at the very end is not of the run; a little is for a product that is not exact.
        self.requests.is_none().then(|| (rate_per_s * duration_s - 1e-6).ceil() as u64)
    }

    /// How much of the run is done after `elapsed_s` with so many requests sent, 0 to 1.
    pub fn share_done(&self, sent: u64, elapsed_s: f64) -> Option<f64> {
        let by_count = self.requests.map(|requests| sent as f64 / requests as f64);
        let by_time = self.duration_s.map(|duration_s| elapsed_s / duration_s);
        let shares = [by_count, by_time].into_iter().flatten().filter(|share| share.is_finite());
        shares.reduce(f64::max).map(|share| share.clamp(0.0, 1.0))
    }
}

/// Where the requests go, for people where there are several.
fn url(config: &TestConfig) -> String {
    let urls = config.requests.iter().filter_map(|request| request.url.as_deref());
    let first = config.target_url.as_deref().or(urls.clone().next()).unwrap_or_default();
    match config.requests.len() {
        0 | 1 => first.to_owned(),
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
}

/// Takes a run's seconds in and makes its result.
#[derive(Debug, Default)]
pub struct Collector {
    all: SecondStats,
    elapsed: Duration,
    seconds: u64,
    rows: Vec<SecondRow>,
    last: Option<ScopeView>,
    /// What the engine counted apart from its seconds.
    claimed: Totals,
    end: Option<End>,
}

impl Collector {
    /// The next second of the run.
    pub fn add(&mut self, second: &SecondReport) {
        let SecondReport { index, length, stats, totals, started: _, end } = second;
        self.all.merge(stats);
        // A gauge does not add up: what is on its way is what was on its way last.
        self.all.counts.in_flight = stats.counts.in_flight;
        self.elapsed += *length;
        self.seconds += 1;
        self.claimed = *totals;
        self.end.clone_from(end);
        let measured = ScopeView::of(stats, length.as_secs_f64());
        if self.rows.len() < MAX_SECONDS {
            self.rows.push(SecondRow { second_index: *index, measured: measured.clone() });
        }
        self.last = Some(measured);
    }

    /// Whether the last second is in.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// What the engine counted so far, and in what time.
    pub fn so_far(&self) -> (Totals, Duration) {
        (self.claimed, self.elapsed)
    }

    /// The second that came last.
    pub fn last(&self) -> Option<&ScopeView> {
        self.last.as_ref()
    }

    /// The result.
    pub fn finish(self, started_at: String, asked: AskedView, engine: EngineView) -> BenchView {
        let totals = ScopeView::of(&self.all, self.elapsed.as_secs_f64());
        let conservation = conservation(&self.all, self.claimed, self.seconds);
        let (state, reason) = match self.end {
            Some(End::Completed) => (TestState::Completed, None),
            Some(End::Stopped) => (TestState::Stopped, None),
            Some(End::Failed(reason)) => (TestState::Failed, Some(reason)),
            None => (TestState::Failed, Some("it has no last second".into())),
        };
        let seconds_left_out = self.seconds - self.rows.len() as u64;
        let room = asked.room().filter(|_| state == TestState::Completed);
        let short_of_rate = room.map(|room| room.saturating_sub(self.claimed.sent));
        let (thresholds, seconds) = (Vec::new(), self.rows);
        BenchView {
            state,
            reason,
            started_at,
            asked,
            engine,
            totals,
            short_of_rate,
            conservation,
            thresholds,
            seconds,
            seconds_left_out,
        }
    }
}

/// Whether what the seconds add up to is what the engine counted, and every request has become something.
fn conservation(all: &SecondStats, claimed: Totals, seconds: u64) -> ConservationView {
    let SecondStats { counts, latency, service_time, schedule_error } = all;
    let Totals { sent, answered, failed, skipped } = claimed;
    let sums: Totals = Counts::totals(counts);
    let check = |name: &str, expected: u64, actual: u64| CheckView {
        name: name.into(),
        node_id: None,
        verdict: if expected == actual { Verdict::Exact } else { Verdict::Breach },
        expected: Some(expected),
        actual: Some(actual),
        detail: format!("{} and {}", grouped(expected), grouped(actual)),
    };
    let checks = vec![
        check("sent = answered + failed", sent, answered.saturating_add(failed)),
        check("sent = sum of the seconds", sent, sums.sent),
        check("answered = sum of the seconds", answered, sums.answered),
        check("failed = sum of the seconds", failed, sums.failed),
        check("skipped = sum of the seconds", skipped, sums.skipped),
        check("nothing is left on its way", 0, counts.in_flight),
        check("latency values = answered", answered, latency.count()),
        check("service time values = answered", answered, service_time.count()),
        check("schedule error values = sent", sent, schedule_error.count()),
    ];
    let broken: Vec<String> = checks
        .iter()
        .filter(|check| check.verdict != Verdict::Exact)
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    let (verdict, line) = if broken.is_empty() {
        let plural = if seconds == 1 { "second adds" } else { "seconds add" };
        let line = format!(
            "conservation: exact ({} sent = {} answered + {} failed; {} {plural} up to it)",
            grouped(sent),
            grouped(answered),
            grouped(failed),
            grouped(seconds),
        );
        (Verdict::Exact, line)
    } else {
        (Verdict::Breach, format!("conservation: BREACH ({})", broken.join("; ")))
    };
    ConservationView { verdict, line, checks }
}

/// The columns of [`csv`]: a distribution's numbers.
const SUMMARY_COLUMNS: [&str; 8] = ["mean_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99.9_ms", "max_ms"];

/// A line for each second, after a line that names the columns. What was not measured is left empty; statuses and
/// failures are lists like `200:99 503:1`.
pub fn csv(view: &BenchView) -> String {
    let mut text =
        String::from("second,length_s,sent,answered,failed,skipped,in_flight,requests_per_s,bytes_sent,bytes_received");
    for name in ["latency", "service_time", "schedule_error"] {
        SUMMARY_COLUMNS.iter().for_each(|column| {
            let _infallible = write!(text, ",{name}_{column}");
        });
    }
    text.push_str(",statuses,failures\n");
    for SecondRow { second_index, measured } in &view.seconds {
        let mut cells = vec![second_index.to_string(), decimal(measured.elapsed_s)];
        let ScopeView { sent, answered, failed, skipped, in_flight, bytes_sent, bytes_received, .. } = measured;
        cells.extend([sent, answered, failed, skipped, in_flight].map(|count| cell(*count)));
        cells.push(decimal(measured.requests_per_s));
        cells.extend([bytes_sent, bytes_received].map(|count| cell(*count)));
        for summary in [&measured.latency, &measured.service_time, &measured.schedule_error] {
            cells.extend(in_columns(summary).map(decimal));
        }
        cells.extend([list(&measured.statuses), list(&measured.failures)]);
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

/// In the order of [`SUMMARY_COLUMNS`].
pub fn in_columns(summary: &SummaryView) -> [Option<f64>; 8] {
    let SummaryView { count: _, mean_ms, median_ms, min_ms, max_ms, p90_ms, p95_ms, p99_ms, p999_ms } = *summary;
    [mean_ms, min_ms, median_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms]
}

/// To the millionth: milliseconds to the nanosecond.
fn decimal(value: Option<f64>) -> String {
    cell(value.map(|value| (value * 1e6).round() / 1e6))
}

fn cell(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn list<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    counts.iter().map(|(key, n)| format!("{key}:{n}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub mod tests;
