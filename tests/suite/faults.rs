//! Nodes that stand still for a while, and come back.

use std::time::Duration;

use onrush_orchestrator::view::TestState;

use super::checks::{assert_exact, avalanche, tsunami};
use crate::harness::{Broker, System, beside_others};

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
        assert_eq!((test.state, test.complete), (TestState::Completed, Some(false)), "{test:#?}");
        let before = orchestrator.metrics(&test_id).all.sent.expect("our drivers report it");
        assert!((800..1_600).contains(&before), "{before}");
        if round == 2 {
            orchestrator.process.kill();
            drop(orchestrator);
            orchestrator = system.orchestrator();
            let test = orchestrator.test(&test_id);
            assert_eq!((test.state, test.complete), (TestState::Completed, Some(false)), "{test:#?}");
        }
        drivers[1].resume();
        let test = orchestrator.wait_for_test(&test_id, "complete", |test| test.complete == Some(true));
        assert_exact(&orchestrator, &test_id, 2, 800);
        assert!(test.events.iter().any(|event| event.kind == "completed late"), "{test:#?}");
        assert_eq!(target.counted().0, round * 1_600);
        orchestrator.wait_for_idle(2);
    }
    let test_id = orchestrator.start(&avalanche(&target.url(), 100));
    orchestrator.wait_for_end(&test_id);
    assert_exact(&orchestrator, &test_id, 2, 100);
}
