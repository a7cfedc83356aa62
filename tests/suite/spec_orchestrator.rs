//! An orchestrator that knows only the specification drives our driver.

use onrush_protocol::Topic;
use serde_json::{Value, json};

use crate::harness::{Broker, Peer, SOON, System, TEST_END, beside_others};

fn config(test_id: &str, count: u64) -> Value {
    // One number as a text.
    json!({
        "test_id": test_id, "test_type": "AVALANCHE", "test_message_delay": 0,
        "message_count_per_driver": count.to_string(),
    })
}

#[track_caller]
fn wait_for_registration(peer: &Peer, node_id: &str) {
    peer.hear_until("the driver's registration", SOON, |topic, message| {
        (topic == Topic::Register && message["node_id"] == node_id).then_some(())
    });
}

/// The driver's last report of a test, with the four numbers of the specification.
#[track_caller]
fn wait_for_last_report(peer: &Peer, test_id: &str) -> Value {
    let report = peer.hear_until("the final report", TEST_END, |topic, message| {
        let is_last = topic == Topic::Metrics && message["test_id"] == test_id && message["end"].is_string();
        is_last.then(|| message.clone())
    });
    for name in ["mean_latency", "median_latency", "min_latency", "max_latency"] {
        assert!(report["metrics"][name].as_f64().is_some_and(|ms| ms > 0.0), "{name} in {report}");
    }
    assert_eq!(report["end"], "COMPLETED", "{report}");
    report
}

pub fn a_bare_config_and_trigger(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let peer = Peer::new(broker);
    let mut driver = system.driver("driver-1", &["--target-url", &target.url()]);
    wait_for_registration(&peer, "driver-1");
    for (round, count) in [(1, 500), (2, 1)] {
        let test_id = format!("plain-{round}");
        peer.send_json(Topic::TestConfig, &config(&test_id, count));
        peer.send_json(Topic::Trigger, &json!({"test_id": test_id, "trigger": "YES"}));
        let report = wait_for_last_report(&peer, &test_id);
        assert_eq!(report["totals"]["sent"], count, "{report}");
    }
    peer.send_json(
        Topic::TestConfig,
        &json!({"test_id": "plain-3", "test_type": "tsunami", "test_message_delay": "0.002", "message_count_per_driver": 100}),
    );
    peer.send_json(Topic::Trigger, &json!({"test_id": "plain-3", "trigger": "yes"}));
    wait_for_last_report(&peer, "plain-3");
    // Without a delay, as fast as it can.
    peer.send_json(
        Topic::TestConfig,
        &json!({"test_id": "plain-4", "test_type": "TSUNAMI", "test_message_delay": "0", "message_count_per_driver": 100}),
    );
    peer.send_json(Topic::Trigger, &json!({"test_id": "plain-4", "trigger": "YES"}));
    wait_for_last_report(&peer, "plain-4");
    assert_eq!(target.counted(), (701, 701));
    driver.assert_running();
}

pub fn a_trigger_that_overtakes_its_config(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let peer = Peer::new(broker);
    let _driver = system.driver("driver-1", &["--target-url", &target.url()]);
    wait_for_registration(&peer, "driver-1");
    peer.send_json(Topic::Trigger, &json!({"test_id": "overtaken", "trigger": "YES"}));
    // The driver has read the trigger when it answers to something sent behind it on the same topic; its next
    // heartbeats come after that.
    let mut heartbeats = 0;
    peer.hear_until("two heartbeats", SOON, |topic, _| {
        heartbeats += u32::from(topic == Topic::Heartbeat);
        (heartbeats == 2).then_some(())
    });
    assert_eq!(target.counted().0, 0, "it cannot know what to send");
    peer.send_json(Topic::TestConfig, &config("overtaken", 250));
    let report = wait_for_last_report(&peer, "overtaken");
    assert_eq!(report["totals"]["answered"], 250, "{report}");
    assert_eq!(target.counted(), (250, 250));
}
