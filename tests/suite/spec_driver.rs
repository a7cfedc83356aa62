//! A driver that knows only the specification, beside one of ours.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onrush_api::{DriverState, Outcome, TestState};
use onrush_protocol::Topic;
use serde_json::json;

use super::checks::tsunami;
use crate::harness::{Broker, Peer, System, beside_others, read_json};

const NAME: &str = "plain-driver";

/// What a modest program would do: announce itself, say now and then that it lives, report when it was triggered; and,
/// where it `leaves`, end without a word after its last report.
fn plain_driver(broker: &Broker, beats_every: Duration, leaves: bool, stop: &AtomicBool) {
    let peer = Peer::new(broker);
    peer.send_json(
        Topic::Register,
        &json!({"node_id": NAME, "node_IP": "10.1.2.3", "message_type": "DRIVER_NODE_REGISTER"}),
    );
    // The trigger may be read before its config: topics keep no order among one another.
    let (mut last_beat, mut configured, mut triggered, mut reports) = (None::<Instant>, None::<String>, None, 0);
    let mut last_report = None::<Instant>;
    while !(stop.load(Ordering::Relaxed) || leaves && reports == 3) {
        if last_beat.is_none_or(|beat| beat.elapsed() >= beats_every) {
            last_beat = Some(Instant::now());
            peer.send_json(
                Topic::Heartbeat,
                &json!({"node_id": NAME, "heartbeat": "YES", "timestamp": "2026-01-01 12:00:00"}),
            );
        }
        if last_report.is_none_or(|report| report.elapsed() >= Duration::from_millis(500)) {
            last_report = Some(Instant::now());
            let running = configured.as_ref().filter(|test_id| triggered.as_ref() == Some(*test_id));
            if let Some(test_id) = running.filter(|_| reports < 3) {
                reports += 1;
                // Some numbers as texts, one unknown.
                let metrics =
                    json!({"mean_latency": "2.5", "median_latency": 2, "min_latency": "1", "max_latency": null});
                let report = json!({"node_id": NAME, "test_id": test_id, "report_id": format!("r{reports}"), "metrics": metrics});
                peer.send_json(Topic::Metrics, &report);
            }
        }
        let Some(record) = peer.hear(Duration::from_millis(50)) else { continue };
        let Some(message) = read_json(&record) else { continue };
        match record.topic {
            Topic::TestConfig => configured = message["test_id"].as_str().map(str::to_owned),
            Topic::Trigger if message["trigger"] == "YES" => triggered = message["test_id"].as_str().map(str::to_owned),
            _ => {}
        }
    }
}

pub fn a_driver_of_the_bare_specification_takes_part(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(1);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Set when this closure ends, well or by a failure, so that the scope does.
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| plain_driver(broker, Duration::from_millis(500), false, &stop));
        // Its heartbeat may be read before its registration: topics keep no order among one another.
        let shown = orchestrator.wait_for_driver(NAME, "alive and registered", |driver| {
            driver.state == DriverState::Alive && driver.node_ip.is_some()
        });
        assert_eq!((shown.session_id, shown.version), (None, None), "what it does not say is unknown");
        assert_eq!(shown.node_ip.as_deref(), Some("10.1.2.3"));

        let test_id = orchestrator.start(&tsunami(&target.url(), 400, "5ms"));
        let test = orchestrator.wait_for_end(&test_id);
        assert_eq!(test.state, TestState::Completed, "{test:#?}");
        let metrics = orchestrator.metrics(&test_id);
        let of =
            |name: &str| metrics.drivers.iter().find(|scope| scope.node_id.as_deref() == Some(name)).expect("a row");
        let ours = of("driver-1");
        assert_eq!((ours.sent, ours.answered, ours.failed), (Some(400), Some(400), Some(0)));
        let plain = of(NAME);
        assert_eq!(
            (plain.sent, plain.answered, plain.failed, plain.bytes_sent),
            (None, None, None, None),
            "unknown is not zero"
        );
        assert_eq!((plain.latency.mean_ms, plain.latency.median_ms), (Some(2.5), Some(2.0)), "{plain:#?}");
        assert_eq!((plain.latency.min_ms, plain.latency.max_ms, plain.latency.p99_ms), (Some(1.0), None, None));
        assert!(plain.note.as_ref().is_some_and(|note| !note.is_empty()), "it does not say what is unknown");
        assert_eq!(target.counted().0, 400);
    });
}

/// It beats so seldom that ours would be lost, and is gone before the test is over: with its last report its part is done.
pub fn a_slow_driver_of_the_bare_specification_that_leaves_after_its_last_report(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(1);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| plain_driver(broker, Duration::from_secs(5), true, &stop));
        let shown = |what, is: fn(f64) -> bool| {
            orchestrator.wait_for_driver(NAME, what, |driver| {
                assert_ne!(driver.state, DriverState::Lost, "{driver:#?}");
                driver.state == DriverState::Alive && is(driver.heartbeat_age_s)
            })
        };
        // Long after one heartbeat, and shortly before the next.
        shown("there", |_| true);
        for _ in 0..2 {
            shown("just heard", |age_s| age_s < 1.0);
            shown("about to be heard again", |age_s| age_s > 4.0);
        }
        let test_id = orchestrator.start(&tsunami(&target.url(), 600, "5ms"));
        let test = orchestrator.wait_for_end(&test_id);
        assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Unproved)), "{test:#?}");
        assert!(!test.events.iter().any(|event| event.kind == "lost"), "{test:#?}");
        let part = test.participants.iter().find(|part| part.node_id == NAME).expect("it took part");
        assert_eq!(part.reports, 3, "{part:#?}");
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
