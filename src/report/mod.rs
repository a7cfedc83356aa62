//! A test's result as people read it: pure functions from what REST shows to text with colours (which are removed
//! where they are not wanted).

mod names;
pub mod numbers;
mod progress;
pub mod remarks;
#[cfg(test)]
mod samples;
pub mod settings;
mod unsound;

use std::collections::BTreeMap;
use std::fmt::Write;

use anstyle::Style;
use onrush_api::{
    ConfigSummary, ConfigView, LimitedBy, MetricsView, Outcome, ParticipantState, ParticipantView, ScopeView,
    SummaryView, TestState, TestSummary, TestView, Verdict,
};

pub use names::names;
pub use numbers::{grouped, milliseconds};
pub use progress::{progress_line, progress_of};
#[cfg(test)]
pub use samples::{sample_metrics, sample_second, sample_summary, sample_test};
pub use unsound::unsound;

use crate::table::{BAD, Column, GOOD, Group, STRONG, WARN, draw, paint};
use numbers::{UNKNOWN, four_digits, number_of, seconds};
use remarks::took;
use settings::not_default;

/// The whole result: what was asked for, a row per driver and one for all, what went wrong, and the proof.
pub fn result(test: &TestView, metrics: &MetricsView, max_columns: Option<usize>) -> String {
    let mut text = String::new();
    let config = &test.config;
    let mut title = vec![
        paint(STRONG, &config.test_type),
        config.target_url.clone().unwrap_or_else(|| "each driver's own target".into()),
    ];
    title.extend(test.name.clone());
    title.push(paint(state_style(test.state), state_name(test.state)));
    title.push(test.test_id.clone());
    line(&mut text, title.join("  "));
    line(&mut text, settings(test, metrics));
    text.push('\n');
    text.push_str(&numbers_table(metrics, max_columns));
    text.push('\n');
    text.push_str(&paragraph(names(&metrics.all, max_columns)));
    for remark in remarks(test, metrics) {
        line(&mut text, remark);
    }
    if let Some(limit) = &test.limit {
        line(&mut text, paint(limit_style(limit.limited_by), &limit.line));
    }
    if let Some(conservation) = &test.conservation {
        line(&mut text, paint(outcome_style(test.outcome), &conservation.line));
        for check in conservation.checks.iter().filter(|check| check.verdict == Verdict::Breach) {
            let node = check.node_id.as_deref().unwrap_or("all");
            line(&mut text, format!("  {} ({node}): {}", check.name, check.detail));
        }
    }
    text
}

/// A text that is set apart from what follows, where there is one.
pub fn paragraph(text: String) -> String {
    if text.is_empty() { text } else { text + "\n" }
}

/// Adds a line.
pub fn line(text: &mut String, line: impl AsRef<str>) {
    text.push_str(line.as_ref());
    text.push('\n');
}

/// `100,000 requests per driver, 64 connections per driver, 2.31 s, start skew 0.4 ms`.
pub fn settings(test: &TestView, metrics: &MetricsView) -> String {
    let ConfigView { message_count_per_driver, duration_s, test_message_delay_s, target_throughput_per_s, .. } =
        &test.config;
    let mut parts = Vec::new();
    parts.extend(message_count_per_driver.map(|count| number_of(count, "request") + " per driver"));
    parts.extend(duration_s.map(|duration| format!("for at most {}", seconds(duration))));
    if *test_message_delay_s > 0.0 {
        parts.push(format!("{} apart", milliseconds(test_message_delay_s * 1e3)));
    }
    parts.extend(target_throughput_per_s.map(|rate| format!("at most {} requests/s per driver", numbers::rate(rate))));
    parts.push(number_of(test.config.connections.into(), "connection") + " per driver");
    parts.extend(not_default(&test.config.others));
    if metrics.elapsed_s > 0.0 {
        parts.push(took(metrics.elapsed_s, metrics.all.sending_s));
    }
    parts.extend(test.start_skew_ms.map(|skew| format!("start skew {}", milliseconds(skew))));
    parts.join(", ")
}

fn numbers_table(metrics: &MetricsView, max_columns: Option<usize>) -> String {
    let scopes: Vec<&ScopeView> = metrics.drivers.iter().chain([&metrics.all]).collect();
    let names = scopes.iter().map(|scope| scope.node_id.clone().unwrap_or_else(|| "all".into())).collect();
    let counts = |head: &str, count: fn(&ScopeView) -> Option<u64>| {
        let cells = scopes.iter().map(|scope| count(scope).map_or(UNKNOWN.into(), grouped)).collect();
        Column::numbers(&[head], cells)
    };
    let rates = scopes.iter().map(|scope| scope.responses_per_s.map_or(UNKNOWN.into(), numbers::rate)).collect();
    // One unit for a whole group, the same in every result: columns and runs are there to be compared.
    let latency = |head: &str, value: fn(&SummaryView) -> Option<f64>| {
        let cell = |scope: &&ScopeView| value(&scope.latency).map_or(UNKNOWN.into(), four_digits);
        Column::numbers(&[head], scopes.iter().map(cell).collect())
    };
    let error = |head: &str, value: fn(&SummaryView) -> Option<f64>| {
        let cell = |scope: &&ScopeView| value(&scope.schedule_error).map_or(UNKNOWN.into(), |ms| four_digits(ms * 1e3));
        Column::numbers(&[head], scopes.iter().map(cell).collect())
    };
    let groups = [
        Group::new(
            "",
            vec![
                counts("sent", |scope| scope.sent),
                counts("answered", |scope| scope.answered),
                counts("failed", |scope| scope.failed),
                Column::numbers(&["resp./s"], rates),
            ],
        ),
        Group::new(
            "latency, ms",
            vec![
                latency("mean", |s| s.mean_ms),
                latency("median", |s| s.median_ms),
                latency("min", |s| s.min_ms),
                latency("max", |s| s.max_ms),
                latency("p90", |s| s.p90_ms),
                latency("p95", |s| s.p95_ms),
                latency("p99", |s| s.p99_ms),
                latency("p99.9", |s| s.p999_ms),
            ],
        ),
        Group::new("schedule error", vec![error("p50 µs", |s| s.median_ms), error("p99 µs", |s| s.p99_ms)]),
    ];
    draw(&Column::text("driver", names), &groups, max_columns, true)
}

/// What a reader must know beside the numbers; nothing where all went well.
pub fn remarks(test: &TestView, metrics: &MetricsView) -> Vec<String> {
    let all = &metrics.all;
    let mut remarks = Vec::new();
    if all.statuses.keys().any(|status| *status != 200) {
        remarks.push(format!("responses by status: {}", counted(&all.statuses)));
    }
    remarks.extend(remarks::remarks(all, test.config.keepalive));
    for scope in metrics.drivers.iter().chain([all]) {
        let name = scope.node_id.as_deref().unwrap_or("all");
        remarks.extend(scope.note.as_ref().map(|note| format!("{name}: {note}")));
    }
    let whole_reason = test.reason.as_deref().unwrap_or_default();
    for part in &test.participants {
        let ParticipantView { node_id, state, reason, .. } = part;
        let troubled = matches!(state, ParticipantState::Refused | ParticipantState::Failed | ParticipantState::Lost);
        let reason = reason.as_deref().unwrap_or_default();
        // The reason of the whole test often is that of this driver.
        if troubled && !(whole_reason.contains(node_id) && whole_reason.contains(reason)) {
            let state = format!("{state:?}").to_lowercase();
            remarks.push(paint(BAD, format!("{node_id} {state}: {reason}").trim_end_matches([' ', ':'])));
        }
    }
    let target_metrics = test.events.iter().filter(|event| event.kind == "target metrics");
    remarks.extend(target_metrics.map(|event| paint(WARN, format!("{}: {}", event.kind, event.detail))));
    remarks.extend(test.imported_at.as_ref().map(|at| format!("imported {at}: it ran elsewhere")));
    // A sound result needs no word; one that is not has its reason in these.
    match unsound(test) {
        Some(words) if test.state.is_end() => remarks.push(paint(BAD, words)),
        _ => remarks.extend(test.reason.clone()),
    }
    remarks
}

/// `200 × 9,990, 500 × 10`.
pub fn counted<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    counts.iter().map(|(key, n)| format!("{key} × {}", grouped(*n))).collect::<Vec<_>>().join(", ")
}

/// What happened, in order.
pub fn events(test: &TestView) -> String {
    let column =
        |head, cell: fn(&onrush_api::EventView) -> String| Column::text(head, test.events.iter().map(cell).collect());
    let columns = vec![
        column("EVENT", |event| event.kind.clone()),
        column("DRIVER", |event| event.node_id.clone().unwrap_or_default()),
        column("", |event| event.detail.clone()),
    ];
    draw(&column("TIME", |event| event.at.clone()), &[Group::new("", columns)], None, false)
}

/// Tests, one a line.
pub fn tests(tests: &[TestSummary]) -> String {
    let column = |head, cell: fn(&TestSummary) -> String| Column::text(head, tests.iter().map(cell).collect());
    let columns = vec![
        column("STATE", |test| state_name(test.state).to_owned()),
        column("RESULT", |test| test.outcome.map_or(String::new(), |outcome| outcome.name().into())),
        column("TYPE", |test| test.config.test_type.clone()),
        column("DRIVERS", |test| test.drivers.to_string()),
        column("PER DRIVER", |test| amount(&test.config)),
        column("CREATED", |test| test.created_at.clone()),
        column("TARGET", |test| test.config.target_url.clone().unwrap_or_default()),
        column("NAME", |test| test.name.clone().unwrap_or_default()),
    ];
    draw(&column("TEST", |test| test.test_id.clone()), &[Group::new("", columns)], None, false)
}

fn amount(config: &ConfigSummary) -> String {
    let mut words = String::new();
    if let Some(count) = config.message_count_per_driver {
        let _ = write!(words, "{}", grouped(count));
    }
    if let Some(duration) = config.duration_s {
        let gap = if words.is_empty() { "" } else { ", " };
        let _ = write!(words, "{gap}{}", seconds(duration));
    }
    words
}

/// A state as REST names it.
pub fn state_name(state: TestState) -> &'static str {
    match state {
        TestState::Configured => "CONFIGURED",
        TestState::Armed => "ARMED",
        TestState::Running => "RUNNING",
        TestState::Completed => "COMPLETED",
        TestState::Stopped => "STOPPED",
        TestState::Failed => "FAILED",
    }
}

/// The colour of a state.
pub fn state_style(state: TestState) -> Style {
    match state {
        TestState::Configured | TestState::Armed | TestState::Running => STRONG,
        TestState::Completed => GOOD,
        TestState::Stopped => WARN,
        TestState::Failed => BAD,
    }
}

/// The colour of a limit: red where the figures say less than they seem to.
pub fn limit_style(limited_by: LimitedBy) -> Style {
    match limited_by {
        LimitedBy::None => GOOD,
        LimitedBy::Target | LimitedBy::Network => STRONG,
        LimitedBy::Unknown => WARN,
        LimitedBy::Generator => BAD,
    }
}

/// The colour of an outcome.
pub fn outcome_style(outcome: Option<Outcome>) -> Style {
    match outcome {
        Some(Outcome::Exact) => GOOD,
        Some(Outcome::Unproved | Outcome::Incomplete) | None => WARN,
        Some(Outcome::Invalid) => BAD,
    }
}

#[cfg(test)]
mod tests {
    use onrush_api::{CheckView, EventView};

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_result_is_one_table_within_120_columns() {
        let text = plain(&result(&sample_test(), &sample_metrics(), None));
        assert_eq!(text, include_str!("samples/avalanche.txt"));
        assert!(text.lines().all(|line| line.chars().count() <= 120));
    }

    #[test]
    fn a_narrow_terminal_gets_the_table_in_blocks() {
        let text = plain(&result(&sample_test(), &sample_metrics(), Some(80)));
        assert!(text.lines().all(|line| line.chars().count() <= 80 || line.starts_with("100,000 requests")), "{text}");
        assert_eq!(text.matches("driver-1").count(), 3, "{text}");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = result(&sample_test(), &sample_metrics(), None);
        assert!(coloured.contains("\u{1b}[32mconservation: exact"), "{coloured}");
    }

    #[test]
    fn what_went_wrong_is_said_in_words() {
        let (mut test, mut metrics) = (sample_test(), sample_metrics());
        test.state = TestState::Stopped;
        test.outcome = Some(Outcome::Invalid);
        test.reason = Some("stopped by a user".into());
        test.participants[1].state = ParticipantState::Lost;
        test.participants[1].reason = Some("no heartbeat for 5 s".into());
        let conservation = test.conservation.as_mut().expect("the sample has one");
        conservation.line = "conservation: invalid (1 of 6 checks)".into();
        conservation.checks = vec![CheckView {
            name: "sent = answered + failed".into(),
            node_id: Some("driver-2".into()),
            verdict: Verdict::Breach,
            expected: Some(10),
            actual: Some(9),
            detail: "sent 10, answered 9, failed 0".into(),
        }];
        metrics.all.statuses.insert(500, 1_010);
        metrics.all.failures.insert("timeout".into(), 3);
        metrics.all.examples.insert("timeout".into(), "no response within 10s".into());
        (metrics.all.skipped, metrics.all.due) = (Some(12), Some(200_015));
        let specification_only = &mut metrics.drivers[1];
        specification_only.note = Some("it reports no counts".into());
        (specification_only.sent, specification_only.answered, specification_only.failed) = (None, None, None);
        specification_only.responses_per_s = None;
        specification_only.latency.p90_ms = None;
        specification_only.schedule_error = SummaryView::default();
        assert_eq!(plain(&result(&test, &metrics, None)), include_str!("samples/trouble.txt"));
    }

    #[test]
    fn tests_are_listed_one_a_line() {
        let mut second = sample_summary();
        second.test_id = "t2".into();
        second.state = TestState::Running;
        (second.outcome, second.config.target_url) = (None, None);
        second.config.duration_s = Some(30.0);
        second.name = Some("night run".into());
        assert_eq!(plain(&tests(&[sample_summary(), second])), include_str!("samples/list.txt"));
    }

    #[test]
    fn events_are_listed_in_order() {
        let mut test = sample_test();
        let event = |at: &str, kind: &str, node: Option<&str>, detail: &str| EventView {
            at: at.into(),
            kind: kind.into(),
            node_id: node.map(Into::into),
            detail: detail.into(),
        };
        test.events = vec![
            event("2026-01-02T03:04:05Z", "created", None, "by REST"),
            event("2026-01-02T03:04:06Z", "armed", Some("driver-1"), "64 connections"),
        ];
        let expected = "\
TIME                  EVENT    DRIVER
2026-01-02T03:04:05Z  created            by REST
2026-01-02T03:04:06Z  armed    driver-1  64 connections
";
        assert_eq!(plain(&events(&test)), expected);
    }
}
