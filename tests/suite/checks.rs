//! What every result must stand: exact counts, seconds that add up, histograms that agree, a proof that holds.

use onrush_api::{
    DistributionView, MetricsView, Outcome, ScopeView, SecondView, SummaryView, TestState, TestView, Verdict,
};
use onrush_orchestrator::RunFile;
use onrush_stats::Distribution;
use serde_json::{Value, json};

use crate::harness::Rest;

/// An Avalanche on a target.
pub fn avalanche(target_url: &str, count: u64) -> Value {
    json!({"test_type": "AVALANCHE", "target_url": target_url, "message_count_per_driver": count, "connections": 8})
}

/// A Tsunami on a target.
pub fn tsunami(target_url: &str, count: u64, delay: &str) -> Value {
    json!({
        "test_type": "TSUNAMI", "target_url": target_url, "message_count_per_driver": count,
        "test_message_delay": delay, "connections": 8,
    })
}

/// A test that is over, whole and proved: `drivers` sent exactly `count` each, and every request was answered.
#[track_caller]
pub fn assert_exact(rest: &Rest, test_id: &str, drivers: usize, count: u64) -> MetricsView {
    let test = rest.test(test_id);
    assert_eq!(test.state, TestState::Completed, "{test:#?}");
    let metrics = rest.metrics(test_id);
    assert_eq!(metrics.drivers.len(), drivers, "{metrics:#?}");
    for scope in &metrics.drivers {
        assert_eq!(
            (scope.sent, scope.answered, scope.failed, scope.skipped),
            (Some(count), Some(count), Some(0), Some(0)),
            "{scope:#?}"
        );
    }
    let all = count * drivers as u64;
    assert_eq!((metrics.all.sent, metrics.all.answered, metrics.all.failed), (Some(all), Some(all), Some(0)));
    assert_proved(&test);
    assert_consistent(rest, test_id);
    metrics
}

/// The proof of conservation holds to the digit.
#[track_caller]
pub fn assert_proved(test: &TestView) {
    let conservation = test.conservation.as_ref().unwrap_or_else(|| panic!("no conservation: {test:#?}"));
    assert_eq!(test.outcome, Some(Outcome::Exact), "{conservation:#?}");
    assert!(conservation.line.starts_with("conservation: exact"), "{}", conservation.line);
    assert!(!conservation.checks.is_empty() && conservation.checks.iter().all(|check| check.verdict == Verdict::Exact));
}

/// Whoever gets the run as a file comes to the same result from nothing but the drivers' reports.
#[track_caller]
fn assert_verified(rest: &Rest, test_id: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run.onrush");
    std::fs::write(&path, rest.export(test_id)).expect("it can be written");
    let run = RunFile::open(&path, folder.path()).unwrap_or_else(|e| panic!("the export of {test_id}: {e}"));
    let verified = run.verify().unwrap_or_else(|e| panic!("the export of {test_id}: {e}"));
    assert_eq!(verified.differences, Vec::<String>::new());
    assert_eq!(verified.seconds as usize, rest.series(test_id).len());
}

/// Totals, seconds and histograms say the same, and so does what can be exported.
#[track_caller]
pub fn assert_consistent(rest: &Rest, test_id: &str) {
    let metrics = rest.metrics(test_id);
    let series = rest.series(test_id);
    let indices: Vec<u64> = series.iter().map(|second| second.second_index).collect();
    assert_eq!(indices, (0..series.len() as u64).collect::<Vec<_>>(), "the seconds have gaps");
    assert_adds_up(&metrics.all, series.iter().map(|second| &second.all));
    for scope in &metrics.drivers {
        let seconds = series.iter().flat_map(|second| &second.drivers).filter(|s| s.node_id == scope.node_id);
        assert_adds_up(scope, seconds);
    }
    let histogram = rest.histogram(test_id);
    assert_same_distribution(&histogram.latency, &metrics.all.latency);
    assert_same_distribution(&histogram.service_time, &metrics.all.service_time);
    assert_same_distribution(&histogram.schedule_error, &metrics.all.schedule_error);
    assert_eq!(Some(histogram.latency.count), metrics.all.responses, "one latency for each response");
    assert_eq!(Some(histogram.schedule_error.count), metrics.all.sent, "one schedule error for each request");
    assert_verified(rest, test_id);
}

#[track_caller]
fn assert_adds_up<'a>(total: &ScopeView, seconds: impl Iterator<Item = &'a ScopeView>) {
    let mut sums = [0; 12];
    let counts = |s: &ScopeView| {
        let asked = [s.due, s.sent, s.skipped, s.dropped];
        let became = [s.responses, s.answered, s.failed, s.resent, s.unsolicited];
        let moved = [s.connects, s.bytes_sent, s.bytes_received];
        let all: Vec<u64> = [&asked[..], &became, &moved].concat().into_iter().map(Option::unwrap_or_default).collect();
        <[u64; 12]>::try_from(all).expect("so many are named")
    };
    for second in seconds {
        sums.iter_mut().zip(counts(second)).for_each(|(sum, n)| *sum += n);
    }
    assert_eq!(sums, counts(total), "the seconds of {:?} do not add up", total.node_id);
    let responses: u64 = total.statuses.values().sum();
    let failures: u64 = total.failures.values().sum();
    assert_eq!((Some(responses), Some(failures)), (total.responses, total.failed), "{total:#?}");
    let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
    assert_eq!(sum(total.answered, total.failed), total.sent, "{total:#?}");
    assert_eq!(sum(sum(total.sent, total.skipped), total.dropped), total.due, "{total:#?}");
}

#[track_caller]
fn assert_same_distribution(whole: &DistributionView, summary: &SummaryView) {
    let histogram = onrush_protocol::decode_base64(&whole.hdr_v2_base64).expect("a histogram");
    assert_eq!(histogram.len(), whole.count);
    assert_eq!(Some(whole.count), summary.count);
    assert_eq!(whole.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), whole.count);
    let (min_ns, max_ns) = (whole.min_ns.unwrap_or(0), whole.max_ns.unwrap_or(0));
    let ours = Distribution::from_parts(histogram, whole.sum_ns, min_ns, max_ns).summary();
    let ours = ours.map_or(SummaryView { count: Some(0), ..SummaryView::default() }, |s| SummaryView {
        count: Some(s.count),
        mean_ms: Some(s.mean_ms),
        median_ms: Some(s.median_ms),
        min_ms: Some(s.min_ms),
        max_ms: Some(s.max_ms),
        p90_ms: Some(s.p90_ms),
        p95_ms: Some(s.p95_ms),
        p99_ms: Some(s.p99_ms),
        p999_ms: Some(s.p999_ms),
    });
    assert_eq!(&ours, summary, "the histogram and the numbers disagree");
}

/// What a driver measured in one second.
pub fn of_driver<'a>(second: &'a SecondView, node_id: &str) -> Option<&'a ScopeView> {
    second.drivers.iter().find(|scope| scope.node_id.as_deref() == Some(node_id))
}
