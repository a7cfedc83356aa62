//! Rates: never above what was asked for, and kept whatever the broker does.

use std::time::Duration;

use super::checks::{assert_exact, of_driver};
use crate::harness::{Broker, System, alone};
use serde_json::json;

pub fn target_throughput_is_never_exceeded(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    for (kind, delay) in [("AVALANCHE", "0s"), ("TSUNAMI", "1ms")] {
        let test_id = orchestrator.start(&json!({
            "test_type": kind, "target_url": target.url(), "message_count_per_driver": 2_500, "target_throughput": 500,
            "test_message_delay": delay, "connections": 8,
        }));
        orchestrator.wait_for_end(&test_id);
        assert_exact(&orchestrator, &test_id, 2, 2_500);
        let series = orchestrator.series(&test_id);
        for node_id in ["driver-1", "driver-2"] {
            let sent: Vec<u64> = series.iter().filter_map(|s| of_driver(s, node_id)).filter_map(|s| s.sent).collect();
            let full = &sent[..5];
            assert!(full.iter().all(|n| *n <= 500), "{kind}, {node_id}: a second above 500: {sent:?}");
            let mean = full.iter().sum::<u64>() as f64 / 5.0;
            assert!(mean >= 497.5, "{kind}, {node_id}: {mean} is more than 0.5 % below: {sent:?}");
        }
    }
}

/// The broker dies for ten seconds: the drivers go on sending, and report it all when it is back.
pub fn sending_does_not_falter_without_the_broker(broker: &Broker) {
    const PER_S: u64 = 200;
    const SECONDS: u64 = 20;
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, mut drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&json!({
        "test_type": "TSUNAMI", "target_url": target.url(), "message_count_per_driver": PER_S * SECONDS,
        "test_message_delay": "5ms", "connections": 8,
    }));
    orchestrator.wait_for_seconds(&test_id, 2);
    broker.die_for(Duration::from_secs(10));
    let test = orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, PER_S * SECONDS);
    assert_eq!(target.counted().0, 2 * PER_S * SECONDS);
    assert!(test.participants.iter().all(|part| part.reason.is_none()), "{test:#?}");

    let series = orchestrator.series(&test_id);
    for node_id in ["driver-1", "driver-2"] {
        let sent: Vec<u64> = series.iter().map(|s| of_driver(s, node_id).and_then(|s| s.sent).unwrap_or(0)).collect();
        assert!(sent.len() as u64 >= SECONDS, "{node_id}: seconds are missing: {sent:?}");
        // A busy machine may push some requests over a second's edge; a driver that waited would show a hole.
        let steady = sent[..SECONDS as usize].iter().all(|n| (PER_S * 8 / 10..=PER_S * 12 / 10).contains(n));
        assert!(steady, "{node_id} faltered: {sent:?}");
    }
    drivers.iter_mut().for_each(|driver| driver.assert_running());
}
