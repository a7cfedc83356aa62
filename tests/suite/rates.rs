//! Rates: never above what was asked for, and kept whatever the broker does.

use std::time::Duration;

use onrush_api::SecondView;
use serde_json::json;

use super::checks::{assert_exact, of_driver};
use crate::harness::{Broker, System, alone};

/// What a driver sent in each second.
fn sent_by(series: &[SecondView], node_id: &str) -> Vec<u64> {
    series.iter().map(|second| of_driver(second, node_id).and_then(|scope| scope.sent).unwrap_or(0)).collect()
}

/// A machine that stands still for a moment makes a second low that nobody may make up for: the mean is therefore
/// given some tries. The limit is not.
pub fn target_throughput_is_never_exceeded(broker: &Broker) {
    const LIMIT: u64 = 500;
    const SECONDS: u64 = 5;
    const TRIES: usize = 5;
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    for (kind, delay) in [("AVALANCHE", "0s"), ("TSUNAMI", "1ms")] {
        let mut seen = Vec::new();
        let kept = (0..TRIES).any(|_| {
            let test_id = orchestrator.start(&json!({
                "test_type": kind, "target_url": target.url(), "message_count_per_driver": LIMIT * SECONDS,
                "target_throughput": LIMIT, "test_message_delay": delay, "connections": 8,
            }));
            orchestrator.wait_for_end(&test_id);
            assert_exact(&orchestrator, &test_id, 2, LIMIT * SECONDS);
            let series = orchestrator.series(&test_id);
            let mut both_kept = true;
            for node_id in ["driver-1", "driver-2"] {
                let sent = sent_by(&series, node_id);
                assert!(sent.iter().all(|n| *n <= LIMIT), "{kind}, {node_id}: a second above {LIMIT}: {sent:?}");
                let in_full_seconds: u64 = sent[..SECONDS as usize].iter().sum();
                both_kept &= in_full_seconds as f64 >= (LIMIT * SECONDS) as f64 * 0.995;
                seen.push(sent);
            }
            both_kept
        });
        assert!(kept, "{kind}: in none of {TRIES} runs is the mean within 0.5 % of {LIMIT}: {seen:?}");
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
        let sent = sent_by(&series, node_id);
        assert!(sent.len() as u64 >= SECONDS, "{node_id}: seconds are missing: {sent:?}");
        // A driver that waited for the broker would be ten seconds behind. A busy machine makes it late by part of
        // one, and a schedule is caught up with.
        let mut so_far = 0;
        for (second, n) in (1..=SECONDS).zip(&sent) {
            so_far += n;
            let (due, behind) = (PER_S * second, PER_S);
            assert!((due - behind..=due).contains(&so_far), "{node_id} faltered in second {second}: {sent:?}");
        }
        assert!(sent[..SECONDS as usize].iter().all(|n| *n > 0), "{node_id} stood still: {sent:?}");
    }
    drivers.iter_mut().for_each(|driver| driver.assert_running());
}
