//! `--threshold 'p99<200ms'` for a result that REST shows: the figures that it is held against. Pure.

use onrush_api::{ScopeView, SummaryView, ThresholdView};
pub use onrush_protocol::Threshold;
use onrush_protocol::threshold::{Figures, Standing};
use onrush_stats::DueSummary;

/// Reads one.
pub fn parse(text: &str) -> Result<Threshold, String> {
    text.parse()
}

/// What became of a threshold over a whole result, whose requests had `timeout_s` for their response.
pub fn judged(threshold: &Threshold, all: &ScopeView, timeout_s: f64) -> ThresholdView {
    let mut standing = Standing::default();
    standing.conclude(threshold, &figures(all, timeout_s));
    ThresholdView::of(threshold, &standing)
}

/// Says that a threshold with a window, or of one name, cannot be held against a result: its seconds are not told apart there,
/// and of a name it has no latencies over what was sent.
pub fn refuse_window(threshold: &Threshold) -> Result<(), String> {
    match (threshold.window_s(), threshold.name()) {
        (None, None) => Ok(()),
        (None, Some(name)) => Err(format!(
            "--threshold {threshold}: requests of one name are looked at while the test runs; give it to `onrush test start`, \
             or leave {{{name}}} out"
        )),
        (Some(_), _) => Err(format!(
            "--threshold {threshold}: a window is looked at while the test runs; give it to `onrush test start`, or leave \
             out what begins with over"
        )),
    }
}

fn figures(all: &ScopeView, timeout_s: f64) -> Figures {
    Figures {
        due: all.due,
        answered: all.answered,
        responses: all.latency.count,
        skipped: all.skipped,
        dropped: all.dropped,
        responses_per_s: all.responses_per_s,
        latency_of_due: summary(&all.latency_of_due),
        latency: summary(&all.latency),
        service_time: summary(&all.service_time),
        schedule_error: summary(&all.schedule_error),
        waited_ms: all.failures.contains_key("timeout").then_some(timeout_s * 1e3),
    }
}

fn summary(view: &SummaryView) -> DueSummary {
    let SummaryView { count: _, mean_ms, median_ms, min_ms, max_ms, p90_ms, p95_ms, p99_ms, p999_ms } = *view;
    DueSummary { mean_ms, median_ms, min_ms, max_ms, p90_ms, p95_ms, p99_ms, p999_ms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample_metrics;

    #[test]
    fn thresholds_are_held_against_the_result_of_all() {
        let check = |text: &str| {
            let view = judged(&parse(text).expect(text), &sample_metrics().all, 10.0);
            (view.kept == Some(true), view.value)
        };
        assert_eq!(check("p99<200ms"), (true, Some("2.105 ms".into())));
        assert_eq!(check("p99.9 <= 6321us"), (true, Some("6.321 ms".into())));
        assert!(!check("p99.9 < 6321us").0);
        assert_eq!(check("median<700us"), (false, Some("721.1 µs".into())));
        assert_eq!((check("p50>0.7ms").0, check("mean>=1s").0, check("MAX < 1m").0), (true, false, true));
        assert_eq!(check("failed<1%"), (true, Some("0.000 %".into())));
        assert_eq!(check("failed<=0"), (true, Some("0".into())));
        assert!(!check("failed<0").0);
        assert_eq!(check("rate>=80k"), (true, Some("86430.2 responses/s".into())));
        assert!(!check("rate>90k").0);
    }

    #[test]
    fn what_is_not_known_is_not_kept() {
        let mut all = sample_metrics().all;
        (all.latency_of_due.p99_ms, all.due) = (None, None);
        for text in ["p99<200ms", "p99>0s", "failed<100%"] {
            let view = judged(&parse(text).expect(text), &all, 0.3);
            assert_eq!((view.kept, view.value), (Some(false), None), "{text}");
        }
    }
}
