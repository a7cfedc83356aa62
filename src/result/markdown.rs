//! A result in Markdown, for pull requests: the verdict first, then the figures, what had to hold and what went wrong. Pure.

use onrush_api::{ScopeView, SummaryView};

use super::finished::Finished;
use super::{threshold_value, threshold_verdict};
use crate::report::numbers::{UNKNOWN, four_digits, rate};
use crate::report::{grouped, state_name};

/// More drivers than this have no row of their own: a comment has room for 65,536 characters.
const MAX_ROWS: usize = 50;

/// The summary of a run.
pub fn of_run(run: &Finished) -> String {
    let test = run.test;
    let outcome = test.outcome.map(|outcome| format!(", {}", outcome.name())).unwrap_or_default();
    let mut text = format!("### {} {}\n\n", escaped(&test.config.test_type), escaped(run.target()));
    text += &match &run.trouble {
        None => format!("**Passed**: {}{outcome}\n\n", state_name(test.state).to_lowercase()),
        Some(words) => format!("**FAILED**: {}\n\n", escaped(words)),
    };
    text += &format!("{}: {}\n\n", escaped(run.name()), escaped(&run.settings));
    text += &figures(run);
    if !run.thresholds.is_empty() {
        text += "\n| threshold | value | |\n| --- | ---: | --- |\n";
        for outcome in run.thresholds {
            let [threshold, value] = [outcome.threshold.as_str(), &threshold_value(outcome)].map(escaped);
            text += &format!(
                "| {threshold} | {value} | {} |\n",
                strong(threshold_verdict(outcome), outcome.kept == Some(true))
            );
        }
    }
    let mut notes: Vec<String> = run.remarks.iter().map(|remark| escaped(remark)).collect();
    notes.extend(test.limit.iter().map(|limit| escaped(&limit.line)));
    notes.extend(test.conservation.iter().map(|proof| escaped(&proof.line)));
    if !notes.is_empty() {
        text.push('\n');
    }
    notes.iter().for_each(|note| text += &format!("- {note}\n"));
    text
}

fn figures(run: &Finished) -> String {
    const HEADS: [&str; 11] = [
        "sent",
        "answered",
        "failed",
        "responses/s",
        "mean, ms",
        "p50, ms",
        "p90, ms",
        "p95, ms",
        "p99, ms",
        "p99.9, ms",
        "max, ms",
    ];
    let mut text = format!("| | {} |\n| --- |{}\n", HEADS.join(" | "), " ---: |".repeat(HEADS.len()));
    let mut row = |name: &str, scope: &ScopeView| {
        text += &format!("| {name} | {} |\n", cells(scope).join(" | "));
    };
    row("**all**", &run.metrics.all);
    // One driver alone is all.
    let shown = if run.metrics.drivers.len() > 1 { MAX_ROWS } else { 0 };
    for scope in run.metrics.drivers.iter().take(shown) {
        row(&escaped(scope.node_id.as_deref().unwrap_or(UNKNOWN)), scope);
    }
    let more = run.metrics.drivers.len().saturating_sub(MAX_ROWS);
    if more > 0 {
        text += &format!("\n{more} drivers more are not listed.\n");
    }
    text
}

fn cells(scope: &ScopeView) -> [String; 11] {
    let count = |n: Option<u64>| n.map_or(UNKNOWN.into(), grouped);
    let ms = |value: Option<f64>| value.map_or(UNKNOWN.into(), four_digits);
    let ScopeView { sent, answered, failed, responses_per_s, latency, .. } = scope;
    let SummaryView { mean_ms, median_ms, max_ms, p90_ms, p95_ms, p99_ms, p999_ms, .. } = *latency;
    let [mean, p50, p90, p95, p99, p999, max] = [mean_ms, median_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms].map(ms);
    let [sent, answered, failed] = [*sent, *answered, *failed].map(count);
    [sent, answered, failed, responses_per_s.map_or(UNKNOWN.into(), rate), mean, p50, p90, p95, p99, p999, max]
}

fn strong(word: &str, is_good: bool) -> String {
    if is_good { word.into() } else { format!("**{word}**") }
}

/// Text that stays text: no markup, no cell's end, and one line.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#' | '&' | '!' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use onrush_api::ThresholdView;

    use super::*;
    use crate::report::{sample_metrics, sample_test};

    #[test]
    fn a_run_is_a_verdict_a_table_and_what_had_to_hold() {
        let (mut test, mut metrics) = (sample_test(), sample_metrics());
        test.name = Some("a|b\n<script>`*x*` [l](http://h)".into());
        metrics.drivers[0].node_id = Some("d|1 <b>".into());
        metrics.all.failures.insert("timeout".into(), 3);
        metrics.all.examples.insert("timeout".into(), "no | response\nwithin 1s".into());
        let broken = ThresholdView {
            threshold: "p99<200ms over 10s".into(),
            value: Some("290.0 ms".into()),
            kept: Some(false),
            broken_at_second: Some(37),
            broken_value: Some("312.0 ms".into()),
            ended_test: true,
        };
        let kept = ThresholdView {
            threshold: "rate>=1k".into(),
            value: Some("86430 responses/s".into()),
            kept: Some(true),
            ..ThresholdView::default()
        };
        let thresholds = [broken, kept];
        let trouble = Some("not kept: p99<200ms over 10s".to_owned());
        let text = of_run(&Finished::of_test(&test, &metrics, &thresholds, trouble));
        assert_eq!(text, include_str!("samples/summary.md"));
        let good = of_run(&Finished::of_test(&sample_test(), &sample_metrics(), &[], None));
        assert!(good.contains("**Passed**: completed, exact\n") && !good.contains("threshold"), "{good}");
    }

    #[test]
    fn a_thousand_drivers_fit_a_comment() {
        let mut metrics = sample_metrics();
        metrics.drivers = vec![metrics.drivers[0].clone(); 1_000];
        let text = of_run(&Finished::of_test(&sample_test(), &metrics, &[], None));
        assert!(text.len() < 20_000 && text.contains("\n950 drivers more are not listed.\n"), "{text}");
    }
}
