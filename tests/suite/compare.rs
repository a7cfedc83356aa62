//! Two tests compared from their stored seconds.

use onrush_api::CompareView;
use serde_json::json;

use crate::harness::{Broker, System, beside_others};

pub fn two_tests_are_compared(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let (fast, slow) = (system.target(&["--delay", "5ms"]), system.target(&["--delay", "20ms"]));
    let (orchestrator, _drivers) = system.with_drivers(2);
    let run = |url: String| {
        let test = json!({
            "test_type": "AVALANCHE", "target_url": url, "target_throughput": 100, "duration": "10s", "connections": 16,
        });
        let test_id = orchestrator.start(&test);
        orchestrator.wait_for_end(&test_id);
        test_id
    };
    let (a, b) = (run(fast.url()), run(slow.url()));
    let path = format!("/v1/compare?a={a}&b={b}&skip=1&gate=p50%3C%2B100%25,rate%3E-50%25");
    let view: CompareView = orchestrator.get(&path);
    let row = |quantity: &str| view.rows.iter().find(|row| row.quantity == quantity).expect(quantity);
    let p50 = row("p50");
    assert!(p50.proven && p50.difference.is_some_and(|difference| difference > 1.0), "{view:#?}");
    // Two drivers' seconds, merged: as the totals say.
    for (value, test_id) in [(p50.a, &a), (p50.b, &b)] {
        let total = orchestrator.metrics(test_id).all.latency.median_ms;
        let (Some(value), Some(total)) = (value, total) else { panic!("{view:#?}") };
        assert!((value / total - 1.0).abs() < 0.1, "{value} and {total}");
    }
    let rate = row("rate");
    assert!(rate.a.is_some_and(|rate| (180.0..220.0).contains(&rate)), "{view:#?}");
    let verdicts: Vec<&str> = view.gates.iter().map(|gate| gate.verdict.as_str()).collect();
    assert_eq!(verdicts, ["broken", "kept"], "{view:#?}");
    assert!(view.remarks.iter().any(|remark| remark.contains("target_url")), "{view:#?}");

    let (status, problem) = orchestrator.try_get(&format!("/v1/compare?a={a}&b={b}&skip=8")).expect("an answer");
    assert!(status == 409 && problem.contains("let it run longer"), "{status} {problem}");
}
