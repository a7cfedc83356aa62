//! Garbage on every topic while a test runs.

use onrush_protocol::Topic;
use serde_json::{Value, json};

use super::checks::{assert_exact, avalanche, tsunami};
use crate::harness::{Broker, Peer, System, beside_others};

/// Payloads that make no sense on any topic.
fn nonsense() -> Vec<Vec<u8>> {
    vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"{\"test_id\":NaN,\"node_id\":NaN}".to_vec(),
        b"{}".to_vec(),
        vec![b'['; 500_000],
        json!({"node_id": "x".repeat(900_000)}).to_string().into(),
        json!({"node_id": {"a": 1}, "test_id": [1]}).to_string().into(),
        json!({"node_id": "n", "test_id": "t", "test_type": "AVALANCHE", "schema": 99}).to_string().into(),
    ]
}

/// Messages that speak of the running test or its drivers, each with one absurd value.
fn absurd(test_id: &str, session_id: &str) -> Vec<(Topic, Value)> {
    let mut messages = vec![
        (Topic::Register, json!({"node_id": "driver-1", "message_type": "SOMETHING"})),
        (Topic::Register, json!({"node_id": ["driver-1"]})),
        (Topic::Trigger, json!({"test_id": test_id, "trigger": "PERHAPS"})),
        (Topic::Trigger, json!({"test_id": test_id, "trigger": "NO", "start_at": -5, "schema": 2})),
        (Topic::TestConfig, json!({"test_id": test_id, "test_type": "EARTHQUAKE"})),
        (Topic::Heartbeat, json!({"node_id": "driver-1", "heartbeat": "PERHAPS"})),
        (Topic::Heartbeat, json!({"node_id": "driver-1", "heartbeat": "NO", "state": "DANCING"})),
        (Topic::Heartbeat, json!({"node_id": "driver-1", "heartbeat": "NO", "reports_waiting": -1})),
    ];
    for value in [json!(-1), json!(1e300), json!("NaN"), json!("x".repeat(900_000)), json!([]), json!(true)] {
        messages.push((
            Topic::Metrics,
            json!({"node_id": "driver-1", "test_id": test_id, "metrics": {"mean_latency": value, "max_latency": value}}),
        ));
        messages.push((
            Topic::Metrics,
            json!({
                "node_id": "driver-1", "test_id": test_id, "session_id": session_id, "sequence": value,
                "second_index": value, "started_at": 0, "counts": {"sent": value}, "totals": {},
            }),
        ));
        messages.push((
            Topic::TestConfig,
            json!({
                "test_id": test_id, "test_type": "TSUNAMI", "test_message_delay": value,
                "message_count_per_driver": value, "participants": value,
            }),
        ));
        messages.push((Topic::Trigger, json!({"test_id": test_id, "trigger": "YES", "start_at": value})));
    }
    // Wrong in `start_at` where the value is a truth value: no number. All of these are refused, none is a trigger.
    messages
}

pub fn garbage_on_every_topic_changes_nothing(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let peer = Peer::new(broker);
    let (mut orchestrator, mut drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&tsunami(&target.url(), 500, "8ms"));
    orchestrator.wait_for_seconds(&test_id, 1);
    let known = orchestrator.try_drivers().expect("drivers");
    let session_id = known.iter().find(|d| d.node_id == "driver-1").and_then(|d| d.session_id.clone()).expect("ours");
    for topic in Topic::ALL {
        nonsense().into_iter().for_each(|payload| peer.send(topic, payload));
    }
    for (topic, message) in absurd(&test_id, &session_id) {
        peer.send(topic, message.to_string());
    }
    peer.flush();
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 500);
    assert_eq!(target.counted(), (1_000, 1_000));

    // They saw it, counted it, and are as good as before.
    for node_id in ["driver-1", "driver-2"] {
        // On two topics, whatever makes no sense.
        let least = 2 * nonsense().len() as u64;
        orchestrator.wait_for_driver(node_id, "skipping", |d| d.messages_skipped.is_some_and(|n| n >= least));
    }
    let drivers_shown = orchestrator.try_drivers().expect("drivers");
    assert_eq!(drivers_shown.len(), 2, "garbage became a driver: {drivers_shown:#?}");
    let next = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&next);
    assert_exact(&orchestrator, &next, 2, 100);
    orchestrator.process.assert_running();
    drivers.iter_mut().for_each(|driver| driver.assert_running());
    let log = orchestrator.process.output();
    assert!(
        log.contains("skipped") || log.contains("cannot be read"),
        "the orchestrator does not say that it skipped:\n{log}"
    );
}
