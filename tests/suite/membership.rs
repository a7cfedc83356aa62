//! Who takes part: enough drivers, not too many, and those that come and go.

use onrush_api::{DriverState, ParticipantState, TestState};
use onrush_protocol::Topic;
use serde_json::json;

use super::checks::{assert_exact, avalanche, tsunami};
use crate::harness::{Broker, Peer, SOON, System, alone, beside_others, wait_for};

pub fn eight_drivers_run_and_a_ninth_is_rejected(broker: &Broker) {
    let _machine = alone();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(8);
    let mut ninth = system.driver("driver-9", &[]);
    let shown = orchestrator.wait_for_driver("driver-9", "rejected", |driver| driver.state == DriverState::Rejected);
    assert!(shown.reason.as_ref().is_some_and(|reason| reason.contains('8')), "{shown:#?}");

    let test_id = orchestrator.start(&avalanche(&target.url(), 1_000));
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 8, 1_000);
    assert_eq!(target.counted(), (8_000, 8_000), "the ninth took part");
    let participants = orchestrator.test(&test_id).participants;
    assert!(participants.iter().all(|part| part.node_id != "driver-9"), "{participants:#?}");
    ninth.assert_running();
}

pub fn one_driver_alone_is_too_few(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, mut drivers) = system.with_drivers(1);

    let refusal = orchestrator.create(&{
        let mut test = avalanche(&target.url(), 10);
        test["trigger"] = true.into();
        test
    });
    let refusal = refusal.expect_err("one driver is too few");
    assert_eq!(refusal.status, 409, "{refusal:?}");
    assert!(refusal.detail().contains('1'), "it does not say how many are missing: {refusal:?}");
    assert!(orchestrator.tests().is_empty(), "a refused test is left behind");

    let test = orchestrator.create(&avalanche(&target.url(), 10)).expect("a test may wait for its drivers");
    let refusal = orchestrator.trigger(&test.test_id).expect_err("one driver is too few");
    assert_eq!((refusal.status, refusal.content_type.as_str()), (409, "application/problem+json"));
    assert!(refusal.detail().contains('1'), "it does not say how many are missing: {refusal:?}");
    assert_eq!(orchestrator.test(&test.test_id).state, TestState::Configured);

    // With a second driver the same test runs.
    drivers.push(system.driver("driver-2", &[]));
    let triggered = wait_for("the trigger to be taken", SOON, || {
        orchestrator.trigger(&test.test_id).map_err(|refusal| format!("{refusal:?}"))
    });
    orchestrator.wait_for_end(&triggered.test_id);
    assert_exact(&orchestrator, &test.test_id, 2, 10);
    assert_eq!(target.counted(), (20, 20));
}

pub fn a_driver_that_joins_in_mid_test_waits_for_the_next(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, mut drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&tsunami(&target.url(), 500, "10ms"));
    orchestrator.wait_for_seconds(&test_id, 1);
    drivers.push(system.driver("driver-3", &[]));
    orchestrator.wait_for_driver("driver-3", "idle", |driver| driver.state == DriverState::Idle);
    assert_eq!(
        orchestrator.test(&test_id).state,
        TestState::Running,
        "it joined too late for this test to mean anything"
    );
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 500);

    orchestrator.wait_for_idle(3);
    let test_id = orchestrator.start(&avalanche(&target.url(), 100));
    let test = orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 3, 100);
    assert!(test.participants.iter().all(|part| part.state == ParticipantState::Completed), "{test:#?}");
}

/// A driver hears the config and trigger that are sent in the very moment it is first seen.
pub fn a_test_right_after_registration_is_received(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let orchestrator = system.orchestrator();
    for round in 1..=3 {
        let drivers = [1, 2].map(|n| system.driver(&format!("round-{round}-driver-{n}"), &[]));
        let mut test = avalanche(&target.url(), 50);
        test["trigger"] = true.into();
        // Asked for until both are there: taken in the first moment that it can be.
        let created = wait_for("both drivers to be taken", SOON, || {
            orchestrator.create(&test).map_err(|refusal| format!("{refusal:?}"))
        });
        orchestrator.wait_for_end(&created.test_id);
        assert_exact(&orchestrator, &created.test_id, 2, 50);
        assert_eq!(target.counted().0, round * 100);
        // They say goodbye, so that the next round does not count on them.
        for mut driver in drivers {
            driver.interrupt();
            assert!(driver.wait_for_end(SOON).success());
        }
        orchestrator.wait_for_idle(0);
    }
}

/// Whoever may write to the topics can announce any number of drivers. Real ones get in, and what is shown stays small.
pub fn a_flood_of_registrations_shuts_nobody_out(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let peer = Peer::new(broker);
    let orchestrator = system.orchestrator();
    let long = "x".repeat(400_000);
    for i in 0..3_000 {
        let address = if i % 100 == 0 { long.as_str() } else { "192.0.2.1" };
        let register =
            json!({"node_id": format!("flood-{i}"), "node_IP": address, "message_type": "DRIVER_NODE_REGISTER"});
        peer.send(Topic::Register, register.to_string());
        peer.send(Topic::Heartbeat, json!({"node_id": format!("passer-by-{i}"), "heartbeat": "YES"}).to_string());
    }
    peer.flush();
    let _drivers = [1, 2].map(|n| system.driver(&format!("driver-{n}"), &[]));
    orchestrator.wait_for_idle(2);
    let test_id = orchestrator.start(&avalanche(&target.url(), 50));
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 50);

    let (status, drivers) = orchestrator.try_get("/v1/drivers").expect("an answer");
    assert_eq!(status, 200);
    assert!(drivers.len() < 1_000_000, "{} bytes", drivers.len());
    let known = orchestrator.try_drivers().expect("drivers").len();
    assert!(known <= 1_000, "{known} drivers");
    let (_, series) = orchestrator.try_get("/metrics").expect("an answer");
    assert!(series.lines().count() < 5_000, "{} lines", series.lines().count());
    assert!(series.contains("another driver forgotten for it"), "it is not counted");
    let log = orchestrator.process.output();
    assert!(log.contains("another driver forgotten for it"), "it is not said:\n{log}");
    assert!(log.lines().count() < 300, "{} lines of log", log.lines().count());
}
