//! Tests of the report on a test that is made up.

use std::collections::BTreeMap;

use onrush_api::{BucketView, ConfigView, NameView, ScopeView, SecondView, Summaries, TargetCpuView, TestState};
use onrush_protocol::{RequestConfig, TestConfig, TestId, TestType};
use onrush_stats::{Counts, SecondStats};

use super::*;

const HOSTILE: &str = "</script><script>alert(1)</script><!-- {{script}} \u{2028}";

fn second(second_index: u64, drivers: usize) -> SecondView {
    let mut stats = SecondStats::default();
    stats.latency.record(1_000_000 + 1_000 * second_index);
    (stats.counts.sent, stats.counts.due) = (100, 100);
    stats.counts.in_flight = second_index;
    stats.counts.statuses.insert(200, 99);
    stats.counts.failures.insert(onrush_stats::FailureCause::Timeout, 1);
    let scope = |node_id: Option<String>| ScopeView { node_id, ..ScopeView::of(&stats, 1.0, 1.0) };
    SecondView {
        second_index,
        sealed_at: "2026-01-02T03:04:05Z".into(),
        missing: Vec::new(),
        late_reports: 0,
        target_cpu: Some(TargetCpuView { cores: 2, used_share: second_index as f64 / 1e4, waited_share: 0.0 }),
        all: ScopeView { by_name: names(second_index), ..scope(None) },
        drivers: (0..drivers).map(|index| scope(Some(format!("driver-{index}")))).collect(),
    }
}

/// More names than have lines, each sent as often as its number says.
fn names(second_index: u64) -> BTreeMap<String, NameView> {
    let mut names = onrush_stats::ByName::default();
    for sent in 1..=64 {
        let mut latency = onrush_stats::SparseDistribution::default();
        latency.record(1_000_000 * (second_index + 1));
        names.add(&format!("GET /name/{sent}"), &onrush_stats::NameStats { sent, latency, ..Default::default() });
    }
    NameView::of_all(&names.summaries(), 1.0)
}

fn report(seconds: u64, drivers: usize) -> Report {
    let mut config = TestConfig::new(TestId::new("t1").expect("a name"), TestType::Avalanche);
    config.target_url = Some("http://127.0.0.1:8080/ping".into());
    config.headers = vec![("Authorization".into(), "Bearer 1234".into()), ("Accept".into(), "text/plain".into())];
    config.requests =
        vec![RequestConfig { headers: vec![("x-api-KEY".into(), "5678".into())], ..RequestConfig::default() }];
    let mut points = Points::for_drivers(drivers);
    (0..seconds).for_each(|index| points.add(&second(index, drivers)));
    let empty = Summaries {
        latency: None,
        latency_of_due: onrush_stats::DueSummary::default(),
        service_time: None,
        schedule_error: None,
    };
    let all = ScopeView::of_numbers(&Counts::default(), &Default::default(), &empty, 1.0, 1.0);
    let distribution = || DistributionView {
        count: 3,
        sum_ns: 0,
        min_ns: None,
        max_ns: None,
        hdr_v2_base64: String::new(),
        buckets: vec![BucketView { up_to_ms: 1.5, count: 3 }],
    };
    Report {
        test: TestView {
            test_id: "t1".into(),
            name: Some(HOSTILE.into()),
            state: TestState::Completed,
            reason: None,
            config: ConfigView::from(&config),
            participants: Vec::new(),
            created_at: "2026-01-02T03:04:05Z".into(),
            imported_at: None,
            triggered_at: None,
            start_at: None,
            ended_at: None,
            start_skew_ms: None,
            outcome: None,
            conservation: None,
            thresholds: Vec::new(),
            amendments: Vec::new(),
            phases: Vec::new(),
            limit: None,
            events: Vec::new(),
        },
        totals: MetricsView {
            test_id: "t1".into(),
            state: TestState::Completed,
            elapsed_s: 1.0,
            all,
            drivers: Vec::new(),
        },
        points,
        distributions: HistogramView {
            test_id: "t1".into(),
            node_id: None,
            latency: distribution(),
            service_time: distribution(),
            schedule_error: distribution(),
        },
        machines: vec![Machine { name: HOSTILE.into(), facts: vec![("version", "1".into())] }],
        written_at: "2026-01-02T03:04:05Z".into(),
    }
}

/// What stands in the script element of that id.
fn content<'a>(html: &'a str, id: &str) -> &'a str {
    let (_, rest) = html.split_once(&format!("id=\"{id}\">")).expect("it is there");
    rest.split_once("</script>").expect("it ends").0
}

#[test]
fn nothing_of_a_test_becomes_markup_or_code() {
    let html = report(3, 2).html();
    assert_eq!(html.matches("<script").count(), 3 + PARTS.script.matches("<script").count(), "data, library and code");
    assert!(!PARTS.script.contains("</script") && !PARTS.script.contains("<!--"), "the code stays within its element");
    let data: Value = serde_json::from_str(content(&html, "data")).expect("it is JSON");
    assert_eq!(data["test"]["name"], HOSTILE);
    assert_eq!(data["machines"][0], json!({"name": HOSTILE, "facts": [["version", "1"]]}));
    assert_eq!(data["distribution"]["latency"], json!({"count": 3, "buckets": [[1.5, 3]]}));
    assert!(html.contains("<title>&lt;/script>&lt;script>alert(1)"), "the title is text, too");
}

#[test]
fn the_policy_names_what_the_file_runs_and_nothing_else() {
    let html = report(1, 1).html();
    let code =
        html.rsplit_once("<script>").and_then(|(_, rest)| rest.split_once("</script>")).expect("the code is last").0;
    let digest = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let (_, style) = html.split_once("class=\"no-inline-styles\">").expect("it has a style");
    let style = style.split_once("</style>").expect("it ends").0;
    for text in [code, style] {
        assert!(PARTS.policy.contains(&digest(text)), "a browser would not take it");
    }
    assert!(PARTS.policy.starts_with("default-src 'none'; ") && !PARTS.policy.contains("unsafe"), "{}", PARTS.policy);
    assert!(html.contains(&format!("content=\"{}\"", PARTS.policy)));
}

#[test]
fn secrets_are_hidden_and_nothing_else_is() {
    let html = report(1, 1).html();
    assert!(!html.contains("1234") && !html.contains("5678"), "the values of secret headers");
    let data: Value = serde_json::from_str(content(&html, "data")).expect("it is JSON");
    let config = &data["test"]["config"];
    assert_eq!(config["headers"], json!([["Authorization", HIDDEN], ["Accept", "text/plain"]]));
    assert_eq!(config["targets"][0]["headers"], json!([["x-api-KEY", HIDDEN]]));
}

#[test]
fn an_hour_of_eight_drivers_is_below_a_megabyte() {
    const MIB: usize = 1024 * 1024;
    let mut hour = report(3_600, 8);
    // Thirteen octaves of a thousand buckets each, every one of them hit.
    let buckets = (0..13_312).map(|index| BucketView { up_to_ms: 0.1 * 1.000_677_f64.powi(index), count: 2_000 });
    hour.distributions.latency.buckets = buckets.collect();
    hour.distributions.service_time = hour.distributions.latency.clone();
    let html = hour.html();
    assert!(html.len() < MIB, "{} bytes", html.len());
    assert!(report(3_600, 256).html().len() < MIB);
    assert!(report(3, 1).html().len() < html.len());
}

#[test]
fn buckets_that_look_the_same_are_one_and_none_is_lost() {
    let ends = [1.0, 1.001, 1.005, 1.0051, 2.0, 2.02, 9.0];
    let distribution = DistributionView {
        count: 7,
        buckets: ends.map(|up_to_ms| BucketView { up_to_ms, count: 1 }).into(),
        ..report(1, 1).distributions.latency
    };
    assert_eq!(curve(&distribution)["buckets"], json!([[1.005, 3], [1.0051, 1], [2.0, 1], [2.02, 1], [9.0, 1]]));
}

#[test]
fn points_add_counts_up_and_keep_the_worst() {
    let mut points = Points::for_drivers(1);
    (0..1_500).for_each(|index| points.add(&second(index, 1)));
    let columns = points.columns();
    assert_eq!(columns["width_s"], 4);
    let numbers = |path: &str| -> Vec<f64> {
        let column = columns.pointer(path).and_then(Value::as_array).expect(path);
        column.iter().map(|value| value.as_f64().expect("a number")).collect()
    };
    assert_eq!(numbers("/start_s")[..3], [0.0, 4.0, 8.0]);
    assert_eq!(numbers("/start_s").len(), 375);
    for (path, sum) in [("/seconds", 1_500.0), ("/drivers/driver-0/sent", 150_000.0), ("/failures/timeout", 1_500.0)] {
        assert_eq!(numbers(path).iter().sum::<f64>(), sum, "{path}");
    }
    assert_eq!(numbers("/drivers/driver-0/in_flight").last(), Some(&1_499.0));
    assert_eq!(numbers("/target_cpu/used_share").last(), Some(&0.1499));
    let lines = columns["names"].as_object().expect("names");
    assert_eq!(lines.len(), 8, "{lines:?}");
    assert_eq!(numbers("/names/GET ~1name~164/sent")[..2], [256.0, 256.0]);
    assert_eq!(numbers("/names/GET ~1name~157/p99_ms")[0].round(), 4.0);
    let worst: BTreeMap<u64, f64> = (0..375).zip(numbers("/latency/max_ms")).collect();
    assert!(worst[&374] > 2.49 && worst[&374] < 2.51 && worst[&0] < 1.01, "{worst:?}");
}
