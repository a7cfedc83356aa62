//! A bench's seconds as lines of CSV. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use onrush_api::{ScopeView, SummaryView};

use super::view::{BenchView, SecondRow};

/// The columns of [`csv`]: a distribution's numbers.
const SUMMARY_COLUMNS: [&str; 8] = ["mean_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99.9_ms", "max_ms"];

/// What is counted.
const COUNT_COLUMNS: [&str; 11] = [
    "due",
    "sent",
    "responses",
    "answered",
    "failed",
    "skipped",
    "dropped",
    "resent",
    "unsolicited",
    "connects",
    "in_flight",
];

/// A line for each second, after a line that names the columns. What was not measured is left empty; statuses and
/// failures are lists like `200:99 503:1`.
pub fn csv(view: &BenchView) -> String {
    let mut text =
        format!("second,length_s,{},responses_per_s,attempts_per_s,bytes_sent,bytes_received", COUNT_COLUMNS.join(","));
    for name in ["latency", "service_time", "schedule_error"] {
        SUMMARY_COLUMNS.iter().for_each(|column| {
            let _infallible = write!(text, ",{name}_{column}");
        });
    }
    text.push_str(",statuses,failures\n");
    for SecondRow { second_index, measured, target_cpu: _ } in &view.seconds {
        let mut cells = vec![second_index.to_string(), decimal(measured.elapsed_s)];
        cells.extend(counts(measured).map(cell));
        cells.extend([measured.responses_per_s, measured.attempts_per_s].map(decimal));
        cells.extend([measured.bytes_sent, measured.bytes_received].map(cell));
        for summary in [&measured.latency, &measured.service_time, &measured.schedule_error] {
            cells.extend(in_columns(summary).map(decimal));
        }
        cells.extend([list(&measured.statuses), list(&measured.failures)]);
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

/// In the order of [`COUNT_COLUMNS`].
fn counts(measured: &ScopeView) -> [Option<u64>; 11] {
    let ScopeView { due, sent, responses, answered, failed, skipped, dropped, resent, unsolicited, connects, .. } =
        *measured;
    [due, sent, responses, answered, failed, skipped, dropped, resent, unsolicited, connects, measured.in_flight]
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
