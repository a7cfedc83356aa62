//! Figures by the name of the request: of each driver, and over all.

use std::collections::BTreeMap;

use onrush_api::{NameView, Outcome, ScopeView, TestState, Verdict};
use onrush_stats::{MAX_NAMES, OTHER};
use serde_json::{Value, json};

use super::checks::assert_consistent;
use crate::harness::{Broker, System, beside_others};

/// One endpoint is slow, another fails, a third has a name that it was given: each has figures of its own, and they add up.
pub fn names_have_figures_that_add_up(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&["--delay", "20ms"]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "delay": "2ms", "requests": 600, "connections": 32, "target_url": target.url(),
        "targets": [{"name": "slow"}, {"url": "/missing?a=1", "expect": ["status=2xx"]}, {"url": "/missing?b=2"}],
        "thresholds": ["failed{GET /missing}<60%", "p50{slow}>=20ms", "failed{slow}<=0"],
    }));
    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Exact)), "{test:#?}");
    // The target counts requests of its own paths alone.
    let checks = test.conservation.iter().flat_map(|proof| &proof.checks);
    let inner = checks.filter(|check| check.node_id.is_some() || check.name.starts_with("merged"));
    assert!(inner.clone().all(|check| check.verdict == Verdict::Exact), "{test:#?}");
    let names = inner.filter(|check| check.name == "names add up to the whole");
    assert_eq!(names.map(|check| (check.expected, check.actual)).collect::<Vec<_>>(), [(Some(600), Some(600)); 2]);
    assert!(test.thresholds.iter().all(|threshold| threshold.kept == Some(true)), "{:#?}", test.thresholds);

    let metrics = orchestrator.metrics(&test_id);
    for (scope, share) in metrics.drivers.iter().map(|scope| (scope, 200)).chain([(&metrics.all, 400)]) {
        let [missing, slow] = ["GET /missing", "slow"].map(|name| &scope.by_name[name]);
        assert_eq!(scope.by_name.len(), 2, "{scope:#?}");
        assert_eq!((slow.sent, slow.answered, slow.failed), (share, share, 0), "{slow:#?}");
        assert_eq!((missing.sent, missing.answered, missing.failed), (2 * share, share, share), "{missing:#?}");
        assert_eq!(missing.failures, [("check_failed".to_owned(), share)].into());
        assert_eq!((&slow.statuses, &missing.statuses), (&[(200, share)].into(), &[(404, 2 * share)].into()));
        assert!(slow.latency.min_ms.is_some_and(|ms| ms >= 20.0), "{slow:#?}");
        assert!(missing.latency.median_ms < slow.latency.min_ms, "{missing:#?}");
        assert_whole(scope);
    }
    let seconds = orchestrator.series(&test_id);
    seconds.iter().for_each(|second| assert_whole(&second.all));
    for (name, total) in &metrics.all.by_name {
        let of = seconds.iter().filter_map(|second| second.all.by_name.get(name));
        let sums =
            of.fold([0; 3], |[sent, answered, failed], n| [sent + n.sent, answered + n.answered, failed + n.failed]);
        assert_eq!(sums, [total.sent, total.answered, total.failed], "the seconds of {name} do not add up");
    }
    assert_consistent(&orchestrator, &test_id);

    // What was stored is the same.
    drop(orchestrator);
    let orchestrator = system.orchestrator();
    assert_eq!(orchestrator.metrics(&test_id).all.by_name, metrics.all.by_name);
}

/// Of 10,000 names 64 are told apart; the rest is counted together, and nothing is lost.
pub fn ten_thousand_names_are_bounded(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let targets: Vec<Value> = (0..10_000).map(|k| json!({"url": format!("/{k}")})).collect();
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "delay": "200us", "requests": 10_000, "connections": 8,
        "target_url": target.url(), "targets": targets,
    }));
    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Exact)), "{test:#?}");
    let metrics = orchestrator.metrics(&test_id);
    for (scope, drivers) in metrics.drivers.iter().map(|scope| (scope, 1)).chain([(&metrics.all, 2)]) {
        assert_eq!(scope.by_name.len(), MAX_NAMES + 1);
        assert_eq!(scope.by_name["GET /63"].sent, drivers);
        assert_eq!(scope.by_name[OTHER].sent, (10_000 - MAX_NAMES as u64) * drivers);
        assert_whole(scope);
    }
}

/// The names of a scope add up to it.
#[track_caller]
fn assert_whole(scope: &ScopeView) {
    let sum = |of: fn(&NameView) -> u64| Some(scope.by_name.values().map(of).sum::<u64>());
    assert_eq!((sum(|n| n.sent), sum(|n| n.responses)), (scope.sent, scope.responses), "{scope:#?}");
    assert_eq!((sum(|n| n.answered), sum(|n| n.failed)), (scope.answered, scope.failed), "{scope:#?}");
    assert_eq!(sum(|n| n.latency.count.unwrap_or(0)), scope.latency.count, "{scope:#?}");
    let (mut statuses, mut failures) = (BTreeMap::new(), BTreeMap::new());
    for name in scope.by_name.values() {
        name.statuses.iter().for_each(|(status, n)| *statuses.entry(*status).or_insert(0) += n);
        name.failures.iter().for_each(|(cause, n)| *failures.entry(cause.clone()).or_insert(0) += n);
    }
    assert_eq!((&statuses, &failures), (&scope.statuses, &scope.failures), "{scope:#?}");
}
