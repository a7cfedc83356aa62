//! A run in which everything happens that the dashboards can show: answers, failures, requests that wait, a change of the
//! load, requests of two names, a stop, a driver that dies, and messages that nobody can read.

use onrush_api::{DriverState, Outcome, TestState};
use onrush_protocol::Topic;
use serde_json::{Value, json};

use super::prometheus::Prometheus;
use crate::harness::{Broker, Peer, System, TEST_END, alone, wait_for};

/// Lets it all happen under the eyes of a Prometheus, and looks at that while the nodes are still there.
pub fn play(look: impl FnOnce(&Prometheus)) {
    let _machine = alone();
    let broker = Broker::embedded();
    let system = System::new(&broker);
    let target = system.target(&["--delay", "20ms"]);
    let (mut orchestrator, mut drivers) = system.with_drivers(2);
    let url = target.url();
    let base = url.strip_suffix("/ping").expect("the target's address");
    let prometheus = Prometheus::start(&orchestrator.process.wait_for_address(), base);

    // No answer comes in time.
    let failing = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": url, "message_count_per_driver": 150, "test_message_delay": "20ms",
        "connections": 8, "timeout": "5ms", "name": "failures",
    }));
    assert_eq!(orchestrator.wait_for_end(&failing).state, TestState::Completed);
    // A test's series go when the next one runs.
    prometheus.catch_up();

    // More is due than two connections can carry: requests wait, and some are never sent.
    let peer = Peer::new(&broker);
    peer.send(Topic::Metrics, "not a message");
    peer.send(Topic::Heartbeat, "{\"node_id\": ");
    peer.flush();
    let overload = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": url, "duration": "3s", "test_message_delay": "5ms", "connections": 2,
        "name": "overload",
    }));
    assert_eq!(orchestrator.wait_for_end(&overload).state, TestState::Completed);
    assert!(orchestrator.metrics(&overload).all.skipped > Some(0), "{:#?}", orchestrator.metrics(&overload).all);
    prometheus.catch_up();

    let stopped = orchestrator.start(&json!({
        "test_type": "AVALANCHE", "target_url": url, "duration": "60s", "target_throughput": 200, "connections": 8,
        "thresholds": ["p99<5s over 2s", "rate>1M"], "name": "changed and stopped",
        "targets": [{"name": "home", "weight": 3}, {"url": "/missing", "expect": ["status=2xx"]}],
    }));
    orchestrator.wait_for_seconds(&stopped, 1);
    let change = json!({"profile": "30s@100..300, 30s@300", "effective_in": "2s"});
    orchestrator.patch(&format!("/v1/tests/{stopped}"), &change).expect("it runs");
    orchestrator.wait_for_seconds(&stopped, 6);
    orchestrator.stop(&stopped).expect("it runs");
    assert_eq!(orchestrator.wait_for_end(&stopped).state, TestState::Stopped);

    // No rate keeps what a target that takes 20 ms cannot keep: one trial tells an upper bound.
    let search: Value = orchestrator
        .post(
            "/v1/searches",
            json!({"target_url": url, "slo": "p99<5ms", "start": 20, "budget": "30s"}).to_string().as_bytes(),
        )
        .expect("drivers are there");
    let path = format!("/v1/searches/{}", search["search_id"].as_str().expect("a name"));
    wait_for("an upper bound", TEST_END, || {
        let found: Value = orchestrator.get(&path);
        if found["upper_per_s"].is_number() || found["state"] != "RUNNING" { Ok(()) } else { Err(format!("{found:#}")) }
    });
    prometheus.catch_up();
    // It may have ended by itself.
    let _ = orchestrator.post::<Value>(&format!("{path}/stop"), b"");
    orchestrator.wait_for_idle(2);

    let lossy = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": url, "message_count_per_driver": 600, "test_message_delay": "10ms",
        "connections": 8, "name": "a driver dies",
    }));
    orchestrator.wait_for_seconds(&lossy, 2);
    drivers[1].kill();
    assert_eq!(orchestrator.wait_for_end(&lossy).outcome, Some(Outcome::Incomplete));
    orchestrator.wait_for_driver("driver-2", "lost", |driver| driver.state == DriverState::Lost);

    prometheus.catch_up();
    look(&prometheus);
}
