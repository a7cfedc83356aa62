//! The result of `onrush bench` as people read it.

use onrush_api::{ScopeView, SummaryView};

use super::csv::in_columns;
use super::view::{AskedView, BenchView, EngineView};
use crate::report::numbers::{UNKNOWN, bytes, four_digits, number_of, rate, seconds};
use crate::report::remarks::{remarks, took, without_target};
use crate::report::settings::not_default;
use crate::report::{
    counted, grouped, limit_style, line, milliseconds, outcome_style, paragraph, state_name, state_style,
};
use crate::table::{BAD, Column, Group, STRONG, WARN, draw, paint};

/// What was asked for, the counts, the distributions, what went wrong, and the proof.
pub fn text(view: &BenchView, max_columns: Option<usize>) -> String {
    let BenchView { state, asked, engine, totals, limit, outcome, conservation, .. } = view;
    let mut text = String::new();
    let title = [paint(STRONG, &asked.test_type), asked.url.clone(), paint(state_style(*state), state_name(*state))];
    line(&mut text, title.join("  "));
    line(&mut text, settings(asked, totals));
    let EngineView { driver, wait, why, cpus, .. } = engine;
    line(&mut text, format!("{driver}, CPUs {cpus}, wait by {wait}: {why}"));
    text.push('\n');
    let facts = facts(asked, totals);
    let names = facts.iter().map(|(name, _)| (*name).to_owned()).collect();
    let values = facts.into_iter().map(|(_, value)| value).collect();
    text.push_str(&draw(&Column::text("", names), &[Group::new("", vec![Column::text("", values)])], None, false));
    text.push('\n');
    text.push_str(&distributions(totals, max_columns));
    text.push('\n');
    text.push_str(&paragraph(crate::report::names(totals, max_columns)));
    remarks(totals, asked.keepalive).iter().for_each(|remark| line(&mut text, remark));
    if let Some(reason) = &view.reason {
        line(&mut text, paint(BAD, reason));
    }
    if let Some(problem) = &view.target_metrics_problem {
        line(&mut text, paint(WARN, without_target(problem)));
    }
    line(&mut text, paint(limit_style(limit.limited_by), &limit.line));
    line(&mut text, paint(outcome_style(Some(*outcome)), &conservation.line));
    text
}

/// `100,000 requests, for at most 10.00 s, 2.000 ms apart, 64 connections, took 2.31 s`.
pub fn settings(asked: &AskedView, totals: &ScopeView) -> String {
    let mut parts = Vec::new();
    parts.extend(asked.requests.map(|count| number_of(count, "request")));
    parts.extend(asked.duration_s.map(|duration| format!("for at most {}", seconds(duration))));
    if asked.delay_s > 0.0 {
        parts.push(format!("{} apart", milliseconds(asked.delay_s * 1e3)));
    }
    let once = if asked.keepalive { "" } else { ", each for one request" };
    parts.push(number_of(asked.connections.into(), "connection") + once);
    parts.extend(not_default(&asked.others));
    parts.extend(totals.elapsed_s.map(|elapsed_s| took(elapsed_s, totals.sending_s)));
    parts.join(", ")
}

fn facts(asked: &AskedView, totals: &ScopeView) -> Vec<(&'static str, String)> {
    let count = |n: Option<u64>| n.map_or(UNKNOWN.into(), grouped);
    let per_s = |per_s: Option<f64>| per_s.map_or(UNKNOWN.into(), rate);
    let mut throughput = format!("{} responses/s", per_s(totals.responses_per_s));
    if totals.sent != totals.responses {
        throughput += &format!(", {} attempts/s", per_s(totals.attempts_per_s));
    }
    throughput += &match asked.rate_per_s {
        Some(asked) => format!(" of {} asked for", rate(asked)),
        None => ", as fast as it went".into(),
    };
    let speed = |n: u64| totals.elapsed_s.filter(|s| *s > 0.0).map_or(UNKNOWN.into(), |s| bytes(n as f64 / s));
    let moved = |n: Option<u64>| n.map_or(UNKNOWN.into(), |n| format!("{} ({}/s)", bytes(n as f64), speed(n)));
    let statuses = if totals.statuses.is_empty() { "none".into() } else { counted(&totals.statuses) };
    let ScopeView { due, sent, answered, failed, skipped, .. } = *totals;
    let mut requests = format!(
        "{} due, {} sent, {} answered, {} failed, {} skipped",
        count(due),
        count(sent),
        count(answered),
        count(failed),
        count(skipped)
    );
    if totals.dropped.is_some_and(|n| n > 0) {
        requests += &format!(", {} dropped", count(totals.dropped));
    }
    vec![
        ("requests", requests),
        ("throughput", throughput),
        ("statuses", statuses),
        ("transfer", format!("{} sent, {} received", moved(totals.bytes_sent), moved(totals.bytes_received))),
    ]
}

/// One unit for a whole row, the same in every result: rows and runs are there to be compared.
fn distributions(totals: &ScopeView, max_columns: Option<usize>) -> String {
    let rows: [(&str, &SummaryView, f64); 3] = [
        ("latency, ms", &totals.latency, 1.0),
        ("service time, ms", &totals.service_time, 1.0),
        ("schedule error, µs", &totals.schedule_error, 1e3),
    ];
    let heads = ["mean", "min", "p50", "p90", "p95", "p99", "p99.9", "max"];
    let column = |(index, head): (usize, &&str)| {
        let cell = |(_, summary, factor): &(&str, &SummaryView, f64)| {
            in_columns(summary)[index].map_or(UNKNOWN.into(), |ms| four_digits(ms * factor))
        };
        Group::new("", vec![Column::numbers(&[head], rows.iter().map(cell).collect())])
    };
    let groups: Vec<Group> = heads.iter().enumerate().map(column).collect();
    let names = rows.iter().map(|(name, ..)| (*name).to_owned()).collect();
    draw(&Column::text("", names), &groups, max_columns, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::view::tests::sample_run;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_result_fits_a_terminal_and_says_it_all() {
        let text = plain(&text(&sample_run(), Some(80)));
        assert_eq!(text, include_str!("samples/bench.txt"));
    }

    #[test]
    fn what_went_wrong_is_said_in_words() {
        let mut view = sample_run();
        view.totals.failures.insert("timeout".into(), 1_003);
        (view.totals.skipped, view.totals.dropped) = (Some(12), Some(3));
        (view.totals.sent, view.totals.attempts_per_s) = (Some(4_003), Some(1_601.2));
        view.asked.connections = 1;
        view.totals.statuses.clear();
        view.asked.rate_per_s = None;
        view.reason = Some("a thread died".into());
        view.target_metrics_problem = Some("http://web1:9100/metrics answers 404".into());
        let text = plain(&text(&view, None));
        for words in [
            "timeout × 1,003",
            "skipped: 12 requests",
            "3,000 due, 4,003 sent, 3,000 answered, 0 failed, 12 skipped, 3 dropped",
            "1,429 responses/s, 1,601 attempts/s, as fast as it went",
            ", 1 connection,",
            "statuses    none",
            "a thread died",
            "target metrics: http://web1:9100/metrics answers 404; the verdict goes on without the target's CPU",
        ] {
            assert!(text.contains(words), "{words} is not in\n{text}");
        }
    }
}
