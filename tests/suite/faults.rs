//! Nodes that stand still for a while, and come back.

use std::time::{Duration, Instant};

use onrush_api::{DriverState, Outcome, StoppedView, TestState, Verdict};
use onrush_protocol::Topic;
use serde_json::json;

use super::checks::{assert_exact, avalanche, tsunami};
use crate::harness::{Broker, Peer, SOON, System, beside_others};

/// Longer than the silence that makes a driver lost.
const PAUSE: Duration = Duration::from_secs(8);

/// Whoever did not listen has no reason to take the others for gone.
pub fn an_orchestrator_that_stood_still_loses_nobody(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    for round in 1..=3 {
        orchestrator.process.pause();
        std::thread::sleep(PAUSE);
        orchestrator.process.resume();
        // The very first thing that it is asked.
        let test_id = orchestrator.start(&avalanche(&target.url(), 200));
        orchestrator.wait_for_end(&test_id);
        assert_exact(&orchestrator, &test_id, 2, 200);
        assert_eq!(target.counted().0, round * 400);
        orchestrator.wait_for_idle(2);
    }
    let test_id = orchestrator.start(&tsunami(&target.url(), 1_200, "10ms"));
    orchestrator.wait_for_seconds(&test_id, 1);
    orchestrator.process.pause();
    std::thread::sleep(PAUSE);
    orchestrator.process.resume();
    assert_eq!(orchestrator.test(&test_id).state, TestState::Running, "paused too late for this test to mean anything");
    let test = orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 1_200);
    assert!(!test.events.iter().any(|event| event.kind == "lost"), "{test:#?}");
}

/// A test ends without a driver that is not heard. What that driver has to say when it is back makes the result whole,
/// also where the orchestrator has been started anew meanwhile.
pub fn a_driver_that_comes_back_after_the_end_completes_the_result(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (mut orchestrator, drivers) = system.with_drivers(2);
    for round in 1..=2 {
        let test_id = orchestrator.start(&tsunami(&target.url(), 800, "5ms"));
        orchestrator.wait_for_seconds(&test_id, 1);
        drivers[1].pause();
        let test = orchestrator.wait_for_end(&test_id);
        assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Incomplete)), "{test:#?}");
        let before = orchestrator.metrics(&test_id).all.sent.expect("our drivers report it");
        assert!((800..1_600).contains(&before), "{before}");
        if round == 2 {
            orchestrator.process.kill();
            drop(orchestrator);
            orchestrator = system.orchestrator();
            let test = orchestrator.test(&test_id);
            assert_eq!((test.state, test.outcome), (TestState::Completed, Some(Outcome::Incomplete)), "{test:#?}");
        }
        drivers[1].resume();
        // The target is asked once more when everything is in.
        let test = orchestrator.wait_for_test(&test_id, "complete and compared with the target", |test| {
            let checks = test.conservation.iter().flat_map(|conservation| &conservation.checks);
            test.outcome == Some(Outcome::Exact) && checks.into_iter().all(|check| check.verdict == Verdict::Exact)
        });
        assert_exact(&orchestrator, &test_id, 2, 800);
        assert!(test.events.iter().any(|event| event.kind == "completed late"), "{test:#?}");
        assert_eq!(target.counted().0, round * 1_600);
        orchestrator.wait_for_idle(2);
    }
    let test_id = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 100);
}

/// The broker is away at the end of a test. That test is whole all the same, and the next finds everybody at once.
pub fn a_broker_that_was_away_makes_nobody_missing(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (orchestrator, _drivers) = system.with_drivers(2);
    for round in 1..=2 {
        let test_id = orchestrator.start(&tsunami(&target.url(), 300, "10ms"));
        orchestrator.wait_for_seconds(&test_id, 1);
        broker.die_for(PAUSE);
        orchestrator.wait_for_end(&test_id);
        assert_exact(&orchestrator, &test_id, 2, 300);
        // Asked for in the same moment.
        let next = orchestrator.start(&avalanche(&target.url(), 100));
        orchestrator.wait_for_end(&next);
        assert_exact(&orchestrator, &next, 2, 100);
        assert_eq!(target.counted().0, round * 800);
    }
}

/// What nobody here knows may run all the same: it is stopped by its name, or with everything.
pub fn a_stop_reaches_what_nobody_knows(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let peer = Peer::new(broker);
    let (orchestrator, _drivers) = system.with_drivers(2);
    for all in [false, true] {
        let test_id = if all { "foreign-2" } else { "foreign-1" };
        let config = json!({
            "test_id": test_id, "test_type": "TSUNAMI", "test_message_delay": 0.01, "message_count_per_driver": 100_000,
            "target_url": target.url(), "connections": 4,
        });
        peer.send_json(Topic::TestConfig, &config);
        peer.send_json(Topic::Trigger, &json!({"test_id": test_id, "trigger": "YES"}));
        for name in ["driver-1", "driver-2"] {
            orchestrator.wait_for_driver(name, "running it", |driver| {
                driver.state == DriverState::Running && driver.test_id.as_deref() == Some(test_id)
            });
        }
        if all {
            let stopped: StoppedView = orchestrator.post("/v1/stop", b"").expect("it stops everything");
            assert_eq!(stopped.stopped, [test_id]);
        } else {
            let refusal = orchestrator.stop(test_id).expect_err("nobody knows it");
            assert!(refusal.status == 404 && refusal.detail().contains("told to stop"), "{refusal:?}");
        }
        orchestrator.wait_for_idle(2);
    }
    // One that ended without a driver is over for that driver, too.
    let test_id = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 100);
    let refusal = orchestrator.stop(&test_id).expect_err("it has ended");
    assert_eq!(refusal.status, 409, "{refusal:?}");
    peer.hear_until("the stop", SOON, |topic, message| {
        (topic == Topic::Trigger && message["trigger"] == "NO" && message["test_id"] == test_id.as_str()).then_some(())
    });
}

/// A trigger that nobody here sent ends a test early. It does not pass for a result that was asked for.
pub fn a_stop_that_somebody_else_sent_is_said(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let peer = Peer::new(broker);
    let (orchestrator, _drivers) = system.with_drivers(2);
    let mut test = tsunami(&target.url(), 100_000, "10ms");
    test["duration"] = "45s".into();
    let test_id = orchestrator.start(&test);
    orchestrator.wait_for_seconds(&test_id, 1);
    peer.send_json(Topic::Trigger, &json!({"test_id": test_id, "trigger": "NO"}));
    let test = orchestrator.wait_for_end(&test_id);
    assert_eq!((test.state, test.outcome), (TestState::Stopped, Some(Outcome::Incomplete)), "{test:#?}");
    let reason = test.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("by somebody else") && reason.contains("of 45 s"), "{reason}");
    assert!(reason.contains("driver-1") && reason.contains("driver-2"), "{reason}");
}

/// What is stored can be seen, and what cannot be done is said, until the broker is there.
pub fn an_orchestrator_without_a_broker_serves_and_waits(broker: &Broker) {
    let _machine = beside_others();
    let system = System::new(broker);
    let target = system.target(&[]);
    let (mut orchestrator, _drivers) = system.with_drivers(2);
    let test_id = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&test_id);
    let (test, metrics) = (orchestrator.test(&test_id), orchestrator.metrics(&test_id));
    orchestrator.process.interrupt();
    orchestrator.process.wait_for_end(SOON);
    broker.be_dead_while(|| {
        let orchestrator = system.orchestrator();
        assert_eq!((orchestrator.test(&test_id), orchestrator.metrics(&test_id)), (test, metrics));
        assert_eq!(orchestrator.tests().len(), 1);
        assert_eq!(orchestrator.try_get("/").expect("the page").0, 200);
        let refusal = orchestrator.create(&avalanche(&target.url(), 100)).expect_err("there is no broker");
        let (status, health) = orchestrator.try_get("/healthz").expect("an answer");
        for (status, words) in [(refusal.status, refusal.detail()), (status, health.as_str())] {
            assert_eq!(status, 503, "{words}");
            assert!(words.contains("waiting for the broker at") && words.contains(broker.address()), "{words}");
        }
        let mut process = orchestrator.process;
        process.wait_for_line("waiting for the broker");
        let asked = Instant::now();
        process.interrupt();
        assert!(process.wait_for_end(SOON).success());
        assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?} to end", asked.elapsed());
    });
    broker.be_dead_while(|| orchestrator = system.orchestrator());
    orchestrator.wait_for_idle(2);
    assert_eq!(orchestrator.try_get("/healthz").expect("an answer").0, 200);
    let test_id = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 100);
}
