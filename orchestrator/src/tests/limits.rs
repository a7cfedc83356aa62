//! However much is stored and however many ask, an answer has its bounds.

use std::collections::BTreeMap;

use onrush_stats::{Distribution, empty_histogram};

use super::stored::save;
use super::*;
use crate::aggregate::{DriverPart, SealedSecond};
use crate::record::TestRecord;
use crate::second::SecondNumbers;
use crate::store::{Durability, Store, save_sealed};
use crate::testing::{node, running};

/// A page, and some more for what is not counted.
const MAX_PAGE_BYTES: usize = 5 * 1024 * 1024;

fn ended(id: &str) -> TestRecord {
    TestRecord { state: crate::state::TestState::Completed, ..running(id, 1, &["a"]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_short_whatever_the_tests_hold_and_goes_on_by_its_links() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onrush.db");
    let tests = (0..450).map(|n| {
        let mut test = ended(&format!("t{n:03}"));
        test.config.target_url = Some(format!("http://h/{}", "x".repeat(16_000)));
        test.config.body = Some(vec![b'x'; 100_000]);
        test.reason = Some("y".repeat(10_000));
        test
    });
    save(&path, &tests.collect::<Vec<_>>());
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &path).await;
    let (mut next, mut ids, mut pages) = (Some("/v1/tests?limit=500".to_owned()), Vec::new(), 0);
    while let Some(page) = next.take() {
        let answer = http::get(orchestrator.address(), &page);
        assert_eq!(answer.status, 200);
        assert!(answer.body.len() < MAX_PAGE_BYTES, "{} bytes", answer.body.len());
        ids.extend(answer.json().as_array().unwrap().iter().map(|test| test["test_id"].as_str().unwrap().to_owned()));
        let link = answer.header("link").and_then(|link| link.strip_prefix('<')?.strip_suffix(">; rel=\"next\""));
        next = link.map(str::to_owned);
        pages += 1;
    }
    let all: Vec<String> = (0..450).rev().map(|n| format!("t{n:03}")).collect();
    assert_eq!(ids, all);
    assert!((2..10).contains(&pages), "{pages} pages");
    orchestrator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_seconds_is_bounded_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onrush.db");
    save(&path, &[ended("t")]);
    let mut store = Store::open(&path).unwrap();
    let transaction = store.begin(Durability::Process).unwrap();
    let parts: BTreeMap<_, _> = (0..50).map(|n| (node(&format!("driver-{n}")), DriverPart::default())).collect();
    for second_index in 0..300 {
        let second = SealedSecond {
            second_index,
            missing: Vec::new(),
            late_reports: 0,
            sealable_since: None,
            parts: parts.clone(),
            target: None,
        };
        let numbers = SecondNumbers::of(&second, &DriverPart::default(), 1000.0);
        save_sealed(&transaction, &test_id("t"), &numbers, &DriverPart::default()).unwrap();
    }
    transaction.commit().unwrap();
    drop(store);
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &path).await;
    let (mut from, mut seconds, mut pages) = (Some(0), Vec::new(), 0);
    while let Some(first) = from.take() {
        let answer = http::get(orchestrator.address(), &format!("/v1/tests/t/series?limit=3600&from={first}"));
        assert!(answer.body.len() < MAX_PAGE_BYTES, "{} bytes", answer.body.len());
        let page = answer.json();
        seconds.extend(page["seconds"].as_array().unwrap().iter().map(|s| s["second_index"].as_u64().unwrap()));
        from = page["next_from"].as_u64();
        pages += 1;
    }
    assert_eq!(seconds, (0..300).collect::<Vec<_>>());
    assert!(pages > 1, "all of it came at once");
    orchestrator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_values_than_a_test_has_requests_are_shown_all_the_same() {
    const MOST: u64 = onrush_protocol::limits::MAX_COUNT;
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &folder.path().join("onrush.db")).await;
    let handle = orchestrator.handle();
    // As many as one report may have, in each.
    let measure = |second: u64| {
        let mut histogram = empty_histogram();
        histogram.record_n(1_000_000 + second, MOST).unwrap();
        let many = Distribution::from_parts(histogram, u64::MAX, 1_000_000, 1_000_100);
        SecondStats { latency: many.clone(), service_time: many.clone(), schedule_error: many, ..stats(&[1]) }
    };
    let _drivers = ["a", "b"].map(|name| Driver::measuring(&broker, name, 3, measure));
    until_registered(&handle, 2).await;
    handle.create(new("t", 3)).await.unwrap();
    until_ended(&handle, "t").await;
    for what in ["metrics", "series", "histogram", "histogram?driver=a"] {
        let answer = http::get(orchestrator.address(), &format!("/v1/tests/t/{what}"));
        assert_eq!(answer.status, 200, "{what}: {}", answer.detail());
    }
    let metrics = http::get(orchestrator.address(), "/v1/tests/t/metrics").json();
    assert_eq!(metrics["all"]["latency"]["count"], 6 * MOST);
    assert_eq!(http::get(orchestrator.address(), "/metrics").status, 200);
    orchestrator.shutdown().await;
}

/// Descriptors of this process that are open on files of this folder.
fn descriptors(folder: &Path) -> usize {
    let links =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.starts_with(folder)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_questions_opens_the_store_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("onrush.db");
    save(&path, &(0..50).map(|n| ended(&format!("t{n}"))).collect::<Vec<_>>());
    let broker = EmbeddedBroker::start("").unwrap();
    let orchestrator = orchestrator(&broker, &path).await;
    let address = orchestrator.address();
    assert_eq!(http::get(address, "/v1/tests").status, 200);
    let before = descriptors(folder.path());
    let ask = move || {
        for path in ["/v1/tests?limit=50", "/v1/tests/t1", "/v1/tests/t1/metrics", "/v1/tests/t1/histogram"] {
            let answer = http::get(address, path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.detail());
        }
    };
    let threads: Vec<_> = (0..200).map(|_| std::thread::spawn(ask)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let after = descriptors(folder.path());
    assert!(after <= before && before <= 12, "{before} descriptors, then {after}");
    orchestrator.shutdown().await;
}
