//! One line a second while a test runs.

use onrush_api::{ConfigView, MetricsView, ParticipantState, ScopeView, SecondView, TestView};

use super::numbers::{UNKNOWN, grouped, milliseconds, number_of, rate};
use crate::console::Line;

/// The line of a test: rate and latencies of this second, counts of the test so far.
pub fn progress_line(test: &TestView, second: &SecondView, totals: &MetricsView) -> Line {
    let share = share_done(test, totals);
    let line = progress_of(second.second_index, share, &second.all, totals.all.sent, totals.all.failed);
    match second.missing.as_slice() {
        [] => line,
        nodes => {
            let number = number_of(nodes.len() as u64, "driver");
            line.with(7, [format!("  without {}", nodes.join(", ")), format!("  without {number}")])
        }
    }
}

/// `  3 s   65 %  43,210 requests/s  sent 130,112  failed 0  p50 1.234 ms  p99 3.400 ms  schedule error p99 12.30 µs`:
/// what was measured in this second (`now`), and counts of all until then. `share_done` is 0 to 1; `None` stands for
/// what cannot be known. Where it does not fit, failures are the last to go.
pub fn progress_of(
    second_index: u64,
    share_done: Option<f64>,
    now: &ScopeView,
    sent: Option<u64>,
    failed: Option<u64>,
) -> Line {
    let share = share_done.map_or(String::new(), |share| format!("{:>3.0} %", (share * 100.0).floor()));
    let value = |ms: Option<f64>| ms.map_or(UNKNOWN.into(), milliseconds);
    let count = |n: Option<u64>| n.map_or(UNKNOWN.into(), grouped);
    let rate = now.responses_per_s.map_or(UNKNOWN.into(), rate);
    Line::default()
        .with(8, [format!("{:>4} s {share:>5}", second_index + 1)])
        .with(6, [format!("  {rate:>9} requests/s")])
        .with(3, [format!("  sent {:>9}", count(sent))])
        .with(9, [format!("  failed {}", count(failed))])
        .with(2, [format!("  p50 {:>8}", value(now.latency.median_ms))])
        .with(4, [format!("  p99 {:>8}", value(now.latency.p99_ms))])
        .with(1, [format!("  schedule error p99 {}", value(now.schedule_error.p99_ms))])
}

/// How much of the test is done, 0 to 1; `None` where it cannot be known.
fn share_done(test: &TestView, totals: &MetricsView) -> Option<f64> {
    let ConfigView { message_count_per_driver, .. } = &test.config;
    let runs = |state: ParticipantState| state != ParticipantState::Refused;
    let drivers = test.participants.iter().filter(|part| runs(part.state)).count() as f64;
    let by_count =
        message_count_per_driver.zip(totals.all.sent).map(|(count, sent)| sent as f64 / (count as f64 * drivers));
    let by_time = test.length_s().map(|duration| totals.elapsed_s / duration);
    let shares = [by_count, by_time].into_iter().flatten().filter(|share| share.is_finite());
    shares.reduce(f64::max).map(|share| share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use onrush_api::PhaseView;

    use super::super::{sample_metrics, sample_second, sample_test};
    use super::*;

    #[test]
    fn a_second_is_a_line() {
        let line = progress_line(&sample_test(), &sample_second(), &sample_metrics()).within(usize::MAX);
        let expected = "   3 s 100 %     86,420 requests/s  sent   200,000  failed 0  p50 741.4 µs  p99 2.105 ms  \
            schedule error p99 1.204 µs";
        assert_eq!(line, expected);
    }

    #[test]
    fn what_is_unknown_is_shown_as_such() {
        let (mut test, mut second, mut totals) = (sample_test(), sample_second(), sample_metrics());
        test.config.message_count_per_driver = None;
        test.phases = vec![PhaseView { from_s: 0.0, to_s: Some(30.0), load: "max".into() }];
        totals.elapsed_s = 3.0;
        (totals.all.sent, second.all.latency) = (None, Default::default());
        second.missing = vec!["driver-2".into()];
        let line = progress_line(&test, &second, &totals).within(usize::MAX);
        assert!(line.starts_with("   3 s  10 %") && line.ends_with("without driver-2"), "{line}");
        assert!(line.contains("sent         —"), "{line}");
    }
    #[test]
    fn a_narrow_terminal_keeps_the_failures() {
        let (test, mut second, mut totals) = (sample_test(), sample_second(), sample_metrics());
        totals.all.failed = Some(1_234_567);
        second.missing = vec!["driver-1.example.org".into(), "driver-2.example.org".into()];
        let line = progress_line(&test, &second, &totals);
        assert_eq!(line.within(80), "   3 s 100 %     86,420 requests/s  failed 1,234,567  without 2 drivers");
        assert_eq!(line.within(60), "   3 s 100 %  failed 1,234,567  without 2 drivers");
        assert_eq!(line.within(40), "   3 s 100 %  failed 1,234,567");
    }
}
