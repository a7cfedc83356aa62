//! One line a second while a test runs.

use onrush_orchestrator::view::{ConfigView, MetricsView, ParticipantState, ScopeView, SecondView, TestView};

use super::numbers::{UNKNOWN, grouped, milliseconds, rate};

/// The line of a test: rate and latencies of this second, counts of the test so far.
pub fn progress_line(test: &TestView, second: &SecondView, totals: &MetricsView) -> String {
    let missing = match second.missing.as_slice() {
        [] => String::new(),
        nodes => format!("  without {}", nodes.join(", ")),
    };
    progress_of(second.second_index, share_done(test, totals), &second.all, totals.all.sent, totals.all.failed)
        + &missing
}

/// `  3 s   65 %  43,210 requests/s  sent 130,112  failed 0  p50 1.234 ms  p99 3.400 ms  schedule error p99 12.30 µs`:
/// what was measured in this second (`now`), and counts of all until then. `share_done` is 0 to 1; `None` stands for
/// what cannot be known.
pub fn progress_of(
    second_index: u64,
    share_done: Option<f64>,
    now: &ScopeView,
    sent: Option<u64>,
    failed: Option<u64>,
) -> String {
    let share = share_done.map_or(String::new(), |share| format!("{:>3.0} %", (share * 100.0).floor()));
    let value = |ms: Option<f64>| ms.map_or(UNKNOWN.into(), milliseconds);
    let count = |n: Option<u64>| n.map_or(UNKNOWN.into(), grouped);
    format!(
        "{:>4} s {share:>5}  {:>9} requests/s  sent {:>9}  failed {}  p50 {:>8}  p99 {:>8}  \
         schedule error p99 {}",
        second_index + 1,
        now.responses_per_s.map_or(UNKNOWN.into(), rate),
        count(sent),
        count(failed),
        value(now.latency.median_ms),
        value(now.latency.p99_ms),
        value(now.schedule_error.p99_ms),
    )
}

/// How much of the test is done, 0 to 1; `None` where it cannot be known.
fn share_done(test: &TestView, totals: &MetricsView) -> Option<f64> {
    let ConfigView { message_count_per_driver, duration_s, .. } = &test.config;
    let runs = |state: ParticipantState| state != ParticipantState::Refused;
    let drivers = test.participants.iter().filter(|part| runs(part.state)).count() as f64;
    let by_count =
        message_count_per_driver.zip(totals.all.sent).map(|(count, sent)| sent as f64 / (count as f64 * drivers));
    let by_time = duration_s.map(|duration| totals.elapsed_s / duration);
    let shares = [by_count, by_time].into_iter().flatten().filter(|share| share.is_finite());
    shares.reduce(f64::max).map(|share| share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::{sample_metrics, sample_second, sample_test};
    use super::*;

    #[test]
    fn a_second_is_a_line() {
        let line = progress_line(&sample_test(), &sample_second(), &sample_metrics());
        let expected = "   3 s 100 %     86,420 requests/s  sent   200,000  failed 0  p50 741.4 µs  p99 2.105 ms  \
            schedule error p99 1.204 µs";
        assert_eq!(line, expected);
    }

    #[test]
    fn what_is_unknown_is_shown_as_such() {
        let (mut test, mut second, mut totals) = (sample_test(), sample_second(), sample_metrics());
        test.config.message_count_per_driver = None;
        test.config.duration_s = Some(30.0);
        totals.elapsed_s = 3.0;
        (totals.all.sent, second.all.latency) = (None, Default::default());
        second.missing = vec!["driver-2".into()];
        let line = progress_line(&test, &second, &totals);
        assert!(line.starts_with("   3 s  10 %") && line.ends_with("without driver-2"), "{line}");
        assert!(line.contains("sent         —"), "{line}");
    }
}
