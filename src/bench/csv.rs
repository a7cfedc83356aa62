//! A bench's seconds as lines of CSV. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use onrush_api::{NameView, ScopeView, SummaryView};

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
/// failures are lists like `200:99 503:1`. Where requests have several names, each second has a line for each of them as well,
/// with the name in a last column, which is empty in the line for all.
pub fn csv(view: &BenchView) -> String {
    let mut text =
        format!("second,length_s,{},responses_per_s,attempts_per_s,bytes_sent,bytes_received", COUNT_COLUMNS.join(","));
    for name in ["latency", "service_time", "schedule_error"] {
        SUMMARY_COLUMNS.iter().for_each(|column| {
            let _infallible = write!(text, ",{name}_{column}");
        });
    }
    let has_names = view.seconds.iter().any(|second| !second.measured.by_name.is_empty());
    text.push_str(if has_names { ",statuses,failures,name\n" } else { ",statuses,failures\n" });
    for SecondRow { second_index, measured, target_cpu: _ } in &view.seconds {
        let mut cells = vec![second_index.to_string(), decimal(measured.elapsed_s)];
        cells.extend(counts(measured).map(cell));
        cells.extend([measured.responses_per_s, measured.attempts_per_s].map(decimal));
        cells.extend([measured.bytes_sent, measured.bytes_received].map(cell));
        for summary in [&measured.latency, &measured.service_time, &measured.schedule_error] {
            cells.extend(in_columns(summary).map(decimal));
        }
        cells.extend([list(&measured.statuses), list(&measured.failures)]);
        cells.extend(has_names.then(String::new));
        text.push_str(&cells.join(","));
        text.push('\n');
        for (name, of_name) in &measured.by_name {
            text.push_str(&name_cells(*second_index, measured, name, of_name).join(","));
            text.push('\n');
        }
    }
    text
}

/// The cells of one name in a second, in the order of the columns.
fn name_cells(second_index: u64, second: &ScopeView, name: &str, view: &NameView) -> Vec<String> {
    let NameView { sent, responses, answered, failed, responses_per_s, statuses, failures, latency } = view;
    let mut cells = vec![second_index.to_string(), decimal(second.elapsed_s), String::new()];
    cells.extend([sent, responses, answered, failed].map(u64::to_string));
    cells.resize(2 + COUNT_COLUMNS.len(), String::new());
    cells.push(decimal(*responses_per_s));
    cells.resize(cells.len() + 3, String::new());
    cells.extend(in_columns(latency).map(decimal));
    cells.resize(cells.len() + 2 * SUMMARY_COLUMNS.len(), String::new());
    cells.extend([list(statuses), list(failures), quoted(name)]);
    cells
}

/// A text as one cell (RFC 4180 2.7).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
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
