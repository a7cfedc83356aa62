//! What dies in mid-test: the orchestrator, a driver; and what comes twice.

use std::time::Duration;

use onrush_api::{DriverState, Outcome, ParticipantState, TestState};
use onrush_protocol::Topic;

use super::checks::{assert_consistent, assert_exact, avalanche, of_driver, tsunami};
use crate::harness::{Broker, Peer, System, beside_others, read_json};

pub fn orchestrator_killed_in_mid_test(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&tsunami(&target.url(), 1_500, "4ms"));
    orchestrator.wait_for_seconds(&test_id, 2);
    orchestrator.process.kill();
    drop(orchestrator);

    let orchestrator = system.orchestrator();
    assert_eq!(orchestrator.test(&test_id).state, TestState::Running, "killed too late for this test to mean anything");
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 1_500);
    assert_eq!(target.counted(), (3_000, 3_000));

    // And a third life shows the same.
    let before = orchestrator.metrics(&test_id);
    drop(orchestrator);
    let orchestrator = system.orchestrator();
    assert_eq!(orchestrator.metrics(&test_id), before);
    orchestrator.wait_for_idle(2);
    let next = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&next);
    assert_exact(&orchestrator, &next, 2, 100);
}

pub fn driver_killed_in_mid_test(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, mut drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&tsunami(&target.url(), 800, "10ms"));
    orchestrator.wait_for_seconds(&test_id, 2);
    drivers[1].kill();

    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Incomplete)), "{test:#?}");
    assert!(
        test.reason.as_ref().is_some_and(|reason| reason.contains("driver-2")),
        "it does not name the lost: {test:#?}"
    );
    for part in &test.participants {
        let expected = if part.node_id == "driver-2" { ParticipantState::Lost } else { ParticipantState::Completed };
        assert_eq!(part.state, expected, "{part:#?}");
    }
    let metrics = orchestrator.metrics(&test_id);
    let of = |name: &str| metrics.drivers.iter().find(|scope| scope.node_id.as_deref() == Some(name)).expect("a row");
    assert_eq!((of("driver-1").sent, of("driver-1").answered), (Some(800), Some(800)));
    let lost = of("driver-2").sent.expect("it had reported");
    assert!((100..800).contains(&lost), "{lost}");
    assert_eq!(metrics.all.sent, Some(800 + lost));
    assert_consistent(&orchestrator, &test_id);
    let shown = orchestrator.wait_for_driver("driver-2", "lost", |driver| driver.state == DriverState::Lost);
    assert!(shown.heartbeat_age_s >= 5.0, "{shown:#?}");
}

/// The new life of a driver is not taken for the old one: the old part is lost, and nothing counts twice.
pub fn driver_restarted_under_its_name(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, mut drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&tsunami(&target.url(), 600, "10ms"));
    orchestrator.wait_for_seconds(&test_id, 2);
    let old = orchestrator.wait_for_driver("driver-2", "running", |driver| driver.state == DriverState::Running);
    drivers[1].kill();
    drivers[1] = system.driver("driver-2", &[]);

    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Incomplete)), "{test:#?}");
    let part = test.participants.iter().find(|part| part.node_id == "driver-2").expect("it took part");
    assert_eq!((part.state, &part.session_id), (ParticipantState::Lost, &old.session_id), "{part:#?}");
    let metrics = orchestrator.metrics(&test_id);
    assert_eq!(metrics.drivers.len(), 2, "{metrics:#?}");
    let sent = |name: &str| metrics.drivers.iter().find(|s| s.node_id.as_deref() == Some(name)).and_then(|s| s.sent);
    assert_eq!(sent("driver-1"), Some(600));
    assert!(sent("driver-2").is_some_and(|n| n < 600), "{metrics:#?}");
    assert_consistent(&orchestrator, &test_id);
    let seconds = orchestrator.series(&test_id);
    assert!(
        seconds.iter().filter_map(|s| of_driver(s, "driver-2")).all(|s| s.sent.unwrap_or(0) <= 200),
        "counted twice"
    );

    // The new life takes part in the next test.
    orchestrator.wait_for_idle(2);
    let new = orchestrator.wait_for_driver("driver-2", "idle", |driver| driver.state == DriverState::Idle);
    assert_ne!(new.session_id, old.session_id);
    let test_id = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 100);
}

pub fn reports_replayed_in_any_order(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let peer = Peer::new(broker);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&tsunami(&target.url(), 500, "6ms"));

    // While it runs, everything that was reported is said again, and again.
    let (mut recorded, mut random) = (Vec::new(), fastrand::Rng::with_seed(7));
    while !orchestrator.test(&test_id).state.is_end() {
        while let Some(record) = peer.hear(Duration::from_millis(50)) {
            // What comes back is not recorded again: it would double every time.
            let is_new = record.topic == Topic::Metrics && !recorded.contains(&record.payload);
            if is_new && read_json(&record).is_some_and(|report| report["test_id"] == test_id.as_str()) {
                recorded.push(record.payload);
            }
        }
        random.shuffle(&mut recorded);
        recorded.iter().for_each(|report| peer.send(Topic::Metrics, report.clone()));
        peer.flush();
    }
    assert!(recorded.len() >= 4, "only {} reports of 2 drivers in 3 seconds", recorded.len());
    assert_exact(&orchestrator, &test_id, 2, 500);

    // And after its end. A further test is reported behind all of them.
    let (test, metrics) = (orchestrator.test(&test_id), orchestrator.metrics(&test_id));
    let series = orchestrator.series(&test_id);
    for _ in 0..3 {
        random.shuffle(&mut recorded);
        recorded.iter().for_each(|report| peer.send(Topic::Metrics, report.clone()));
    }
    peer.flush();
    let next = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&next);
    assert_exact(&orchestrator, &next, 2, 100);
    assert_eq!(orchestrator.metrics(&test_id), metrics);
    assert_eq!(orchestrator.series(&test_id), series);
    assert_eq!(orchestrator.test(&test_id), test);
    assert_eq!(target.counted(), (1_200, 1_200));
}
