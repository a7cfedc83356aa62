//! What was measured by the name of the request, as a table. Pure.

use onrush_api::{NameView, ScopeView};
use onrush_stats::{MAX_NAMES, OTHER};

use super::numbers::{UNKNOWN, four_digits, grouped, rate};
use super::{counted, line};
use crate::table::{Column, Group, draw};

/// A row for each name, and what became of the requests that have no response or another status than 200; empty where names are
/// not told apart.
pub fn names(scope: &ScopeView, max_columns: Option<usize>) -> String {
    if scope.by_name.is_empty() {
        return String::new();
    }
    // What is beyond the names that are told apart comes last.
    let (other, told): (Vec<_>, Vec<_>) = scope.by_name.iter().partition(|(name, _)| *name == OTHER);
    let rows: Vec<(&String, &NameView)> = told.into_iter().chain(other).collect();
    let numbers = |head: &str, cell: &dyn Fn(&NameView) -> String| {
        Column::numbers(&[head], rows.iter().map(|(_, view)| cell(view)).collect())
    };
    let latency = |head: &str, value: fn(&NameView) -> Option<f64>| {
        numbers(head, &|view| value(view).map_or(UNKNOWN.into(), four_digits))
    };
    let groups = [
        Group::new(
            "",
            vec![
                numbers("sent", &|view| grouped(view.sent)),
                numbers("answered", &|view| grouped(view.answered)),
                numbers("failed", &|view| grouped(view.failed)),
                numbers("resp./s", &|view| view.responses_per_s.map_or(UNKNOWN.into(), rate)),
            ],
        ),
        Group::new(
            "latency, ms",
            vec![
                latency("mean", |view| view.latency.mean_ms),
                latency("median", |view| view.latency.median_ms),
                latency("p90", |view| view.latency.p90_ms),
                latency("p99", |view| view.latency.p99_ms),
                latency("p99.9", |view| view.latency.p999_ms),
                latency("max", |view| view.latency.max_ms),
            ],
        ),
    ];
    let names = rows.iter().map(|(name, _)| (*name).clone()).collect();
    let mut text = draw(&Column::text("request", names), &groups, max_columns, false);
    for (name, view) in &rows {
        let mut parts = Vec::new();
        if view.statuses.keys().any(|status| *status != 200) {
            parts.push(format!("responses by status: {}", counted(&view.statuses)));
        }
        if !view.failures.is_empty() {
            parts.push(format!("failures by cause: {}", counted(&view.failures)));
        }
        if !parts.is_empty() {
            line(&mut text, format!("{name}: {}", parts.join("; ")));
        }
    }
    if scope.by_name.contains_key(OTHER) {
        line(
            &mut text,
            format!("{OTHER}: {MAX_NAMES} names are told apart; requests of further ones are counted together"),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use onrush_api::SummaryView;

    use super::*;
    use crate::report::sample_metrics;

    fn plain(scope: &ScopeView) -> String {
        anstream::adapter::strip_str(&names(scope, None)).to_string()
    }

    #[test]
    fn names_are_a_table_with_the_others_last() {
        let mut scope = sample_metrics().all;
        assert_eq!(plain(&scope), "");
        let latency = SummaryView {
            mean_ms: Some(1.5),
            median_ms: Some(1.25),
            p90_ms: Some(2.0),
            p99_ms: Some(3.0),
            p999_ms: Some(4.0),
            max_ms: Some(12.0),
            ..SummaryView::default()
        };
        let view = NameView { sent: 1_000, responses: 1_000, answered: 1_000, latency, ..NameView::default() };
        let view = NameView { responses_per_s: Some(500.0), statuses: [(200, 1_000)].into(), ..view };
        let failing = NameView { sent: 7, failed: 7, failures: [("timeout".into(), 7)].into(), ..NameView::default() };
        scope.by_name = [("other".into(), view.clone()), ("GET /zoo".into(), view), ("login".into(), failing)].into();
        let expected = "
                                            latency, ms ─────────────────────────────
request    sent  answered  failed  resp./s   mean  median    p90    p99  p99.9    max
GET /zoo  1,000     1,000       0      500  1.500   1.250  2.000  3.000  4.000  12.00
login         7         0       7        —      —       —      —      —      —      —
other     1,000     1,000       0      500  1.500   1.250  2.000  3.000  4.000  12.00
login: failures by cause: timeout × 7
other: 64 names are told apart; requests of further ones are counted together
";
        assert_eq!(plain(&scope), expected[1..]);
    }
}
